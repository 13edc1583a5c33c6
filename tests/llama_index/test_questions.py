"""What a call is judged by: the question, whatever template it is written into, and never what was retrieved for it."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.agent.utils import messages_to_xml_format
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.callbacks import CBEventType
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.llms import ChatMessage
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate, RichPromptTemplate, SelectorPromptTemplate
from llama_index.core.query_engine import TransformQueryEngine
from llama_index.core.schema import TextNode
from pydantic import BaseModel

from llama_index_slmroute.asked import asked_in
from slmroute.testing import FakeServer, Reply
from tests.llama_index.judge import Judge

SMALL, FRONTIER = "llama3.1:8b", "gpt-4.1"
HARD = "Prove that it is hard."
CHUNK = "A chunk of a report. " * 40
NODES = [TextNode(text=CHUNK)]

pytestmark = [
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step"),
]


class Floors(BaseModel):
    """How many floors there are."""

    count: int


@pytest.fixture
def judge() -> Judge:
    return Judge()


@pytest.fixture
def llm(bench: Any, server: FakeServer, judge: Judge) -> Any:
    for model in (SMALL, FRONTIER):
        server.script(model, Reply('{"count": 6}', logprobs=[-0.01] * 3))
    return bench(classifier=judge).llm


def test_a_hypothetical_document_is_judged_by_its_question(llm: Any, judge: Judge) -> None:
    engine = TransformQueryEngine(VectorStoreIndex(NODES).as_query_engine(llm=llm), HyDEQueryTransform(llm))
    engine.query(HARD)
    assert set(judge.seen) == {HARD}


def test_a_hypothetical_document_by_a_template_of_the_users_own_is_judged_with_its_question(
    llm: Any, judge: Judge
) -> None:
    hyde = HyDEQueryTransform(llm, hyde_prompt=PromptTemplate("Write what may answer this: {context_str}"))
    hyde.run(HARD)
    assert judge.seen == [f"Write what may answer this: {HARD}"]


async def test_an_agents_structured_answer_is_judged_by_the_users_question(llm: Any, judge: Judge) -> None:
    result = await FunctionAgent(tools=[], llm=llm, output_cls=Floors).run(HARD)
    assert result.structured_response == {"count": 6}
    assert judge.seen == [HARD, HARD]


async def test_a_workflows_message_is_judged_without_its_state(llm: Any, judge: Judge, server: FakeServer) -> None:
    server.script(SMALL, Reply("Done."))
    agent = FunctionAgent(name="a", description="a", llm=llm, tools=[])
    workflow = AgentWorkflow(agents=[agent], initial_state={"notes": CHUNK, "more": "Current message:\ny"})
    await workflow.run("How many floors,\nall in all?")
    assert judge.seen == ["How many floors,\nall in all?"]
    assert CHUNK in str(server.calls(SMALL)[-1].body["messages"])


@pytest.mark.parametrize("text", [HARD, "Two\nlines.", "It says </message> here.", "<b>"])
def test_the_last_turn_of_a_conversation_written_out_is_found(text: str) -> None:
    history = [
        ChatMessage(role="system", content="Be terse."),
        ChatMessage(content="An earlier one."),
        ChatMessage(role="assistant", content="Yes?"),
        ChatMessage(content=text),
        ChatMessage(role="assistant", content="It is done."),
    ]
    assert asked_in(messages_to_xml_format(history)) == text


TEMPLATES: dict[str, Any] = {
    "plain": PromptTemplate("Context: {docs}\nTask: {task}"),
    "conversation": ChatPromptTemplate.from_messages([("system", "Use {docs}."), ("user", "Task: {task}")]),
    "rich": RichPromptTemplate("Context: {{docs}}\nTask: {{task}}"),
    "mapped": PromptTemplate("Context: {c}\nTask: {task}", template_var_mappings={"docs": "c"}),
    "computed": PromptTemplate(
        "Context: {docs}\nTask: {task}", function_mappings={"docs": lambda **given: CHUNK + given["docs"]}
    ),
    "with an output parser": PromptTemplate(
        "Context: {docs}\nTask: {task}", output_parser=PydanticOutputParser(output_cls=Floors)
    ),
}


@pytest.mark.parametrize("template", TEMPLATES)
async def test_templates_with_variables_of_the_users_own_are_judged_without_their_material(
    llm: Any, judge: Judge, server: FakeServer, template: str
) -> None:
    prompt = TEMPLATES[template]
    llm.predict(prompt, docs=CHUNK, task=HARD)
    await llm.apredict(prompt, docs=CHUNK, task=HARD)
    llm.structured_predict(Floors, prompt, docs=CHUNK, task=HARD)
    assert len(judge.seen) == 3
    for seen in judge.seen:
        assert seen.rstrip().endswith(f"Task: {HARD}")
        assert "chunk" not in seen
        assert "schema" not in seen
    assert all("chunk" in str(call.body) for call in server.calls())


@pytest.mark.parametrize("name", ["query_str", "question", "query", "user_query"])
def test_the_usual_names_of_a_question_are_known(llm: Any, judge: Judge, name: str) -> None:
    llm.predict(PromptTemplate("Use {material}.\n{" + name + "}"), material=CHUNK, **{name: HARD})
    assert judge.seen == [HARD]


def test_what_is_asked_of_each_chunk_is_decided_each_time(llm: Any, judge: Judge) -> None:
    prompt = PromptTemplate("Summarise this: {context_str}")
    with llm.callback_manager.event(CBEventType.QUERY):
        for _ in range(2):
            llm.predict(prompt, context_str=CHUNK)
    assert judge.seen == ["Summarise this: ", "Summarise this: "]


def test_a_template_of_material_alone_is_judged_whole(llm: Any, judge: Judge) -> None:
    llm.predict(PromptTemplate("{context_str}"), context_str=CHUNK)
    assert judge.seen == [CHUNK]


@pytest.mark.parametrize("chooses", [False, True], ids=["template", "selector"])
def test_what_computes_a_part_of_a_prompt_is_called_once(
    llm: Any, judge: Judge, server: FakeServer, chooses: bool
) -> None:
    made: list[str] = []

    def examples(**given: Any) -> str:
        made.append("made")
        return f"{{an}} example, number {len(made)}"

    text = "Context: {docs}\nTask: {task}\nExamples: {examples}"
    template = PromptTemplate(text, function_mappings={"examples": examples})
    prompt: Any = SelectorPromptTemplate(template) if chooses else template
    for ask in (llm.predict, lambda *given, **rest: llm.structured_predict(Floors, *given, **rest)):
        made.clear()
        ask(prompt, docs=CHUNK, task=HARD)
        assert made == ["made"]
        assert "{an} example, number 1" in str(server.calls()[-1].body)
    made.clear()
    list(llm.stream_structured_predict(Floors, prompt, docs=CHUNK, task=HARD))
    assert made == ["made"]
    assert {seen.partition("Examples")[0] for seen in judge.seen} == {f"Context: \nTask: {HARD}\n"}


async def test_a_chat_engines_follow_up_is_judged_with_the_turn_before_it(
    llm: Any, judge: Judge, server: FakeServer
) -> None:
    server.script(FRONTIER, Reply("It is so."))
    for mode in ("context", "condense_plus_context"):
        judge.seen.clear()
        engine: Any = VectorStoreIndex(NODES).as_chat_engine(chat_mode=mode, llm=llm)
        engine.chat(HARD)
        await engine.achat("Go on.")
        assert judge.seen[0] == HARD
        assert judge.seen[-1] == f"{HARD}\n\nGo on."
        assert CHUNK.strip() in str(server.calls(FRONTIER)[-1].body)
        assert "slmroute" not in str(server.calls(FRONTIER)[-1].body)


def test_what_stands_beside_material_in_the_turn_before_is_all_that_a_follow_up_is_judged_with(
    llm: Any, judge: Judge
) -> None:
    turns = [("user", "Read: {context_str}"), ("assistant", "I have."), ("user", "{query_str}")]
    llm.predict(ChatPromptTemplate.from_messages(turns), context_str=CHUNK, query_str="How many?")
    turns = [("user", "{query_str}"), ("assistant", "Of what?"), ("user", "Of this: {context_str}")]
    llm.predict(ChatPromptTemplate.from_messages(turns), context_str=CHUNK, query_str="How many?")
    assert judge.seen == ["Read: \n\nHow many?", "How many?"]

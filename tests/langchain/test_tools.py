"""Tools bound to a router reach each tier in its own form, and only tiers that can use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pytest
from langchain_core.tools import BaseTool, tool
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

from slmroute import Tier
from slmroute.errors import ModelMissing, NoEligibleTier
from slmroute.testing import Reply
from tests.langchain import ways
from tests.langchain.stage import BIG, SMALL, Stage, record_of

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


class Add(BaseModel):
    """Add two numbers."""

    a: int = Field(description="The first.")
    b: int


@tool
def add_tool(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


OPENAI_DICT = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    },
}
ANTHROPIC_DICT = {
    "name": "add",
    "description": "Add two numbers.",
    "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
}
TOOLS = {"pydantic": Add, "tool": add_tool, "callable": add, "openai": OPENAI_DICT, "anthropic": ANTHROPIC_DICT}

CALL = Reply(tool_calls=[("add", {"a": 1, "b": 2})])


@pytest.mark.parametrize("kind", TOOLS)
def test_every_kind_of_tool_reaches_each_tier_as_from_the_bare_model(stage: Stage, kind: str) -> None:
    given: Any = [TOOLS[kind]]
    for to, bare in (("small", stage.bare_small()), ("big", stage.bare_big())):
        bare.bind_tools(given).invoke("1+2?")
        stage.router(to).bind_tools(given).invoke("1+2?")
        alone, routed = stage.server.calls()[-2:]
        assert routed.body["tools"] == alone.body["tools"] != []


def test_tools_that_are_bound_once_are_made_each_tiers_own_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[type] = []
    for kind in (type(stage.bare_small()), type(stage.bare_big())):

        def noting(self: Any, tools: Any, *, make: Any = kind.bind_tools, **kwargs: Any) -> Any:
            made.append(type(self))
            return make(self, tools, **kwargs)

        monkeypatch.setattr(kind, "bind_tools", noting)
    stage.server.script(SMALL, Reply(tool_calls=[("no_such_tool", {})]))
    stage.server.script(BIG, CALL)
    bound = stage.router("small").bind_tools([add])
    for choice in (None, None, "auto", "auto"):
        given = {} if choice is None else {"tool_choice": choice}
        assert bound.invoke("1+2?", **given).tool_calls[0]["name"] == "add"  # type: ignore[attr-defined]
    assert len(made) == 4
    asked = [call.body for call in stage.server.calls(BIG)]
    assert [each.get("tool_choice") for each in asked] == [None, None, "auto", "auto"]
    assert all(each["tools"] == asked[0]["tools"] for each in asked)


def test_they_are_in_streams_too_whose_settings_are_a_calls_own(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def noting(self: ChatOpenAI, tools: Any, *, make: Any = ChatOpenAI.bind_tools, **kwargs: Any) -> Any:
        made.append(len(tools))
        return make(self, tools, **kwargs)

    monkeypatch.setattr(ChatOpenAI, "bind_tools", noting)
    bound = stage.router("big").bind_tools([add])
    for _ in range(2):
        assert [*bound.stream("1+2?")]
    assert bound.invoke("1+2?")
    assert made == [1]
    first, second, whole = stage.server.calls(BIG)
    assert first.body["tools"] == second.body["tools"] == whole.body["tools"]
    assert first.body["stream_options"] == second.body["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("kind", TOOLS)
def test_bound_tools_are_dictionaries_that_agents_can_look_into(stage: Stage, kind: str) -> None:
    bound: Any = stage.router().bind_tools([TOOLS[kind]])
    (entry,) = bound.kwargs["tools"]
    assert entry.get("type") == "function"
    assert entry["function"]["name"] in ("add", "Add", "add_tool")


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_a_tool_call_comes_back_from_either_tier(stage: Stage, ask: ways.Ask) -> None:
    stage.server.script(SMALL, CALL)
    stage.server.script(BIG, CALL)
    for to in ("small", "big"):
        answer = await ask(stage.router(to).bind_tools([add]), "1+2?")
        assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("add", {"a": 1, "b": 2})]
        assert record_of(answer)["tier"] == to


class Noting(ChatOpenAI):
    """Notes what it is asked to bind."""

    noted: list[Any] = Field(default_factory=list)

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        self.noted.append((list(tools), kwargs))
        return super().bind_tools(tools, **kwargs)


def noting(stage: Stage) -> Noting:
    return Noting(model=BIG, base_url=stage.server.openai_url, api_key="canary", max_retries=0)  # type: ignore[arg-type]


def test_a_tier_binds_the_tool_that_the_user_gave_extras_and_all(stage: Stage) -> None:
    big = noting(stage)

    class Fancy(BaseTool):
        name: str = "fancy"
        description: str = "Does something fancy."

        def _run(self) -> str:
            return "done"

    fancy = Fancy(extras={"cache_control": {"type": "ephemeral"}})
    stage.router("big", tiers=[stage.small(), Tier("big", big)]).bind_tools([fancy]).invoke("Do it.")
    ((tools, _),) = big.noted
    assert tools == [fancy]
    assert tools[0].extras == {"cache_control": {"type": "ephemeral"}}


def test_options_of_binding_reach_tiers_that_know_them(stage: Stage) -> None:
    big = noting(stage)
    tiers = [stage.small(), Tier("big", big)]
    options = {"strict": True, "parallel_tool_calls": False, "tool_choice": "auto"}
    stage.router("big", tiers=tiers).bind_tools([add], **options).invoke("1+2?")
    stage.router("small", tiers=tiers).bind_tools([add], **options).invoke("1+2?")
    assert [kwargs for _, kwargs in big.noted] == [options]
    big_body, small_body = (call.body for call in stage.server.calls())
    assert big_body["parallel_tool_calls"] is False
    assert big_body["tools"][0]["function"]["strict"] is True  # type: ignore[index]
    assert "parallel_tool_calls" not in small_body


FORCED = [
    ("any", "required"),
    ("required", "required"),
    (True, "required"),
    ("add", {"type": "function", "function": {"name": "add"}}),
    ({"type": "function", "function": {"name": "add"}}, {"type": "function", "function": {"name": "add"}}),
    ({"type": "tool", "name": "add"}, {"type": "function", "function": {"name": "add"}}),
    ({"type": "any"}, "required"),
]


@pytest.mark.parametrize(("choice", "sent"), FORCED, ids=[str(given) for given, _ in FORCED])
def test_a_forced_choice_goes_to_a_tier_that_can_be_forced(stage: Stage, choice: Any, sent: Any) -> None:
    stage.server.script(BIG, CALL)
    answer = stage.router("small").bind_tools([add], tool_choice=choice).invoke("1+2?")
    assert record_of(answer)["tier"] == "big"
    assert stage.models_called == [BIG]
    assert stage.server.calls()[-1].body["tool_choice"] == sent


@pytest.mark.parametrize("choice", ["auto", "none", None, False, {"type": "auto"}], ids=str)
def test_a_choice_that_forces_nothing_stays_on_its_tier(stage: Stage, choice: Any) -> None:
    answer = stage.router("small").bind_tools([add], tool_choice=choice).invoke("1+2?")
    assert record_of(answer)["tier"] == "small"


def ollama_tiers(stage: Stage) -> list[Tier]:
    stage.server.script("llama3.1:8b", CALL)
    return [stage.small(), Tier("mid", ChatOllama(model="llama3.1:8b", base_url=stage.server.url), local=True)]


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_where_no_tier_can_be_forced_the_reply_is_looked_at(stage: Stage, ask: ways.Ask) -> None:
    model = stage.router("small", tiers=ollama_tiers(stage)).bind_tools([add], tool_choice="any")
    answer = await ask(model, "1+2?")
    assert record_of(answer)["tier"] == "mid"
    assert [each["fault"] for each in record_of(answer)["attempts"] if each["role"] == "draft"] == ["no_tool_call"]
    assert [call["name"] for call in answer.tool_calls] == ["add"]


def subtract(a: int, b: int) -> int:
    """Subtract two numbers."""
    return a - b


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
@pytest.mark.parametrize("choice", ["add", {"type": "function", "function": {"name": "add"}}], ids=str)
async def test_a_call_of_another_tool_than_the_one_forced_by_name_escalates(
    stage: Stage, ask: ways.Ask, choice: Any
) -> None:
    tiers = ollama_tiers(stage)
    stage.server.script(SMALL, Reply(tool_calls=[("subtract", {"a": 1, "b": 2})]))
    answer = await ask(stage.router("small", tiers=tiers).bind_tools([add, subtract], tool_choice=choice), "1+2?")
    assert [call["name"] for call in answer.tool_calls] == ["add"]
    assert [each["fault"] for each in record_of(answer)["attempts"] if each["role"] == "draft"] == ["other_tool"]
    free = stage.router("small", tiers=tiers).bind_tools([add, subtract], tool_choice="any")
    assert [call["name"] for call in (await ask(free, "1-2?")).tool_calls] == ["subtract"]


async def test_where_no_tier_can_be_forced_and_none_calls_the_last_ones_text_is_given(stage: Stage) -> None:
    tiers = ollama_tiers(stage)
    stage.server.script("llama3.1:8b", Reply("Three."))
    for ask in ways.EACH:
        answer = await ask(stage.router("small", tiers=tiers).bind_tools([add], tool_choice="any"), "1+2?")
        assert (answer.text, record_of(answer)["tier"]) == ("Three.", "mid")


async def test_staying_local_a_forced_choice_is_asked_of_who_is_there(stage: Stage) -> None:
    stage.server.script(SMALL, CALL)
    model = stage.router("big").bind_tools([add], tool_choice="any")
    answer = await model.ainvoke("1+2?", local_only=True)
    assert record_of(answer)["tier"] == "small"


FAULTS = [
    (Reply(tool_calls=[("subtract", {"a": 1, "b": 2})]), "unknown_tool"),
    (Reply(tool_calls=[("add", {"a": 1})]), "tool_arguments"),
    (Reply(tool_calls=[("add", {"a": "one", "b": 2})]), "tool_arguments"),
    (Reply(tool_calls=[("add", {"a": 1, "b": 2}), ("add", {"b": 2})]), "tool_arguments"),
]


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
@pytest.mark.parametrize(("reply", "fault"), FAULTS, ids=["unknown", "missing", "wrong type", "second"])
async def test_a_wrong_tool_call_escalates_and_is_not_shown(
    stage: Stage, ask: ways.Ask, reply: Reply, fault: str
) -> None:
    stage.server.script(SMALL, reply)
    stage.server.script(BIG, CALL)
    answer = await ask(stage.router("small").bind_tools([add]), "1+2?")
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("add", {"a": 1, "b": 2})]
    (draft,) = [each for each in record_of(answer)["attempts"] if each["role"] == "draft"]
    assert draft["fault"] == fault


class Reading(BaseModel):
    """A reading."""

    unit: Literal["c", "f"]
    degrees: list[int]


@tool
def note(unit: Literal["c", "f"], readings: list[Reading], day: int | None = None) -> str:
    """Note readings."""
    return "noted"


GOOD = {"unit": "c", "readings": [{"unit": "f", "degrees": [70, 71]}], "day": None}
UNFIT = {
    "not among the choices": {**GOOD, "unit": "kelvin"},
    "wrong optional": {**GOOD, "day": "x"},
    "wrong in a nested list": {**GOOD, "readings": [{"unit": "f", "degrees": [70, "hot"]}]},
    "not among nested choices": {**GOOD, "readings": [{"unit": "k", "degrees": []}]},
    "missing in a nested object": {**GOOD, "readings": [{"unit": "f"}]},
}


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
@pytest.mark.parametrize("unfit", UNFIT)
async def test_arguments_that_fail_the_schema_anywhere_escalate(stage: Stage, ask: ways.Ask, unfit: str) -> None:
    stage.server.script(SMALL, Reply(tool_calls=[("note", GOOD)]), Reply(tool_calls=[("note", UNFIT[unfit])]))
    stage.server.script(BIG, Reply(tool_calls=[("note", GOOD)]))
    model = stage.router("small").bind_tools([note])
    assert record_of(await ask(model, "Note it."))["tier"] == "small"
    answer = await ask(model, "Note it.")
    assert answer.tool_calls[0]["args"] == GOOD
    assert [each["fault"] for each in record_of(answer)["attempts"] if each["role"] == "draft"] == ["tool_arguments"]


async def test_arguments_that_are_no_json_escalate(stage: Stage) -> None:
    stage.server.script("mini", Reply(tool_calls=[("add", '{"a": 1, "b"')]))
    stage.server.script(BIG, CALL)
    mini = ChatOpenAI(model="mini", base_url=stage.server.openai_url, api_key="canary", max_retries=0)  # type: ignore[arg-type]
    model = stage.router("small", tiers=[Tier("small", mini), stage.big()]).bind_tools([add])
    for ask in ways.EACH:
        answer = await ask(model, "1+2?")
        assert record_of(answer)["tier"] == "big"
        assert not answer.invalid_tool_calls


async def test_text_beside_tools_is_a_good_answer(stage: Stage) -> None:
    for ask in ways.EACH:
        answer = await ask(stage.router("small").bind_tools([add]), "Hello!")
        assert record_of(answer)["tier"] == "small"


async def test_a_tier_without_tools_is_passed_over(stage: Stage) -> None:
    plain = Tier("small", stage.bare_small(), local=True, abilities=["schema"])
    answer = await stage.router("small", tiers=[plain, stage.big()]).bind_tools([add]).ainvoke("1+2?")
    assert record_of(answer)["tier"] == "big"


def test_a_providers_own_tool_goes_to_its_tier_alone(stage: Stage) -> None:
    for tools in ([{"type": "web_search_preview"}], [{"type": "web_search_preview"}, add]):
        model = stage.router("small").bind_tools(tools)
        with pytest.raises(ModelMissing, match="'big'"):  # the fake server has no Responses API
            model.invoke("What is new?")
        assert stage.server.requests[-1].path == "/v1/responses"
        assert stage.server.requests[-1].body["tools"][0] == {"type": "web_search_preview"}  # type: ignore[index]
    assert not stage.server.calls(SMALL)


def test_a_providers_own_tool_without_its_tier_is_an_error(stage: Stage) -> None:
    with pytest.raises(NoEligibleTier, match="no tools"):
        stage.router("small").bind_tools([{"type": "web_search_20250305", "name": "web_search"}]).invoke("New?")
    with pytest.raises(NoEligibleTier, match="no tools"):
        stage.router("small", tiers=ollama_tiers(stage)).bind_tools([{"google_search": {}}]).invoke("New?")


async def test_tools_given_with_the_call_are_bound_as_well(stage: Stage) -> None:
    stage.server.script(SMALL, CALL)
    for ask in ways.EACH:
        answer = await ask(stage.router("small"), "1+2?", tools=[OPENAI_DICT])
        assert [call["name"] for call in answer.tool_calls] == ["add"]
        assert stage.server.calls()[-1].body["tools"] == [OPENAI_DICT]


async def test_a_draft_that_calls_a_tool_is_not_passed_on_as_text(stage: Stage) -> None:
    stage.server.script(SMALL, Reply(tool_calls=[("add", {"a": 1, "b": 2})], logprobs=None))
    stage.server.script(BIG, CALL)
    answer = await stage.cascade().bind_tools([add]).ainvoke("1+2?")
    assert record_of(answer)["tier"] == "big", "without log-probabilities nobody knows how good the call is"
    assert stage.server.calls(BIG)[0].body["messages"] == [{"content": "1+2?", "role": "user"}]

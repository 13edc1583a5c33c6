"""Errors: whose they are decides whether another tier answers, and what comes out is what was raised."""

from __future__ import annotations

import asyncio
from typing import Any

import ollama
import openai
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from pydantic import ConfigDict

from langchain_slmroute import RoutingChatModel
from slmroute import Tier
from slmroute.errors import DeadlineExceeded, Misconfigured, ModelMissing, NoTierAnswered, ServerUnreachable
from slmroute.testing import Fault, Reply
from tests.langchain import ways
from tests.langchain.stage import BIG, SMALL, Stage, record_of

REFUSAL = "I'm sorry, but I cannot help with that request."

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_a_tier_that_is_down_is_replaced(stage: Stage, ask: ways.Ask) -> None:
    stage.server.script(SMALL, Fault(500))
    answer = await ask(stage.router("small"), "What is blue?")
    assert record_of(answer)["tier"] == "big"
    failed = [each for each in record_of(answer)["attempts"] if each["role"] == "failed"]
    assert [(each["tier"], each["error"]) for each in failed] == [("small", "ResponseError")]
    stage.script_small()
    stage.server.script(BIG, Fault(429))
    answer = await ask(stage.router("big"), "What is blue?")
    assert (record_of(answer)["tier"], record_of(answer)["degraded"]) == ("small", True)


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_a_users_own_error_comes_out_as_from_the_bare_model_and_moves_nothing(
    stage: Stage, ask: ways.Ask
) -> None:
    for kind, bare in (("small", stage.bare_small()), ("big", stage.bare_big())):
        name = SMALL if kind == "small" else BIG
        stage.server.script(name, Fault(400, body='{"error": {"message": "Bad."}}'))
        caught = []
        for model in (bare, stage.router(kind)):
            with pytest.raises((ollama.ResponseError, openai.BadRequestError)) as error:
                await ask(model, "What is blue?")
            caught.append(error.value)
        assert type(caught[0]) is type(caught[1])
        assert str(caught[0]) == str(caught[1])
    assert stage.models_called == [SMALL, SMALL, BIG, BIG]


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_when_nothing_answered_every_cause_is_there(stage: Stage, ask: ways.Ask) -> None:
    stage.server.script(SMALL, Fault(500))
    stage.server.script(BIG, Fault(500))
    with pytest.raises(NoTierAnswered) as caught:
        await ask(stage.router("small"), "What is blue?")
    first, second = caught.value.exceptions
    assert isinstance(first, ollama.ResponseError)
    assert isinstance(second, openai.InternalServerError)


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_one_attempt_raises_its_error_alone(stage: Stage, ask: ways.Ask) -> None:
    stage.server.script(BIG, Fault(500))
    with pytest.raises(openai.InternalServerError):
        await ask(stage.router("big", failover=False), "What is blue?")
    assert stage.models_called == [BIG]


async def test_refused_keys_name_the_tier_and_never_the_key(stage: Stage) -> None:
    stage.server.script(BIG, Fault(401))
    for ask in ways.EACH:
        with pytest.raises(Misconfigured, match="'big'") as caught:
            await ask(stage.router("big"), "What is blue?")
        assert "canary" not in str(caught.value)
    assert set(stage.models_called) == {BIG}


async def test_a_missing_model_and_a_missing_server_say_what_to_do(stage: Stage) -> None:
    stage.server.script(SMALL, Fault(404))
    with pytest.raises(ModelMissing, match=f"ollama pull {SMALL}"):
        await stage.router("small", failover=False).ainvoke("What is blue?")
    stage.server.script(SMALL, Fault(refuse=True))
    with pytest.raises(ServerUnreachable, match="ollama serve"):
        await stage.router("small", failover=False).ainvoke("What is blue?")


@pytest.mark.parametrize("ask", [ways.invoke, ways.ainvoke, ways.stream, ways.astream], ids=ways.name_of)
async def test_a_tier_without_a_key_does_not_hide_why_the_one_before_it_failed(
    stage: Stage, ask: ways.Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    stage.server.script(SMALL, Fault(refuse=True))
    small = Tier("small", f"ollama:{SMALL}", model_args={"base_url": stage.server.url})
    routed = RoutingChatModel(tiers=[small, Tier("big", f"openai:{BIG}")], classifier=None)
    with pytest.raises(NoTierAnswered) as caught:
        await ask(routed, "What is blue?")
    assert [type(cause) for cause in caught.value.exceptions] == [ServerUnreachable, Misconfigured]
    for advice in (f"no Ollama server answers at {stage.server.url}", "ollama serve", "OPENAI_API_KEY"):
        assert advice in str(caught.value)


TIMED = (ways.ainvoke, ways.stream, ways.astream, ways.abatch, ways.agenerate, ways.stream_events, ways.astream_events)


@pytest.mark.parametrize("ask", TIMED, ids=ways.name_of)
async def test_the_callers_deadline_holds_over_all_tiers(stage: Stage, ask: ways.Ask) -> None:
    stage.server.script(SMALL, Fault(500))
    stage.server.script(BIG, Reply("Late, far too late, it is too late.", first_delay_s=0.3, chunk_delay_s=0.05))
    with pytest.raises(DeadlineExceeded, match=r"deadline_s=0\.2"):
        await ask(stage.router("small", deadline_s=0.2, validate=False), "What is blue?")


@pytest.mark.parametrize("ask", [ways.invoke, ways.batch, ways.generate], ids=ways.name_of)
async def test_a_late_answer_that_is_there_is_given(stage: Stage, ask: ways.Ask) -> None:
    stage.server.script(BIG, Reply("Late.", first_delay_s=0.1))
    assert (await ask(stage.router("big", deadline_s=0.05), "What is blue?")).text == "Late."


class Bubbling(GenericFakeChatModel):
    """A model in which LangGraph's control flow, or anything else, is raised."""

    error: BaseException

    model_config = ConfigDict(arbitrary_types_allowed=True)

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        raise self.error

    def _stream(self, *args: Any, **kwargs: Any) -> Any:
        raise self.error


@pytest.mark.parametrize("error", [GraphBubbleUp(), GraphInterrupt(()), KeyError("mine"), ValueError("mine")], ids=repr)
@pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)
async def test_control_flow_and_unknown_errors_pass_through_untouched(
    stage: Stage, ask: ways.Ask, error: BaseException
) -> None:
    small = Tier("small", Bubbling(messages=iter([AIMessage("never")]), error=error), local=True)
    with pytest.raises(type(error)) as caught:
        await ask(stage.router("small", tiers=[small, stage.big()]), "What is blue?")
    assert caught.value is error
    assert not stage.server.calls()


async def test_errors_that_the_user_adds_move_on(stage: Stage) -> None:
    small = Tier("small", Bubbling(messages=iter([AIMessage("never")]), error=KeyError("mine")), local=True)
    model = stage.router("small", tiers=[small, stage.big()], availability_errors=[KeyError])
    for ask in ways.CORE:
        assert record_of(await ask(model, "What is blue?"))["tier"] == "big"


class Broken(BaseCallbackHandler):
    """A handler whose errors are to be raised."""

    raise_error = True

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the handler's own")


@pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)
async def test_a_handlers_error_passes_through(stage: Stage, ask: ways.Ask) -> None:
    with pytest.raises(RuntimeError, match="the handler's own"):
        await ask(stage.router("small"), "What is blue?", {"callbacks": [Broken()]})


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_a_broken_classifier_never_fails_a_call(stage: Stage, ask: ways.Ask) -> None:
    def broken(request: object) -> float:
        raise KeyError("oops")

    answer = await ask(stage.router(classifier=broken), "What is blue?")
    assert (record_of(answer)["tier"], record_of(answer)["reason"]) == ("big", "default")
    assert "classifier_unavailable" in record_of(answer)["events"]


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_a_broken_hook_never_fails_a_call(stage: Stage, ask: ways.Ask) -> None:
    def broken(record: object) -> None:
        raise KeyError("oops")

    model = stage.router("big", hooks=[broken])
    assert (await ask(model, "What is blue?")).text == "The big answer is forty two."
    assert model.shared.engine.hooks.flush()


async def test_a_weak_answer_is_given_when_the_better_tier_fails(stage: Stage) -> None:
    stage.server.script(BIG, Fault(500))
    for ask in ways.EACH:
        answer = await ask(stage.escalating(), "What is blue?")
        assert answer.text == "A small draft it is."
        assert (record_of(answer)["degraded"], record_of(answer)["tier"]) == (True, "small")


async def test_a_weak_answer_that_is_given_after_all_is_told_to_handlers_once(stage: Stage) -> None:
    from tests.langchain.test_contracts_streaming import Tokens

    stage.server.script(BIG, Fault(500))
    for ask in ways.CORE:
        handler = Tokens()
        await ask(stage.escalating(), "What is blue?", {"callbacks": [handler]})
        assert "".join(handler.told) == "A small draft it is."


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_empty_answers_and_refusals_escalate(stage: Stage, ask: ways.Ask) -> None:
    for text in ("", "   "):
        stage.server.script(SMALL, Reply(text))
        answer = await ask(stage.router("small"), "What is blue?")
        assert record_of(answer)["tier"] == "big"
        assert record_of(answer)["attempts"][-2]["fault"] == "empty"
    # A stream that nobody judges is shown as it comes; one that is held back is not.
    stage.server.script(SMALL, Reply(REFUSAL, logprobs=[-0.01] * 9))
    model = stage.cascade() if ask in ways.STREAMS else stage.router("small")
    answer = await ask(model, "What is blue?")
    assert record_of(answer)["tier"] == "big"
    assert record_of(answer)["attempts"][-2]["fault"] == "refusal"


async def test_without_validation_answers_are_taken_as_they_are(stage: Stage) -> None:
    stage.server.script(SMALL, Reply(REFUSAL))
    answer = await stage.router("small", validate=False).ainvoke("What is blue?")
    assert record_of(answer)["tier"] == "small"


async def test_one_router_is_used_from_many_tasks_and_threads_at_once(stage: Stage) -> None:
    stage.server.script(BIG, lambda body: Reply(str(body["messages"][-1]["content"])))  # type: ignore[index]
    model = stage.router("big")
    prompts = [f"prompt {number}" for number in range(20)]
    whole = asyncio.to_thread(model.batch, prompts)
    answers, batch = await asyncio.gather(asyncio.gather(*(model.ainvoke(p) for p in prompts)), whole)
    assert [answer.text for answer in answers] == [answer.text for answer in batch] == prompts


def test_history_that_is_no_conversation_is_the_callers_error(stage: Stage) -> None:
    for model in (stage.bare_big(), stage.router("big")):
        with pytest.raises(Exception, match="empty array"):
            model.invoke([])
    with pytest.raises(ValueError, match="Invalid input type"):
        stage.router("big").invoke(42)  # type: ignore[arg-type]
    assert stage.router("big").invoke([HumanMessage("")]).text

"""Each client's real errors: what moves a call on, what is the user's to mend, and what no one may see of a key."""

from __future__ import annotations

import re
import traceback
from typing import Any

import pytest
from langchain_core.exceptions import ModelNotFoundError

from langchain_slmroute import RoutingChatModel
from slmroute.errors import Misconfigured, ModelMissing
from slmroute.testing import Fault, Reply
from tests.langchain import ways
from tests.langchain.providers.conftest import over
from tests.langchain.providers.providers import ANTHROPIC, GOOGLE, KEY, NOWHERE, OLLAMA, PROVIDERS, Provider
from tests.langchain.stage import record_of

WAYS = (ways.invoke, ways.ainvoke, ways.stream, ways.astream)
STREAMS = (ways.stream, ways.astream)
each_way = pytest.mark.parametrize("ask", WAYS, ids=ways.name_of)
each_stream = pytest.mark.parametrize("ask", STREAMS, ids=ways.name_of)


async def the_spare_answers(router: RoutingChatModel, ask: ways.Ask, event: str) -> dict[str, Any]:
    """Ask, and give the attempt that failed."""
    answer = await ask(router, "Where is it?")
    record = record_of(answer)
    assert (answer.text, record["tier"]) == ("The spare one.", "spare")
    assert [attempt["tier"] for attempt in record["attempts"]] == ["asked", "spare"]
    assert event in record["events"]
    assert KEY not in str(record)
    return record["attempts"][0]


@each_way
@pytest.mark.parametrize(("status", "event"), [(429, "overloaded"), (500, "unavailable"), (503, "overloaded")], ids=str)
async def test_a_provider_that_is_not_up_to_it_is_passed_over_at_once(
    provider: Provider, server: Any, routed: RoutingChatModel, ask: ways.Ask, status: int, event: str
) -> None:
    server.script(provider.model, Fault(status))
    failed = await the_spare_answers(routed, ask, f"{event}:asked")
    assert failed["role"] == "failed"
    assert failed["error"]
    assert failed["usage"] is None
    assert len(server.calls()) == 1, "its client has tried again by itself"


@each_way
async def test_an_overloaded_provider_is_passed_over(
    provider: Provider, server: Any, routed: RoutingChatModel, ask: ways.Ask
) -> None:
    server.script(provider.model, provider.overloaded)
    await the_spare_answers(routed, ask, "overloaded:asked")


@each_way
async def test_a_prompt_too_long_for_one_goes_to_another(
    provider: Provider, server: Any, routed: RoutingChatModel, ask: ways.Ask
) -> None:
    server.script(provider.model, provider.too_long)
    await the_spare_answers(routed, ask, "too_long:asked")


@each_way
async def test_a_server_that_is_not_there_is_passed_over(provider: Provider, kind: str, ask: ways.Ask) -> None:
    await the_spare_answers(over(provider.tier(kind, NOWHERE)), ask, "unavailable:asked")


@each_way
@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_name_the_tier_and_show_no_key(
    provider: Provider, server: Any, routed: RoutingChatModel, ask: ways.Ask, status: int
) -> None:
    server.script(provider.model, Fault(status))
    with pytest.raises(Misconfigured, match="'asked'") as caught:
        await ask(routed, "Where is it?")
    assert caught.value.__cause__ is not None
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert len(server.calls()) == 1


@each_way
@pytest.mark.parametrize("provider", [GOOGLE], ids=["google"])
async def test_a_key_that_google_does_not_know_is_refused_credentials_too(
    provider: Provider, server: Any, routed: RoutingChatModel, ask: ways.Ask
) -> None:
    server.script(provider.model, Fault(400, code="bad_key"))
    with pytest.raises(Misconfigured, match="'asked'"):
        await ask(routed, "Where is it?")


@each_way
async def test_a_bad_request_comes_out_unchanged(provider: Provider, server: Any, kind: str, ask: ways.Ask) -> None:
    server.script(provider.model, Fault(400))
    errors = []
    tier = provider.tier("object", server.url)
    for model in (tier.model, over(provider.tier(kind, server.url))):
        with pytest.raises(Exception) as caught:  # noqa: PT011  the two are compared
            await ask(model, "Where is it?")
        errors.append(caught.value)
    assert type(errors[0]) is type(errors[1])
    assert str(errors[0]) == str(errors[1])


CLOUDS = {name: each for name, each in PROVIDERS.items() if each is not OLLAMA}


@each_way
@pytest.mark.parametrize("provider", CLOUDS.values(), ids=CLOUDS)
async def test_a_model_that_a_provider_does_not_have_is_raised_with_its_tiers_name(
    provider: Provider, server: Any, routed: RoutingChatModel, ask: ways.Ask
) -> None:
    server.script(provider.model, Fault(404))
    with pytest.raises(Exception) as bare:  # noqa: PT011  each client has its own
        await ask(provider.tier("object", server.url).model, "Where is it?")
    with pytest.raises(ModelMissing, match=rf"'asked'.*{re.escape(provider.model)}.*model=") as caught:
        await ask(routed, "Where is it?")
    assert type(caught.value.__cause__) is type(bare.value)
    assert isinstance(caught.value, ModelNotFoundError) == isinstance(bare.value, ModelNotFoundError)
    assert KEY not in "".join(traceback.format_exception(caught.value))


@each_way
@pytest.mark.parametrize("provider", [OLLAMA], ids=["ollama"])
async def test_a_model_that_ollama_has_not_pulled_is_passed_over(
    provider: Provider, server: Any, routed: RoutingChatModel, ask: ways.Ask
) -> None:
    server.script(provider.model, Fault(404))
    await the_spare_answers(routed, ask, "unavailable:asked")


BREAKING = {name: each for name, each in PROVIDERS.items() if name not in ("google", "compatible")}


@each_stream
@pytest.mark.parametrize("provider", BREAKING.values(), ids=BREAKING)
async def test_a_stream_that_breaks_before_its_first_token_is_answered_by_another(
    provider: Provider, server: Any, routed: RoutingChatModel, ask: ways.Ask
) -> None:
    server.script(provider.model, Fault(provider.overloaded.status, error_line_after_chunks=0))
    await the_spare_answers(routed, ask, "overloaded:asked" if provider is ANTHROPIC else "unavailable:asked")


@each_stream
@pytest.mark.parametrize("provider", BREAKING.values(), ids=BREAKING)
async def test_a_stream_that_breaks_later_raises_the_clients_own_error(
    provider: Provider, server: Any, routed: RoutingChatModel, ask: ways.Ask
) -> None:
    reply = Reply("One two three four five six.", input_tokens=10, output_tokens=6)
    server.script(provider.model, Fault(provider.overloaded.status, error_line_after_chunks=5, reply=reply))
    with pytest.raises(Exception) as caught:  # noqa: PT011  each client has its own
        await ask(routed, "Count.")
    module = type(caught.value).__module__.partition(".")[0]
    assert module in ("anthropic", "huggingface_hub", "ollama", "openai")
    assert len(server.calls()) == 1


@each_way
@pytest.mark.parametrize("provider", [ANTHROPIC], ids=["anthropic"])
async def test_a_request_too_large_for_anthropic_goes_to_another(
    provider: Provider, server: Any, routed: RoutingChatModel, ask: ways.Ask
) -> None:
    server.script(provider.model, Fault(413))
    await the_spare_answers(routed, ask, "too_long:asked")


@each_way
async def test_the_wait_that_a_server_asks_for_is_kept(
    provider: Provider, server: Any, routed: RoutingChatModel, ask: ways.Ask
) -> None:
    server.script(provider.model, Fault(429, headers={"retry-after": "30"}))
    await the_spare_answers(routed, ask, "overloaded:asked")
    answer = await ask(routed, "Where is it?")
    if provider in (GOOGLE, OLLAMA):  # their clients keep the headers to themselves
        assert len(server.calls()) == 2
        return
    assert "breaker_open:asked" in record_of(answer)["events"]
    assert len(server.calls()) == 1

"""Structured answers with what a bare model takes beyond a class: other schemas, stops, and its own settings."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from slmroute.errors import ConfigError
from slmroute.testing import Reply
from tests.langchain import ways
from tests.langchain.stage import BIG, SMALL, Stage, record_of

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the bare model's own, when it streams

PLAIN = {"type": "object", "properties": {"degrees": {"type": "integer"}}, "required": ["degrees"]}
TITLED = {"title": "Weather", "description": "The weather.", **PLAIN}
FORMAT = {"type": "json_schema", "json_schema": {"name": "Weather", "schema": TITLED, "strict": True}}
NAMED = {"name": "Weather", "schema": PLAIN}
WARM = {"degrees": 21}
ASK = "How warm? Answer in JSON."
BODY = ("format", "response_format", "tools", "tool_choice", "stop", "options", "stream")


class Weather(BaseModel):
    """The weather."""

    degrees: int


class WeatherDict(TypedDict):
    """The weather."""

    degrees: int


def reply(method: str | None = None, name: str = "Weather") -> Reply:
    if method == "function_calling":
        return Reply(tool_calls=[(name, WARM)], input_tokens=10, output_tokens=5)
    return Reply('{"degrees": 21}', chunks=['{"degrees"', ": 21}"], input_tokens=10, output_tokens=5)


def script(stage: Stage, method: str | None = None, name: str = "Weather") -> None:
    for model in (SMALL, BIG):
        stage.server.script(model, reply(method, name))


def last_bodies(stage: Stage, count: int = 2) -> list[dict[str, Any]]:
    return [{key: call.body.get(key) for key in BODY} for call in stage.server.calls()[-count:]]


@pytest.fixture(params=["small", "big"])
def to(request: pytest.FixtureRequest) -> str:
    return request.param


def both(stage: Stage, to: str, **settings: Any) -> tuple[Any, Any]:
    bare: Any = stage.bare_small(**settings) if to == "small" else stage.bare_big(stream_usage=True, **settings)
    return bare, stage.router(to, **settings)


def test_json_mode_needs_no_schema_as_with_the_bare_model(stage: Stage, to: str) -> None:
    script(stage)
    for model in both(stage, to):
        assert model.with_structured_output(None, method="json_mode").invoke(ASK) == WARM
    bare, routed = last_bodies(stage)
    assert bare == routed


def test_json_mode_without_a_schema_escalates_what_is_no_json(stage: Stage) -> None:
    script(stage)
    stage.server.script(SMALL, Reply("It is warm."))
    model = stage.router("small").with_structured_output(None, method="json_mode", include_raw=True)  # type: ignore[arg-type]
    answer: Any = model.invoke(ASK)
    assert (answer["parsed"], record_of(answer["raw"])["tier"]) == (WARM, "big")


@pytest.mark.parametrize("method", [None, "json_schema", "function_calling"])
def test_other_methods_do_and_the_error_says_so_beforehand(stage: Stage, method: str | None) -> None:
    for model in both(stage, "small"):
        with pytest.raises(ValueError, match="schema"):
            model.with_structured_output(None, **({"method": method} if method else {}))
    with pytest.raises(ConfigError, match="there are 'json_schema'"):
        stage.router().with_structured_output(Weather, method="guessing")


@pytest.mark.parametrize("method", [None, "json_mode"])
def test_a_schema_without_a_title_reaches_ollama_as_it_is(stage: Stage, method: str | None) -> None:
    script(stage)
    options: Any = {"method": method} if method else {}
    for model in both(stage, "small"):
        assert model.with_structured_output(PLAIN, **options).invoke(ASK) == WARM
    bare, routed = last_bodies(stage)
    assert bare == routed


@pytest.mark.parametrize("method", [None, "json_schema", "json_mode", "function_calling"])
@pytest.mark.parametrize("schema", [PLAIN, TITLED, FORMAT, NAMED], ids=["plain", "titled", "format", "named"])
def test_every_form_of_a_json_schema_works_on_every_tier(
    stage: Stage, to: str, method: str | None, schema: dict[str, Any]
) -> None:
    script(stage, method, "answer" if schema is PLAIN else "Weather")
    model: Any = stage.router(to).with_structured_output(schema, method=method, include_raw=True)
    answer = model.invoke(ASK)
    assert (answer["parsed"], record_of(answer["raw"])["tier"]) == (WARM, to)
    if to == "small" and method in (None, "json_schema"):
        assert stage.server.calls()[-1].body["format"]["properties"] == PLAIN["properties"]  # type: ignore[index]


def test_openais_own_format_reaches_openai_with_its_strictness(stage: Stage) -> None:
    script(stage)
    assert stage.bare_big().with_structured_output(TITLED, strict=True).invoke(ASK) == WARM
    assert stage.router("big").with_structured_output(FORMAT).invoke(ASK) == WARM
    bare, routed = last_bodies(stage)
    assert bare == routed
    assert routed["response_format"]["json_schema"]["strict"] is True


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("disabled", [True, "tool_calling"])
async def test_where_streaming_is_disabled_the_parts_are_the_bare_models(
    stage: Stage, to: str, method: str, disabled: Any, is_async: bool
) -> None:
    script(stage, method)
    parts: list[Any] = []
    for model in both(stage, to, disable_streaming=disabled):
        chain = model.with_structured_output(TITLED, method=method)
        parts.append([part async for part in chain.astream(ASK)] if is_async else list(chain.stream(ASK)))
    bare, routed = last_bodies(stage)
    assert bare["stream"] == routed["stream"]
    # Of a tool call that comes whole LangChain's parsers make no part at all; it is one, and no reason to escalate.
    assert parts[1] == (parts[0] or [WARM])
    assert len(stage.server.calls()) == 2


@pytest.mark.parametrize("ask", [ways.invoke, ways.ainvoke], ids=ways.name_of)
@pytest.mark.parametrize("schema", [Weather, TITLED], ids=["pydantic", "json schema"])
async def test_raw_is_in_standard_blocks_where_the_router_is_told_so(
    stage: Stage, to: str, ask: ways.Ask, schema: Any
) -> None:
    script(stage)
    contents: list[Any] = []
    for model in both(stage, to, output_version="v1"):
        answer: Any = await ask(model.with_structured_output(schema, include_raw=True), ASK)
        contents.append(answer["raw"].content)
    assert contents[0] == contents[1]
    assert contents[1][0]["type"] == "text"


@pytest.mark.parametrize("include_raw", [False, True])
@pytest.mark.parametrize("ask", [ways.invoke, ways.ainvoke], ids=ways.name_of)
async def test_stops_reach_the_tier_however_they_are_given(
    stage: Stage, to: str, include_raw: bool, ask: ways.Ask
) -> None:
    script(stage)
    stops = {"stop": ["CALL"]}
    model: Any = stage.router(to, stop=["ROUTER"]).with_structured_output(Weather, include_raw=include_raw)
    await ask(model, ASK, None, **stops)
    await ask(model.bind(**stops), ASK)
    await ask(model, ASK)
    sent = [body["stop"] or body["options"]["stop"] for body in last_bodies(stage, 3)]
    assert sent == [["CALL"], ["CALL"], ["ROUTER"]]


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("include_raw", [False, True])
@pytest.mark.parametrize("schema", [Weather, WeatherDict, TITLED], ids=["pydantic", "typed dict", "json schema"])
def test_the_type_of_the_output_is_the_bare_models(stage: Stage, method: str, include_raw: bool, schema: Any) -> None:
    bare, routed = (
        model.with_structured_output(schema, method=method, include_raw=include_raw) for model in both(stage, "big")
    )
    assert routed.OutputType == bare.OutputType
    if not include_raw:
        assert routed.get_output_jsonschema().get("properties") == bare.get_output_jsonschema().get("properties")

"""What an error of a tier's client means."""

from __future__ import annotations

import email.utils
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import anthropic
import httpx
import langchain_core.exceptions as langchain
import ollama
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.availability import (
    availability_errors,
    failure_of,
    lacked_ability,
    refuses_logprobs,
    retry_after_s,
)
from slmroute.errors import Misconfigured, ModelMissing, ServerUnreachable
from slmroute.tier import Tier

CLOUD = Tier("frontier", "openai:gpt-4.1")
LOCAL = Tier("small", "ollama:phi3:mini", local=True)
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEY = "sk-canary-0123456789"


def response(status: int, **headers: str) -> httpx.Response:
    request = httpx.Request("POST", "https://api.example.com/v1", headers={"authorization": f"Bearer {KEY}"})
    return httpx.Response(status, headers=headers, request=request)


def openai_error(status: int, message: str = "no", **headers: str) -> openai.APIStatusError:
    return openai.APIStatusError(message, response=response(status, **headers), body=None)


def kind(tier: Tier, error: Exception) -> str | None:
    assert isinstance(error, availability_errors())
    failure = failure_of(tier, error)
    return failure.kind if failure else None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionRefusedError(), "unavailable"),
        (TimeoutError(), "unavailable"),
        (httpx.ConnectError("no"), "unavailable"),
        (httpx.ReadTimeout("late"), "unavailable"),
        (httpx.RemoteProtocolError("cut"), "unavailable"),
        (httpx.HTTPStatusError("no", request=response(502).request, response=response(502)), "unavailable"),
        (httpx.HTTPStatusError("no", request=response(400).request, response=response(400)), None),
        (openai.APIConnectionError(request=response(500).request), "unavailable"),
        (openai.APITimeoutError(request=response(500).request), "unavailable"),
        (openai.APIError("cut off in the stream", response(200).request, body=None), "unavailable"),
        (anthropic.APIStatusError("no", response=response(529), body=None), "overloaded"),
        (ollama.ResponseError("busy", 503), "overloaded"),
        (ollama.ResponseError("in the stream", -1), "unavailable"),
        (ollama.ResponseError("odd", 400), None),
        (langchain.ModelRateLimitError("slow down"), "overloaded"),
        (langchain.ModelConnectionError("gone"), "unavailable"),
        (langchain.ModelAuthenticationError("who?"), "misconfigured"),
        (langchain.ModelNotFoundError("which?"), "misconfigured"),
        (langchain.ContextOverflowError("long"), "too_long"),
        (json.JSONDecodeError("garbage", "<html>", 0), "unavailable"),
    ],
    ids=repr,
)
def test_errors_of_the_clients(error: Exception, expected: str | None) -> None:
    assert kind(CLOUD, error) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, None) for status in (400, 405, 415, 422)),
        *((status, "misconfigured") for status in (401, 403, 404)),
        *((status, "unavailable") for status in (408, 409, 425, 500, 502, 504, 599)),
        *((status, "overloaded") for status in (429, 503, 529)),
    ],
)
def test_the_status_decides(status: int, expected: str | None) -> None:
    assert kind(CLOUD, openai_error(status)) == expected


@pytest.mark.parametrize(
    "message",
    [
        "Error code: 400 - {'error': {'code': 'context_length_exceeded'}}",
        "This model's maximum context length is 8192 tokens.",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "the request exceeds the available context size",
        "The input token count (40000) exceeds the maximum number of tokens allowed (32000).",
    ],
)
def test_a_prompt_that_is_too_long_is_no_outage(message: str) -> None:
    assert kind(CLOUD, openai_error(400, message)) == "too_long"
    assert kind(CLOUD, openai_error(413, message)) == "too_long"
    assert kind(CLOUD, openai_error(422, message)) is None


@pytest.mark.parametrize(
    ("error", "lacked"),
    [
        (ollama.ResponseError("registry.ollama.ai/library/gemma2:2b does not support tools", 400), "tools"),
        (ollama.ResponseError('"gemma2:2b" does not support vision', 400), "images"),
        (openai_error(400, "This model doesn't support function calling."), "tools"),
        (openai_error(400, "model x does not support image input"), "images"),
        (openai_error(400, "Invalid content type. image_url is only supported by certain models."), "images"),
        (openai_error(500, "this server does not support tools"), None),
        (openai_error(400, "temperature does not support 2"), None),
        (openai_error(400, "tools must be an array"), None),
    ],
    ids=str,
)
def test_a_model_without_an_ability_is_no_outage_and_no_error_of_the_users(
    error: Exception, lacked: str | None
) -> None:
    assert lacked_ability(error) == lacked
    assert (kind(CLOUD, error) == "unable") == (lacked is not None)


def test_a_refusal_of_log_probabilities_is_told_by_its_parameter_or_its_message() -> None:
    body = {"message": "no", "param": "logprobs"}
    assert refuses_logprobs(openai.BadRequestError("no", response=response(400), body=body))
    assert refuses_logprobs(openai_error(422, "`logprobs` is not supported"))
    assert not refuses_logprobs(openai_error(500, "`logprobs` broke us"))
    assert not refuses_logprobs(openai_error(400, "no such parameter"))


def test_bedrocks_errors_carry_their_status_in_a_dictionary() -> None:
    class ClientError(Exception):
        response = {"ResponseMetadata": {"HTTPStatusCode": 429}, "Error": {"Code": "ThrottlingException"}}  # noqa: RUF012

    failure = failure_of(CLOUD, ClientError(), ())
    assert failure is not None
    assert failure.kind == "overloaded"


class Mine(Exception):
    """An error that a user adds."""


def test_the_users_own_classes_count_too() -> None:
    assert Mine not in availability_errors()
    assert Mine in availability_errors([Mine])
    failure = failure_of(CLOUD, Mine("why"), [Mine])
    assert failure is not None
    assert failure.kind == "unavailable"


def test_what_is_no_ones_is_not_caught() -> None:
    for error in (ValueError(), KeyError(), RuntimeError(), AssertionError(), OSError()):
        assert not isinstance(error, availability_errors())


def test_refused_credentials_name_the_tier_and_show_no_key() -> None:
    failure = failure_of(CLOUD, openai_error(401))
    assert failure is not None
    assert isinstance(failure.error, Misconfigured)
    text = str(failure.error)
    assert "'frontier'" in text
    assert "401" in text
    assert "api_key" in text
    assert KEY not in text
    assert "None" not in str(failure_of(CLOUD, langchain.ModelAuthenticationError("who?")).error)  # type: ignore[union-attr]


def test_a_missing_model_says_how_to_get_it() -> None:
    failure = failure_of(LOCAL, ollama.ResponseError("model 'phi3:mini' not found", 404))
    assert failure is not None
    assert failure.kind == "unavailable"
    assert isinstance(failure.error, ModelMissing)
    assert "ollama pull phi3:mini" in str(failure.error)


@pytest.mark.parametrize("error", [openai_error(404), langchain.ModelNotFoundError("which?")], ids=["404", "class"])
@pytest.mark.parametrize(
    ("tier", "named"),
    [
        (CLOUD, "'gpt-4.1'"),
        (Tier("frontier", SimpleNamespace(model_name="gpt-5")), "'gpt-5'"),
        (Tier("frontier", SimpleNamespace(model="gemini")), "'gemini'"),
        (Tier("frontier", SimpleNamespace(deployment_name="ours", model=None)), "'ours'"),
        (Tier("frontier", SimpleNamespace()), "its model"),
    ],
    ids=["string", "model_name", "model", "deployment", "none"],
)
def test_a_model_that_a_provider_does_not_have_names_tier_and_setting(error: Exception, tier: Tier, named: str) -> None:
    failure = failure_of(tier, error)
    assert failure is not None
    assert failure.kind == "misconfigured"
    assert isinstance(failure.error, ModelMissing)
    assert failure.error.__cause__ is error
    for told in ("'frontier'", named, "404", "model="):
        assert told in str(failure.error)


def test_what_a_request_refers_to_and_is_not_there_is_the_users_own_error() -> None:
    body = {"message": "Previous response with id 'resp_1' not found.", "param": "previous_response_id"}
    assert failure_of(CLOUD, openai.NotFoundError("no", response=response(404), body=body)) is None


def test_an_ollama_that_is_not_there_says_how_to_start_it() -> None:
    for error in (ConnectionError("refused"), httpx.ConnectError("refused")):
        failure = failure_of(LOCAL, error)
        assert failure is not None
        assert isinstance(failure.error, ServerUnreachable)
        assert failure.error.__cause__ is error
        assert "ollama serve" in str(failure.error)
    other = Tier("other", "ollama:a", model_args={"base_url": "http://me:canary@gpu-box:8080/"})
    told = str(failure_of(other, ConnectionError("refused")).error)  # type: ignore[union-attr]
    assert "http://gpu-box:8080" in told
    assert "canary" not in told
    elsewhere = failure_of(CLOUD, httpx.ConnectError("refused"))
    assert elsewhere is not None
    assert isinstance(elsewhere.error, httpx.ConnectError)


def asked(value: str) -> float | None:
    return retry_after_s(openai_error(429, **{"retry-after": value}), NOW)


def test_how_long_to_wait() -> None:
    assert asked("20") == 20
    assert asked("0.5") == 0.5
    assert asked("-3") == 0
    assert asked("86400") == 86_400
    assert asked(email.utils.format_datetime(NOW + timedelta(seconds=30), usegmt=True)) == 30
    assert asked(email.utils.format_datetime(NOW - timedelta(hours=1), usegmt=True)) == 0
    for garbage in ("soon", "nan", "", "Thu, 99 Foo", "1h"):
        assert asked(garbage) is None
    assert retry_after_s(openai_error(429), NOW) is None
    assert retry_after_s(ollama.ResponseError("busy", 503), NOW) is None


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_no_header_breaks_the_reading(value: str) -> None:
    found = asked(value)
    assert found is None or found >= 0


@given(st.one_of(st.none(), st.integers(), st.text(), st.dictionaries(st.text(), st.integers())))
def test_nothing_that_hangs_on_an_error_breaks_the_reading(odd: Any) -> None:
    class Odd(ConnectionError):
        response = odd
        status_code = odd

    assert failure_of(CLOUD, Odd()) is None or failure_of(CLOUD, Odd()) is not None
    assert retry_after_s(Odd(), NOW) is None

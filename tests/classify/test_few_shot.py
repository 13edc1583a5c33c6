"""The few-shot classifier: its prompt, what it reads out of replies, its warm-up and its timeouts."""

from __future__ import annotations

import asyncio
import json
import math
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ollama import ChatResponse

from slmroute.classify.few_shot import FewShotClassifier
from slmroute.classify.few_shot_prompt import EXAMPLES, INSTRUCTION, Example, FewShotPrompt, as_data, bounded
from slmroute.classify.few_shot_reply import TEXT_ONLY, log_odds, usage_of
from slmroute.classify.platt import Platt
from slmroute.classify.protocol import Classification, Classifier
from slmroute.errors import ClassifierUnavailable, ClassifierUnsure, ConfigError, ModelMissing
from slmroute.request import RouteRequest
from slmroute.steps import Usage
from slmroute.testing import FakeServer, Fault, Reply

MODEL = "phi3:mini"
REQUEST = RouteRequest.from_text("Which language is this? Guten Tag")
ANY_TEXT = st.text(alphabet=st.characters(codec=None), max_size=300)


def says(simple: float, complex_: float) -> Reply:
    """A model that holds the labels so probable."""
    label = "simple" if simple >= complex_ else "complex"
    return Reply(label, logprobs=[{"simple": math.log(simple), "complex": math.log(complex_)}])


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer({MODEL: says(0.7, 0.2)}) as running:
        yield running


@pytest.fixture
def asked(server: FakeServer) -> Iterator[FewShotClassifier]:
    with FewShotClassifier(MODEL, host=server.url) as classifier:
        classifier.warm_up()
        yield classifier


# --- the prompt ---


def test_the_prefix_is_the_same_for_every_request() -> None:
    prompt = FewShotPrompt()
    one, other = prompt.messages("Sort these: b, a"), prompt.messages("Prove that there are infinitely many primes.")
    assert one[:-1] == other[:-1] == prompt.prefix()
    assert one[-1] != other[-1]
    assert [message["role"] for message in one] == ["system", *["user", "assistant"] * len(EXAMPLES), "user"]
    assert {message["content"] for message in one if message["role"] == "assistant"} == {"simple", "complex"}


def test_the_default_examples_are_of_both_kinds() -> None:
    assert 5 <= len(EXAMPLES) <= 10
    assert {example.complex for example in EXAMPLES} == {True, False}


@given(ANY_TEXT)
def test_a_request_cannot_leave_its_marks_or_write_control_words(text: str) -> None:
    shown = as_data(text + "</task>[INST]<|im_start|>", 2_000)
    assert shown.startswith("<task>\n")
    assert shown.endswith("\n</task>")
    inside = shown.removeprefix("<task>\n").removesuffix("\n</task>")
    assert "<" not in inside
    assert "[INST]" not in inside
    assert "\0" not in inside
    inside.encode()


@given(ANY_TEXT | ANY_TEXT.map(lambda text: text * 50), st.integers(100, 1_000))
def test_what_is_shown_of_a_request_is_bounded(text: str, most: int) -> None:
    kept = bounded(text, most)
    assert len(kept.encode()) <= most + 60
    if len(text.encode(errors="replace")) <= most // 2:
        assert len(kept) == len(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def test_of_a_long_request_head_and_tail_are_shown() -> None:
    kept = bounded("HEAD " + "x" * 10_000_000 + " TAIL", 500)
    assert kept.startswith("HEAD ")
    assert kept.endswith(" TAIL")
    assert "characters left out" in kept


def test_the_digest_changes_with_anything_that_the_model_is_shown() -> None:
    other = (*EXAMPLES[:-1], Example("Something else", complex=True))
    digests = {
        FewShotPrompt().digest,
        FewShotPrompt(examples=other).digest,
        FewShotPrompt(instruction=f"{INSTRUCTION} Please.").digest,
        FewShotPrompt(max_bytes=1_000).digest,
    }
    assert len(digests) == 4
    assert FewShotPrompt().digest in FewShotClassifier(MODEL).version


# --- what is read out of a reply ---


def response(content: str = "simple", logprobs: Any = None, **extra: Any) -> ChatResponse:
    return ChatResponse(message={"role": "assistant", "content": content}, logprobs=logprobs, **extra)  # type: ignore[arg-type]


def tokens(listed: dict[str, float]) -> list[dict[str, Any]]:
    entries = [{"token": token, "logprob": logprob} for token, logprob in listed.items()]
    return [{**entries[0], "top_logprobs": entries}]


def odds(listed: dict[str, float]) -> float:
    return log_odds(response(logprobs=tokens({token: math.log(chance) for token, chance in listed.items()})))


def test_the_score_is_the_ratio_of_the_labels_probabilities() -> None:
    assert odds({"simple": 0.6, "complex": 0.3}) == pytest.approx(math.log(0.5))
    assert odds({"complex": 0.6, "simple": 0.3, "The": 0.1}) == pytest.approx(math.log(2))


def test_spellings_of_a_label_are_added_up() -> None:
    assert odds({"simple": 0.2, " Simple": 0.1, "SIMPLE": 0.1, "complex": 0.4}) == pytest.approx(0)


def test_a_label_that_a_vocabulary_splits_counts_by_its_beginning() -> None:
    assert odds({"sim": 0.3, "comp": 0.6}) == pytest.approx(math.log(2))


def test_a_label_that_is_not_listed_is_at_most_as_likely_as_the_least_that_is() -> None:
    assert odds({"simple": 0.9, "easy": 0.05}) == pytest.approx(math.log(0.05 / 0.9))
    assert odds({"complex": 1.0}) > 15


def test_without_probabilities_exactly_a_label_counts() -> None:
    assert log_odds(response("simple")) == -TEXT_ONLY
    assert log_odds(response(" Complex \n")) == TEXT_ONLY


@pytest.mark.parametrize(
    "content",
    ["", "easy", "simple.", "it is simple", '"simple"', "{", "simple " * 100_000, "\N{CYRILLIC SMALL LETTER ES}omplex"],
)
def test_other_text_is_not_trusted_and_not_repeated(content: str) -> None:
    with pytest.raises(ClassifierUnsure) as caught:
        log_odds(response(content))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("logprob", [math.nan, math.inf, -math.inf, 0.5, 7.0])
def test_numbers_that_are_no_log_probabilities_are_not_trusted(logprob: float) -> None:
    with pytest.raises(ClassifierUnsure):
        log_odds(response(logprobs=tokens({"simple": logprob, "complex": -0.1})))


def test_a_model_about_to_write_something_else_is_not_trusted() -> None:
    with pytest.raises(ClassifierUnsure):
        odds({"The": 0.95, "simple": 0.01, "complex": 0.01})


LISTED = st.dictionaries(
    st.sampled_from(["simple", "complex", " Simple", "sim", "The", "", "com"]) | st.text(max_size=4),
    st.floats(-800, 1e-3) | st.floats(allow_nan=True, allow_infinity=True),
    min_size=1,
    max_size=20,
)


@given(LISTED | st.none(), ANY_TEXT)
def test_any_reply_gives_a_number_or_is_not_trusted(listed: dict[str, float] | None, content: str) -> None:
    try:
        found = log_odds(response(content, None if listed is None else tokens(listed)))
    except ClassifierUnsure:
        return
    assert math.isfinite(found)


def test_usage_is_read_or_estimated() -> None:
    messages = FewShotPrompt().messages("hello")
    assert usage_of(response(prompt_eval_count=300, eval_count=1), messages) == Usage(300, 1)
    estimated = usage_of(response(), messages)
    assert estimated.source == "estimated"
    assert estimated.input_tokens > 100


# --- asking ---


async def test_it_is_asked_for_one_token_with_its_probabilities(server: FakeServer, asked: FewShotClassifier) -> None:
    score = asked.score(REQUEST)
    assert score == pytest.approx(0.2 / 0.9)
    assert await asked.ascore(REQUEST) == pytest.approx(score)
    found = asked.classify(REQUEST)
    assert await asked.aclassify(REQUEST) == found
    assert (found.score, found.provider, found.model) == (score, "ollama", MODEL)
    assert found.usage is not None
    assert found.usage.source == "reported"
    body = server.calls()[-1].body
    assert body["logprobs"] is True
    assert body["options"] == {"temperature": 0, "num_predict": 1, "num_ctx": 2048}
    assert body["messages"][:-1] == FewShotPrompt().prefix()
    assert isinstance(asked, Classifier)


async def test_a_request_without_text_is_not_sent(server: FakeServer, asked: FewShotClassifier) -> None:
    before = len(server.calls())
    for text in ("", " \n"):
        with pytest.raises(ClassifierUnsure):
            asked.score(RouteRequest.from_text(text))
        with pytest.raises(ClassifierUnsure):
            await asked.ascore(RouteRequest.from_text(text))
    assert len(server.calls()) == before


@given(ANY_TEXT.filter(str.strip))
@settings(max_examples=25, deadline=None)
def test_any_text_reaches_the_server_whole_or_cut(text: str) -> None:
    with FakeServer({MODEL: says(0.7, 0.2)}) as server, FewShotClassifier(MODEL, host=server.url) as classifier:
        assert 0 < classifier.score(RouteRequest.from_text(text)) < 1


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (Fault(404), ModelMissing, "ollama pull phi3:mini"),
        (Fault(503), ClassifierUnavailable, "HTTP 503"),
        (Fault(refuse=True), ClassifierUnavailable, "ollama serve"),
        (Fault(garbage=True), ClassifierUnavailable, "does not speak Ollama's protocol"),
        (Fault(200, body="[]"), ClassifierUnavailable, "does not speak Ollama's protocol"),
        (Fault(200, body={"message": 3}), ClassifierUnavailable, "does not speak Ollama's protocol"),
        (Fault(200, body="[" * 100_000), ClassifierUnavailable, "does not speak Ollama's protocol"),
        (Fault(200, body={"x" * 1_000_000: 1}), ClassifierUnavailable, "does not speak Ollama's protocol"),
        (Reply("simple " * 150_000), ClassifierUnsure, "neither 'simple' nor 'complex'"),
    ],
    ids=repr,
)
async def test_what_goes_wrong_is_said_alike_sync_and_async(
    server: FakeServer, asked: FewShotClassifier, fault: Any, error: type[Exception], message: str
) -> None:
    server.script(MODEL, fault)
    for ask in (lambda: asked.score(REQUEST), lambda: asyncio.run(asked.ascore(REQUEST))):
        with pytest.raises(error, match=message) as caught:
            await asyncio.to_thread(ask)
        assert type(caught.value) is error


async def test_a_timeout_says_which_setting_to_raise(server: FakeServer) -> None:
    late = threading.Event()
    with FewShotClassifier(MODEL, host=server.url, timeout_s=0.5) as classifier:
        classifier.warm_up()
        server.script(MODEL, Reply("simple", hold=late))
        with pytest.raises(ClassifierUnavailable, match=r"timeout_s=0\.5"):
            classifier.score(REQUEST)
        with pytest.raises(ClassifierUnavailable, match=r"warm_up\(\)"):
            await classifier.ascore(REQUEST)
        late.set()


# --- the warm-up ---


def test_the_first_score_warms_up_and_waits_as_far_as_it_may(server: FakeServer) -> None:
    with FewShotClassifier(MODEL, host=server.url) as classifier:
        classifier.score(REQUEST)
        classifier.score(REQUEST)
    warm_up, first, second = server.calls()
    assert warm_up.body["messages"][:-1] == first.body["messages"][:-1]
    assert warm_up.body["messages"][-1] != first.body["messages"][-1]
    # A change of any option would make the server load the model again.
    assert warm_up.body["options"] == first.body["options"] == second.body["options"]


def test_many_first_scores_warm_up_once(server: FakeServer) -> None:
    with FewShotClassifier(MODEL, host=server.url) as classifier:
        threads = [threading.Thread(target=classifier.score, args=(REQUEST,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(server.calls()) == 1 + 8


def test_a_warm_up_goes_on_when_those_who_wait_give_up(server: FakeServer) -> None:
    loaded = threading.Event()
    server.script(MODEL, Reply("simple", hold=loaded), says(0.7, 0.2))
    with FewShotClassifier(MODEL, host=server.url, timeout_s=0.5) as classifier:
        for _ in range(2):
            with pytest.raises(ClassifierUnavailable):
                classifier.score(REQUEST)
        server.wait_until(lambda: server.open == 1)
        assert server.cancelled == 0
        loaded.set()
        classifier.warm_up()
        assert 0 < classifier.score(REQUEST) < 1


def test_closing_stops_a_warm_up(server: FakeServer) -> None:
    server.script(MODEL, Reply("simple", hold=threading.Event()))
    classifier = FewShotClassifier(MODEL, host=server.url, timeout_s=0.5)
    with pytest.raises(ClassifierUnavailable):
        classifier.score(REQUEST)
    server.wait_until(lambda: server.open == 1)
    classifier.close()
    server.wait_until(lambda: server.cancelled == 1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("slmroute-warm-up")]
    classifier.close()


async def test_a_cancelled_warm_up_goes_on_in_the_background(server: FakeServer) -> None:
    loaded = threading.Event()
    server.script(MODEL, Reply("simple", hold=loaded), says(0.7, 0.2))
    async with FewShotClassifier(MODEL, host=server.url) as classifier:
        waiting = asyncio.create_task(classifier.awarm_up())
        await asyncio.to_thread(server.wait_until, lambda: server.open == 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert server.cancelled == 0
        loaded.set()
        await classifier.awarm_up()


def test_a_warm_up_that_fails_says_why_and_is_tried_again(server: FakeServer) -> None:
    server.script(MODEL, Fault(500), says(0.7, 0.2))
    with FewShotClassifier(MODEL, host=server.url) as classifier:
        with pytest.raises(ClassifierUnavailable, match="HTTP 500"):
            classifier.warm_up()
        assert 0 < classifier.score(REQUEST) < 1


async def test_a_model_that_takes_too_long_to_load_names_the_setting(server: FakeServer) -> None:
    server.script(MODEL, Reply("simple", hold=threading.Event()))
    with (
        FewShotClassifier(MODEL, host=server.url, warm_up_timeout_s=0.5) as classifier,
        pytest.raises(ClassifierUnavailable, match=r"warm_up_timeout_s=0\.5"),
    ):
        await classifier.awarm_up()


def test_from_many_threads_and_loops_at_once(asked: FewShotClassifier) -> None:
    scores: list[float] = []

    def sync() -> None:
        scores.extend(asked.score(REQUEST) for _ in range(5))

    async def together() -> None:
        scores.extend(await asyncio.gather(*(asked.ascore(REQUEST) for _ in range(5))))

    threads = [threading.Thread(target=work) for work in (sync, lambda: asyncio.run(together())) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(scores) == 40
    assert len(set(scores)) == 1


# --- settings, copies, calibration ---


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"model": ""}, "model="),
        ({"timeout_s": 0}, "timeout_s=0"),
        ({"warm_up_timeout_s": math.inf}, "warm_up_timeout_s=inf"),
        ({"host": "ftp://x"}, "host= is not an address"),
        ({"examples": []}, "has 0: give 5 to 10"),
        ({"examples": EXAMPLES * 3}, "give 5 to 10"),
        ({"examples": [Example(str(number), complex=True) for number in range(5)]}, "all of one kind"),
        ({"instruction": "Say easy or complex."}, "does not name the label 'simple'"),
        ({"max_characters": 10}, r"max_characters=10\) must be 100 or more"),
        ({"num_ctx": 256}, "num_ctx=256 is too small for a prompt of about"),
        ({"num_ctx": "2k"}, "num_ctx='2k' must be a whole number"),
        ({"timeout_s": "2"}, "timeout_s='2' must be a number of seconds"),
        ({"timeout_s": None}, "timeout_s=None must be a number of seconds"),
        ({"calibrator": "x"}, "calibrator= is a str"),
        ({"examples": [("Sort: b, a", False)] * 5}, "holds a tuple that is no Example"),
        ({"examples": [Example("Sort: b, a", "simple")] * 5}, "no Example with True or False"),  # type: ignore[arg-type]
        ({"input_price": "1"}, "give both"),
        ({"input_price": "-1", "output_price": "1"}, "input_price='-1'"),
    ],
)
def test_a_setting_that_is_wrong_is_named(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FewShotClassifier(**{"model": MODEL, **setting})


def test_it_pickles_and_starts_cold(asked: FewShotClassifier, server: FakeServer) -> None:
    copied: FewShotClassifier = pickle.loads(pickle.dumps(asked))  # noqa: S301
    assert repr(copied) == repr(asked)
    assert copied.version == asked.version
    before = len(server.calls())
    with copied:
        assert copied.score(REQUEST) == asked.score(REQUEST)
    assert len(server.calls()) == before + 3


def test_calibration_puts_a_biased_model_right(server: FakeServer) -> None:
    """The model says complex to everything, but more loudly where it is."""

    def biased(body: Any) -> Reply:
        shown = body["messages"][-1]["content"]
        return says(0.05, 0.9) if "proof" in shown else says(0.2, 0.75)

    server.script(MODEL, biased)
    prompts = [f"proof number {number}" for number in range(15)] + [f"sum up number {number}" for number in range(15)]
    labels = [True] * 15 + [False] * 15
    with FewShotClassifier(MODEL, host=server.url) as classifier:
        calibrated = classifier.calibrate(prompts, labels)
        easy, hard = RouteRequest.from_text("sum up"), RouteRequest.from_text("proof")
        assert min(classifier.score(easy), classifier.score(hard)) > 0.5
        assert calibrated.score(easy) < 0.5 < calibrated.score(hard)
        assert calibrated.version != classifier.version
        assert calibrated.calibrator.version.startswith("platt-30-")


def test_without_prompts_of_ones_own_it_is_calibrated_with_those_that_come_along(server: FakeServer) -> None:
    """The model says complex to everything, a little less loudly to requests that bring a text along."""
    server.script(MODEL, lambda body: says(0.05, 0.9) if len(body["messages"][-1]["content"]) < 250 else says(0.2, 0.7))
    with FewShotClassifier(MODEL, host=server.url) as classifier:
        calibrated = classifier.calibrate()
        assert calibrated.calibrator.version.startswith("platt-80-")
        assert (
            calibrated.score(RouteRequest.from_text("sum this up: " + "text " * 60)) < 0.5 < calibrated.score(REQUEST)
        )
        assert classifier.calibrate().version == calibrated.version
        with pytest.raises(ConfigError, match="prompts without labels"):
            classifier.calibrate(["x"] * 30)


@pytest.mark.parametrize(
    ("prompts", "labels", "message"),
    [
        (["x"] * 3, [True] * 2, "3 prompts for 2 labels"),
        (["x"] * 19, [True] * 19, "needs 20 or more"),
        (["x"] * 20, [True] * 20, "has 0 simple prompts"),
        (["x"] * 20, [*[True] * 16, *[False] * 4], "has 4 simple prompts"),
        (["x"] * 20, ["simple"] * 20, "labels=.*True for a complex"),
    ],
)
def test_too_little_to_calibrate_with_is_refused(
    asked: FewShotClassifier, prompts: list[str], labels: list[Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        asked.calibrate(prompts, labels)


def test_a_model_that_cannot_tell_the_kinds_apart_is_refused(server: FakeServer) -> None:
    def backwards(body: Any) -> Reply:
        return says(0.9, 0.05) if "proof" in json.dumps(body["messages"][-1]) else says(0.05, 0.9)

    server.script(MODEL, backwards)
    prompts = ["proof"] * 10 + ["sum"] * 10
    with (
        FewShotClassifier(MODEL, host=server.url) as classifier,
        pytest.raises(ConfigError, match="do not rise from the simple prompts"),
    ):
        classifier.calibrate(prompts, [True] * 10 + [False] * 10)


def test_a_calibrator_of_ones_own_is_used(server: FakeServer) -> None:
    with FewShotClassifier(MODEL, host=server.url, calibrator=Platt(0.0, 0.0, "half")) as classifier:
        assert classifier.score(REQUEST) == 0.5
        assert classifier.version.endswith(":half")


async def test_a_reply_that_is_of_no_use_tells_its_tokens(server: FakeServer) -> None:
    server.script(MODEL, Reply("Well, it depends.", input_tokens=300, output_tokens=20))
    with FewShotClassifier(MODEL, host=server.url) as asked:
        for ask in (lambda: asked.score(REQUEST), lambda: asyncio.run(asked.ascore(REQUEST))):
            with pytest.raises(ClassifierUnsure) as caught:
                await asyncio.to_thread(ask)
            assert isinstance(caught.value.spent, Classification)
            assert caught.value.spent.usage == Usage(300, 20)


@pytest.mark.parametrize("model", ["", 3, None])
def test_what_names_no_model_is_refused(model: Any) -> None:
    with pytest.raises(ConfigError, match=r"FewShotClassifier\(model=.*\) must name a model"):
        FewShotClassifier(model)

"""Single decisions of the flow: who may answer, where a call starts, and what goes along when it moves."""

from __future__ import annotations

from typing import Any

import pytest

from slmroute.errors import NoEligibleTier, PromptTooLong, UnknownTier
from slmroute.flow import eligible_tiers, route
from slmroute.policy import Confidence, Policy
from slmroute.request import RouteRequest, ToolSpec
from slmroute.steps import (
    Answer,
    Call,
    Classify,
    Decision,
    Failure,
    Judge,
    Reject,
    Reply,
    Scored,
    Step,
    ToolCall,
    Verdict,
)
from slmroute.tier import ABILITIES, Tier

SMALL = Tier("small", "ollama:small", local=True, window=4_000, abilities=[])
MID = Tier("mid", "ollama:mid", local=True, window=8_000, abilities=["tools"])
FRONTIER = Tier("frontier", "openai:gpt-4.1", window=1_000_000, abilities=ABILITIES)
TIERS = (SMALL, MID, FRONTIER)
TOOL = ToolSpec("weather")


def policy(**settings: Any) -> Policy:
    return Policy.build(TIERS, **settings)


class Play:
    """Plays the driver: gives the replies, keeps the steps."""

    def __init__(self, policy: Policy, request: RouteRequest) -> None:
        self._flow = route(policy, request)
        self.step: Step | None = None
        self.decision: Decision | None = None
        self.reply(None)

    def reply(self, reply: Reply) -> Step | None:
        try:
            self.step = self._flow.send(reply)
            while isinstance(self.step, Reject):
                self.step = self._flow.send(None)
        except StopIteration as stop:
            self.step, self.decision = None, stop.value
        return self.step

    @property
    def call(self) -> Call:
        assert isinstance(self.step, Call)
        return self.step


def start(request: RouteRequest, score: float | None = 0.1, **settings: Any) -> tuple[str, str]:
    play = Play(policy(**settings), request)
    if isinstance(play.step, Classify):
        play.reply(Scored(score))
    tier = play.call.tier.name
    play.reply(Answer(text="Paris."))
    if isinstance(play.step, Judge):
        play.reply(Verdict(1.0))
    assert play.decision is not None
    return tier, play.decision.reason


def able(request: RouteRequest) -> list[str]:
    return [tier.name for tier in eligible_tiers(policy(), request, TIERS)]


def test_only_tiers_that_can_do_it_may_answer() -> None:
    assert able(RouteRequest(text="x")) == ["small", "mid", "frontier"]
    assert able(RouteRequest(text="x", tools=(TOOL,))) == ["mid", "frontier"]
    assert able(RouteRequest(text="x", tools=(TOOL,), forced_tool=True)) == ["frontier"]
    assert able(RouteRequest(text="x", schema={})) == ["frontier"]
    assert able(RouteRequest(text="x", modalities=frozenset({"image"}))) == ["frontier"]
    assert able(RouteRequest(text="x", tokens=4_001)) == ["mid", "frontier"]
    assert able(RouteRequest(text="x", local_only=True)) == ["small", "mid"]


def test_a_call_that_no_tier_can_do_says_what_each_lacks() -> None:
    with pytest.raises(NoEligibleTier) as caught:
        able(RouteRequest(text="x", schema={}, local_only=True))
    assert "small: no schema; mid: no schema; frontier: not local, and local_only=True" in str(caught.value)


def test_a_prompt_that_fits_nowhere_says_so() -> None:
    with pytest.raises(PromptTooLong, match=r"about 9000 tokens .*window of 4000 tokens"):
        eligible_tiers(policy(), RouteRequest(text="x", tokens=9_000), (SMALL, MID))
    # Where something else is in the way as well, a larger window would not help.
    with pytest.raises(NoEligibleTier) as caught:
        able(RouteRequest(text="x", tokens=9_000, local_only=True))
    assert type(caught.value) is NoEligibleTier


def test_a_tier_asked_for_by_name_is_taken_or_says_why_not() -> None:
    assert start(RouteRequest(text="x", tier="mid")) == ("mid", "explicit")
    with pytest.raises(NoEligibleTier, match=r"\(small: no tools\)"):
        start(RouteRequest(text="x", tier="small", tools=(TOOL,)))
    with pytest.raises(NoEligibleTier, match="not local"):
        start(RouteRequest(text="x", tier="frontier", local_only=True))
    with pytest.raises(UnknownTier, match="Did you mean 'frontier'"):
        start(RouteRequest(text="x", tier="frontir"))


def test_a_tool_loop_stays_with_the_tier_that_asked_for_the_tool() -> None:
    assert start(RouteRequest(text="x", pin="mid", tools=(TOOL,)), score=0.9) == ("mid", "tool_loop")


def test_a_pinned_tier_that_cannot_go_on_hands_over_to_the_next_one_up() -> None:
    assert start(RouteRequest(text="x", pin="small", tools=(TOOL,))) == ("mid", "tool_loop")
    assert start(RouteRequest(text="x", pin="mid", tokens=50_000)) == ("frontier", "tool_loop")
    # Above it there is none that may: the best there is goes on.
    assert start(RouteRequest(text="x", pin="frontier", local_only=True)) == ("mid", "tool_loop")


def test_a_pin_from_another_router_means_nothing() -> None:
    assert start(RouteRequest(text="x", pin="gpt")) == ("small", "classified")


def test_a_scopes_decision_holds_and_is_taken_up_where_it_cannot() -> None:
    assert start(RouteRequest(text="x", scope_tier="mid"), score=0.9) == ("mid", "scope")
    assert start(RouteRequest(text="x", scope_tier="small", tools=(TOOL,))) == ("mid", "scope")
    assert start(RouteRequest(text="x", pin="small", scope_tier="mid")) == ("small", "tool_loop")


def test_rules_are_asked_in_order_before_the_classifier() -> None:
    asked: list[str] = []

    def rule(name: str, says: str | None) -> Any:
        def ask(request: RouteRequest) -> str | None:
            asked.append(name)
            return says

        return ask

    rules = [rule("first", None), rule("second", "mid"), rule("third", "frontier")]
    assert start(RouteRequest(text="x"), rules=rules) == ("mid", "rule")
    assert asked == ["first", "second"]


def test_a_rules_tier_that_cannot_do_it_hands_over_to_the_next_one_up() -> None:
    rules = [lambda _request: "small"]
    assert start(RouteRequest(text="x", tools=(TOOL,)), rules=rules) == ("mid", "rule")


def test_a_rule_that_names_no_tier_of_the_router_is_the_users_error() -> None:
    with pytest.raises(UnknownTier, match="a rule's tier='best'"):
        start(RouteRequest(text="x"), rules=[lambda _request: "best"])


def test_a_rule_that_raises_passes_its_error_on() -> None:
    with pytest.raises(ZeroDivisionError):
        start(RouteRequest(text="x"), rules=[lambda _request: str(1 // 0)])


def test_the_score_decides_and_without_one_the_default_tier() -> None:
    assert start(RouteRequest(text="x"), score=0.2) == ("small", "classified")
    assert start(RouteRequest(text="x"), score=0.99) == ("frontier", "classified")
    assert start(RouteRequest(text="x"), score=0.2, thresholds=[0.1, 0.9]) == ("mid", "classified")
    assert start(RouteRequest(text="x"), score=None) == ("frontier", "default")
    assert start(RouteRequest(text="x"), score=None, default_tier="small") == ("small", "default")
    assert start(RouteRequest(text="x", local_only=True), score=None) == ("mid", "default")


def test_nothing_is_classified_where_there_is_nothing_to_choose() -> None:
    assert start(RouteRequest(text="x", schema={})) == ("frontier", "only")
    assert start(RouteRequest(text="x"), classify=False) == ("small", "cheapest")


def escalated(answer: Answer, verdict: Verdict | None, request: RouteRequest | None = None, **settings: Any) -> Call:
    play = Play(policy(classify=False, **settings), request or RouteRequest(text="x", tokens=100))
    play.reply(answer)
    if verdict is not None:
        play.reply(verdict)
    return play.call


def test_a_weak_answer_goes_along_as_a_draft_unless_that_is_turned_off() -> None:
    weak = Answer(text="Lyon.")
    assert escalated(weak, Verdict(0.2), escalation=Confidence()).draft == "Lyon."
    assert escalated(weak, Verdict(None), escalation=Confidence()).draft == "Lyon."
    assert escalated(weak, Verdict(0.2), escalation=Confidence(pass_draft=False)).draft is None


def test_a_faulty_answer_is_no_draft() -> None:
    assert escalated(Answer(text=" "), None, escalation=Confidence()).draft is None


def test_a_draft_that_has_no_room_beside_the_prompt_stays_behind() -> None:
    long = Answer(text="word " * 20_000)
    assert escalated(long, Verdict(0.2), escalation=Confidence()).draft is None
    roomy = RouteRequest(text="x", tokens=100, tools=())
    play = Play(Policy.build([SMALL, FRONTIER], classify=False, escalation=Confidence()), roomy)
    play.reply(long)
    play.reply(Verdict(0.2))
    assert play.call.draft == long.text


def test_what_a_content_filter_withheld_is_given_as_it_is() -> None:
    play = Play(policy(classify=False, escalation=Confidence()), RouteRequest(text="x"))
    play.reply(Answer(text="I had better not", finish="content_filter"))
    assert play.decision is not None
    assert play.decision.tier.name == "small"
    assert not play.decision.degraded


def test_a_refusal_by_the_last_tier_stands_although_a_weaker_tier_answered() -> None:
    play = Play(Policy.build(TIERS[::2], classify=False, escalation=Confidence()), RouteRequest(text="x"))
    play.reply(Answer(text="Sure, here is how."))
    play.reply(Verdict(0.1))
    play.reply(Answer(text="I'm sorry, but I can't help with that."))
    assert play.decision is not None
    assert play.decision.tier.name == "frontier"
    assert not play.decision.degraded


def test_a_weak_but_sound_answer_is_better_than_the_last_tiers_broken_one() -> None:
    tiers = [Tier("small", "ollama:small"), Tier("frontier", "openai:gpt-4.1")]
    request = RouteRequest(text="x", schema={})
    play = Play(Policy.build(tiers, classify=False, escalation=Confidence()), request)
    play.reply(Answer(text="{}"))
    play.reply(Verdict(0.1))
    # So a stream of the last tier must not be shown before it is known to be whole.
    assert not play.call.last
    assert not play.call.hold
    play.reply(Answer(text='{"a": '))
    assert play.decision is not None
    assert play.decision.answer.text == "{}"
    assert play.decision.degraded


def test_of_several_weak_answers_the_most_confident_is_given_when_the_rest_fails() -> None:
    play = Play(policy(classify=False, escalation=Confidence()), RouteRequest(text="x"))
    play.reply(Answer(text="first"))
    play.reply(Verdict(0.6))
    play.reply(Answer(text="second"))
    play.reply(Verdict(0.4))
    play.reply(Failure("unavailable", ConnectionError()))
    assert play.decision is not None
    assert (play.decision.answer.text, play.decision.tier.name, play.decision.confidence) == ("first", "small", 0.6)
    assert play.decision.degraded
    assert play.decision.escalated


def test_a_weak_answer_is_kept_without_failover_too() -> None:
    play = Play(policy(classify=False, failover=False, escalation=Confidence()), RouteRequest(text="x"))
    play.reply(Answer(text="first"))
    play.reply(Verdict(0.6))
    play.reply(Failure("unavailable", ConnectionError()))
    assert play.decision is not None
    assert play.decision.answer.text == "first"
    assert play.decision.degraded


def test_a_draft_that_was_broken_off_is_asked_for_once_more_when_those_above_fail() -> None:
    play = Play(policy(classify=False, escalation=Confidence()), RouteRequest(text="x"))
    play.reply(Answer(text="Lyo", finish="aborted"))
    for name in ("mid", "frontier"):
        assert play.call.tier.name == name
        play.reply(Failure("unavailable", ConnectionError(name)))
    assert play.call.tier.name == "small"
    assert play.call.last
    play.reply(Answer(text="Lyon."))
    assert play.decision is not None
    assert play.decision.answer.text == "Lyon."


def test_a_tier_that_the_caller_names_may_still_be_replaced_when_it_is_down() -> None:
    play = Play(policy(), RouteRequest(text="x", tier="mid"))
    play.reply(Failure("unavailable", ConnectionError()))
    assert play.call.tier.name == "frontier"
    play.reply(Answer(text="Paris."))
    assert play.decision is not None
    assert not play.decision.degraded


def test_after_a_prompt_that_was_too_long_after_all_another_tier_is_asked() -> None:
    play = Play(policy(classify=False), RouteRequest(text="x", tokens=3_900))
    play.reply(Failure("too_long", ValueError("context_length_exceeded")))
    assert play.call.tier.name == "mid"


def test_the_mode_follows_from_what_is_asked() -> None:
    modes = [
        Play(policy(), RouteRequest(text="x", tier="frontier", **extra)).call.mode
        for extra in ({}, {"tools": (TOOL,)}, {"schema": {}}, {"schema": {}, "tools": (TOOL,)})
    ]
    assert modes == ["text", "tools", "structured", "structured"]


DRY = (SMALL, Tier("mid", "dry-run:openai:gpt-4.1-mini", abilities=ABILITIES), FRONTIER)
NOTE = Answer(text="[dry run]", parsed=False)


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize(
    "needs", [{}, {"tools": (TOOL,)}, {"tools": (TOOL,), "forced_tool": True}, {"schema": {"type": "object"}}]
)
def test_the_note_of_a_dry_run_is_taken_unjudged_and_nobody_above_it_is_paid(
    needs: dict[str, Any], validate: bool
) -> None:
    settings = Policy.build(DRY, escalation=Confidence(0.85), validate=validate)
    play = Play(settings, RouteRequest(text="x", **needs))
    assert play.step == Classify(RouteRequest(text="x", **needs))
    play.reply(Scored(0.4))
    assert play.call.tier.name == "mid"
    play.reply(NOTE)
    assert play.decision is not None
    assert (play.decision.answer, play.decision.escalated, play.decision.degraded) == (NOTE, False, False)


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize(
    ("needs", "weak"),
    [
        ({"schema": {"type": "object"}}, Answer(text="{}", parsed=True)),
        ({"tools": (TOOL,), "forced_tool": True}, Answer(tool_calls=(ToolCall("weather", {}),))),
    ],
)
def test_what_a_note_cannot_be_a_weak_answer_in_hand_is(needs: dict[str, Any], weak: Answer, validate: bool) -> None:
    small = Tier("small", "ollama:small", local=True, abilities=ABILITIES)
    settings = Policy.build((small, *DRY[1:]), classify=False, escalation=Confidence(0.85), validate=validate)
    play = Play(settings, RouteRequest(text="x", **needs))
    play.reply(weak)
    play.reply(Verdict(0.2))
    assert play.call.tier.name == "mid"
    assert not play.call.last
    play.reply(NOTE)
    assert play.decision is not None
    assert play.decision.answer is weak
    assert (play.decision.escalated, play.decision.degraded) == (True, True)


def test_an_answer_with_a_fault_is_no_better_than_the_note_of_a_dry_run() -> None:
    settings = Policy.build((Tier("small", "ollama:small", abilities=ABILITIES), *DRY[1:]), classify=False)
    play = Play(settings, RouteRequest(text="x", schema={"type": "object"}))
    play.reply(Answer(text="no object", parsed=False))
    play.reply(NOTE)
    assert play.decision is not None
    assert play.decision.answer is NOTE

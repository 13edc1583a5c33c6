"""What escalation does with a small model's drafts: how many a stream breaks off or commits to early, what that saves
and loses, and what it costs to pass a weak draft on.

SmolLM2-135M answers, in up to 96 tokens, prompts whose right answers are known: those of ``answers.jsonl`` in ``--data
FOLDER`` (or ``SLMROUTE_EVAL``), else the demo's. Each draft's tokens go through the gate that streams go through: with
the plain mean of the tokens' probabilities, and with a calibrator fitted on the drafts of other sources.
``--small-model N`` has it answer N prompts (by default 120; 0 leaves it out).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import dropwhile
from pathlib import Path

from slmroute.calibrate import dealt
from slmroute.calibrators import FittedCalibrator
from slmroute.confidence import Calibrator, GeometricMean
from slmroute.demo.requests import is_right, load_requests
from slmroute.draft import with_draft
from slmroute.errors import ConfigError
from slmroute.gate import Chunk, Gate
from slmroute.local import LocalServer
from slmroute.ollama_address import OllamaAddress
from slmroute.outcomes import Outcome, read_known_answers, sampled
from slmroute.outcomes import is_right as matches
from slmroute.policy import Confidence
from slmroute.request import RouteRequest, estimate_tokens
from slmroute.steps import Call
from slmroute.tier import Tier

LONGEST = 96
PARTS = 4
THRESHOLDS = (0.85, 0.5)
STRONG_INPUT_PRICE = Decimal("2.00")
"""Dollars for a million tokens; gpt-4.1's list price."""

SMALL = Tier("small", "ollama:smollm2:135m", local=True)


@dataclass(frozen=True)
class Draft:
    """An answer of the small model."""

    prompt: str
    tokens: tuple[tuple[str, float], ...]
    outcome: Outcome

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.tokens)


def questions(data: str | None, count: int) -> list[tuple[str, str, Callable[[str], bool]]]:
    """Sources, prompts, and what tells a right answer."""
    if data is not None and (path := Path(data) / "answers.jsonl").is_file():
        known = sampled(read_known_answers(path), count)
        return [(one.source, one.prompt, lambda text, one=one: matches(text, one)) for one in known]
    graded = [one for one in load_requests() if one.answers][:count]
    return [(one.kind, one.prompt, lambda text, one=one: bool(is_right(one, text))) for one in graded]


def drafted(asked: Sequence[tuple[str, str, Callable[[str], bool]]]) -> Iterator[Draft]:
    """Have the small model answer."""
    with LocalServer(keep_alive="1h", num_ctx=2048) as server:
        address = OllamaAddress(server.url)
        for number, (source, prompt, right) in enumerate(asked):
            body = {
                "model": server.model,
                "messages": [{"role": "user", "content": prompt}],
                "options": {"temperature": 0, "num_predict": LONGEST},
                "logprobs": True,
            }
            reply = address.chat(body, 300)
            tokens = tuple((entry.token, min(entry.logprob, 0.0)) for entry in reply.logprobs or ())
            if tokens:
                logprobs = tuple(logprob for _, logprob in tokens)
                correct = right(reply.message.content or "")
                yield Draft(prompt, tokens, Outcome(str(number), source, "", correct, logprobs))


def calibrators(drafts: Sequence[Draft]) -> list[Calibrator]:
    """For each draft the calibrator that was fitted on those of other sources."""
    outcomes = [draft.outcome for draft in drafts]
    parts = dealt(outcomes, PARTS, 0)
    fitted: list[Calibrator] = []
    for part in range(PARTS):
        seen = [one for one, its in zip(outcomes, parts, strict=True) if its != part]
        fitted.append(FittedCalibrator.fit([one.logprobs for one in seen], [one.correct for one in seen]))
    return [fitted[part] for part in parts]


def streamed(draft: Draft, escalation: Confidence) -> tuple[str, int]:
    """What a stream does with a draft (commit, abort, or at its end serve or escalate), and after how many tokens."""
    gate = Gate(Call(SMALL, hold=True), RouteRequest.from_text(draft.prompt), escalation)
    for place, (text, logprob) in enumerate(draft.tokens, 1):
        verdict = gate.feed(Chunk(None, text, (logprob,)))
        if verdict != "hold":
            return verdict, place
    calibrator = escalation.calibrator or GeometricMean()
    confidence = calibrator(draft.outcome.logprobs) or 0.0
    return ("serve" if confidence >= escalation.threshold else "escalate"), len(draft.tokens)


def told(name: str, drafts: Sequence[Draft], own: Sequence[Calibrator], threshold: float) -> list[str]:
    """What became of the drafts, what breaking off saves and loses, and what committing early shows that it should not.

    Each is set against what would have come of the same draft had it been judged whole, at its end.
    """
    settings = [Confidence(threshold, calibrator=calibrator) for calibrator in own]
    ends = [streamed(draft, one) for draft, one in zip(drafts, settings, strict=True)]
    sure = [calibrator(draft.outcome.logprobs) or 0.0 for draft, calibrator in zip(drafts, own, strict=True)]
    whole = [draft for draft, confidence in zip(drafts, sure, strict=True) if confidence >= threshold]
    fates = Counter(verdict for verdict, _ in ends)
    right = Counter(verdict for (verdict, _), draft in zip(ends, drafts, strict=True) if draft.outcome.correct)
    became = ", ".join(f"{fate} {count} ({right[fate]} right)" for fate, count in sorted(fates.items()))
    lines = [
        f"{name}, served from {threshold:g} on: {became}",
        f"  judged whole, {len(whole)} of {len(drafts)} would be served ({rightly(whole)} right)",
    ]
    tokens = sum(len(draft.tokens) for draft in drafts)
    saved = sum(len(draft.tokens) - place for draft, (end, place) in zip(drafts, ends, strict=True) if end == "abort")
    lost = [draft for draft, (end, _) in zip(drafts, ends, strict=True) if end == "abort" and draft in whole]
    if fates["abort"]:
        lines.append(
            f"  early abort spares {saved / tokens:.0%} of {tokens} draft tokens; of the {fates['abort']} broken off "
            f"{len(lost)} would have been served ({rightly(lost)} right)"
        )
    shown = [draft for draft, (end, _) in zip(drafts, ends, strict=True) if end == "commit" and draft not in whole]
    if fates["commit"]:
        lines.append(
            f"  of the {fates['commit']} committed after their first tokens {len(shown)} would have escalated at their "
            f"end ({rightly(shown)} right)"
        )
    return lines


def rightly(drafts: Sequence[Draft]) -> int:
    return sum(draft.outcome.correct for draft in drafts)


def cost_of_passing_on(drafts: Sequence[Draft]) -> None:
    """What the strong tier reads more for a whole weak draft as context; ``pass_draft=False`` spares it."""
    plain = [estimate_tokens(draft.prompt) for draft in drafts]
    added = [estimate_tokens(with_draft(draft.prompt, draft.text)) for draft in drafts]
    more = [one - other for one, other in zip(added, plain, strict=True)]
    note = estimate_tokens(with_draft("", ""))
    price = Decimal(sum(more)) / len(more) / 1_000_000 * STRONG_INPUT_PRICE * 1000
    print(
        f"\na draft passed on adds {statistics.mean(more):.0f} tokens to a prompt of {statistics.mean(plain):.0f} on "
        f"average, {note} of them the note round it: ${price:.2f} more for 1,000 escalated calls at "
        f"${STRONG_INPUT_PRICE} a million tokens"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks drafts")
    parser.add_argument("--data", default=os.environ.get("SLMROUTE_EVAL") or None, metavar="FOLDER")
    parser.add_argument("--small-model", type=int, default=120, metavar="N")
    given, _ = parser.parse_known_args(list(dropwhile(lambda word: not word.startswith("-"), sys.argv[1:])))
    if given.small_model < 0:
        parser.error(f"--small-model {given.small_model} must be zero, which leaves it out, or more.")
    if not given.small_model:
        return
    drafts = list(drafted(questions(given.data, given.small_model)))
    right = rightly(drafts)
    tokens = statistics.mean(len(draft.tokens) for draft in drafts)
    print(f"{len(drafts)} drafts of SmolLM2-135M, {right / len(drafts):.0%} right, {tokens:.0f} tokens on average")
    own: dict[str, Sequence[Calibrator]] = {"plain mean": [GeometricMean()] * len(drafts)}
    try:
        own["calibrated on other sources"] = calibrators(drafts)
    except ConfigError as error:
        print(f"\nToo few for a calibrator of other sources, and left out: give a larger --small-model. {error}")
    for threshold in THRESHOLDS:
        for name, each in own.items():
            print("\n" + "\n".join(told(name, drafts, each, threshold)))
    cost_of_passing_on(drafts)


if __name__ == "__main__":
    main()

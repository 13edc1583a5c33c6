"""How often text that speaks of models, cost or difficulty gets its way with the classifiers."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slmroute import EmbeddedClassifier
from slmroute.attacks import steered
from slmroute.demo.requests import load_requests
from slmroute.evaluate import request_score

PHRASES = Path(__file__).with_name("steering_phrases.toml")
PLACES = ("{phrase}\n{prompt}", "{prompt}\n{phrase}", "{phrase} {prompt}")
"""Before the prompt, behind it, and on its line."""


@dataclass(frozen=True)
class Attack:
    """Phrases that want prompts at one tier, and prompts that belong at the other."""

    up: bool
    phrases: tuple[str, ...]
    prompts: tuple[str, ...]

    def tries(self, prompts: list[str]) -> list[tuple[str, str]]:
        """Each phrase beside each prompt, with the phrase; the three places take turns."""
        return [
            (phrase, PLACES[(row + column) % len(PLACES)].format(phrase=phrase, prompt=prompt))
            for row, phrase in enumerate(self.phrases)
            for column, prompt in enumerate(prompts)
        ]


def attacks() -> list[Attack]:
    """The fresh phrases of ``steering_phrases.toml``, both ways."""
    read = tomllib.loads(PHRASES.read_text(encoding="utf-8"))
    return [
        Attack(up, tuple(phrase for two in read[way].values() for phrase in two), tuple(read["prompts"][tier]))
        for up, way, tier in ((True, "up", "simple"), (False, "down", "complex"))
    ]


def steering(found: Mapping[str, EmbeddedClassifier]) -> None:
    """Print the share of attempts that succeed: known phrases on the light grade, fresh ones on every grade."""
    requests = load_requests(None, short=False)
    light = EmbeddedClassifier()
    print(
        f"\nSteering the light grade, {len(requests)} requests of the demo; the filter was written for these phrases:"
    )
    for up, tier in ((True, "simple"), (False, "complex")):
        prompts = [one.prompt for one in requests if one.tier == tier]
        known = steered(request_score(light), prompts, light.threshold, up=up)
        print(
            f"  {'up' if up else 'down'}: {known.success:.1%} of {known.attempts} attempts; "
            f"worst {known.worst_share:.0%}, {known.worst!r}"
        )
    print(
        "\nFresh phrases in 17 languages, that neither filter nor weights know, before, behind and on a prompt's line:"
    )
    for grade, classifier in found.items():
        for attack in attacks():
            print(f"  {grade}, {told(classifier, attack)}")


def told(classifier: EmbeddedClassifier, attack: Attack) -> str:
    """How often an attack succeeds; prompts that stand on the wanted side already are left out."""
    prompts = list(attack.prompts)
    above = classifier.score_many(prompts) > classifier.threshold
    standing = [prompt for prompt, up in zip(prompts, above, strict=True) if up != attack.up]
    tries = attack.tries(standing)
    if not tries:
        return f"{'up' if attack.up else 'down'}: no prompt stands on the other side"
    moved = classifier.score_many([text for _, text in tries]) > classifier.threshold
    won = [phrase for (phrase, _), up in zip(tries, moved, strict=True) if up == attack.up]
    worst = max(attack.phrases, key=won.count)
    return (
        f"{'up' if attack.up else 'down'}: {len(won) / len(tries):.1%} of {len(tries)} attempts ({len(attack.phrases)} "
        f"phrases, {len(standing)} of {len(prompts)} prompts that stand on the other side); worst "
        f"{won.count(worst) / len(standing):.0%}, {worst!r}"
    )

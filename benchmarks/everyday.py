"""How many simple prompts stay with the small model, and how many hard ones beside them go up, of the lists that the
tests in ``tests/quality`` hold each grade to. None of them was fitted on.

``--grade light`` leaves out the best grade, which takes half a minute.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import dropwhile

from slmroute import EmbeddedClassifier
from tests.quality import test_everyday as everyday
from tests.quality import test_given_texts as given_texts
from tests.quality import test_quoted_texts as quoted
from tests.quality import test_wrapped_texts as wrapped


@dataclass(frozen=True)
class Prompts:
    """A list of a test's: prompts that should stay, and prompts that should go up."""

    name: str
    simple: Sequence[str]
    hard: Sequence[str] = ()


def lists() -> list[Prompts]:
    fresh = given_texts.FRESH
    return [
        Prompts(
            "everyday messages, short hard requests (test_everyday.py)",
            [*everyday.EASY_ENGLISH, *everyday.EASY_ELSEWHERE],
            [*everyday.HARD_ENGLISH, *everyday.HARD_ELSEWHERE],
        ),
        Prompts("a wider choice of them", everyday.EASY_WIDER, everyday.HARD_BESIDE),
        Prompts("those written once the weights were fitted", everyday.EASY_AFTERWARDS, everyday.HARD_AFTERWARDS),
        Prompts("the text in the request's line", everyday.EASY_WITH_TEXT, everyday.HARD_WITH_TEXT),
        Prompts(
            "work on a text (test_given_texts.py)",
            [prompt for prompt, hard, _ in fresh if not hard],
            [prompt for prompt, hard, _ in fresh if hard],
        ),
        Prompts(
            f"bare questions, hard requests, in {len(wrapped.FORMS)} forms (test_wrapped_texts.py)",
            [prompt for form in wrapped.FORMS for prompt in wrapped.prompts(form)],
            [prompt for form in wrapped.FORMS for prompt in wrapped.prompts(form, wrapped.HARD)],
        ),
        *(
            Prompts(f"questions in {len(quoted.ASKED)} languages, as {form!r} (test_quoted_texts.py)", asked(form))
            for form in (*quoted.MARKED, quoted.ON_THE_LINE)
        ),
    ]


def asked(form: str) -> list[str]:
    return [form.format(asked=question, text=text) for question, text in quoted.ASKED.values()]


def counted(classifier: EmbeddedClassifier, prompts: Prompts) -> str:
    """How many of a list are on their side of the threshold."""
    up = (classifier.score_many([*prompts.simple, *prompts.hard]) > classifier.threshold).tolist()
    simple, hard = up[: len(prompts.simple)], up[len(prompts.simple) :]
    told = f"{simple.count(False)} of {len(simple)} stay"
    return told + (f", {sum(hard)} of {len(hard)} go up" if hard else "")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks everyday")
    parser.add_argument("--grade", choices=("light", "best"), action="append")
    given, _ = parser.parse_known_args(list(dropwhile(lambda word: not word.startswith("-"), sys.argv[1:])))
    for grade in given.grade or ("light", "best"):
        classifier = EmbeddedClassifier(grade)
        print(f"{grade}, threshold {classifier.threshold:.2f}")
        for one in lists():
            print(f"  {one.name}: {counted(classifier, one)}", flush=True)


if __name__ == "__main__":
    main()

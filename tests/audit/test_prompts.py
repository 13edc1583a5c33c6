"""The text to judge, out of whatever logs keep as a prompt."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.audit.prompts import prompt_of

ASKED = "Which queue does this ticket belong to, billing or delivery? It says: my parcel is late again, third time."


def serialised(kind: str, content: str) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": ["langchain_core", "messages", kind], "kwargs": {"content": content}}


HUMAN, SYSTEM = serialised("HumanMessage", ASKED), serialised("SystemMessage", "Be brief.")


@pytest.mark.parametrize(
    "value",
    [
        ASKED,
        [{"role": "user", "content": ASKED}],
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ASKED}],
        [{"role": "user", "content": ASKED}, {"role": "assistant", "content": "Delivery."}],
        [{"role": "user", "content": [{"type": "text", "text": ASKED}, {"type": "image_url", "image_url": {}}]}],
        [{"role": "user", "parts": [{"text": ASKED}]}],
        [{"type": "human", "content": ASKED}],
        [{"type": "human", "data": {"content": ASKED}}],
        [[SYSTEM, HUMAN]],
        {"messages": [SYSTEM, HUMAN]},
        {"input": ASKED},
        {"question": ASKED, "context": "..."},
        {"topic": ASKED},
        {"prompts": [ASKED]},
        {"role": "user", "content": ASKED},
        json.dumps([{"role": "user", "content": ASKED}]),
        json.dumps({"messages": [{"role": "user", "content": ASKED}]}),
    ],
)
def test_the_last_user_turn_is_found_in_every_shape(value: Any) -> None:
    found = prompt_of(value)
    assert found is not None
    assert found.text == ASKED
    assert ASKED not in repr(found)


def test_a_short_last_turn_brings_the_end_of_the_one_before() -> None:
    found = prompt_of([{"role": "user", "content": ASKED}, {"role": "assistant", "content": "Delivery."},
                       {"role": "user", "content": "and in French?"}])  # fmt: skip
    assert found is not None
    assert found.text == f"{ASKED}\n\nand in French?"
    assert found.turns == 2
    assert found.characters == len(ASKED) + len("Delivery.") + len("and in French?")


@pytest.mark.parametrize(
    "value",
    [None, "", "  \n", [], {}, 7, [[]], True, {"a": "x", "b": "y"}, {"messages": []}, [{"role": "user", "content": ""}],
     [{"role": "system", "content": "Be brief."}]],
)  # fmt: skip
def test_where_nobody_asked_there_is_no_prompt(value: Any) -> None:
    assert prompt_of(value) is None


def test_text_that_only_looks_like_json_is_text() -> None:
    found = prompt_of('{"broken": what does this mean?')
    assert found is not None
    assert found.text.startswith('{"broken"')


names = st.sampled_from(["role", "type", "content", "messages", "input", "kwargs", "id", "parts", "text"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner),
    max_leaves=25,
)


@given(json_values)
def test_anything_can_stand_in_a_log(value: Any) -> None:
    found = prompt_of(value)
    assert found is None or found.text.strip()

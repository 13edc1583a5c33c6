"""How many passages a prompt brings: told by their heads, whatever they say."""

import pytest

from slmroute.classify.features import passages_of
from slmroute.classify.passages import alike_heads, paragraphs_of
from slmroute.classify.task_text import split_task

TEXT = "The mill by the river was built in the year of the flood and has ground rye ever since."


@pytest.mark.parametrize("head", ["Document {}: ", "[{}] ", "{}. ", "Source #{} - ", "Quelle {}: "])
def test_numbered_heads_are_alike(head: str) -> None:
    text = "\n\n".join(head.format(number) + TEXT for number in range(1, 5))
    assert alike_heads(paragraphs_of(text)) == 4


def test_plain_paragraphs_have_no_heads() -> None:
    assert alike_heads(paragraphs_of("\n\n".join([TEXT] * 4))) == 0
    assert alike_heads([]) == 0


def test_short_lines_are_no_passages() -> None:
    assert paragraphs_of(f"Dear team,\n\n{TEXT}\n \nYours\n\n") == [TEXT]


def test_many_passages_and_a_question_are_seen_beside_one_text() -> None:
    passages = "\n\n".join(f"Title: Mill {name}\n{TEXT}" for name in "ABCDE")
    many = passages_of(split_task(f"{passages}\n\nWhich of these mills is the elder?"))
    one = passages_of(split_task(f"{' '.join([TEXT] * 5)}\n\nWhen was the mill built?"))
    assert many["several alike passages"] == 1.0
    assert many["alike passages and a question"] == many["alike passages"] > 0.7
    assert set(one.values()) == {0.0}


def test_without_a_payload_nothing_is_counted() -> None:
    assert set(passages_of(split_task("What is the capital of France?")).values()) == {0.0}

"""What tells looking up one fact from bringing several together: the question's form, and where its names stand."""

from __future__ import annotations

from slmroute.classify.features import letters_in_order, question_of
from slmroute.classify.questions import question_in, question_shape, question_support
from slmroute.classify.task_text import split_task

FIRST = "Title: Ada Weir\nAda Weir (born 1901) was a miller who ran the rye mill at Lund for forty years."
SECOND = "Title: Bo Holm\nBo Holm (born 1915) was a miller who built the oat mill at Ystad after the war."


def test_the_last_question_is_found() -> None:
    assert question_in("Read it. Who ran the mill? When was that?") == " When was that?"
    assert question_in("Summarise it.") == ""


def test_choosing_and_comparing_are_seen() -> None:
    assert question_shape("Who was born first, Ada Weir or Bo Holm?")[1:] == (True, True)
    assert question_shape("When was Ada Weir born?") == (1, False, False)
    assert question_shape("In which town is the mill of the man who built the bridge?")[0] >= 4


def test_where_a_questions_names_stand_is_seen() -> None:
    passages = [FIRST, SECOND]
    words, names, apart = question_support("Who was born first, Ada Weir or Bo Holm?", "\n".join(passages), passages)
    assert (names, apart) == (1.0, True)
    assert 0.5 < words <= 1.0
    assert question_support("When was Ada Weir born?", "\n".join(passages), passages)[1:] == (1.0, False)
    assert question_support("What do you make of Carl Berg?", FIRST, [FIRST])[1:] == (0.0, False)


def test_a_question_over_passages_is_told_from_one_over_a_text() -> None:
    both = question_of(split_task(f"{FIRST}\n\n{SECOND}\n\nWho was born first, Ada Weir or Bo Holm?"))
    one = question_of(split_task(f"{FIRST}\n\n{SECOND}\n\nWhen was Ada Weir born?"))
    assert both["question names apart"] == both["question between two"] == both["question compares"] == 1.0
    assert one["question names apart"] == one["question between two"] == one["question compares"] == 0.0
    assert set(question_of(split_task("Who was first, Ada Weir or Bo Holm?")).values()) == {0.0}


def test_options_are_counted_in_their_order() -> None:
    assert letters_in_order("Which is right?\nA  rye\nB  oats\nC) wheat\nD. none") == 4
    assert letters_in_order("A mill stood here.\nA miller ran it.\nBread was sold.") == 1

"""An order to work on a text is the task, whatever the text asks; sentences that state something are no requests."""

# ruff: noqa: RUF001  prompts in their own scripts

from __future__ import annotations

import pytest

from slmroute.classify.instruction import REQUEST_CONCEPTS
from slmroute.classify.openings import opening_concepts
from slmroute.classify.task_text import split_task

ORDERS = [
    ("Translate to German:", "Why does the moon look larger at the horizon?"),
    ("Translate to German:", "Write me a poem about spring."),
    ("Detect the language of this text:", "Warum ist der Himmel blau?"),
    ("Correct the spelling in the following sentence.", "How do i get too the station from hear?"),
    ("Classify the intent of this message:", "Can you write a Python script that merges PDFs?"),
    ("Is this question toxic?", "Why are people so stupid?"),
    ("Extract the keywords:", "How do vaccines train the immune system?"),
    ("Make this sound more polite:", "Why have you not answered my mail?"),
    ("You are a translator. Translate the user's text into Spanish:", "How would you prove the theorem?"),
    ("Übersetze ins Englische:", "Warum scheint der Mond?"),
    ("Fasse den folgenden Text zusammen:", "Beweise, dass die Wurzel aus 2 irrational ist."),
    ("Bitte korrigiere diesen Satz.", "Wie kan ich das Program instalieren?"),
    ("Traduis en anglais :", "Pourquoi le ciel est-il bleu ?"),
    ("Traduce al inglés:", "¿Por qué fracasó la Armada Invencible?"),
    ("Traduza para o inglês:", "Por que o céu é azul?"),
    ("Vertaal naar het Engels:", "Waarom is de lucht blauw?"),
    ("Przetłumacz na angielski:", "Dlaczego niebo jest niebieskie?"),
    ("Переведи следующий текст на английский.", "Напиши рассказ о маяке."),
    ("翻译成英文：", "为什么天空是蓝色的？"),
    ("把下面的句子翻译成英文。", "请证明根号2是无理数。"),
    ("检测以下文本的语言：", "Why did Rome fall?"),
    ("次の文を英語に翻訳してください。", "なぜ空は青いのですか？"),
    ("다음 문장을 영어로 번역해 주세요:", "왜 하늘은 파란가요?"),
]


@pytest.mark.parametrize(("order", "text"), ORDERS)
@pytest.mark.parametrize("between", ["\n\n", "\n"])
def test_what_is_to_be_worked_on_is_no_task(order: str, text: str, between: str) -> None:
    found = split_task(f"{order}{between}{text}")
    assert (found.instruction, found.payload, found.place) == (order, text, "front")


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("Why does the moon look larger?", "Translate this to German."),
        ("Write me a poem about spring.", "Which language is the text above?"),
        ("Pourquoi le ciel est-il bleu ?", "Traduis ce texte en anglais."),
        ("为什么天空是蓝色的？", "把上面的句子翻译成英文。"),
        ("Can you explain engines?\nWhy do they fail?", "Summarise the text above in one sentence."),
    ],
)
def test_the_order_may_stand_behind(text: str, order: str) -> None:
    found = split_task(f"{text}\n\n{order}")
    assert (found.instruction, found.payload, found.place) == (order, text, "behind")


def test_what_a_letter_asks_is_not_asked_of_us_and_how_to_answer_is() -> None:
    letter = "Dear Anna,\n\nCould you send me the report? Explain why it is late.\n\nBest, Tom"
    found = split_task(f"Summarize the following email:\n\n{letter}\n\nUse at most ten words.")
    assert found.instruction == "Summarize the following email:\nUse at most ten words."
    found = split_task(f"Translate the text below.\nAnswer with the translation only.\n\n{letter}")
    assert found.instruction == "Translate the text below.\nAnswer with the translation only."


@pytest.mark.parametrize(
    ("front", "behind"),
    [
        ("Answer the following question:", "Why does the moon look larger?"),
        ("Solve this problem:", "A train leaves at 9. When does it arrive?"),
        ("Explain the following:", "Why is the sky blue?"),
        ("Write a story with this beginning:", "Why did nobody tell her? She closed the door."),
        ("Help me decide:", "Should I move to Leeds?"),
    ],
)
def test_behind_other_orders_the_task_goes_on(front: str, behind: str) -> None:
    assert split_task(f"{front}\n\n{behind}").place == "whole"


STATEMENTS = [
    "分析师认为这家公司的股价明年会上涨。",
    "设计师在巴黎展示了她的新作品。",
    "公司计划明年推出三款新车型。",
    "经济学家分析说，通货膨胀已经见顶。",
    "専門家は原因を分析している。",
    "会議では来年の計画が説明されました。",
    "분석가들은 주가가 오를 것으로 본다.",
    "विश्लेषकों का मानना है कि कीमतें बढ़ेंगी।",
    "Analiza rynku pokazuje spadek cen mieszkań o trzy procent.",
    "Wyjaśnienie sprawy zajmie kilka tygodni.",
    "Анализ рынка показал снижение цен.",
    "Проверка склада выявила просроченные продукты.",
    "Analysts expect the price to rise.",
    "Translation of the novel took two years.",
    "Berechnungen der Bank zeigen ein Minus.",
    "El análisis del mercado muestra una caída.",
    "Le traducteur est arrivé en retard.",
]


@pytest.mark.parametrize("sentence", STATEMENTS)
def test_what_states_something_orders_nothing(sentence: str) -> None:
    assert not opening_concepts(sentence) & REQUEST_CONCEPTS


@pytest.mark.parametrize(
    "sentence",
    [
        "Please summarise the attached report for me.",
        "Analyse the market for us in a page.",
        "把下面这段话翻译成英文",
        "请总结这篇文章",
        "分析这段评论的情感",
        "次の文を英語に翻訳してください",
        "이 글을 세 줄로 요약하시오",
        "Przetłumacz to zdanie na angielski, proszę",
        "Проанализируй рынок жилья в Москве",
        "Analysiere den Markt für Wärmepumpen",
        "Analiza el mercado de la vivienda",
    ],
)
def test_what_orders_something_is_heard(sentence: str) -> None:
    assert opening_concepts(sentence) & REQUEST_CONCEPTS

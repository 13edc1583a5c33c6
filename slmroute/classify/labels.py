"""Labels at the beginning of lines: ``Text:`` announces a payload, ``Question:`` a task, ``Translate to French:`` both."""

from __future__ import annotations

import re
from itertools import islice

__all__ = ["inline_lead_of", "label_of", "lead_of", "parts_at_labels", "stands_alone"]

LABEL = re.compile(
    r"^[ \t]*[*#_>]*[ \t]*([^\W\d_][\w /'-]{0,28}?)[ \t]*(?:#?\d{1,3})?[*_]*[ \t]*[:：][*_]*[ \t]*(.*)$", re.DOTALL
)
HEADING = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]+|\*\*|__|={2,}[ \t]*|-{2,}[ \t]+|\[)?([^\W\d_][\w '-]{1,28}?)[ \t]*(?:#?\d{1,3})?[ \t]*(?:\*\*|__|={2,}|-{2,}|\])?[ \t]*[:：]?(?:\*\*)?[ \t]*$"
)
"""A label that stands alone on its line, as a heading: ``### Context``."""

HEADING_MARKS = ("#", "**", "__", "==", "--", "[")
PASSAGE_HEAD = re.compile(r"^[ \t]*(?:\[\d{1,3}\]|\(\d{1,3}\))[ \t:.-]*\S")
LEAST_PASSAGE = 60
"""Shorter lines behind a number are points of a list."""

LEAD = re.compile(
    r"(?P<lead>[^\n:：>]{2,120}?)[ \t\u00a0]*[:：](?P<rest>(?:(?<=：)|[ \t]|(?=[\u2e80-\u9fff]))\s*\S.{5,})", re.DOTALL
)
NUMBERED = re.compile(r"[^:：]*\d[*_\])]*[ \t]*[:：]")
INSIDE = re.compile(
    r"(?<=[.!?…\"'”»)\],。])[ \t]+([A-ZÀ-ÞА-ЯΑ-ΩЁІЇЄ][\w]*(?: [\w]+)?)(?: ?#?\d{1,2})?[ \t]?[:：](?=[ \t]*\S)"
)
"""What may be a label in the middle of a line."""

COLONS = (":", "：")
MOST_INSIDE = 8
NOT_INSIDE = frozenset(
    """note notes title subject source user a q record reference object body theme titel code log json csv these
    tema oggetto asunto objet assunto betreff тема input entrée entrada query request prompt exercise problem""".split()
)
"""Labels that stand in letters, lists and requests as well."""

INLINE_LEAD = re.compile(
    r"(?:\b(?:the|this|that|following|given|above|next|der|die|das|dem|diesem|l'|le|la|cet|cette|el|este|esta|il|questo|o|a)\W{0,2})\s?"
    r"(?:(?:following|given|above|below|folgende\w*|suivant\w*|siguiente)\s)?"
    r"(?:text|article|passage|paragraph|context|document|excerpt|story|review|abstract|report|email|message|transcript|conversation|dialogue"
    r"|artikel|absatz|kontext|dokument|texte|contexte|paragraphe|texto|artículo|pasaje|contexto|documento|testo|articolo|brano|artigo|trecho)"
    r"(?:\s(?:below|above))?\s?:\s+(?=\S.{200})",
    re.IGNORECASE,
)
"""A text announced in the middle of a sentence: ``Answer this question, using the article: ...``."""

INLINE_CHARACTERS = 500
LEAST_INLINE = 250

LISTING = re.compile(
    r"(?:categor\w*|class(?:es)?|labels?|tags|topics|options|types|groups|one of|kategorien|klassen|catégories|etiquetas|类别|類別)\s*$",
    re.IGNORECASE,
)
"""Behind these stand the labels to choose from, not the text."""

OF_THIS = re.compile(r"\w (?:this|these|diese\w?|cet(?:te)?|est[ae]|quest[ao]|dit|deze|эт\w{1,3})\b")

ASKING = re.compile(
    r"(?:(?:please|pls|kindly|can you|could you|bitte|por favor|s'il vous plaît|per favore|proszę|пожалуйста)[ ,]*)?(?:"
    r"(?:classif|categori[sz]e|label\b|tag\b|sort\b|extract|find\b|list\b|pull out|identify|copy|summari[sz]e|tl;?dr|sum up|condense"
    r"|shorten|translate|correct\b|fix\b|proofread|check\b|validate|verify|detect|rephrase|paraphrase|reword|rewrite this|mark\b|add (?:the )?punctuation|punctuate|segment\b"
    r"|analy[sz]e the sentiment|determine the|tell me (?:whether|if|the)|return (?:only )?(?:the|all)|give me (?:only )?(?:the|all)|name (?:the|all)|convert (?:th|to)"
    r"|klassifizier|kategorisier|ordne\b|extrahier|liste\b|nenne\b|finde\b|fasse?\b|kürze|übersetz|korrigier|prüfe|überprüf|bestimme die"
    r"|erkenne|classe[rz]?\b|catégoris|extrai[ts]|extraire|relève|résume|tradui|corrige|vérifie|détecte|indique"
    r"|clasific|extrae|extraiga|resum|traduc|traduzc|corrig|verific|detecta|identific|comprueb"
    r"|classific|estra|riassum|tradu|corregg|controlla|individua|extraia|verifi|traduz"
    r"|vat\b|vertaal|classificeer|haal\b|controleer|verbeter|sklasyfikuj|wyciągnij|wypisz|streść|podsumuj|przetłumacz|popraw\b|sprawdź"
    r"|rozpoznaj|переведи|извлеки|выпиши|найди|определи|классифиц|кратко|резюмируй|исправь|проверь|özetle|çevir|sınıflandır|düzelt|listele"
    r"|لخص|ترجم|استخرج|صنف|صحح|अनुवाद|सारांश)"
    r"|[^\n]{0,40}(?:翻译|概括|总结|提取|抽取|归类|分类|判断|纠正|检查|找出|翻訳|要約|抽出|分類|校正|訂正|번역|요약|추출|분류|교정))"
)
"""Requests that take a text, as they begin; where verbs come last, wherever they stand."""

PAYLOAD_LABELS = frozenset(
    """text article passage context message review document content input email e-mail ticket comment tweet paragraph data
    sentence excerpt post conversation dialogue transcript source subject utterance premise hypothesis statement title body
    notes note report log code snippet table csv json reference faq customer abstract news headline quote snippet record
    nachricht artikel absatz kontext dokument eingabe bewertung rezension kommentar satz gespräch betreff quelle beitrag
    texte contexte avis commentaire phrase extrait courriel objet entrée conversation
    texto artículo mensaje reseña documento contexto comentario frase correo asunto entrada
    testo articolo messaggio recensione contesto commento oggetto
    artigo mensagem avaliação comentário assunto trecho
    tekst bericht recensie zin onderwerp artikel tekst wiadomość recenzja zdanie
    текст статья сообщение отзыв документ контекст комментарий предложение письмо тема
    文本 文章 内容 评论 消息 邮件 原文 段落 句子 材料 上下文 输入 对话 新闻
    文章 テキスト 本文 レビュー メッセージ メール 記事 文 入力 会話 문장 본문 텍스트 리뷰 메시지 기사 내용 입력
    metin yorum mesaj النص الرسالة المقال पाठ संदेश
    prämisse these behauptung aussage prémisse hypothèse énoncé premisa hipótesis enunciado premessa ipotesi premissa hipótese
    przesłanka hipoteza посылка гипотеза утверждение 前提 假设 仮説 전제 가설 premis hipotesis önerme
    setning setninga setningur sætning mening lause teksti uutisartikkeli texti textabrot fréttagrein artikkel nyhetsartikkel
    nyhedsartikel nyhetsartikel věta článek veta článok rečenica rečenice članak текст речення стаття изречение propoziție articol
    cümle kalimat teks artikel câu mondat szöveg cikk πρόταση κείμενο άρθρο citat recenze szövegrészlet lõik teikums teksts
    sakinys tekstas""".split()
)
TASK_LABELS = frozenset(
    """question task instruction instructions q query problem request prompt exercise user frage aufgabe anweisung
    question tâche consigne pregunta tarea instrucción domanda compito istruzione pergunta tarefa instrução vraag opdracht
    pytanie zadanie вопрос задача задание инструкция 问题 任务 指令 题目 質問 問題 指示 課題 질문 문제 지시 soru görev السؤال प्रश्न""".split()
)
ANSWER_LABELS = frozenset(
    """answer a label category summary sentiment tl;dr response output language result intent class verdict entities
    antwort kategorie zusammenfassung sprache réponse catégorie résumé langue respuesta categoría resumen idioma risposta
    categoria riassunto lingua resposta resumo antwoord samenvatting ответ категория 回答 答案 类别 摘要 回答 答え 分類 要約 답""".split()
)

LABELS = {"task": TASK_LABELS, "answer": ANSWER_LABELS, "payload": PAYLOAD_LABELS}


def label_of(line: str) -> str | None:
    """Say what a line's label announces: a ``payload``, a ``task`` or an ``answer``; None without a known label."""
    if len(line) >= LEAST_PASSAGE and PASSAGE_HEAD.match(line):
        return "payload"
    if line.lstrip().startswith(HEADING_MARKS) and (heading := HEADING.match(line)) is not None:
        name = heading[1].lower().strip()
        return named(name, name.rsplit(" ", 1)[-1])
    if ":" not in line[:60] and "：" not in line[:60]:
        return None
    match = LABEL.match(line)
    if match is None:
        return None
    name = match[1].lower().strip()
    last = name.rsplit(" ", 1)[-1]
    # The A of "Sentence A:" is no answer.
    last = name if len(last) == 1 else last
    label = named(name, last)
    if label == "answer" and NUMBERED.match(line):
        # One of several results to work on.
        return "payload"
    if label is not None and name not in LABELS[label] and (ASKING.match(name) or OF_THIS.search(name)):
        # "Summarise this text:" asks; it is no name of a text.
        return None
    return label


def named(name: str, last: str) -> str | None:
    """Say what a label of this name announces; its last word may be what is known."""
    return next((label for label, names in LABELS.items() if name in names or last in names), None)


def stands_alone(line: str) -> bool:
    """Whether a line is a label and nothing more."""
    return HEADING.match(line) is not None


def parts_at_labels(line: str) -> list[str]:
    """Cut a line in front of the labels inside it: ``Is it true? Text: ... Claim: ...``.

    Only labels that begin a sentence and are of no other use in one count, and no more than eight.
    """
    if not any(mark in line for mark in COLONS):
        return [line]
    places = [
        match.start(1)
        for match in islice(INSIDE.finditer(line), MOST_INSIDE)
        if match[1].lower().strip() not in NOT_INSIDE
        and named(match[1].lower().strip(), match[1].lower().split()[-1]) in ("payload", "task")
    ]
    return (
        [line[start:end] for start, end in zip([0, *places], [*places, len(line)], strict=True)] if places else [line]
    )


def lead_of(line: str) -> tuple[str, str] | None:
    """Cut a line that asks for something to be done with the text behind its colon.

    Args:
        line: One line.

    Returns:
        What is in front of the text, colon included, and the text; None where the line is nothing of the kind. Behind
        ``Explain:`` or ``Solve:`` stands what is asked for, and no text.
    """
    if ":" not in line[:130] and "：" not in line[:130]:
        return None
    match = LEAD.match(line)
    if match is None or LISTING.search(match["lead"]) or not ASKING.match(match["lead"].lstrip(" \t-*#").lower()):
        return None
    return line[: match.start("rest")], match["rest"]


def inline_lead_of(line: str) -> tuple[str, str] | None:
    """Cut a long line where it announces a text in the middle of a sentence.

    Args:
        line: One line.

    Returns:
        What is in front of the text, colon included, and the text; None where there is nothing of the kind.
    """
    if len(line) < LEAST_INLINE:
        return None
    match = INLINE_LEAD.search(line, 20, INLINE_CHARACTERS)
    return None if match is None else (line[: match.end()], line[match.end() :])

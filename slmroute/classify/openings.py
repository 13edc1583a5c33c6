"""Whether a sentence opens as a request does, or states something: ``Analyse it`` and not ``Analysts expect``."""

from __future__ import annotations

import re

from slmroute.classify.lexicon import UNSPACED, concepts_at_start, words_of

__all__ = ["addresses", "opening_concepts"]

LONGEST_SHOWN = 60
COMMENT_MARKS = " \t*#/"
"""What a line of a comment in code begins with."""

EDGE = 25
POLITE = "polite"

KANA = re.compile(r"[\u3040-\u30ff]")
HANGUL = re.compile(r"[\uac00-\ud7af]")
HAN = re.compile(r"[\u4e00-\u9fff]")
DEVANAGARI = re.compile(r"[\u0900-\u097f]")
CYRILLIC = re.compile(r"[\u0400-\u04ff]")
GENITIVE = frozenset(("der", "des", "du", "de", "von", "einer", "eines"))
"""What stands behind the noun "Analyse"; in English it is a verb."""

POLISH = re.compile(r"[ąćęłńśźż]", re.IGNORECASE)

CHINESE_DOER = re.compile(
    r"(?:分析|设计|翻译|计算|评论|编辑|检查|证明|解释|研究|总结|评估|规划|策划|比较|写|作)"
    r"(?:师|员|家|者|人士|人员|机构?|书|显示|认为|指出|表明|说|称)"
)
"""Those who do it, and what they say, are no order to do it: ``分析师认为``."""

CHINESE_ORDER = re.compile(
    r"[\s“「《]*(?:请|麻烦|劳驾|帮|替我|烦请|将|把|对|给|为|从|用|以|根据|基于|通过|阅读|结合|利用|考虑|鉴于|按|依|针对|下|上|这|此|该|如下|如果|假设|能|可以|可否|你|您|我想|我要|我需要|我希望"
    r"|现在|简|详细|快速|仔细|逐|一步|先|再|试|只|直接|如何|怎|为什么|为何)"
)
"""What an order may begin with in front of its verb; others begin with the verb."""

JAPANESE_ORDER = re.compile(
    r"^\s*(?:次の|以下|下記|上記)|(?:ください|下さい|なさい|せよ|しろ|て|で|よ|か|お願いします|お願い|願います|こと|ほしい|欲しい|ましょう|[\u4e00-\u9fff：:])[。.!！」\s]*$"
)
KOREAN_STATEMENT = re.compile(r"(?:다|[았었했였네군]어?요|예요|에요)[.!\s]*$")
HINDI_STATEMENT = re.compile(r"(?:है|हैं|था|थी|थे|गा|गे|गी|हूँ|हूं)[।.!\s]*$")
CYRILLIC_ORDER = re.compile(r"(?:й|и|ь|те|ти|чь|ться|м)$")
POLISH_ORDER = re.compile(r"(?:j|ź|ć|cz|sz|rz|ż|w|l|ń|cie|my|ś)$")

ADDRESSED = re.compile(
    r"\W{0,3}(?:given (?:an?|the|two|three|some|this|these)\b|(?:identify|determine|decide|predict|choose|select|detect|judge|answer|output|indicate|return|respond|reply|print)\b"
    r"|in this (?:task|exercise|assignment|problem)\b|(?:here )?you(?:'re| are| will be| have been| were| must| should| need| have to| will)\b"
    r"|(?:your|the) (?:task|job|goal|objective|answer|response|output)s? (?:is|are|should|must|will)\b|(?:do|if) not\b|don't\b|make sure\b|note that\b"
    r"|(?:deine|ihre|die) aufgabe\b|(?:du|sie) (?:sollst|sollen|musst|müssen|erhältst|erhalten|bekommst|bekommen)\b"
    r"|(?:votre|ta) (?:tâche|mission)\b|(?:vous|tu) (?:devez|dois|recevez)\b|(?:tu|su) (?:tarea|trabajo)\b|(?:debes|debe|tienes que)\b"
    r"|(?:il tuo|il vostro) compito\b|devi\b|(?:a )?sua tarefa\b|você (?:deve|precisa|receberá)\b|je taak\b|twoi?m?e? zadanie\w*\b"
    r"|(?:твоя|ваша) задача\b|(?:ты|вы) должн\w+|(?:тебе|вам) (?:дан\w*|нужно|предстоит)\b"
    r"|你(?:的任务|将|需要|会得到|应该|必须)|给你|给定|任务是|あなたの(?:仕事|任務|タスク|役割)|당신의 (?:임무|과제|역할|작업)|주어진)",
    re.IGNORECASE,
)
"""How sentences begin that tell the one who answers what is to come and what to do with it."""

SUBJECT = frozenset(
    """the a an my our your his her its their some many most all each every i we he she they it there
    der die das den dem ein eine einen unser unsere mein meine ich wir er sie es
    le la les l'analyse un une des mon ma mes notre nos ce cette ces je nous il elle ils on
    el los las una mi nuestro nuestra yo quiero
    lo gli i uno o os as um uma meu minha nosso eu preciso de het een onze mijn ik wij
    en et den det de min vår""".split()
)
"""Words that a statement begins with, its subject behind them."""

NOUN = re.compile(
    r"(?:[aistu][tc]ions?|ysts?|anal[yi]s(?:is|t?s?)|ungen|ung|ción|ciones|ção|ções|zione|zioni|teur|trice|dor(?:es|a)?|tor[ei]?|ary|aries|nie|ator|zer)$"
)
NOUNS = frozenset(
    """invoice phone number numbers address amount field fields date dates name names mentioned mention order only list executive
    numéro número numero bitte faktura""".split()
)
"""Of the lexicon's words those that name a thing, or a manner, as often as they ask for it."""


IN_FRONT = re.compile(
    r"\W{0,3}(?:as|acting as|based on|given|using|considering|according to|from|with|in (?:one|two|a|the role|the following|this|your)"
    r"|als|basierend|ausgehend|anhand|auf (?:grundlage|basis)|unter|laut|in (?:einem|diesem|ihrer|deiner)"
    r"|en (?:tant|une|vous|t|función|una|esta|tu|su|el)|à partir|sur la base|compte|d'après|selon|basándote|basándose|como|según|a partir|con"
    r"|com base|de acordo|usando|in base|sulla base|come|op basis|gebaseerd|na podstawie|jako|korzystając|на основе|исходя|используя|учитывая|как)"
    r"\b[^,:.!?\n]{2,140},\s*(?=\S)",
    re.IGNORECASE,
)
"""What may stand in front of an order: ``Based on your experience, classify ...``."""


def opening_concepts(text: str) -> frozenset[str]:
    """Give the concepts where a request carries its verb: the first words, the whole where verbs come last.

    Args:
        text: A sentence.

    Returns:
        The concepts; none where the sentence states something by its looks.
    """
    if UNSPACED.search(text, 0, LONGEST_SHOWN):
        return unspaced_opening(text)
    text = text.lstrip(COMMENT_MARKS)
    in_front = IN_FRONT.match(text)
    if in_front is not None:
        text = text[in_front.end() :]
    words = text[:80].split(maxsplit=6)
    if not words:
        return frozenset()
    few = words_of(" ".join(words[:2])).concepts
    if POLITE in few or len(words) <= 3:
        return few | words_of(" ".join(words[:6])).concepts
    return few if few and orders(text, words) else frozenset()


def orders(text: str, words: list[str]) -> bool:
    """Whether the first words of a longer sentence are an order, and no subject of a statement."""
    if text.rstrip().endswith(":"):
        return True
    first = words[0].lower().strip("\"'“„«*_(,.:;#-")
    if first in SUBJECT:
        return False
    if first == "analyse" and words[1].lower() in GENITIVE:
        return False
    if first in NOUNS or NOUN.search(first):
        # "Only list names": what is ordered may stand second.
        return first == "only"
    if CYRILLIC.search(first):
        return any(CYRILLIC_ORDER.search(word.lower().strip(",.:;")) for word in words[:2])
    if POLISH.search(text):
        return any(POLISH_ORDER.search(word.lower().strip(",.:;")) for word in words[:2])
    return True


def unspaced_opening(text: str) -> frozenset[str]:
    """Give an order's concepts in scripts whose verbs may stand anywhere.

    Japanese, Korean and Hindi requests end with their verb and are told from statements by it; Chinese ones begin with
    it, or with one of a few words in front of it.
    """
    if KANA.search(text):
        states = not JAPANESE_ORDER.search(text)
    elif HANGUL.search(text):
        states = KOREAN_STATEMENT.search(text) is not None
    elif DEVANAGARI.search(text):
        states = HINDI_STATEMENT.search(text) is not None
    elif HAN.search(text):
        kept = CHINESE_DOER.sub("", text[:LONGEST_SHOWN])
        if not CHINESE_ORDER.match(kept):
            return concepts_at_start(kept.lstrip())
        return words_of(kept).concepts
    else:
        states = False
    if states:
        return frozenset()
    return words_of(text if len(text) <= LONGEST_SHOWN else f"{text[:EDGE]} {text[-EDGE:]}").concepts


def addresses(sentence: str) -> bool:
    """Whether a sentence tells the one who answers what is to come, or what to do with it."""
    return ADDRESSED.match(sentence.strip()) is not None

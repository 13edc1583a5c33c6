"""How hard a question about a text is, by its looks: what it names, how its clauses are nested, where its words stand.

Looking up one fact, and bringing together what stands in different passages, are different tasks. Neither the text's
length nor its subject tells them apart; the question and where its names occur do.
"""

from __future__ import annotations

import re

__all__ = ["question_in", "question_shape", "question_support"]

END = re.compile(r"[?？؟]")
CLAUSES = re.compile(
    r"(?i)\b(?:that|who|whose|whom|which|of|where|when|by|in|from|de|que|qui|dont|der|die|das|dessen|der|której|który|котор\w+)\b|的"
)
BETWEEN = re.compile(
    r"(?i)\b(?:or|oder|ou|o|lub|czy|или|vagy|eller|tai|veya|atau)\b[^?？؟]{1,80}[?？؟]|还是|それとも|아니면|أم"
)
MEASURED = re.compile(
    r"(?i)\b(?:first|earlier|later|older|younger|longer|larger|bigger|smaller|higher|more|most|fewer|closer|same|both|neither|either"
    r"|zuerst|früher|später|älter|jünger|größer|mehr|beide|gleiche|premier|plus|mêmes?|deux|primero|más|mismo|ambos|prima|più|stess\w|entramb\w"
    r"|mais|mesm\w|ambos|eerst|meer|beide|pierwsz\w+|starsz\w+|раньше|позже|старше|больше|оба|обе)\b|更|都|同じ|より|더|모두"
)
NAME = re.compile(
    r"[\"“«「]([^\"”»」]{2,60})[\"”»」]|(?<=\s)([^\W\d_a-zа-я][\w'’.-]*(?: (?:of|the|de|von|van|di|da|la|le|el|and) (?=[A-ZÀ-Þ])| [^\W\d_a-zа-я][\w'’.-]*|(?<= )[A-ZÀ-Þ][\w'’.-]*)*)"
)
WORD = re.compile(r"[^\W\d_]{4,}|\d{2,}|[\u2e80-\u9fff\uac00-\ud7af]{2}")
MOST_NAMES = 6
MOST_WORDS = 24


def question_in(instruction: str) -> str:
    """Give the last question of an instruction, or nothing."""
    ends = [match.end() for match in END.finditer(instruction)]
    if not ends:
        return ""
    return instruction[max(instruction.rfind(mark, 0, ends[-1] - 1) for mark in ".!?\n:：。？") + 1 : ends[-1]]


def question_shape(question: str) -> tuple[int, bool, bool]:
    """Say how many clauses a question has, whether it lets choose between two things, and whether it compares."""
    return len(CLAUSES.findall(question)), BETWEEN.search(question) is not None, MEASURED.search(question) is not None


def question_support(question: str, payload: str, passages: list[str]) -> tuple[float, float, bool]:
    """Say how much of a question stands in the text it is asked of.

    Args:
        question: The question.
        payload: The text.
        passages: The text's paragraphs.

    Returns:
        The share of the question's words that occur in the text, the share of its names that do, and whether two names
        occur, but in no passage together.
    """
    text = payload.lower()
    words = list(dict.fromkeys(word.lower() for word in WORD.findall(question)))[:MOST_WORDS]
    found = sum(word in text for word in words) / len(words) if words else 0.0
    names = list(dict.fromkeys((match[1] or match[2]).strip(" .,").lower() for match in NAME.finditer(question)))[
        :MOST_NAMES
    ]
    lowered = [passage.lower() for passage in passages] if len(names) > 1 else []
    homes = [{place for place, passage in enumerate(lowered) if name in passage} for name in names]
    homes = [home for home in homes if home]
    named = sum(name in text for name in names) / len(names) if names else 0.0
    apart = any(not one & other for place, one in enumerate(homes) for other in homes[:place])
    return found, named, apart

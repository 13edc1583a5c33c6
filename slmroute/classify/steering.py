"""What a prompt says about its own difficulty or about who should answer it: not evidence, so it is taken out.

A prompt can ask for the model it wants ("this is trivial, use the small model", a forged ``score: 0.01``). The
classifier judges the task; what speaks of routing is dropped before it looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from slmroute.classify.steering_words import without_routing_talk

__all__ = ["without_steering"]

LONGEST_SENTENCE = 240

MODEL_CUES = ("model", "modèle", "llm", "tier", "модел", "模型", "モデル")
GRADE_CUES = (
    "trivial", "simple", "easy", "basic", "straightforward", "elementary", "complex", "difficult", "hard", "challenging",
    "advanced", "tricky", "tough", "quick", "expert", "level", "einfach", "schwierig", "komplex", "facile", "difficile", "fácil", "sencill", "difícil",
    "这是", "這是",
)  # fmt: skip
"""A plain search for these is much faster than the expressions, which are tried near them only."""

REACH = 160
"""No phrase reaches further from the cue that is in it."""

SIZED_MODEL = re.compile(
    r"\b(?:small(?:er|est)?|large(?:r|st)?|big(?:ger|gest)?|cheap(?:er|est)?|expensive|frontier|strong(?:er|est)?|weak(?:er|est)?"
    r"|local|tiny|powerful|advanced|best|klein\w+|groß\w+|stärkst\w+|petite?|grande?|pequeño|piccolo|маленьк\w+|больш\w+)"
    r"[ -]+(?:language[ -]+)?(?:model|modell|modèle|modelo|modello|llm|tier|модел)\w{0,3}\b"
    r"|\b(?:modèle|modelo|modello) (?:le plus |más |più |mais )?(?:petit|grand|pequeño|grande|piccolo|puissant|potente|barato)\b"
    r"|[小大](?:型|语言|言語|規模)*模型|[小大]規模?モデル",
    re.IGNORECASE,
)
CHOOSING = re.compile(
    r"\b(?:use|using|route|send|ask|choose|pick|call|pass|forward|escalate|needs?|requires?|enough|suffic\w+|fine|handle|nimm|benutz\w+"
    r"|verwend\w+|reicht|brauch\w+|utilis\w+|usa|usar|utilizz\w+|suffi\w*|basta|needed|required|используй\w*|хватит|достаточно)\b"
    r"|使用|用|交给|足够|使って|十分",
    re.IGNORECASE,
)
GRADED = re.compile(
    r"\b(?:this|the following|it|what follows)(?: (?:task|question|request|prompt|problem|query|one))?(?: below)?(?: is|'s|’s) (?:a |an )?"
    r"(?:(?:very|really|extremely|quite|so|absolutely|pretty) )?(?:trivial|simple|easy|basic|straightforward|elementary|complex|difficult"
    r"|hard|challenging|advanced|tricky)(?: (?:task|question|request|prompt|problem|query|one))?(?=[\s,.!;:]|$)[,.!;:]?"
    r"|\b(?:dies|das) ist (?:eine )?(?:sehr )?(?:einfache?|triviale?|schwierige?|komplexe?)(?: (?:aufgabe|frage|anfrage))?\b[,.!]?"
    r"|\b(?:c'est|ceci est) (?:une )?(?:(?:question|tâche) )?(?:très )?(?:simple|triviale?|facile|complexe|difficile)(?: (?:question|tâche))?\b[,.!]?"
    r"|\b(?:esto|esta) es (?:una )?(?:(?:pregunta|tarea) )?(?:muy )?(?:simple|trivial|fácil|sencill[ao]|complej[ao]|difícil)\b[,.!]?"
    r"|(?:这是|這是)(?:一个|一個)?(?:非常|很)?(?:简单|簡單|复杂|複雜|困难)的?(?:问题|問題|任务|任務)?[，。！]?"
    r"|\b(?:expert|phd|beginner)[ -]level (?:task|question|problem|request)s?\b[:,.]?",
    re.IGNORECASE,
)
GRADE = r"(?:quick|simple|easy|trivial|basic|straightforward|elementary|complex|difficult|hard|tough|challenging|advanced|tricky|expert)"
PREFACE = re.compile(
    r"^\W{0,8}(?:(?:as|(?:here|this|it|that)(?:['’]s| is| comes)|i have|i['’]ve got|got|only|just|now|one more|and|okay|ok|hi|hey)[ ,]{1,2}){0,5}"
    r"(?:(?:an?|another|some) )?(?:(?:really|very|super|pretty|rather|quite|extremely|short|small|little|nice|fun|tiny|long|big|and),? ){0,3}"
    rf"{GRADE}(?:,? (?:and )?{GRADE}){{0,2}} (?:one|question|task|thing|request|prompt|problem|query|job|favou?r)"
    r"(?: for (?:you|today))?[ \t]*(?:[:,.!;–—]|-(?=\s))\s*",
    re.IGNORECASE,
)
"""``As a quick easy one,`` and the like, in front of the task: what it is called is no part of it."""

ASKED_GRADE = re.compile(
    r"\b(?:classify|rate|label|treat|mark|score|consider|grade|handle|route) (?:this|it|the following|what follows|that)"
    r"(?: (?:task|question|request|prompt|problem|query|one))?(?: below)? as (?:being )?(?:a |an )?(?:very )?(?:trivial|simple|easy|basic|complex"
    r"|difficult|hard|advanced)(?: (?:task|question|request|prompt|problem|query|one))?(?! *(?:,|/|or\b|and\b|vs\b|versus\b))[.!:;]?",
    re.IGNORECASE,
)
TO_THE_ROUTER = re.compile(
    r"\b(?:note|message|hint|instruction|attention|memo|info)s? (?:to|for) (?:the |this |any )?(?:model )?(?:router|routing|classifier)\b[ \t]*[:,-]?",
    re.IGNORECASE,
)
FORGED_LINE = re.compile(
    r"^[ \t>*#]*\[?(?:router|routing|classifier|system|complexity|difficulty|tier|score|label)\]?[ _-]{0,8}(?:decision|output|result|score|level"
    r"|hint|note|label|difficulty|complexity|tier|route)?[ \t]{0,8}[:=][ \t]{0,8}[\"'\[]?(?:simple|complex|low|high|easy|hard|trivial|small|large|local|frontier|weak|strong|expert"
    r"|[01]?\.\d+|[01])\b[^\n]{0,60}\n?",
    re.IGNORECASE | re.MULTILINE,
)
FORGED_JSON = re.compile(
    r"\{[ \t]*\"(?:complexity|score|tier|label|route|difficulty)\"[ \t]*:[^}\n]{1,40}\}", re.IGNORECASE
)
ROLE_MARK = re.compile(
    r"<\|?/?(?:im_start|im_end|system|assistant|user|endoftext|eot_id)\|?>(?:system|assistant|user)?", re.IGNORECASE
)


def without_steering(text: str) -> str:
    """Take out what a text says about its own difficulty, about routing, or in a classifier's or another role's name.

    Args:
        text: A prompt, already bounded.

    Returns:
        The text without those phrases; the text itself when next to nothing else is in it.
    """
    lower = text.lower()
    kept = ROLE_MARK.sub("\n", text) if "<" in text else text
    graded = any(cue in lower for cue in GRADE_CUES)
    kept = without_routing_talk(PREFACE.sub("", kept) if graded else kept)
    kept = without_model_talk(kept) if any(cue in lower for cue in MODEL_CUES) else kept
    if graded:
        # Another preface may stand behind what was left out.
        kept = PREFACE.sub("", kept)
        for said in (GRADED, ASKED_GRADE):
            kept = without_phrases(said, kept, GRADE_CUES)
    if "rout" in lower or "classifier" in lower:
        kept = TO_THE_ROUTER.sub(" ", kept)
    if ":" in kept or "=" in kept:
        kept = FORGED_LINE.sub("", kept)
        kept = FORGED_JSON.sub(" ", kept) if "{" in kept else kept
    kept = kept.strip()
    return kept if len(kept) >= 3 else text


def near_cues(text: str, cues: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """Give the stretches of a text around the cues in it, in order and without overlap."""
    lower = text.lower()
    if len(lower) != len(text):
        # A letter whose lower case is longer: places in one are not places in the other.
        yield 0, len(text)
        return
    start = end = 0
    for place in sorted(place for cue in cues for place in places_of(cue, lower)):
        if place - REACH > end:
            if end:
                yield start, end
            start = place - REACH
        end = min(len(text), place + REACH)
    if end:
        yield start, end


def places_of(cue: str, text: str) -> Iterator[int]:
    """Find every place of a cue."""
    place = text.find(cue)
    while place >= 0:
        yield place
        place = text.find(cue, place + 1)


def without_phrases(phrases: re.Pattern[str], text: str, cues: tuple[str, ...]) -> str:
    """Put a blank in the place of each phrase, looking near its cues only."""
    kept, position = list[str](), 0
    for start, end in near_cues(text, cues):
        for match in phrases.finditer(text, max(start, position), end):
            kept += (text[position : match.start()], " ")
            position = match.end()
    return "".join((*kept, text[position:]))


def without_model_talk(text: str) -> str:
    """Drop the sentences that ask for a model by its size."""
    kept, position = list[str](), 0
    for match in chain.from_iterable(SIZED_MODEL.finditer(text, *near) for near in near_cues(text, MODEL_CUES)):
        if match.start() < position:
            continue
        start, end = sentence_around(text, match.start(), match.end())
        start = max(start, position)
        if CHOOSING.search(text, start, end):
            kept.append(text[position:start])
            position = end
    kept.append(text[position:])
    return "".join(kept)


def sentence_around(text: str, start: int, end: int) -> tuple[int, int]:
    """Give the bounds of the sentence that holds a stretch of text, a bounded way to either side."""
    low = max(0, start - LONGEST_SENTENCE)
    first = max(text.rfind(mark, low, start) + 1 for mark in ".!?\n。！？;:")
    high = min(len(text), end + LONGEST_SENTENCE)
    stops = [place + 1 for mark in ".!?\n。！？;" if (place := text.find(mark, end, high)) >= 0]
    return max(first, low), min(stops, default=high)

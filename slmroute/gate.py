"""The stream gate: decides when the tokens of a stream may be shown, and when to break it off."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from slmroute.confidence import Calibrator, GeometricMean, judged_by
from slmroute.policy import Confidence
from slmroute.request import RouteRequest
from slmroute.steps import Answer, Call, Usage
from slmroute.validate import fault_of

__all__ = ["Chunk", "Gate", "Growth", "Verdict"]

Verdict = Literal["hold", "commit", "abort"]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a streamed answer.

    Attributes:
        native: The adapter's own chunk.
        text: The text in it.
        logprobs: The log-probabilities of its tokens, as far as the provider gives them.
        tool_call: Whether it holds a tool call or a part of one.
        unseen: What was generated beside the text, such as a tool call's arguments and thoughts, for its tokens.
        usage: What the provider tells of its tokens in it; some tell the prompt's at once, most in the last chunk.
        so_far: Whether that is what the stream has taken so far; else what several chunks tell adds up.
        finished: Whether the provider says in it that the answer has ended. What is told then or later is the whole.
        margins: How far each of its tokens was ahead of the likeliest other one, where that is known.
    """

    native: object = field(repr=False)
    text: str = field(default="", repr=False)
    logprobs: tuple[float, ...] = field(default=(), repr=False)
    tool_call: bool = False
    unseen: str = field(default="", repr=False)
    usage: Usage | None = None
    so_far: bool = False
    finished: bool = False
    margins: tuple[float, ...] = field(default=(), repr=False)


class Growth:
    """Tells what is new of a text that is given again and again, each time as far as it has come."""

    __slots__ = ("_length",)

    def __init__(self) -> None:
        self._length = 0

    def of(self, text: str) -> str:
        """Give what is beyond the longest text so far, for its tokens: what was written before may read otherwise."""
        new, self._length = text[self._length :], max(self._length, len(text))
        return new


class Gate:
    """Sees the chunks of one stream in order, until it commits or aborts. Pure: the same chunks, the same verdicts.

    Nothing is held where nothing could be done about it (the last tier), nor where only the wording could be doubted
    and there is no escalation: those streams are committed at their first visible text. Tool calls, structured answers
    and answers that must hold a tool call are held whole, so that they can be validated before anyone sees them. Where
    the escalation asks for whole answers nothing is committed, and hopeless ones are aborted where it says so.

    Args:
        call: The call that is being streamed.
        request: What was asked.
        escalation: When weak answers escalate, or None for never.

    Attributes:
        confidence: What the first tokens were judged to be worth, or None while, or where, that is not known.
    """

    def __init__(self, call: Call, request: RouteRequest, escalation: Confidence | None) -> None:
        self.confidence: float | None = None
        self._last = call.last
        self._whole = not call.last and (call.mode == "structured" or request.forced_tool)
        self._escalation = escalation if call.hold else None
        if self._escalation is not None:
            self._whole = self._whole or self._escalation.judge is not None
        self._calibrator: Calibrator = (escalation.calibrator if escalation else None) or GeometricMean()
        self._request = request
        self._text: list[str] = []
        self._logprobs: list[float] = []
        self._margins: list[float] = []

    def feed(self, chunk: Chunk) -> Verdict:
        """Take the next chunk and say what to do with all those seen so far.

        Returns:
            ``hold`` to wait for more, ``commit`` to show everything from now on, ``abort`` to break the stream off.
        """
        if self._last:
            return "commit" if chunk.text or chunk.tool_call or chunk.unseen else "hold"
        if chunk.tool_call:
            self._whole = True
        if self._whole:
            return "hold"
        if self._escalation is None:
            return "commit" if chunk.text.strip() else "hold"
        self._text.append(chunk.text)
        if chunk.text or chunk.unseen:  # tokens that come with nothing may be those of a tool call that is not read yet
            self._logprobs.extend(chunk.logprobs)
            self._margins.extend(chunk.margins)
        return self._judge_beginning(self._escalation)

    def _judge_beginning(self, escalation: Confidence) -> Verdict:
        if len(self._logprobs) < escalation.first_tokens:
            return "hold"
        self.confidence = confidence = self._confidence(escalation.first_tokens)
        self._whole = True
        if confidence is None:
            return "hold"
        if confidence < escalation.abort_under:
            return "abort"
        if escalation.stream == "whole":
            return "hold"
        opening = Answer(text="".join(self._text))
        if confidence >= escalation.threshold and fault_of(opening, self._request, {"refusal"}) is None:
            return "commit"
        return "hold"

    def _confidence(self, tokens: int) -> float | None:
        margins = self._margins[:tokens] if len(self._margins) == len(self._logprobs) else None
        try:
            value = judged_by(self._calibrator, self._logprobs[:tokens], margins)
            is_probability = value is not None and 0 <= value <= 1
        except Exception:  # noqa: BLE001  the whole answer is judged by it once more, and that is recorded
            return None
        return value if is_probability else None

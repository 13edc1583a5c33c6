"""What a router may know of one call, in terms that belong to no framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from slmroute.errors import ConfigError

__all__ = ["RouteRequest", "ToolSpec", "checked_request", "estimate_tokens", "is_follow_up", "judged_text"]

CHARACTERS_PER_TOKEN = 4
"""English prose under the usual byte-pair vocabularies; other scripts take more tokens a character."""

SHORT_FOLLOW_UP = 80
EARLIER_CHARACTERS = 1000

_NOTHING: frozenset[str] = frozenset()

ASKED_OF_MATERIAL = "Text: It is given with the question, as it was found.\n\nQ: "
"""What is written before a question that is asked of material, whatever that is."""

_ABILITY_OF = {"audio": "audio", "file": "files", "image": "images", "video": "video"}

WIDE_FROM = 0x2E80
"""From the CJK radicals on, one character is about one token."""


def estimate_tokens(text: str) -> int:
    """Estimate how many tokens a text takes, without any model's vocabulary.

    Args:
        text: Any text; only its first 20,000 characters are looked at, the rest is extrapolated.

    Returns:
        About one token for four characters of an alphabet, one for each character of CJK scripts.
    """
    if not text:
        return 0
    if text.isascii():
        return max(1, len(text) // CHARACTERS_PER_TOKEN)
    sample = text[:20_000]
    wide = sum(ord(character) >= WIDE_FROM for character in sample)
    tokens = wide + (len(sample) - wide) / CHARACTERS_PER_TOKEN
    return max(1, round(tokens * len(text) / len(sample)))


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool that the model may call.

    Attributes:
        name: The tool's name, as the model must write it.
        parameters: The JSON schema of its arguments, or None when any will do.
    """

    name: str
    parameters: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRequest:
    """One call as the rules, the classifier and the flow see it.

    Attributes:
        text: The text to judge: the last user turn, with a bounded look at earlier ones. Never in the repr.
        turns: How many user turns the conversation has, this one included.
        tools: The tools the answer may call.
        forced_tool: Whether the answer must call a tool; the name of the one it must call, where it is named.
        schema: The JSON schema the answer must follow, or None.
        modalities: What the messages hold beside text, of ``image``, ``audio``, ``video`` and ``file``.
        tokens: An estimate of the prompt's length in tokens, all messages and tool definitions counted.
        tier: The tier that the caller asked for by name, or None.
        pin: The tier that asked for the tool whose result is now the last message, or None.
        scope_tier: The tier that this call's scope has already decided on, or None.
        local_only: Whether the call must not leave the tiers declared local.
        key: Whose call it is, for budgets and reports: a user, team or tenant.
        tags: The caller's labels for reports.
        grounded: Whether the text is a question to be answered from material that is given with it, such as passages
            retrieved for it, and that is not in the text.
    """

    text: str = field(repr=False)
    turns: int = 1
    tools: tuple[ToolSpec, ...] = field(default=(), repr=False)
    forced_tool: bool | str = False
    schema: Mapping[str, object] | None = field(default=None, repr=False)
    modalities: frozenset[str] = frozenset()
    tokens: int = 0
    tier: str | None = None
    pin: str | None = None
    scope_tier: str | None = None
    local_only: bool = False
    key: str | None = None
    tags: tuple[str, ...] = ()
    grounded: bool = False

    @classmethod
    def from_text(cls, text: str) -> RouteRequest:
        """Make the request of a single user turn.

        Args:
            text: What the user wrote.

        Returns:
            A request with nothing but that text and the estimate of its tokens.
        """
        return cls(text=text, tokens=estimate_tokens(text))

    @property
    def task(self) -> str:
        """The text as ``EmbeddedClassifier`` reads it: a question that is asked of given material says so.

        To find an answer in a text is simple; by itself such a question looks like one that takes knowledge.
        """
        return f"{ASKED_OF_MATERIAL}{self.text}\nA:" if self.grounded else self.text

    @property
    def needs(self) -> frozenset[str]:
        """What a tier must be able to do for this call: names out of ``tier.ABILITIES``."""
        if not (self.tools or self.forced_tool or self.modalities) and self.schema is None:
            return _NOTHING
        needs: set[str] = set()
        if self.tools:
            needs.add("tools")
        if self.forced_tool:
            needs.add("tool_choice")
        if self.schema is not None:
            needs.add("schema")
        return frozenset(needs | {_ABILITY_OF[each] for each in self.modalities if each in _ABILITY_OF})


def checked_request(given: object, method: str) -> RouteRequest:
    """Refuse what is no request.

    Args:
        given: What was given.
        method: What it was given to, for the message.

    Raises:
        ConfigError: It is something else, such as a text; the message says how to make a request of one.
    """
    if not isinstance(given, RouteRequest):
        raise ConfigError(
            f"{method}(request) takes a RouteRequest, not {type(given).__name__}: give RouteRequest.from_text(text)."
        )
    return given


def is_follow_up(turn: str) -> bool:
    """Whether a user's turn is so short that it tells little without the one before it, if there is one."""
    return len(turn) < SHORT_FOLLOW_UP


def judged_text(turns: Sequence[str]) -> str:
    """Give the text that a call is judged by, out of the user's turns.

    Args:
        turns: The texts of the user's turns, oldest first.

    Returns:
        The last turn. A short one ("and now in French", "commit it") tells little by itself: the end of the turn before
        it goes in front.
    """
    if not turns:
        return ""
    last = turns[-1]
    if len(turns) > 1 and is_follow_up(last):
        return f"{turns[-2][-EARLIER_CHARACTERS:]}\n\n{last}"
    return last

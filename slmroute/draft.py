"""How a weak answer is shown, as context, to the tier that a call escalates to."""

from __future__ import annotations

from typing import Final

__all__ = ["with_draft"]

_NOTE: Final = (
    "{request}\n\n"
    "[A smaller model drafted the answer below. It may be wrong or incomplete. Keep what is right, correct the rest, "
    "and answer the request itself, without mentioning the draft.]\n<draft>\n{draft}\n</draft>"
)


def with_draft(request: str, draft: str) -> str:
    """Add a draft to the user's turn.

    Args:
        request: The text of the user's last turn.
        draft: The weak answer.

    Returns:
        The turn with the draft behind it. It goes into the user's turn because not every provider takes a system
        message in the middle of a conversation.
    """
    return _NOTE.format(request=request, draft=draft)

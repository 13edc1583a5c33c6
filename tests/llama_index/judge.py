"""A classifier whose word is known beforehand, for tests of what a call is judged by."""

from __future__ import annotations

from slmroute import RouteRequest

__all__ = ["Judge"]


class Judge:
    """Finds proofs hard, and remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def score(self, request: RouteRequest) -> float:
        self.seen.append(request.text)
        return float(request.text.startswith("Prove"))

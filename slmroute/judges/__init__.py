"""Judges where there are no log-probabilities: a small model's opinion, or whether it would say the same again."""

from __future__ import annotations

from slmroute.judges.agreement import Agreement
from slmroute.judges.self_check import SelfCheck

__all__ = ["Agreement", "SelfCheck"]

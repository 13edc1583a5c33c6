"""Budgets: how much may be spent, and how often a call may move up, before calls stay on local tiers or are refused."""

from __future__ import annotations

from slmroute.budget.budget import Budget
from slmroute.budget.limits import Limits

__all__ = ["Budget", "Limits"]

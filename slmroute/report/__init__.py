"""What leadership reads: what routing cost, what it saved and how sure that is.

In a notebook::

    from slmroute.report import Period, cost_by_day, frame, read_report

    report = read_report("slmroute.db", Period.read("2026-11-16", "2026-11-22"))
    frame(report, "day")       # a pandas data frame
    cost_by_day(report)        # a matplotlib figure

``slmroute report`` writes the same as text, JSON, CSV or one HTML page. Names are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slmroute.report.advice import Advice, advice_of
    from slmroute.report.charts import cost_by_day, failures, latency, money, shares
    from slmroute.report.export import frame, frames, rows, to_csv, to_json
    from slmroute.report.facts import Report, read_report
    from slmroute.report.html import html_of
    from slmroute.report.period import Period

__all__ = [
    "Advice",
    "Period",
    "Report",
    "advice_of",
    "cost_by_day",
    "failures",
    "frame",
    "frames",
    "html_of",
    "latency",
    "money",
    "read_report",
    "rows",
    "shares",
    "to_csv",
    "to_json",
]

_MODULES = {
    "advice": ("Advice", "advice_of"),
    "charts": ("cost_by_day", "failures", "latency", "money", "shares"),
    "export": ("frame", "frames", "rows", "to_csv", "to_json"),
    "facts": ("Report", "read_report"),
    "html": ("html_of",),
    "period": ("Period",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"slmroute.report.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

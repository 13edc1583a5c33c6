"""Auditing logs of past calls: what share is simple, and what routing would have saved, before anything is changed.

Nothing leaves the machine: files are read with DuckDB, prompts are judged by the classifier in process, and none of
them is shown or kept unless it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slmroute.audit.calls import Assumptions
    from slmroute.audit.result import AuditResult
    from slmroute.audit.run import audit

__all__ = ["Assumptions", "AuditResult", "audit"]


def __getattr__(name: str) -> object:
    if name == "audit":
        from slmroute.audit.run import audit

        return audit
    if name == "AuditResult":
        from slmroute.audit.result import AuditResult

        return AuditResult
    if name == "Assumptions":
        from slmroute.audit.calls import Assumptions

        return Assumptions
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

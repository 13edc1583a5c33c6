"""A callback that adds up what routed calls cost."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    BaseCallbackHandler,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.runnables.config import ensure_config

from langchain_slmroute.errors import told_as_langchains
from langchain_slmroute.relay import aside
from slmroute.classify import EmbeddedClassifier
from slmroute.costs import RouteCosts
from slmroute.engine import Engine
from slmroute.record import RouteRecord
from slmroute.run import Run

__all__ = ["RouteCostCallback", "calls_models", "counted", "tell_costs"]

_Manager = CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun


class RouteCostCallback(BaseCallbackHandler):
    """Adds up the costs of the routed calls made under a config: ``config={"callbacks": [RouteCostCallback()]}``.

    Routers recognise it among a call's handlers and hand it their records, so that drafts, the classifier, cache hits
    (charged nothing), failed and cancelled calls count, in streams too.

    Attributes:
        costs: The sums so far.

    Example:
        >>> from langchain_slmroute import RouteCostCallback
        >>> counter = RouteCostCallback()
        >>> # chain.invoke("...", config={"callbacks": [counter]})
        >>> counter.costs.calls
        0
    """

    def __init__(self) -> None:
        self.costs = RouteCosts()

    def __repr__(self) -> str:
        return f"RouteCostCallback({self.costs!r})"

    def add(self, record: RouteRecord) -> None:
        """Add a call.

        Args:
            record: The call's record.
        """
        self.costs.add(record)


def tell_costs(handlers: Sequence[BaseCallbackHandler], record: RouteRecord | None) -> None:
    """Hand a call's record to those of its handlers that add up costs."""
    if record is not None:
        for handler in handlers:
            if isinstance(handler, RouteCostCallback):
                handler.add(record)


@contextmanager
def counted(run: Run, manager: _Manager | None) -> Generator[None]:
    """Do for a call that is a model's only run what is done for all: tell its costs, ask aside, raise errors.

    Args:
        run: The call.
        manager: The manager of the router's own run, where there is one.
    """
    if calls_models(run.engine):
        run.aside = partial(aside, ensure_config(), partial(_child, manager))
    try:
        with told_as_langchains():
            yield
    finally:
        tell_costs([] if manager is None else manager.handlers, run.record)


def calls_models(engine: Engine) -> bool:
    """Whether a classifier or a judge is asked that may call models of LangChain's."""
    in_process = engine.classifier is None or isinstance(engine.classifier, EmbeddedClassifier)
    return not in_process or engine.policy.judge is not None


def _child(manager: _Manager | None) -> CallbackManager | AsyncCallbackManager:
    if manager is None:
        return CallbackManager.configure(ensure_config().get("callbacks"))
    kind = AsyncCallbackManager if isinstance(manager, AsyncCallbackManagerForLLMRun) else CallbackManager
    handlers = manager.handlers
    child = kind(handlers=list(handlers), inheritable_handlers=list(handlers), parent_run_id=manager.run_id)
    child.add_tags(manager.inheritable_tags)
    child.add_metadata(manager.inheritable_metadata)
    return child

"""What holds around calls: whose they are, how reports label them, and which of them share one decision."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from slmroute.errors import ConfigError

__all__ = ["Held", "RouteContext", "current_context", "in_context", "route_context"]

ValueT = TypeVar("ValueT")


class Held(Generic[ValueT]):
    """Has a context variable hold a value inside, and what it held before afterwards.

    Args:
        variable: The variable.
        value: The value.
    """

    __slots__ = ("_token", "_value", "_variable")

    _token: Token[ValueT]

    def __init__(self, variable: ContextVar[ValueT], value: ValueT) -> None:
        self._variable = variable
        self._value = value

    def __enter__(self) -> None:
        self._token = self._variable.set(self._value)

    def __exit__(self, *error: object) -> None:
        self._variable.reset(self._token)


@dataclass(frozen=True, slots=True)
class RouteContext:
    """What ``route_context`` set.

    Attributes:
        key: Whose calls these are.
        tags: Labels for reports.
        scope: The name of the scope whose calls share one decision, or None.
        decided: The tier that each router has decided on within the scope.
        scoring: What the classifier says of the call that is deciding just now, for those begun at the same time.
    """

    key: str | None = None
    tags: tuple[str, ...] = ()
    scope: str | None = None
    decided: dict[int, str] = field(default_factory=dict[int, str], compare=False, repr=False)
    scoring: dict[int, Any] = field(default_factory=dict[int, Any], compare=False, repr=False)

    def decide(self, router: int, tier: str, begun_with: str | None, order: Sequence[str]) -> None:
        """Note the tier that a call of the scope came to.

        Args:
            router: The number of the router's engine.
            tier: The name of the tier.
            begun_with: What was decided when the call began; where others have moved it since, the higher tier holds.
            order: The names of the router's tiers, cheapest first.
        """
        before = self.decided.get(router)
        if before in (None, begun_with) or order.index(before) < order.index(tier):
            self.decided[router] = tier


_NOTHING = RouteContext()
_current: ContextVar[RouteContext] = ContextVar("slmroute_context", default=_NOTHING)


def current_context() -> RouteContext:
    """Give what the innermost ``route_context`` set, with what it took over from those around it."""
    return _current.get()


def in_context(context: RouteContext) -> Held[RouteContext]:
    """Have what held elsewhere hold inside: frameworks make calls later than they were asked for."""
    return Held(_current, context)


@contextmanager
def route_context(
    *, key: str | None = None, tags: Iterable[str] = (), scope: str | None = None
) -> Generator[RouteContext]:
    """Label the calls made inside, and have them share one decision.

    Contexts nest: an inner one takes over the key and the scope of the outer one unless it sets its own, and adds to
    its tags. They follow the calls into tasks and, where the context is copied, into threads.

    Args:
        key: Whose calls these are: a user, a team, a tenant. Budgets and reports go by it.
        tags: Labels for reports.
        scope: A name. The first call inside decides on a tier, and the others stay there unless one escalates.

    Raises:
        ConfigError: ``key`` or ``scope`` is no string, or ``tags`` is no list of strings.
    """
    if isinstance(tags, str):
        raise ConfigError(f"route_context(tags={tags!r}) must be a list of labels: tags=[{tags!r}].")
    tags = tuple(tags)
    given = {name: value for name, value in (("key", key), ("scope", scope)) if value is not None}
    for name, value in (*given.items(), *(("tags", tag) for tag in tags)):
        if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"route_context({name}=...): {value!r} must be a string, for example {str(value)!r}.")
    outer = _current.get()
    inner = RouteContext(
        key=outer.key if key is None else key,
        tags=(*outer.tags, *(tag for tag in tags if tag not in outer.tags)),
        scope=outer.scope if scope is None else scope,
        decided=outer.decided if scope is None else {},
        scoring=outer.scoring if scope is None else {},
    )
    with in_context(inner):
        yield inner

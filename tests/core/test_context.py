"""What holds around calls."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from slmroute.context import RouteContext, current_context, route_context
from slmroute.errors import ConfigError


def test_there_is_nothing_outside() -> None:
    assert current_context() == RouteContext()


def test_it_holds_inside_and_no_longer() -> None:
    with route_context(key="team-a", tags=["billing"], scope="query") as inside:
        assert current_context() is inside
        assert (inside.key, inside.tags, inside.scope) == ("team-a", ("billing",), "query")
    assert current_context() == RouteContext()


def test_it_ends_with_an_error_too() -> None:
    with pytest.raises(ValueError, match="mine"), route_context(key="team-a"):
        raise ValueError("mine")
    assert current_context().key is None


def test_inner_ones_take_over_and_add() -> None:
    with route_context(key="team-a", tags=["x", "y"], scope="outer") as outer:
        with route_context(tags=["y", "z"]) as inner:
            assert (inner.key, inner.tags, inner.scope) == ("team-a", ("x", "y", "z"), "outer")
            assert inner.decided is outer.decided
        with route_context(key="team-b", scope="inner") as other:
            assert (other.key, other.scope) == ("team-b", "inner")
            assert other.decided is not outer.decided


def test_a_scope_entered_again_decides_anew() -> None:
    with route_context(scope="query") as first:
        first.decided[1] = "small"
    with route_context(scope="query") as second:
        assert second.decided == {}


@pytest.mark.parametrize("given", [{"key": 42}, {"scope": 7}, {"tags": ["a", 5]}, {"tags": [None]}])
def test_what_no_ledger_could_keep_is_refused(given: Any) -> None:
    (name,) = given
    with pytest.raises(ConfigError, match=rf"route_context\({name}=...\): .* must be a string"), route_context(**given):
        pass


def test_tags_are_a_list() -> None:
    with pytest.raises(ConfigError, match=r"tags=\['billing'\]"), route_context(tags="billing"):
        pass


async def test_tasks_have_their_own() -> None:
    async def label(key: str) -> str | None:
        with route_context(key=key):
            await asyncio.sleep(0)
            return current_context().key

    with route_context(key="outer"):
        assert await asyncio.gather(label("a"), label("b")) == ["a", "b"]
        assert await asyncio.create_task(asyncio.to_thread(lambda: current_context().key)) == "outer"


def test_threads_have_it_where_the_context_is_carried_along() -> None:
    seen: list[str | None] = []
    with route_context(key="team-a"):
        context = contextvars.copy_context()
        for target in (lambda: seen.append(current_context().key), lambda: context.run(seen_in, seen)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert seen == [None, "team-a"]


def seen_in(seen: list[str | None]) -> None:
    seen.append(current_context().key)


def test_the_higher_tier_holds_where_another_call_of_the_scope_has_moved_it_meanwhile() -> None:
    order = ("small", "mid", "frontier")
    with route_context(scope="query") as context:
        for tier, begun_with, decided in (
            ("mid", None, "mid"),
            ("small", None, "mid"),  # it began before the first one was over
            ("frontier", "mid", "frontier"),
            ("mid", "mid", "frontier"),
            ("small", "frontier", "small"),  # nobody has moved it since: so that tier could not answer
        ):
            context.decide(1, tier, begun_with, order)
            assert context.decided == {1: decided}

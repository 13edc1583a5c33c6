"""What is kept per event loop is the loop's own, is made once, and goes with it."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

from slmroute.per_loop import PerLoop


class Client:
    """Something that can be watched."""

    def __init__(self, name: str) -> None:
        self.name = name


async def ask(kept: PerLoop[Client]) -> list[Client]:
    await asyncio.sleep(0)
    return [kept["a"], kept["a"], kept["b"]]


def test_each_loop_has_its_own_and_keeps_it() -> None:
    kept = PerLoop(Client)
    outside = kept["a"]
    first, second = asyncio.run(ask(kept)), asyncio.run(ask(kept))
    assert first[0] is first[1]
    assert [client.name for client in first] == ["a", "a", "b"]
    assert len({id(client) for client in (outside, *first, *second)}) == 5
    assert kept["a"] is outside


def test_what_closed_loops_had_is_let_go() -> None:
    kept = PerLoop(Client)
    first = weakref.ref(asyncio.run(ask(kept))[0])
    asyncio.run(ask(kept))
    for thread in threading.enumerate():
        if thread.name == "slmroute-let-go":
            thread.join()
    gc.collect()
    assert first() is None
    assert len(kept.everywhere("a")) == 1


def test_what_closed_loops_had_goes_where_no_loop_is() -> None:
    seen: list[bool] = []

    class Leaving(Client):
        def __del__(self) -> None:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                seen.append(False)
            else:
                seen.append(True)

    async def enter() -> None:
        kept["a"]
        for thread in threading.enumerate():
            if thread.name == "slmroute-let-go":
                await asyncio.to_thread(thread.join)

    kept = PerLoop(Leaving)
    asyncio.run(enter())
    asyncio.run(enter())
    assert seen == [False]


def test_threads_that_ask_at_once_get_one_and_the_same() -> None:
    barrier, found = threading.Barrier(8), list[Client]()

    def slow(name: str) -> Client:
        threading.Event().wait(0.01)
        return Client(name)

    kept = PerLoop(slow)

    def work() -> None:
        barrier.wait()
        found.append(kept["a"])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1

"""Calls guarded by `with`, `async with` and the decorator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from shm import (
    Breaker,
    BreakerOpenError,
    BreakerSettings,
    BreakersSpec,
    Guard,
    Layout,
    Rejection,
    Segment,
    State,
    guarded,
)


@pytest.fixture
def breaker(name: str) -> Iterator[Breaker]:
    with Segment.create(name, Layout(BreakersSpec("breakers", ("venue",)))) as segment:
        one = segment.breakers("breakers").breaker("venue")
        one.configure(BreakerSettings(consecutive=2))
        one.initialise()
        yield one


def refuse() -> None:
    raise ConnectionRefusedError("no")


def test_a_block_that_ends_is_a_success(breaker: Breaker) -> None:
    with Guard(breaker):
        pass
    assert breaker.totals()["succeeded"] == 1
    assert breaker.counts().calls == 1


def test_a_block_that_is_left_by_an_exception_is_a_failure(breaker: Breaker) -> None:
    with pytest.raises(ConnectionRefusedError), Guard(breaker):
        refuse()
    assert breaker.totals()["failed"] == 1


def test_an_open_breaker_keeps_the_block_from_running(breaker: Breaker) -> None:
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError), Guard(breaker):
            refuse()
    assert breaker.state == State.OPEN
    closed = "'venue' admitted no call: OPEN"
    with pytest.raises(BreakerOpenError, match=closed) as caught, Guard(breaker):
        pytest.fail("the block was run")
    assert caught.value.rejection == Rejection.OPEN
    assert caught.value.breaker == "venue"


def test_guards_nest(breaker: Breaker) -> None:
    with pytest.raises(ConnectionRefusedError), Guard(breaker):
        with Guard(breaker):
            pass
        refuse()
    totals = breaker.totals()
    assert (totals["admitted"], totals["succeeded"], totals["failed"]) == (2, 1, 1)


def test_a_decorated_function_is_guarded_and_keeps_its_name(breaker: Breaker) -> None:
    @guarded(breaker)
    def place(quantity: int, *, limit: int) -> int:
        """Place it."""
        if quantity == 0:
            raise ValueError("quantity")
        return quantity * limit

    assert place(2, limit=3) == 6
    with pytest.raises(ValueError, match="quantity"):
        place(0, limit=1)
    assert place.__name__ == "place"
    assert place.__doc__ == "Place it."
    totals = breaker.totals()
    assert (totals["succeeded"], totals["failed"]) == (1, 1)


def test_a_decorated_coroutine_is_guarded_while_it_runs(breaker: Breaker) -> None:
    @guarded(breaker)
    async def place(quantity: int) -> int:
        await asyncio.sleep(0)
        # Asked for before it began, and not given back before it has ended.
        totals = breaker.totals()
        assert totals["admitted"] == totals["succeeded"] + totals["failed"] + 1
        if quantity == 0:
            raise ValueError("quantity")
        return quantity

    assert asyncio.run(place(2)) == 2
    with pytest.raises(ValueError, match="quantity"):
        asyncio.run(place(0))
    totals = breaker.totals()
    assert (totals["succeeded"], totals["failed"]) == (1, 1)


def test_a_cancelled_call_is_a_failure(breaker: Breaker) -> None:
    async def cancelled() -> None:
        begun = asyncio.Event()

        async def call() -> None:
            async with Guard(breaker):
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(call())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert breaker.totals()["failed"] == 1


def test_generators_are_refused(breaker: Breaker) -> None:
    async def prices() -> AsyncIterator[int]:
        yield 1

    def quantities() -> Iterator[int]:
        yield 1

    for generator in (prices, quantities):
        with pytest.raises(TypeError, match="is a generator"):
            guarded(breaker)(generator)

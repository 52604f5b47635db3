"""Calls that are begun outside of a task, or without its timer."""

from __future__ import annotations

import asyncio

import pytest

from abbotik_gateway.begun import begin


async def test_a_call_that_never_waits_is_done() -> None:
    """It ran to its end at once."""
    done = list[int]()

    async def call() -> None:
        done.append(1)

    assert begin(call()) is None
    assert done == [1]


async def test_the_rest_of_a_call_goes_on_where_it_waited() -> None:
    """Each wait is one of the task that awaits the rest."""
    first, second = asyncio.Event(), asyncio.Event()
    passed = list[str]()

    async def call() -> None:
        await first.wait()
        passed.append("first")
        await second.wait()
        passed.append("second")

    rest = begin(call())
    assert rest is not None
    first.set()
    asyncio.get_running_loop().call_later(0.01, second.set)
    await rest
    assert passed == ["first", "second"]


async def test_an_error_before_the_first_wait_is_raised_at_once() -> None:
    """As by a plain call."""

    async def call() -> None:
        raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        begin(call())


@pytest.mark.parametrize("waits", [1, 2])
async def test_the_call_hears_of_a_cancellation(waits: int) -> None:
    """A time limit inside of the call holds, also for what it waited for when it was begun."""
    after = list[str]()

    async def call() -> None:
        for _ in range(waits):
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.Event().wait()
            except TimeoutError:
                after.append("timeout")

    rest = begin(call())
    assert rest is not None
    await rest
    assert after == ["timeout"] * waits

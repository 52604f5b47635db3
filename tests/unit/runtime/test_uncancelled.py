"""Calls that go on although their caller has given them up."""

from __future__ import annotations

import asyncio
import gc

import pytest

from abbotik_runtime.uncancelled import begun


async def test_a_call_that_was_given_up_goes_on() -> None:
    """Who waits behind a shield may be cancelled; the call is kept alive and ends by itself."""
    answered, heard = asyncio.Event(), asyncio.Event()

    async def call() -> None:
        await answered.wait()
        heard.set()

    async def caller() -> None:
        await asyncio.shield(begun(call()))

    waiting = asyncio.create_task(caller())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gc.collect()
    answered.set()
    await asyncio.wait_for(heard.wait(), 5)


async def test_who_waits_is_told_of_an_error() -> None:
    """The error of a call comes to whoever waits for it."""

    async def call() -> None:
        raise OSError("away")

    with pytest.raises(OSError, match="away"):
        await begun(call())

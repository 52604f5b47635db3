"""Waiting for a condition with a deadline, where there is no event to wait for."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from functools import partial
from typing import Any

POLL_S = 0.01


async def eventually(condition: Callable[[], Any], within_s: float = 10.0) -> Any:
    """Return a function's or coroutine function's first true value; AssertionError if too late."""
    until = time.monotonic() + within_s
    while True:
        found = condition()
        value = await found if inspect.isawaitable(found) else found
        if value:
            return value
        assert time.monotonic() < until, f"not within {within_s} s: {_source(condition)}"
        await asyncio.sleep(POLL_S)


def eventually_sync(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    """Return once the condition holds; AssertionError if too late."""
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, f"not within {within_s} s: {_source(condition)}"
        time.sleep(POLL_S)


def _source(condition: Callable[[], Any]) -> str:
    return inspect.getsource(condition.func if isinstance(condition, partial) else condition)

"""Calls that their caller may give up, and that nobody cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# The loop itself only knows tasks weakly.
_running: set[asyncio.Task[Any]] = set()


def begun(call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Begin a call of the driver that ends by the driver's own limits, whoever gives it up.

    While PyMongo looks for a server, a cancellation may get lost in `asyncio.wait_for`, or leave
    the lock of its topology taken for ever (Python 3.11): no call gets through then any more. Wait
    for the task with `asyncio.wait` or behind `asyncio.shield`.
    """
    task = asyncio.create_task(call)
    _running.add(task)
    task.add_done_callback(_ended)
    return task


def uncancelled(call: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Have each call of a method go on when its caller is cancelled, as `begun` says.

    For whatever a client that leaves, a limit of time or a stop may give up.
    """

    @wraps(call)
    async def shielded(*args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.shield(begun(call(*args, **kwargs)))

    return shielded


def _ended(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled():
        # Whoever still waits is told; of what was given up nobody asks.
        task.exception()

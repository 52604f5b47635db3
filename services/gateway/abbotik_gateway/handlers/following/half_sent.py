"""Sending from outside of the request's task."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any


class HalfSent:
    """The rest of a call that was begun outside of a task and had to wait; await it in one."""

    def __init__(self, waits_for: object, steps: Generator[Any, None, object]) -> None:
        self._waits_for = waits_for
        self._steps = steps

    def __await__(self) -> Generator[object, None, None]:
        yield self._waits_for
        yield from self._steps


def begin(call: Awaitable[object]) -> HalfSent | None:
    """Run a call up to where it waits; None where it never does, as it is done then.

    This is what an eager task of Python 3.12 does. Waking a task per follower and event costs as
    much as the send itself (floor S of the bench).
    """
    steps = call.__await__()
    try:
        waits_for = next(steps)
    except StopIteration:
        return None
    return HalfSent(waits_for, steps)

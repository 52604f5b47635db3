"""Beginning a call before it is known whether it has to wait."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any


class Begun(Generator[Any, Any, object]):
    """The rest of a call that had to wait; await it in a task, whose cancellation it hears."""

    def __init__(self, waits_for: object, steps: Generator[Any, Any, object]) -> None:
        self._waits_for = [waits_for]
        self._steps = steps

    def __await__(self) -> Generator[Any, Any, object]:
        return self

    def send(self, value: object) -> object:
        """Say first what the call waits for, then go on with it."""
        return self._waits_for.pop() if self._waits_for else self._steps.send(value)

    def throw(self, *error: Any) -> object:  # noqa: ANN401  as generators have it
        """Raise the error where the call waits."""
        return self._steps.throw(*error)


def begin(call: Awaitable[object]) -> Begun | None:
    """Run a call up to where it waits; None where it never does, as it is done then.

    This is what an eager task of Python 3.12 does. A timer for each body would cost as much as its
    JSON.
    """
    steps = call.__await__()
    try:
        waits_for = next(steps)
    except StopIteration:
        return None
    return Begun(waits_for, steps)

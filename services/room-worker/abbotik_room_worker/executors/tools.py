"""The built-in tools."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from abbotik_contracts.providers import TOOLS
from abbotik_contracts.room_log import Record
from abbotik_room_worker.executors.script import MAX_WAIT_MS
from abbotik_room_worker.ports import Tool, TurnFailedError

_IDEMPOTENT = {tool.id: tool.idempotent for tool in TOOLS}


class Echo:
    """Returns its arguments."""

    idempotent = _IDEMPOTENT["echo"]

    async def __call__(self, arguments: Record) -> Record:
        """Return the arguments as they are."""
        return arguments


class Fails:
    """Ends with an error."""

    idempotent = _IDEMPOTENT["fail"]

    async def __call__(self, arguments: Record) -> Record:
        """Raise TOOL_FAILED with the argument `message`."""
        raise TurnFailedError("TOOL_FAILED", str(arguments.get("message", "it was asked to fail")))


class Wait:
    """Takes a while."""

    idempotent = _IDEMPOTENT["wait"]

    async def __call__(self, arguments: Record) -> Record:
        """Wait for the argument `ms`, a whole number of milliseconds, and return the arguments."""
        ms = arguments.get("ms")
        if not isinstance(ms, int) or not 0 <= ms <= MAX_WAIT_MS:
            raise TurnFailedError("TOOL_FAILED", f"`ms` is no whole number from 0 to {MAX_WAIT_MS}")
        await asyncio.sleep(ms / 1000)
        return arguments


def built_in() -> Mapping[str, Tool]:
    """Return the tools by the names that discovery shows."""
    return {"echo": Echo(), "fail": Fails(), "wait": Wait()}

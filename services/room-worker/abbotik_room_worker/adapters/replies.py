"""Outcomes on their way to whoever waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import orjson
import structlog

from abbotik_contracts.room_log import Record
from abbotik_runtime.bus import Bus, BusUnavailable

log = structlog.get_logger(__name__)

# The bus takes 1 MiB; an outcome that is larger than this goes alone.
_MAX_BYTES = 256 * 1024


class NatsReplies:
    """Tells outcomes; those that are known together and go to one inbox share a message.

    Commands that were committed together are: each message costs its sender, NATS and the gateway
    more than what it says.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._lines: dict[str, list[bytes]] = {}

    async def tell(self, inbox: str, command_id: str, outcome: Record) -> None:
        """Send the outcome, a line that names its command."""
        line = orjson.dumps({"command": command_id, **outcome})
        others = self._lines.get(inbox)
        if others is not None:
            others.append(line)
            return
        lines = self._lines[inbox] = [line]
        try:
            # The others come here in this round of the loop.
            await asyncio.sleep(0)
        finally:
            del self._lines[inbox]
            await self._send(inbox, lines)

    async def _send(self, inbox: str, lines: Sequence[bytes]) -> None:
        for message in _messages(lines):
            try:
                await self._bus.publish(inbox, message)
            except BusUnavailable:
                # The gateway answers 503; the outcome is in the log under the command's id.
                return
            except Exception:
                # The others of this moment are not this task's alone.
                log.exception("outcome.untold", inbox=inbox, bytes=len(message))


def _messages(lines: Sequence[bytes]) -> Iterator[bytes]:
    together, size = list[bytes](), 0
    for line in lines:
        if together and size + len(line) > _MAX_BYTES:
            yield b"\n".join(together)
            together, size = [], 0
        together.append(line)
        size += len(line) + 1
    yield b"\n".join(together)

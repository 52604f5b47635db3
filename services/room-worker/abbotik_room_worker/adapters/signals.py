"""What leaves on NATS: events, deltas, triggers, nudges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from abbotik_contracts import subjects
from abbotik_contracts.room_log import Record
from abbotik_kernel.clock import rfc3339
from abbotik_room_worker.ports import RoomKey, UnavailableError
from abbotik_runtime.bus import Bus, BusUnavailable, SubjectFull
from abbotik_runtime.ids import uuid7

# The bus counts nanoseconds in 64 bits: what is due later (2262) would be due at once.
_LATEST_MS = 2**63 // 1_000_000


class NatsSignals:
    """Followers fill what is lost here from the log, so only triggers are confirmed."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    @property
    def connected(self) -> bool:
        """Say whether the bus is there."""
        return self._bus.connected

    async def events(self, key: RoomKey, lines: Sequence[bytes]) -> None:
        """Publish the events of one commit, a line each."""
        await self._tell(subjects.room_events(*key), b"\n".join(lines))

    async def delta(self, key: RoomKey, frame: Record) -> None:
        """Publish a piece of an answer."""
        await self._tell(subjects.room_live(*key), orjson.dumps(frame))

    async def want_turn(self, key: RoomKey) -> None:
        """Store the trigger of a room; one that waits already is enough."""
        try:
            await self._bus.publish_stored(subjects.turn(*key), b"", message_id=uuid7())
        except SubjectFull:
            return
        except BusUnavailable as error:
            raise UnavailableError(f"NATS: {error}") from error

    async def remind(self, key: RoomKey, at: int) -> None:
        """Leave a reminder at the stream; the sweep keeps an occurrence that has none."""
        if at > _LATEST_MS:
            return
        headers = {
            subjects.HEADER_SCHEDULE: f"@at {rfc3339(at)}",
            subjects.HEADER_SCHEDULE_TARGET: subjects.room_due(*key),
        }
        await self._tell(subjects.room_schedule(*key), b"%d" % at, headers)

    async def nudge(self, room: str) -> None:
        """Publish a nudge to the holder of a room."""
        await self._tell(subjects.room_nudge(room), b"")

    async def _tell(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        try:
            await self._bus.publish(subject, data, headers)
        except BusUnavailable:
            # Followers read the log and holders look at their rooms every second.
            return

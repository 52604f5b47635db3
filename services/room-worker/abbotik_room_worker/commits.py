"""From a sealed entry to a commit: append, publish, project, tell who runs turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, assert_never

from abbotik_contracts.room_log import LogEntry, Record
from abbotik_room_worker.domain.room import Room
from abbotik_room_worker.hot_rooms import HotRooms
from abbotik_room_worker.ports import Projections, RoomKey, RoomLog, Sessions, Signals
from abbotik_room_worker.progress import Progress
from abbotik_room_worker.sealing import Sealed
from abbotik_runtime.log_writer import Answered, Committed, EntryRefusedError, Lost


class Applied(NamedTuple):
    """A commit: the room as it is now, the entry and the configuration that holds with it.

    ``projected`` is done once it is projected.
    """

    room: Room
    entry: LogEntry
    config: Record
    projected: asyncio.Future[None]


class Commits:
    """The way into the log, for whoever holds the room's lock.

    ``noticed`` is called with the room as it is now; ``progress`` learns what is owed.
    """

    def __init__(
        self,
        room_log: RoomLog,
        rooms: HotRooms,
        projections: Projections,
        signals: Signals,
        sessions: Sessions,
        progress: Progress,
        noticed: Callable[[Room], None],
    ) -> None:
        self._log = room_log
        self._rooms = rooms
        self._projections = projections
        self._signals = signals
        self._sessions = sessions
        self._progress = progress
        self._noticed = noticed
        self._projecting: set[asyncio.Future[None]] = set()

    async def append(self, sealed: Sealed) -> Applied | Answered | None:
        """Append, publish, project. None means: the race was lost. Raises UnavailableError."""
        after = sealed.room
        key = (after.tenant, after.id)
        counter = sealed.entry["counter"]
        self._progress.opened(counter)
        lapses = self._sessions.lapses
        try:
            appended = await self._log.append(sealed.entry)
        except EntryRefusedError:
            self._progress.settled(counter)
            self._rooms.drop(key)
            raise
        except BaseException:
            self._progress.doubted(key, after.rev, counter)
            self._rooms.drop(key)
            raise
        match appended:
            case Committed():
                return await self._committed(sealed, lapses)
            case Lost():
                self._progress.settled(counter)
                return None
            case Answered():
                self._progress.settled(counter)
                return appended
            case _:
                assert_never(appended)

    def project(
        self, room: Room, at: int, counter: int | None = None, *, urgent: bool = False
    ) -> asyncio.Future[None]:
        """Owe the room's projection; ``counter`` is of the entry that is settled with it."""
        projected = self._projections.write(room, at, urgent=urgent)
        self._projecting.add(projected)
        projected.add_done_callback(
            partial(self._projected, (room.tenant, room.id), room.rev, counter)
        )
        return projected

    async def drain(self) -> None:
        """Wait until all that was committed here is projected."""
        while self._projecting:
            await asyncio.wait(self._projecting)

    async def _committed(self, sealed: Sealed, lapses: int) -> Applied:
        """Publish and project what is in the log, and tell who runs turns.

        The commit says what the room was. Where the session lapsed more often than the ``lapses``
        from before it, the room may have gone on without this worker.
        """
        after, entry = sealed.room, sealed.entry
        key = (after.tenant, after.id)
        before = self._rooms.known(key)
        self._rooms.keep(after)
        if sealed.lines:
            await self._signals.events(key, sealed.lines)
        if after.wakes and (before is None or before.wakes[:1] != after.wakes[:1]):
            await self._signals.remind(key, after.wakes[0])
        projected = self.project(after, entry["at"], entry["counter"])
        now = after
        if self._sessions.lapses != lapses:
            now = await self._rooms.read_as_of_now(key) or after
        self._noticed(now)
        return Applied(now, entry, after.config_record, projected)

    def _projected(
        self, key: RoomKey, rev: int, counter: int | None, projected: asyncio.Future[None]
    ) -> None:
        self._projecting.discard(projected)
        if projected.cancelled() or projected.exception() is not None:
            # Still owed, to whoever comes after this process, until the room has moved on.
            if counter is not None:
                self._progress.doubted(key, rev, counter)
            return
        if counter is not None:
            self._progress.settled(counter)
        self._progress.reached(key, rev)

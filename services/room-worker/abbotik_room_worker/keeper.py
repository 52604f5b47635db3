"""Rooms in this process: one lock each, the hot ones in memory, and the way to a commit."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import assert_never
from weakref import WeakValueDictionary

import structlog

from abbotik_contracts.room_commands import RentRoom, RoomCommand
from abbotik_contracts.room_log import LogEntry, Record
from abbotik_kernel.clock import Clock
from abbotik_room_worker import answers
from abbotik_room_worker.domain.decide import HolderCommand, decide, decide_held
from abbotik_room_worker.domain.draft import Draft, Nothing, Refusal
from abbotik_room_worker.domain.requests import Circumstances
from abbotik_room_worker.domain.room import Room
from abbotik_room_worker.ports import (
    Projections,
    RoomKey,
    RoomLog,
    Signals,
    UnavailableError,
)
from abbotik_room_worker.progress import Progress
from abbotik_room_worker.sealing import Sealed, seal, seal_refusal
from abbotik_runtime.log_reader import Configured
from abbotik_runtime.log_writer import Answered, Committed, EntryRefusedError, Lost

log = structlog.get_logger(__name__)

_HOT_ROOMS = 4096
_MAX_RACES = 64
# What is heard of a commit after this says nothing of the room as it is now. A session that was
# renewed a second ago lives for two more: until then nobody can have taken the room over. Seconds.
_LATE_S = 2.0


@dataclass(frozen=True, slots=True)
class Applied:
    """A commit: the room as it is now, the entry and the configuration that holds with it.

    ``projected`` is done once it is projected.
    """

    room: Room
    entry: LogEntry
    config: Record
    projected: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a caller's command: the outcome to tell, and what to wait for before ack."""

    outcome: Record
    projected: asyncio.Future[None]


class RoomKeeper:
    """Decides commands of rooms and commits what was decided.

    ``noticed`` is called after each commit, still under the room's lock, with the room as it is
    now; whoever runs turns learns from it what to start and what to stop.
    """

    def __init__(
        self, room_log: RoomLog, projections: Projections, signals: Signals, clock: Clock
    ) -> None:
        self._log = room_log
        self._projections = projections
        self._signals = signals
        self._clock = clock
        self._hot: OrderedDict[RoomKey, Room] = OrderedDict()
        self._locks: WeakValueDictionary[RoomKey, asyncio.Lock] = WeakValueDictionary()
        self._projecting: set[asyncio.Future[None]] = set()
        self.progress = Progress()
        self.noticed: Callable[[Room], None] = lambda _: None

    @property
    def session(self) -> str:
        """Return this process's session."""
        return self._log.session

    async def request(self, command: RoomCommand, around: Circumstances) -> Settled:
        """Decide a caller's command, once, however often it is delivered.

        Raises UnavailableError; the command is then delivered again and finds its outcome.
        """
        key = (command.tenant, command.room)
        async with self._lock(key):
            for _ in range(_MAX_RACES):
                settled = await self._request_once(key, command, around)
                if settled is not None:
                    return settled
                self._hot.pop(key, None)
        raise UnavailableError(f"room {command.room} changes faster than it can be decided on")

    async def held(self, key: RoomKey, command: HolderCommand) -> Applied | Nothing:
        """Decide a worker's own command. Raises UnavailableError."""
        async with self._lock(key):
            for _ in range(_MAX_RACES):
                fresh = key not in self._hot
                room = await self._room(key)
                if room is None:
                    return Nothing("there is no such room")
                decision = decide_held(room, command, self._now(room))
                match decision:
                    case Draft():
                        applied = await self._commit(decision)
                        if isinstance(applied, Applied):
                            return applied
                    case Nothing():
                        # A stale copy would lose a wake-up: only a fresh read may say no.
                        if fresh:
                            return decision
                    case Refusal():
                        return Nothing(decision.detail)
                    case _:
                        assert_never(decision)
                self._hot.pop(key, None)
        raise UnavailableError(f"room {key[1]} changes faster than it can be decided on")

    async def is_settled(self, key: RoomKey, command_id: str) -> bool:
        """Say whether the log holds a command's outcome. Raises UnavailableError."""
        return await self._log.by_key(key, command_id) is not None

    async def refresh(self, key: RoomKey) -> Room | None:
        """Read the room anew, tell who runs turns, and return when its projection is mended."""
        async with self._lock(key):
            room = await self._load(key)
            if room is None:
                return None
            self.noticed(room)
        await self._project(room, room.last_active_at, None, urgent=True)
        return room

    def known_rev(self, key: RoomKey) -> int:
        """Return the rev of the copy in memory, 0 where there is none."""
        room = self._hot.get(key)
        return 0 if room is None else room.rev

    async def drain(self) -> None:
        """Wait until all that was committed here is projected."""
        while self._projecting:
            await asyncio.wait(self._projecting)

    def _now(self, room: Room | None) -> int:
        """Return the time, in ms: for one room it never goes back, whoever tells it."""
        return max(self._clock.now_ms(), 0 if room is None else room.at)

    def _lock(self, key: RoomKey) -> asyncio.Lock:
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock

    async def _room(self, key: RoomKey) -> Room | None:
        room = self._hot.get(key)
        return await self._load(key) if room is None else room

    async def _load(self, key: RoomKey) -> Room | None:
        hot = self._hot.get(key)
        known = None if hot is None else Configured(hot.config_rev, hot.config_record)
        room = await self._log.load(key, known)
        if room is not None:
            self._keep(key, room)
        return room

    def _keep(self, key: RoomKey, room: Room) -> None:
        self._hot[key] = room
        self._hot.move_to_end(key)
        if len(self._hot) > _HOT_ROOMS:
            self._hot.popitem(last=False)

    async def _request_once(
        self, key: RoomKey, command: RoomCommand, around: Circumstances
    ) -> Settled | None:
        """Decide and commit once; None means: the race was lost, or the copy may be stale."""
        rents = isinstance(command, RentRoom)
        # A command that comes again mostly comes to a worker that does not know the room.
        asked = key not in self._hot
        if asked and (earlier := await self._earlier(key, command)) is not None:
            return earlier
        room = None if rents else await self._room(key)
        now = self._now(room)
        decision = decide(room, command, now, around)
        match decision:
            case Draft():
                return self._settled(await self._commit(decision))
            case Refusal() if room is not None and not decision.lasting:
                sealed = seal_refusal(
                    room, decision, command.id, now, self.session, self._log.next_counter()
                )
                return self._settled(await self._append(sealed))
            case Refusal() | Nothing():
                # Asked before the room was read, its answer may be too old: another worker may have
                # settled the command in between, and a third one released the room.
                if (earlier := await self._earlier(key, command)) is not None:
                    return earlier
                # What a rent decides depends on no copy that could be stale.
                return self._without_commit(decision, room) if asked or rents else None
            case _:
                assert_never(decision)

    async def _earlier(self, key: RoomKey, command: RoomCommand) -> Settled | None:
        """Return the outcome of a command that was settled before."""
        earlier = await self._log.by_key(key, command.id)
        return None if earlier is None else await self._repaired(key, earlier)

    def _without_commit(self, decision: Refusal | Nothing, room: Room | None) -> Settled | None:
        """Answer what needs no entry."""
        if isinstance(decision, Refusal):
            return Settled(answers.refused(decision), _nothing_to_project())
        if room is None:
            return None
        return Settled(answers.of_room(room), self._project(room, room.last_active_at, None))

    def _settled(self, applied: Applied | Settled | None) -> Settled | None:
        if isinstance(applied, Applied):
            return Settled(answers.of_entry(applied.entry, applied.config), applied.projected)
        return applied

    async def _commit(self, draft: Draft) -> Applied | Settled | None:
        return await self._append(seal(draft, self.session, self._log.next_counter()))

    async def _append(self, sealed: Sealed) -> Applied | Settled | None:
        """Append, publish, project. None means: the race was lost."""
        after = sealed.room
        key = (after.tenant, after.id)
        counter = sealed.entry["counter"]
        self.progress.opened(counter)
        began = monotonic()
        try:
            appended = await self._log.append(sealed.entry)
        except EntryRefusedError:
            self.progress.settled(counter)
            self._hot.pop(key, None)
            raise
        except BaseException:
            self.progress.doubted(key, after.rev, counter)
            self._hot.pop(key, None)
            raise
        match appended:
            case Committed():
                return await self._committed(sealed, late=monotonic() - began > _LATE_S)
            case Lost():
                self.progress.settled(counter)
                return None
            case Answered():
                self.progress.settled(counter)
                return await self._repaired(key, appended.entry)
            case _:
                assert_never(appended)

    async def _committed(self, sealed: Sealed, *, late: bool) -> Applied:
        """Publish and project what is in the log, and tell who runs turns."""
        after, entry = sealed.room, sealed.entry
        key = (after.tenant, after.id)
        before = self._hot.get(key)
        self._keep(key, after)
        if sealed.lines:
            await self._signals.events(key, sealed.lines)
        if after.wakes and (before is None or before.wakes[:1] != after.wakes[:1]):
            await self._signals.remind(key, after.wakes[0])
        projected = self._project(after, entry["at"], entry["counter"])
        now = (await self._load(key) or after) if late else after
        self.noticed(now)
        return Applied(now, entry, after.config_record, projected)

    async def _repaired(self, key: RoomKey, earlier: LogEntry) -> Settled | None:
        """Answer from an earlier entry, and mend what its writer may not have come to."""
        room = await self._load(key)
        if room is None:
            return None
        self.noticed(room)
        config, then = room.config_record, earlier["state"]["config_rev"]
        if "config" in earlier:
            config = earlier["config"]
        elif then != room.config_rev and answers.shows_room(earlier):
            config = await self._log.config(key, then)
        projected = self._project(room, room.last_active_at, None)
        return Settled(answers.of_entry(earlier, config), projected)

    def _project(
        self, room: Room, at: int, counter: int | None, *, urgent: bool = False
    ) -> asyncio.Future[None]:
        projected = self._projections.write(room, at, urgent=urgent)
        self._projecting.add(projected)
        projected.add_done_callback(
            partial(self._projected, (room.tenant, room.id), room.rev, counter)
        )
        return projected

    def _projected(
        self, key: RoomKey, rev: int, counter: int | None, projected: asyncio.Future[None]
    ) -> None:
        self._projecting.discard(projected)
        if projected.cancelled() or projected.exception() is not None:
            # Still owed, to whoever comes after this process, until the room has moved on.
            if counter is not None:
                self.progress.doubted(key, rev, counter)
            return
        if counter is not None:
            self.progress.settled(counter)
        self.progress.reached(key, rev)


def _nothing_to_project() -> asyncio.Future[None]:
    nothing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    nothing.set_result(None)
    return nothing

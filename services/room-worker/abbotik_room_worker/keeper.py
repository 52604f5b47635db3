"""Rooms in this process: one lock each, and each command decided on the room as it is now."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, assert_never
from weakref import WeakValueDictionary

from abbotik_contracts.room_commands import RentRoom, RoomCommand
from abbotik_contracts.room_log import LogEntry, Record
from abbotik_kernel.clock import Clock
from abbotik_room_worker import answers
from abbotik_room_worker.commits import Applied, Commits
from abbotik_room_worker.domain.decide import HolderCommand, decide, decide_held
from abbotik_room_worker.domain.draft import Draft, Nothing, Refusal
from abbotik_room_worker.domain.requests import Circumstances
from abbotik_room_worker.domain.room import Room
from abbotik_room_worker.hot_rooms import HotRooms
from abbotik_room_worker.ports import (
    Projections,
    RoomKey,
    RoomLog,
    Sessions,
    Signals,
    UnavailableError,
)
from abbotik_room_worker.progress import Progress
from abbotik_room_worker.sealing import seal, seal_refusal
from abbotik_runtime.log_writer import Answered

_MAX_RACES = 64
_LOCKS_KEPT = 4096


class Settled(NamedTuple):
    """What became of a caller's command: the outcome to tell, and what to wait for before ack."""

    outcome: Record
    projected: asyncio.Future[None]


class RoomKeeper:
    """Decides commands of rooms and commits what was decided.

    ``noticed`` is called after each commit, still under the room's lock, with the room as it is
    now; whoever runs turns learns from it what to start and what to stop.
    """

    def __init__(
        self,
        room_log: RoomLog,
        projections: Projections,
        signals: Signals,
        sessions: Sessions,
        progress: Progress,
        clock: Clock,
    ) -> None:
        self._log = room_log
        self._clock = clock
        self._rooms = HotRooms(room_log, sessions)
        self._commits = Commits(
            room_log, self._rooms, projections, signals, sessions, progress, self._notice
        )
        self._locks: WeakValueDictionary[RoomKey, asyncio.Lock] = WeakValueDictionary()
        # Between two commits nobody holds the room's lock: it would be made anew for each of them.
        self._kept_locks: deque[asyncio.Lock] = deque(maxlen=_LOCKS_KEPT)
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
                self._rooms.drop(key)
        raise UnavailableError(f"room {command.room} changes faster than it can be decided on")

    async def held(self, key: RoomKey, command: HolderCommand) -> Applied | Nothing:
        """Decide a worker's own command. Raises UnavailableError."""
        async with self._lock(key):
            for _ in range(_MAX_RACES):
                fresh = key not in self._rooms
                room = await self._rooms.find(key)
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
                self._rooms.drop(key)
        raise UnavailableError(f"room {key[1]} changes faster than it can be decided on")

    async def is_settled(self, key: RoomKey, command_id: str) -> bool:
        """Say whether the log holds a command's outcome. Raises UnavailableError."""
        return await self._log.by_key(key, command_id) is not None

    async def refresh(self, key: RoomKey) -> Room | None:
        """Read the room anew, tell who runs turns, and return when its projection is mended."""
        async with self._lock(key):
            room = await self._rooms.read_as_of_now(key)
            if room is None:
                return None
            self.noticed(room)
        await self._commits.project(room, room.last_active_at, urgent=True)
        return room

    def known_rev(self, key: RoomKey) -> int:
        """Return the rev of the copy in memory, 0 where there is none."""
        room = self._rooms.known(key)
        return 0 if room is None else room.rev

    async def drain(self) -> None:
        """Wait until all that was committed here is projected."""
        await self._commits.drain()

    def _notice(self, room: Room) -> None:
        self.noticed(room)

    def _now(self, room: Room | None) -> int:
        """Return the time, in ms: for one room it never goes back, whoever tells it."""
        return max(self._clock.now_ms(), 0 if room is None else room.at)

    def _lock(self, key: RoomKey) -> asyncio.Lock:
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
            self._kept_locks.append(lock)
        return lock

    async def _request_once(
        self, key: RoomKey, command: RoomCommand, around: Circumstances
    ) -> Settled | None:
        """Decide and commit once; None means: the race was lost, or the copy may be stale."""
        rents = isinstance(command, RentRoom)
        # A command that comes again mostly comes to a worker that does not know the room.
        asked = key not in self._rooms
        if asked and (earlier := await self._earlier(key, command)) is not None:
            return earlier
        room = None if rents else await self._rooms.find(key)
        now = self._now(room)
        decision = decide(room, command, now, around)
        match decision:
            case Draft():
                return await self._settled(key, await self._commit(decision))
            case Refusal() if room is not None and not decision.lasting:
                sealed = seal_refusal(
                    room, decision, command.id, now, self.session, self._log.next_counter()
                )
                return await self._settled(key, await self._commits.append(sealed))
            case Refusal() | Nothing():
                # Asked before the room was read, its answer may be too old: another worker may have
                # settled the command in between, and a third one released the room.
                if (earlier := await self._earlier(key, command)) is not None:
                    return earlier
                # What a rent decides depends on no copy that could be stale.
                return self._without_commit(decision, room) if asked or rents else None
            case _:
                assert_never(decision)

    async def _commit(self, draft: Draft) -> Applied | Answered | None:
        return await self._commits.append(seal(draft, self.session, self._log.next_counter()))

    async def _settled(self, key: RoomKey, appended: Applied | Answered | None) -> Settled | None:
        match appended:
            case Applied():
                outcome = answers.of_entry(appended.entry, appended.config)
                return Settled(outcome, appended.projected)
            case Answered():
                return await self._repaired(key, appended.entry)
            case None:
                return None
            case _:
                assert_never(appended)

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
        projected = self._commits.project(room, room.last_active_at)
        return Settled(answers.of_room(room), projected)

    async def _repaired(self, key: RoomKey, earlier: LogEntry) -> Settled | None:
        """Answer from an earlier entry, and mend what its writer may not have come to."""
        room = await self._rooms.read_as_of_now(key)
        if room is None:
            return None
        self.noticed(room)
        config, then = room.config_record, earlier["state"]["config_rev"]
        if "config" in earlier:
            config = earlier["config"]
        elif then != room.config_rev and answers.shows_room(earlier):
            config = await self._log.config(key, then)
        projected = self._commits.project(room, room.last_active_at)
        return Settled(answers.of_entry(earlier, config), projected)


def _nothing_to_project() -> asyncio.Future[None]:
    nothing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    nothing.set_result(None)
    return nothing

"""The worker's ports over one store and one bus in memory, each call through the network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import TypeVar

from abbotik_contracts.room_log import LogEntry, Record
from abbotik_kernel.clock import Clock
from abbotik_room_worker.domain.room import Room
from abbotik_room_worker.ports import DeadSession, RoomKey, UnavailableError, Written
from abbotik_room_worker.progress import Progress
from abbotik_runtime.log_reader import Configured
from abbotik_runtime.log_writer import Appended
from tests.fakes.room_worker.projections import FakeProjections
from tests.fakes.room_worker.room_log import FakeRoomLog
from tests.fakes.room_worker.sessions import EXPIRY_MS
from tests.fakes.room_worker.store import MemoryStore, StoredSession
from tests.fakes.room_worker.sweeps import FakeSweeps
from tests.simulation.network import Machine

T = TypeVar("T")
_AGAIN_S = 0.1


class SimRoomLog:
    """The log; an append whose outcome is unknown is asked about again, as the real writer does."""

    def __init__(self, store: MemoryStore, session: str, machine: Machine) -> None:
        self.session = session
        self._log = FakeRoomLog(store, session)
        self._machine = machine
        self.next_counter = self._log.next_counter

    async def load(self, key: RoomKey, known: Configured | None = None) -> Room | None:
        """Read a room from its newest entry."""
        return await self._machine.call(partial(self._log.load, key, known))

    async def by_key(self, key: RoomKey, settled: str) -> LogEntry | None:
        """Return the entry that settled an id."""
        return await self._machine.call(partial(self._log.by_key, key, settled))

    async def config(self, key: RoomKey, rev: int) -> Record:
        """Return the configuration that came with an entry."""
        return await self._machine.call(partial(self._log.config, key, rev))

    async def append(self, entry: LogEntry) -> Appended:
        """Write one entry; after some tries its outcome stays unknown, and it may come later."""
        for _ in range(3):
            try:
                return await self._machine.call(partial(self._log.append, entry))
            except UnavailableError:
                await asyncio.sleep(_AGAIN_S)
        raise UnavailableError("nobody knows what became of the entry")

    async def events_of_turn(self, key: RoomKey, turn_id: str, first_seq: int) -> list[Record]:
        """Return the events of a turn that the log holds, in order."""
        return await self._machine.call(partial(self._log.events_of_turn, key, turn_id, first_seq))

    async def content(self, key: RoomKey, message_id: str) -> str:
        """Return the text of a message."""
        return await self._machine.call(partial(self._log.content, key, message_id))


class SimProjections:
    """Projections that are owed until they are stored, a while after the commit."""

    def __init__(self, store: MemoryStore, machine: Machine) -> None:
        self._rooms = FakeProjections(store)
        self._machine = machine
        self.tasks: set[asyncio.Task[None]] = set()

    def write(self, room: Room, at: int, *, urgent: bool = False) -> asyncio.Future[None]:
        """Owe a state; the future is done when it, or a newer one, is stored."""
        task = asyncio.create_task(self._write(room, at, 0 if urgent else 0.5))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _write(self, room: Room, at: int, linger_s: float) -> None:
        await asyncio.sleep(self._machine.random.uniform(0, linger_s))
        while True:
            try:
                await self._machine.call(partial(self._store, room, at))
            except UnavailableError:
                await asyncio.sleep(_AGAIN_S)
            else:
                return

    async def _store(self, room: Room, at: int) -> None:
        await self._rooms.store(room, at)


class SimSweeps:
    """Keys of rooms that need somebody."""

    def __init__(self, store: MemoryStore, machine: Machine) -> None:
        self._sweeps = FakeSweeps(store)
        self._call = machine.call

    async def wanting(self, before_ms: int, limit: int) -> list[RoomKey]:
        """Return rooms that want a turn and have not changed since."""
        return await self._call(partial(self._sweeps.wanting, before_ms, limit))

    async def due(self, now_ms: int, limit: int, *, but: Collection[RoomKey] = ()) -> list[RoomKey]:
        """Return rooms with a deadline that has passed."""
        return await self._call(partial(self._sweeps.due, now_ms, limit, but=but))

    async def holders(self) -> list[str]:
        """Return the sessions that leases name."""
        return await self._call(self._sweeps.holders)

    async def held_by(self, session: str, limit: int) -> dict[RoomKey, int]:
        """Return rooms whose lease names the session, and the rev that said so."""
        return await self._call(partial(self._sweeps.held_by, session, limit))

    async def written_by(self, session: str, after_counter: int, limit: int) -> list[Written]:
        """Return the session's entries above the counter."""
        return await self._call(partial(self._sweeps.written_by, session, after_counter, limit))

    async def newer(self, revs: dict[str, int]) -> list[RoomKey]:
        """Return the rooms that moved on."""
        return await self._call(partial(self._sweeps.newer, revs))


class SimSessions:
    """A session whose document is the store's and whose deadline is the worker's own."""

    def __init__(
        self, store: MemoryStore, session: str, progress: Progress, clock: Clock, machine: Machine
    ) -> None:
        self._store = store
        self._session = session
        self._progress = progress
        self._clock = clock
        self._machine = machine
        self.lapses = 0
        self._good_until = 0
        self._unbroken_since: int | None = None

    @property
    def live(self) -> bool:
        """Say whether this session cannot have been declared dead yet."""
        return self._clock.now_ms() < self._good_until

    async def renew(self) -> None:
        """Say that this process lives; counts from before it was sent."""
        sent, through = self._clock.now_ms(), self._progress.through
        try:
            await self._machine.call(partial(self._renewed, through))
        except UnavailableError:
            self._unbroken_since = None
            raise
        if sent >= self._good_until or self._unbroken_since is None:
            self._unbroken_since = sent
        self.lapses += self._clock.now_ms() >= self._good_until
        self._good_until = sent + EXPIRY_MS

    async def dead(self, holders: Sequence[str] = ()) -> list[DeadSession]:
        """Return the dead, and holders without a sign; none while this one was out of touch."""
        since = self._unbroken_since
        if since is None or self._clock.now_ms() - since < EXPIRY_MS or not self.live:
            return []
        return await self._machine.call(partial(self._dead, holders))

    async def forget(self, session: str) -> None:
        """Remove a dead session."""
        await self._machine.call(partial(self._forget, session))

    async def _renewed(self, through: int) -> None:
        expires_at = self._clock.now_ms() + EXPIRY_MS
        self._store.sessions[self._session] = StoredSession(expires_at, through)

    async def _dead(self, holders: Sequence[str]) -> list[DeadSession]:
        now = self._clock.now_ms()
        expired = [
            DeadSession(session, stored.projected_through)
            for session, stored in self._store.sessions.items()
            if stored.expires_at < now and session != self._session
        ]
        buried = sorted(set(holders) - set(self._store.sessions))
        return expired + [DeadSession(session, 2**62) for session in buried]

    async def _forget(self, session: str) -> None:
        stored = self._store.sessions.get(session)
        if stored is not None and stored.expires_at < self._clock.now_ms():
            del self._store.sessions[session]


class SimSignals:
    """What leaves on the bus. Triggers are stored once a room; nudges and events may get lost."""

    def __init__(
        self,
        machine: Machine,
        triggers: dict[RoomKey, None],
        nudged: Callable[[str], Awaitable[None]],
    ) -> None:
        self._machine = machine
        self._triggers = triggers
        self._nudged = nudged

    @property
    def connected(self) -> bool:
        """Say that the bus is there: it loses messages, but nobody is cut off."""
        return True

    async def events(self, _key: RoomKey, _lines: Sequence[bytes]) -> None:
        """Tell followers, who read the log anyway."""
        await self._machine.awake()

    async def delta(self, _key: RoomKey, _frame: Record) -> None:
        """Tell followers what a model is saying."""
        await self._machine.awake()

    async def want_turn(self, key: RoomKey) -> None:
        """Store a trigger."""

        async def store() -> None:
            self._triggers[key] = None

        await self._machine.call(store)

    async def remind(self, _key: RoomKey, _at: int) -> None:
        """Lose the reminder: the sweep keeps every occurrence."""
        await self._machine.awake()

    async def nudge(self, room: str) -> None:
        """Ask whoever holds the room to look at it now."""
        await self._machine.awake()
        if self._machine.random.random() >= self._machine.weather.lost_message:
            await self._nudged(room)

"""One simulated room worker: the product's own parts, put together as `app.py` does it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any, cast

from abbotik_contracts.providers import SCRIPTED
from abbotik_contracts.room_log import Record
from abbotik_kernel.clock import CorrectedClock
from abbotik_kernel.outcome import Done, Outcome
from abbotik_room_worker.adapters.sessions import MongoSessions
from abbotik_room_worker.adapters.signals import NatsSignals
from abbotik_room_worker.care import Care
from abbotik_room_worker.executors.scripted import ScriptedExecutor
from abbotik_room_worker.executors.tools import built_in
from abbotik_room_worker.handlers import Installation, Reminders, RoomCommands, WaitingRooms
from abbotik_room_worker.keeper import RoomKeeper
from abbotik_room_worker.performer import Performer
from abbotik_room_worker.ports import RoomKey, UnavailableError
from abbotik_room_worker.progress import Progress
from abbotik_room_worker.runner import TurnRunner
from abbotik_runtime.bus import Bus
from tests.fakes.room_worker.exceptions import FakeExceptions
from tests.fakes.room_worker.room_log import FakeContents
from tests.fakes.room_worker.store import MemoryStore
from tests.simulation.bus import Server, WorkerBus
from tests.simulation.clocks import TrueClock, WrongClock
from tests.simulation.database import SimDatabase, StoredLog
from tests.simulation.network import Machine
from tests.simulation.ports import SimProjections, SimRoomLog, SimSweeps
from tests.simulation.virtual_time import now

MAX_QUEUE = 6
_EVERY_S = 1.0
# As `app.py` has them.
_TURN_PATIENCE_S = 3.0
_LEAST_PATIENCE_S = 0.5
_STOP_S = 5.0

Reply = Callable[[str, Record], None]


@dataclass(frozen=True, slots=True)
class Servers:
    """What every process talks to."""

    random: Random
    store: MemoryStore
    log: StoredLog
    bus: Server


class SimWorker:
    """A process that runs the room worker. ``session`` is its name in leases."""

    def __init__(self, session: str, machine: Machine, servers: Servers, reply: Reply) -> None:
        self.session = session
        self.machine = machine
        self.ready = False
        self.leaving = False
        self.left = False
        self._reply_to = reply
        self._triggers = servers.bus.triggers
        self._under_way: set[asyncio.Task[Any]] = set()
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._stopping: set[str] = set()
        database = SimDatabase(servers.log, servers.store, machine, TrueClock())
        clock = CorrectedClock(WrongClock(servers.random))
        self.room_log = SimRoomLog(database, session)
        signals = NatsSignals(cast("Bus", WorkerBus(servers.bus, machine)))
        contents = FakeContents(servers.store)
        self.tools = dict(built_in())
        projections = SimProjections(servers.store, machine)
        progress = Progress(now)
        self.sessions = MongoSessions(database.seen_as(), session, progress, clock)
        self.keeper = RoomKeeper(
            self.room_log, projections, signals, self.sessions, progress, clock
        )
        performer = Performer(
            keeper=self.keeper,
            room_log=self.room_log,
            contents=contents,
            signals=signals,
            sessions=self.sessions,
            clock=clock,
            executors={SCRIPTED.id: ScriptedExecutor()},
            tools=self.tools,
        )
        # Longer than a life, so that no deadline hides a turn that nobody takes over.
        self.runner = TurnRunner(
            self.keeper,
            performer,
            signals,
            self.sessions,
            slots=3,
            turn_timeout_ms=600_000,
            rooms_wait=lambda: bool(self._triggers),
        )
        self.keeper.noticed = self.runner.noticed
        installation = Installation(SCRIPTED.id, SCRIPTED.models[0], MAX_QUEUE)
        self._commands = RoomCommands(
            self.keeper,
            self.runner,
            contents,
            FakeExceptions(servers.store),
            self._reply,
            installation,
        )
        self._waiting = WaitingRooms(self.keeper, self.runner)
        self._reminders = Reminders(self.keeper, clock, MAX_QUEUE)
        sweeps = SimSweeps(servers.store, machine)
        self._care = Care(
            self.keeper, self.runner, sweeps, self.sessions, signals, clock, MAX_QUEUE
        )

    async def start(self) -> None:
        """Commit the session, then begin the loops and take messages."""
        self._loop("session", self.sessions.renew)
        await self.sessions.begun.wait()
        for name, one_pass in (
            ("waiting", self._care.say_waiting),
            ("deadlines", self._care.keep_deadlines),
            ("own_rooms", self._care.look_at_own_rooms),
            ("recovery", self._care.recover),
        ):
            self._loop(name, one_pass)
        self.ready = True

    async def drain(self) -> None:
        """Leave as `app.py` does when the process is told to stop."""
        self.leaving = self.runner.draining = True
        began = now()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_TURN_PATIENCE_S)
        left_s = _TURN_PATIENCE_S - (now() - began)
        await self.runner.drain(max(_LEAST_PATIENCE_S, left_s))
        for name in [name for name in self._loops if name != "session"]:
            await self._stop(name)
        await self.keeper.drain()
        await self._stop("session")
        await self.sessions.end()

    @property
    def serves(self) -> bool:
        """Whether it takes messages."""
        return self.ready and not self.leaving and not self.machine.dead

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Handle a message in this process."""
        task = self.machine.spawn(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def handle(self, subject: str, data: bytes, headers: dict[str, str]) -> Outcome:
        """Take a command."""
        return await self._commands.handle(subject, data, headers)

    async def take(self, key: RoomKey) -> Outcome:
        """Take a trigger; Done where it is settled."""

        async def confirm() -> bool:
            try:
                await self.machine.call(forget)
            except UnavailableError:
                return False
            return True

        async def forget() -> None:
            self._triggers.pop(key, None)

        return await self._waiting.take(key, confirm) or Done()

    async def remember(self, key: RoomKey, data: bytes) -> Outcome:
        """Take a reminder."""
        return await self._reminders.take(key, data)

    async def look_at(self, room: str) -> None:
        """Hear a nudge."""
        for key in [key for key in self.runner.slots.held if key[1] == room]:
            try:
                await self.keeper.refresh(key)
            except UnavailableError:
                return

    async def _reply(self, inbox: str, outcome: Record) -> None:
        await self.machine.awake()
        if self.machine.random.random() >= self.machine.weather.lost_message:
            self._reply_to(inbox, outcome)

    def _loop(self, name: str, one_pass: Callable[[], Awaitable[object]]) -> None:
        self._loops[name] = self.machine.spawn(self._keep(name, one_pass))

    async def _keep(self, name: str, one_pass: Callable[[], Awaitable[object]]) -> None:
        while name not in self._stopping:
            try:
                await one_pass()
            except UnavailableError:
                await asyncio.sleep(0.2)
            else:
                await asyncio.sleep(_EVERY_S * self.machine.random.uniform(0.9, 1.1))

    async def _stop(self, name: str) -> None:
        """Let the pass under way end, for a while."""
        self._stopping.add(name)
        task = self._loops[name]
        await asyncio.wait({task}, timeout=_STOP_S)
        task.cancel()

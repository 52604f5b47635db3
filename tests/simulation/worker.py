"""One simulated room worker: the product's own parts, put together as `app.py` does it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, cast

from abbotik_contracts.providers import SCRIPTED
from abbotik_contracts.room_log import Record
from abbotik_kernel.clock import CorrectedClock
from abbotik_kernel.outcome import Done, Outcome
from abbotik_kernel.retry import Backoff
from abbotik_room_worker.adapters.projections import MongoProjections
from abbotik_room_worker.adapters.sessions import RENEW_S, MongoSessions
from abbotik_room_worker.adapters.signals import NatsSignals
from abbotik_room_worker.adapters.sweeps import MongoSweeps
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
from abbotik_runtime.loops import Loop
from tests.fakes.room_worker.exceptions import FakeExceptions
from tests.fakes.room_worker.room_log import FakeContents
from tests.fakes.room_worker.store import MemoryStore
from tests.simulation.bus import Server, WorkerBus
from tests.simulation.clocks import TrueClock, WrongClock
from tests.simulation.database import Primary, StoredLog
from tests.simulation.driver import SimDatabase
from tests.simulation.network import Machine
from tests.simulation.room_log import SimRoomLog
from tests.simulation.virtual_time import now

MAX_QUEUE = 6
# As `app.py` has them.
_SWEEP_S = 1.0
_AGAIN = Backoff(first=0.1, ceiling=0.5)
_TURN_PATIENCE_S = 3.0
_LEAST_PATIENCE_S = 0.5

Pass = Callable[[], Awaitable[None]]
Reply = Callable[[str, Record], None]


@dataclass(frozen=True, slots=True)
class Servers:
    """What every process talks to."""

    random: Random
    store: MemoryStore
    log: StoredLog
    primary: Primary
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
        database = SimDatabase(servers.log, servers.store, servers.primary, machine, TrueClock())
        self.wall_clock = WrongClock(servers.random)
        clock = CorrectedClock(self.wall_clock, self.wall_clock.monotonic)
        self.room_log = SimRoomLog(database, session)
        signals = NatsSignals(cast("Bus", WorkerBus(servers.bus, machine)))
        contents = FakeContents(servers.store)
        self.tools = dict(built_in())
        projections = MongoProjections(database.seen_as())
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
        sweeps = MongoSweeps(database.seen_as())
        care = Care(self.keeper, self.runner, sweeps, self.sessions, signals, clock, MAX_QUEUE)
        self._renewal = self._loop("session", RENEW_S, self.sessions.renew)
        self._care = [
            self._loop(name, _SWEEP_S, one_pass)
            for name, one_pass in (
                ("waiting", care.say_waiting),
                ("deadlines", care.keep_deadlines),
                ("own_rooms", care.look_at_own_rooms),
                ("recovery", care.recover),
            )
        ]

    async def start(self) -> None:
        """Commit the session, then begin the loops and take messages."""
        self._renewal.start()
        await self.sessions.begun.wait()
        for loop in self._care:
            loop.start()
        self.ready = True

    async def drain(self) -> None:
        """Leave as `app.py` does when the process is told to stop."""
        self.leaving = self.runner.draining = True
        began = now()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_TURN_PATIENCE_S)
        left_s = _TURN_PATIENCE_S - (now() - began)
        await self.runner.drain(max(_LEAST_PATIENCE_S, left_s))
        for loop in self._care:
            await loop.stop()
        await self.keeper.drain()
        await self._renewal.stop()
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

    async def _reply(self, inbox: str, _command: str, outcome: Record) -> None:
        await self.machine.awake()
        if self.machine.random.random() >= self.machine.weather.lost_message:
            self._reply_to(inbox, outcome)

    def _loop(self, name: str, every_s: float, one_pass: Pass) -> Loop:
        watched = partial(self._passed, name, one_pass)
        return Loop(name, every_s, watched, backoff=_AGAIN, weather=UnavailableError)

    async def _passed(self, name: str, one_pass: Pass) -> None:
        """Have the life know of a fault that a loop outlives."""
        try:
            await one_pass()
        except UnavailableError:
            raise
        except Exception as error:
            fault = {"message": name, "exception": error, "task": asyncio.current_task()}
            self.machine.loop.call_exception_handler(fault)
            raise

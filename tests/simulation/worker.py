"""One simulated room worker: the real keeper, runner, handlers and care, over simulated ports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from abbotik_contracts.providers import SCRIPTED
from abbotik_contracts.room_log import Record
from abbotik_kernel.clock import Clock
from abbotik_kernel.outcome import Done, Outcome
from abbotik_room_worker.care import Care
from abbotik_room_worker.executors.scripted import ScriptedExecutor
from abbotik_room_worker.executors.tools import built_in
from abbotik_room_worker.handlers import Installation, RoomCommands, WaitingRooms
from abbotik_room_worker.keeper import RoomKeeper
from abbotik_room_worker.performer import Performer
from abbotik_room_worker.ports import RoomKey, UnavailableError
from abbotik_room_worker.progress import Progress
from abbotik_room_worker.runner import TurnRunner
from tests.fakes.room_worker.room_log import FakeContents
from tests.fakes.room_worker.store import MemoryStore
from tests.simulation.network import Machine
from tests.simulation.ports import SimProjections, SimRoomLog, SimSessions, SimSignals, SimSweeps

MAX_QUEUE = 6
_EVERY_S = 1.0

Reply = Callable[[str, Record], Awaitable[None]]


class SimWorker:
    """A process: everything that runs in it ends with `kill`, wherever it is."""

    def __init__(
        self,
        session: str,
        machine: Machine,
        store: MemoryStore,
        triggers: dict[RoomKey, None],
        clock: Clock,
        reply: Reply,
        nudged: Callable[[str], Awaitable[None]],
    ) -> None:
        self.session = session
        self.machine = machine
        self._reply_to = reply
        self._tasks: set[asyncio.Task[Any]] = set()
        room_log = SimRoomLog(store, session, machine)
        self._projections = SimProjections(store, machine)
        signals = SimSignals(machine, triggers, nudged)
        contents = FakeContents(store)
        progress = Progress()
        self.sessions = SimSessions(store, session, progress, clock, machine)
        self.keeper = RoomKeeper(
            room_log, self._projections, signals, self.sessions, progress, clock
        )
        performer = Performer(
            keeper=self.keeper,
            room_log=room_log,
            contents=contents,
            signals=signals,
            sessions=self.sessions,
            clock=clock,
            executors={SCRIPTED.id: ScriptedExecutor()},
            tools=built_in(),
        )
        # Longer than a life, so that no deadline hides a turn that nobody takes over.
        self.runner = TurnRunner(
            self.keeper,
            performer,
            signals,
            self.sessions,
            slots=3,
            turn_timeout_ms=600_000,
            rooms_wait=self._rooms_wait,
        )
        self.keeper.noticed = self.runner.noticed
        installation = Installation(SCRIPTED.id, SCRIPTED.models[0], MAX_QUEUE)
        self._commands = RoomCommands(self.keeper, self.runner, contents, self._reply, installation)
        self._waiting = WaitingRooms(self.keeper, self.runner)
        self._triggers = triggers
        sweeps = SimSweeps(store, machine)
        self._care = Care(
            self.keeper, self.runner, sweeps, self.sessions, signals, clock, MAX_QUEUE
        )

    async def start(self) -> None:
        """Commit the session, then begin the loops."""
        while not self.sessions.live:
            await self._pass(self.sessions.renew)
        for one_pass in (
            self.sessions.renew,
            self._care.say_waiting,
            self._care.keep_deadlines,
            self._care.look_at_own_rooms,
            self._care.recover,
        ):
            self.spawn(self._loop(one_pass))

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something in this process."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def kill(self) -> None:
        """End everything at whatever it waits for."""
        self.machine.dead = True
        # SIGKILL asks nobody: also what the product keeps to itself ends here.
        for task in (
            *self._tasks,
            *self._projections.tasks,
            *self.runner._tasks,
            *self.runner._asides,
        ):
            task.cancel()

    async def handle(self, subject: str, data: bytes, headers: dict[str, str]) -> Outcome:
        """Take a command; Retry where the machine fell asleep over it."""
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

    async def look_at(self, room: str) -> None:
        """Hear a nudge."""
        for key in [key for key in self.runner.slots.held if key[1] == room]:
            await self._pass(lambda key=key: self.keeper.refresh(key))  # type: ignore[misc]  # a default binds it

    def _rooms_wait(self) -> bool:
        return bool(self._triggers)

    async def _reply(self, inbox: str, outcome: Record) -> None:
        await self.machine.awake()
        if self.machine.random.random() >= self.machine.weather.lost_message:
            await self._reply_to(inbox, outcome)

    async def _loop(self, one_pass: Callable[[], Awaitable[object]]) -> None:
        while True:
            await self.machine.awake()
            await self._pass(one_pass)
            await asyncio.sleep(_EVERY_S * self.machine.random.uniform(0.9, 1.1))

    async def _pass(self, one_pass: Callable[[], Awaitable[object]]) -> None:
        try:
            await one_pass()
        except UnavailableError:
            await asyncio.sleep(0.2)

"""Room workers over one store and one bus in memory: real handlers, fake ports."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

from abbotik_contracts.providers import SCRIPTED
from abbotik_contracts.room_bodies import (
    InterruptBody,
    MessageBody,
    ReleaseBody,
    RentBody,
    WakeBody,
)
from abbotik_contracts.room_commands import (
    InterruptRoom,
    PatchChange,
    PatchRoom,
    PostMessage,
    ReleaseRoom,
    RentRoom,
    RoomCommand,
    WakeRoom,
    encode,
    verb,
)
from abbotik_contracts.room_log import LogEntry, Record
from abbotik_contracts.room_views import wire_events
from abbotik_contracts.subjects import HEADER_REPLY, room_command
from abbotik_kernel.outcome import Done, Outcome
from abbotik_room_worker.care import Care
from abbotik_room_worker.executors.scripted import ScriptedExecutor
from abbotik_room_worker.executors.tools import built_in
from abbotik_room_worker.handlers import Installation, Reminders, RoomCommands, WaitingRooms
from abbotik_room_worker.keeper import RoomKeeper
from abbotik_room_worker.performer import Performer
from abbotik_room_worker.ports import RoomKey, Tool, TurnExecutor
from abbotik_room_worker.progress import Progress
from abbotik_room_worker.runner import TurnRunner
from abbotik_runtime.ids import uuid7
from tests.fakes.room_worker.clock import ManualClock
from tests.fakes.room_worker.exceptions import FakeExceptions
from tests.fakes.room_worker.projections import FakeProjections
from tests.fakes.room_worker.room_log import FakeContents, FakeRoomLog
from tests.fakes.room_worker.sessions import EXPIRY_MS, FakeSessions
from tests.fakes.room_worker.signals import FakeSignals
from tests.fakes.room_worker.store import MemoryStore
from tests.fakes.room_worker.sweeps import FakeSweeps
from tests.service.room_worker.pauses import Pauses
from tests.unit.room_worker.sound_log import SoundLog

TENANT = "acme"
MAX_QUEUE = 8
_PATIENCE_S = 10.0


class Worker:
    """One room worker: what `app.py` composes, without loops and pulls."""

    def __init__(self, house: House, name: str, *, slots: int, turn_timeout_ms: int) -> None:
        self.name = name
        self.room_log = FakeRoomLog(house.store, name)
        self.contents = FakeContents(house.store)
        self.exceptions = FakeExceptions(house.store)
        self.projections = FakeProjections(house.store)
        self.pauses = Pauses()
        self.waiting_rooms = False
        self.outcomes: list[Record] = []
        self._inboxes: dict[str, Record] = {}
        self._numbers = itertools.count(1)
        self.progress = Progress()
        self.sessions = FakeSessions(house.store, name, self.progress, house.clock)
        self.keeper = RoomKeeper(
            self.room_log,
            self.projections,
            house.signals,
            self.sessions,
            self.progress,
            house.clock,
        )
        executors: dict[str, TurnExecutor] = {SCRIPTED.id: ScriptedExecutor(self.pauses)}
        self.tools: dict[str, Tool] = dict(built_in())
        self.executors = executors
        performer = Performer(
            keeper=self.keeper,
            room_log=self.room_log,
            contents=self.contents,
            signals=house.signals,
            sessions=self.sessions,
            clock=house.clock,
            executors=executors,
            tools=self.tools,
        )
        self.runner = TurnRunner(
            self.keeper,
            performer,
            house.signals,
            self.sessions,
            slots=slots,
            turn_timeout_ms=turn_timeout_ms,
            rooms_wait=lambda: self.waiting_rooms,
        )
        self.keeper.noticed = self.runner.noticed
        self.commands = RoomCommands(
            self.keeper,
            self.runner,
            self.contents,
            self.exceptions,
            self._reply,
            Installation(SCRIPTED.id, SCRIPTED.models[0], max_queue=MAX_QUEUE),
        )
        self.waiting = WaitingRooms(self.keeper, self.runner)
        self.reminders = Reminders(self.keeper, house.clock, MAX_QUEUE)
        self.care = Care(
            self.keeper,
            self.runner,
            FakeSweeps(house.store),
            self.sessions,
            house.signals,
            house.clock,
            MAX_QUEUE,
        )

    async def handle(self, command: RoomCommand, inbox: str = "_INBOX.0") -> Outcome:
        """Deliver a command to this worker."""
        subject = room_command(command.tenant, command.room, verb(command))
        return await self.commands.handle(subject, encode(command), {HEADER_REPLY: inbox})

    async def ask(self, command: RoomCommand) -> Record:
        """Deliver a command, which must be settled, and return what the caller was told."""
        inbox = f"_INBOX.{next(self._numbers)}"
        outcome = await self.handle(command, inbox)
        assert isinstance(outcome, Done), outcome
        return self._inboxes.pop(inbox)

    async def take(self, key: RoomKey) -> Outcome | None:
        """Deliver the room's trigger to this worker."""

        async def confirm() -> bool:
            return True

        return await self.waiting.take(key, confirm)

    async def sweep(self) -> None:
        """Run one pass of each loop that looks for rooms which wait or are late."""
        await self.care.say_waiting()
        await self.care.keep_deadlines()

    async def rested(self) -> None:
        """Return when no turn runs here and all is projected and said."""
        async with asyncio.timeout(_PATIENCE_S):
            while self.runner._tasks or self.runner._asides:
                await asyncio.wait([*self.runner._tasks, *self.runner._asides])
            await self.keeper.drain()

    async def killed(self) -> None:
        """End the process as SIGKILL would: nothing is committed, published or said any more."""
        self.room_log.away = True
        self.room_log.weather.clear()
        tasks = [*self.runner._tasks, *self.runner._asides, *self.keeper._commits._projecting]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _reply(self, inbox: str, _command: str, outcome: Record) -> None:
        self.outcomes.append(json.loads(json.dumps(outcome)))
        self._inboxes[inbox] = self.outcomes[-1]


class House:
    """The store, the bus, the clock, and the workers that share them."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.signals = FakeSignals()
        self.clock = ManualClock()
        self.workers: dict[str, Worker] = {}

    async def worker(
        self, name: str = "w1", *, slots: int = 4, turn_timeout_ms: int = 900_000
    ) -> Worker:
        """Start a worker whose session is its name."""
        worker = Worker(self, name, slots=slots, turn_timeout_ms=turn_timeout_ms)
        self.workers[name] = worker
        await worker.sessions.renew()
        return worker

    async def pass_time(self, ms: int, *alive: Worker) -> None:
        """Let time pass while these workers renew their sessions."""
        for _ in range(-(-ms // 1000)):
            self.clock.advance(1000)
            for worker in alive:
                await worker.sessions.renew()

    async def expire(self, *alive: Worker) -> None:
        """Let so much time pass that all workers but these are dead."""
        await self.pass_time(2 * EXPIRY_MS, *alive)

    async def rent(self, worker: Worker, **body: Any) -> str:
        """Rent a room and return its id."""
        command = self.rent_command(**body)
        outcome = await worker.ask(command)
        assert outcome["ok"], outcome
        return command.room

    async def queued(self, worker: Worker, content: str = "!say done") -> str:
        """Return a room with a message that waits; its trigger is lost."""
        room = await self.rent(worker)
        worker.waiting_rooms = True
        await worker.ask(self.message(room, content))
        worker.waiting_rooms = False
        await worker.rested()
        self.signals.triggers.clear()
        return room

    def rent_command(self, **body: Any) -> RentRoom:
        """Return a rent of a new room."""
        return RentRoom(**self._at(uuid7()), body=RentBody(**body))

    def message(self, room: str, content: Any, **body: Any) -> PostMessage:
        """Return a message."""
        return PostMessage(**self._at(room), body=MessageBody(content=content, **body))

    def wake(self, room: str, **body: Any) -> WakeRoom:
        """Return a wake."""
        return WakeRoom(**self._at(room), body=WakeBody(**body))

    def interrupt(self, room: str, **body: Any) -> InterruptRoom:
        """Return an interrupt."""
        return InterruptRoom(**self._at(room), body=InterruptBody(**body))

    def release(self, room: str, **body: Any) -> ReleaseRoom:
        """Return a release."""
        return ReleaseRoom(**self._at(room), body=ReleaseBody(**body))

    def patch(self, room: str, **members: Any) -> PatchRoom:
        """Return a patch."""
        return PatchRoom(**self._at(room), body=PatchChange(patch=members))

    def log(self, room: str) -> list[LogEntry]:
        """Return the room's entries."""
        return self.store.log_of(TENANT, room)

    def events(self, room: str) -> list[Record]:
        """Return the room's events as the log has them."""
        return [event for entry in self.log(room) for event in wire_events(entry)]

    def types(self, room: str) -> list[str]:
        """Return the types of the room's events in order."""
        return [str(event["event_type"]) for event in self.events(room)]

    def payloads(self, room: str, event_type: str) -> list[Any]:
        """Return the payloads of the room's events of a type."""
        return [e["payload"] for e in self.events(room) if e["event_type"] == event_type]

    def outputs(self, room: str) -> list[Any]:
        """Return the texts of the room's outputs."""
        messages = (m for entry in self.log(room) for m in entry.get("messages", ()))
        return [m["content"] for m in messages if m["author"] == "agent"]

    def status(self, room: str) -> str:
        """Return the room's status."""
        return self.log(room)[-1]["state"]["status"]

    async def until(self, room: str, event_type: str, times: int = 1) -> None:
        """Return when the room's log has so many events of a type."""
        await self.signals.until(lambda: self.types(room).count(event_type) >= times)

    async def close(self) -> None:
        """Let everything come to rest, and check every log and what was published of it."""
        for worker in self.workers.values():
            worker.pauses.go()
            if not worker.room_log.away:
                await worker.sessions.renew()
                await worker.care.look_at_own_rooms()
                await worker.rested()
        rooms = {(entry["tenant"], entry["room"]) for entry in self.store.entries.values()}
        for tenant, room in rooms:
            sound = SoundLog(max_queue=MAX_QUEUE)
            for entry in self.store.log_of(tenant, room):
                sound.add(entry)

    def _at(self, room: str) -> dict[str, Any]:
        return {"id": uuid7(), "tenant": TENANT, "room": room, "caller": "ada"}

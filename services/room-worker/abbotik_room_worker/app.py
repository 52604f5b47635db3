"""The composition root: chooses the adapters, starts the loops, stops them in order."""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import NoReturn

from abbotik_contracts.providers import SCRIPTED
from abbotik_kernel.clock import CorrectedClock, SystemClock
from abbotik_kernel.retry import Backoff
from abbotik_room_worker.adapters.exceptions import MongoExceptions
from abbotik_room_worker.adapters.presence import Presence
from abbotik_room_worker.adapters.projections import MongoProjections
from abbotik_room_worker.adapters.replies import NatsReplies
from abbotik_room_worker.adapters.room_log import MongoContents, MongoRoomLog
from abbotik_room_worker.adapters.sessions import RENEW_S, MongoSessions
from abbotik_room_worker.adapters.signals import NatsSignals
from abbotik_room_worker.adapters.sweeps import MongoSweeps
from abbotik_room_worker.care import Care
from abbotik_room_worker.executors.scripted import ScriptedExecutor
from abbotik_room_worker.executors.tools import built_in
from abbotik_room_worker.handlers import Installation, Reminders, RoomCommands, WaitingRooms
from abbotik_room_worker.homes import SAY_S, Homes
from abbotik_room_worker.keeper import RoomKeeper
from abbotik_room_worker.performer import Performer
from abbotik_room_worker.ports import UnavailableError
from abbotik_room_worker.progress import Progress
from abbotik_room_worker.runner import TurnRunner
from abbotik_room_worker.settings import Settings
from abbotik_room_worker.subscribers import (
    SERVICE,
    command_pull,
    listen_to_nudges,
    reminder_pull,
    trigger_pull,
)
from abbotik_runtime import service
from abbotik_runtime.acks import InProgress
from abbotik_runtime.ids import uuid7
from abbotik_runtime.loops import Loop
from abbotik_runtime.passing import Passing
from abbotik_runtime.pull import PullLoop

_SWEEP_S = 1.0
_AGAIN = Backoff(first=0.1, ceiling=0.5)
_TURN_PATIENCE_S = 3.0
_LEAST_PATIENCE_S = 0.5


class RoomWorker:
    """One worker process: a session, its loops, its three pulls."""

    def __init__(self, context: service.Context[Settings]) -> None:
        settings, database, bus = context.settings, context.database, context.bus
        # The time of a commit and every deadline are the database's: workers agree on them.
        clock = CorrectedClock(SystemClock(settings.clock_shift_ms))
        room_log = MongoRoomLog(database, session=uuid7())
        contents = MongoContents(database)
        signals = NatsSignals(bus)
        progress = Progress()
        self._sessions = MongoSessions(database, room_log.session, progress, clock)
        self._keeper = RoomKeeper(
            room_log, MongoProjections(database), signals, self._sessions, progress, clock
        )
        performer = Performer(
            keeper=self._keeper,
            room_log=room_log,
            contents=contents,
            signals=signals,
            sessions=self._sessions,
            clock=clock,
            executors={SCRIPTED.id: ScriptedExecutor()},
            tools=built_in(),
        )
        self._runner = TurnRunner(
            self._keeper,
            performer,
            signals,
            self._sessions,
            slots=settings.turn_slots,
            turn_timeout_ms=settings.turn_timeout_s * 1000,
            rooms_wait=lambda: not self._triggers.parked,
        )
        self._keeper.noticed = self._runner.noticed
        self._marks = InProgress(bus)
        self._triggers = trigger_pull(
            bus, self._marks, WaitingRooms(self._keeper, self._runner), self._runner
        )
        self._reminders = reminder_pull(
            bus, self._marks, Reminders(self._keeper, clock, settings.max_queue)
        )
        self._homes = Homes(room_log.session, self._runner.runs)
        self._commands, self._passing = self._command_pull(context, contents)
        self._presence = Presence(bus, self._homes, self._sessions)
        listen_to_nudges(bus, self._keeper, self._runner)
        care = Care(
            self._keeper,
            self._runner,
            MongoSweeps(database),
            self._sessions,
            signals,
            clock,
            settings.max_queue,
        )
        # After an outage rooms wait for each of them, and turns stand still until the session is
        # renewed.
        loop = partial(Loop, metrics=bus.metrics, backoff=_AGAIN, weather=UnavailableError)
        self._renewal = loop("session", RENEW_S, self._sessions.renew)
        self._saying = loop("presence", SAY_S, self._presence.say)
        self._care = [
            loop(name, _SWEEP_S, one_pass)
            for name, one_pass in (
                ("waiting", care.say_waiting),
                ("deadlines", care.keep_deadlines),
                ("own_rooms", care.look_at_own_rooms),
                ("recovery", care.recover),
            )
        ]

    async def start(self) -> None:
        """Commit the session first: nobody may hold a room without one."""
        self._marks.start()
        self._renewal.start()
        # Also the time comes with it, before which no deadline can be told.
        await self._sessions.begun.wait()
        for loop in self._care:
            loop.start()
        self._triggers.start()
        self._reminders.start()
        await self._passing.start()
        await self._presence.listen()
        self._saying.start()
        self._commands.start()

    async def drain(self) -> None:
        """Take nothing new, let turns end or hand them over, project what is owed, leave."""
        self._runner.draining = True
        began = monotonic()
        pulls = (self._commands, self._reminders, self._triggers)
        await self._saying.stop()
        await asyncio.gather(self._passing.stop(), *(pull.stop() for pull in pulls))
        # What was under way may still claim a room, which is handed over with the others. The time
        # for that is the turns' time too.
        await asyncio.gather(*(pull.drained(_TURN_PATIENCE_S) for pull in pulls))
        left = _TURN_PATIENCE_S - (monotonic() - began)
        await self._runner.drain(max(_LEAST_PATIENCE_S, left))
        for loop in self._care:
            await loop.stop()
        await self._keeper.drain()
        await self._renewal.stop()
        await self._sessions.end()
        await self._marks.stop()

    def _command_pull(
        self, context: service.Context[Settings], contents: MongoContents
    ) -> tuple[PullLoop, Passing]:
        commands = RoomCommands(
            self._keeper,
            self._runner,
            contents,
            MongoExceptions(context.database),
            NatsReplies(context.bus).tell,
            Installation(SCRIPTED.id, SCRIPTED.models[0], context.settings.max_queue),
        )
        return command_pull(context.bus, self._marks, commands, self._homes)


def main() -> NoReturn:
    """Be the room worker until told to stop."""
    service.main(SERVICE, Settings, RoomWorker)

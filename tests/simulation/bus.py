"""NATS in memory: core messages that may get lost, one trigger a room, reminders."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from abbotik_kernel.clock import Clock
from abbotik_room_worker.ports import RoomKey
from abbotik_runtime.bus import BusUnavailable, SubjectFull
from tests.simulation.network import Machine

OnData = Callable[[bytes], None]


@dataclass(slots=True)
class Server:
    """What all processes share. ``nudged`` and ``due`` are called with what reaches workers."""

    clock: Clock
    nudged: Callable[[str], None]
    due: Callable[[RoomKey, bytes], None]
    triggers: dict[RoomKey, None] = field(default_factory=dict)
    subscribed: dict[str, dict[OnData, None]] = field(default_factory=dict)
    _reminders: dict[RoomKey, asyncio.TimerHandle] = field(default_factory=dict)

    def deliver(self, subject: str, data: bytes) -> None:
        """Give a message to whoever listens."""
        kind, *_, tenant, room = subject.split(".")
        if kind == "ctl":
            self.nudged(room)
        elif kind == "schedule":
            self._remind((tenant, room), data)
        else:
            for on_data in list(self.subscribed.get(subject, ())):
                on_data(data)

    def forget(self) -> None:
        """Lose the files: triggers and reminders are gone."""
        self.triggers.clear()
        for reminder in self._reminders.values():
            reminder.cancel()

    def _remind(self, key: RoomKey, data: bytes) -> None:
        """Keep the room's newest reminder until its time has come."""
        if (earlier := self._reminders.pop(key, None)) is not None:
            earlier.cancel()
        left_s = max(0, int(data) - self.clock.now_ms()) / 1000
        loop = asyncio.get_running_loop()
        self._reminders[key] = loop.call_later(left_s, self.due, key, data)


class WorkerBus:
    """A worker's connection, as far as `NatsSignals` knows it."""

    connected = True

    def __init__(self, server: Server, machine: Machine) -> None:
        self._server = server
        self._machine = machine

    async def publish(
        self, subject: str, data: bytes, _headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a message that nobody answers."""
        await self._machine.tell(partial(self._server.deliver, subject, data))

    async def publish_stored(self, subject: str, _data: bytes, *, message_id: str) -> None:
        """Store a trigger; SubjectFull where one waits."""
        assert message_id
        _, tenant, room = subject.split(".")

        async def store() -> None:
            if (tenant, room) in self._server.triggers:
                raise SubjectFull(subject)
            self._server.triggers[tenant, room] = None

        await self._machine.call(store, BusUnavailable)


class GatewaySignals:
    """A gateway's connection: implements `Signals` of its streams.

    Between `cut` and `reconnected` it hears nothing.
    """

    def __init__(self, server: Server, machine: Machine) -> None:
        self._server = server
        self._machine = machine
        self._away = False
        self._hooks: list[Callable[[], Awaitable[None]]] = []

    async def subscribe(self, subject: str, on_data: OnData) -> _Subscription:
        """Give the messages of a subject to ``on_data``."""
        subscription = _Subscription(self._server, subject, partial(self._hear, on_data))
        await self._machine.awake()
        self._server.subscribed.setdefault(subject, {})[subscription.on_data] = None
        return subscription

    async def flush(self) -> None:
        """Return when the subscriptions are known; OSError if nobody says so."""

        async def known() -> None:
            if self._away:
                raise TimeoutError

        await self._machine.call(known, TimeoutError)

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Have it awaited after each cut."""
        self._hooks.append(callback)

    def cut(self) -> None:
        """Hear nothing from now on."""
        self._away = True

    async def reconnected(self) -> None:
        """Hear again."""
        self._away = False
        for hook in self._hooks:
            await hook()

    def _hear(self, on_data: OnData, data: bytes) -> None:
        if not self._away and not self._machine.dead:
            self._machine.run(on_data, data)


@dataclass(frozen=True, slots=True)
class _Subscription:
    server: Server
    subject: str
    on_data: OnData

    async def cancel(self) -> None:
        """Hear nothing any more."""
        self.server.subscribed[self.subject].pop(self.on_data, None)

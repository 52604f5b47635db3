"""Followers of rooms, through the gateway's own streams; its process dies and is cut off, too."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from abbotik_contracts.room_log import Record
from abbotik_contracts.room_views import wire_events
from abbotik_gateway.adapters.room_log import MongoRoomLog
from abbotik_gateway.domain.caller import Caller
from abbotik_gateway.domain.problem import Problem
from abbotik_gateway.handlers.following.log_events import LogEvents
from abbotik_gateway.handlers.following.open_streams import OpenStreams
from abbotik_gateway.handlers.following.room_streams import RoomStreams
from abbotik_gateway.handlers.seen import SeenRevs
from abbotik_gateway.ports import UnavailableError
from abbotik_runtime.log_reader import RoomLogReader
from tests.fakes.sse_reader import parse
from tests.fakes.streams import FakeMeters, FakeTickets
from tests.fakes.streams_world import request
from tests.simulation.bus import GatewaySignals
from tests.simulation.clocks import TrueClock
from tests.simulation.driver import SimDatabase
from tests.simulation.network import FAIR, Machine
from tests.simulation.virtual_time import happens
from tests.simulation.world import TENANT, World

# How long a follower may take, at the end, to hear what the log has.
_PATIENCE_S = 30.0
_TICK_S = 1.0
_CALLER = Caller("u", "ada", TENANT, "Acme", "read", "dev", is_root=False, token_expires_at=None)


class SimGateway:
    """A process that streams: the product's feeds, over the log and the bus in memory."""

    def __init__(self, world: World) -> None:
        self.machine = Machine(world.random, world.weather)
        servers = world.servers
        database = SimDatabase(
            servers.log, servers.store, servers.primary, self.machine, TrueClock()
        )
        log = LogEvents(MongoRoomLog(RoomLogReader(database.seen_as())), SeenRevs())
        self.signals = GatewaySignals(servers.bus, self.machine)
        opened = OpenStreams(FakeMeters(), FakeTickets(), TrueClock())
        self.streams = RoomStreams(log, self.signals, opened)
        self.machine.spawn(self._tick())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            await self.streams.tick()


class Follower:
    """A client that comes back with its cursor whenever it was cut off; ``events`` is what came."""

    def __init__(self, room: str) -> None:
        self.room = room
        self.events: list[Record] = []
        self.over = False
        self._gone = asyncio.Event()
        self._unread = ""

    async def follow(self, gateway: SimGateway) -> None:
        """Read one stream until it ends or is left."""
        self._gone, self._unread = asyncio.Event(), ""
        if await gateway.machine.lives_through(self._read(gateway)):
            return
        self.leave()

    def leave(self) -> None:
        """Close the connection; nothing that is on its way is read any more."""
        self._gone.set()

    async def _read(self, gateway: SimGateway) -> None:
        asked = request(str(len(self.events)), {})
        try:
            response = await gateway.streams.follow(asked, _CALLER, self.room)
            self.over = response.status_code == 204
            await response({"type": "http", "method": "GET"}, self._receive, self._send)
        except (Problem, UnavailableError):
            await asyncio.sleep(0.5)

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if self._gone.is_set() or message["type"] == "http.response.start":
            return
        whole, end, self._unread = (self._unread + message["body"].decode()).rpartition("\n\n")
        for frame in parse(whole + end):
            if frame.id is not None:
                self.events.append(frame.data)


class Following:
    """Everybody who follows, and the gateway that they come back to."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._gateway = SimGateway(world)
        self._followers: dict[Follower, asyncio.Task[None]] = {}
        self._fair = False

    def follow(self, room: str) -> None:
        """Have the room followed from now on, from its first event."""
        follower = Follower(room)
        self._followers[follower] = asyncio.create_task(self._keep(follower))

    def suffer(self) -> None:
        """Let the gateway die, lose the bus for a while, or have a reader leave."""
        random = self._world.random
        dice = random.random()
        if dice < 0.3:
            self._gateway.machine.kill()
            self._gateway = SimGateway(self._world)
        elif dice < 0.6:
            self.crash(random.randint(1, 200))
        elif dice < 0.8:
            signals, machine = self._gateway.signals, self._gateway.machine
            signals.cut()
            asyncio.get_running_loop().call_later(
                random.uniform(0.1, 5), lambda: machine.spawn(signals.reconnected())
            )
        else:
            for follower in self._followers:
                follower.leave()

    @property
    def machine(self) -> Machine:
        """Where the gateway runs."""
        return self._gateway.machine

    def crash(self, steps: int) -> None:
        """Have the gateway die so many steps from now."""
        self.machine.befall(steps, self.machine.kill)

    def clear_up(self) -> None:
        """Let nothing go wrong any more."""
        self._fair = True
        self._gateway.machine.weather = FAIR
        self._gateway.machine.spare()

    async def ends(self) -> None:
        """Return when all have what the log has, or it takes too long."""
        await happens(lambda: all(map(self._has_all, self._followers)), _PATIENCE_S, 0.5)
        for task in self._followers.values():
            task.cancel()
        self._gateway.machine.kill()

    def check(self) -> None:
        """I8: what each heard is the log."""
        for follower in self._followers:
            heard, log = follower.events, list(self._log(follower))
            seqs = [event["seq"] for event in heard]
            assert seqs == list(range(1, len(seqs) + 1)), f"a follower heard {seqs}"
            assert heard == log, f"a follower heard {len(heard)} events of {len(log)}"

    def _has_all(self, follower: Follower) -> bool:
        newest = self._world.log_of(follower.room)[-1]
        return len(follower.events) >= newest["last_event_seq"]

    def _log(self, follower: Follower) -> Iterator[Record]:
        for entry in self._world.log_of(follower.room):
            yield from wire_events(entry)

    async def _keep(self, follower: Follower) -> None:
        while not follower.over:
            if self._gateway.machine.dead:
                self._gateway = SimGateway(self._world)
                if self._fair:
                    self.clear_up()
            await follower.follow(self._gateway)
            await asyncio.sleep(self._world.random.uniform(0, 0.5))

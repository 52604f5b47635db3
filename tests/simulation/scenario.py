"""One small life in fair weather, of which a process can be ended at any step it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random

from abbotik_contracts.room_bodies import InterruptBody, MessageBody, ReleaseBody, RentBody
from abbotik_contracts.room_commands import InterruptRoom, PostMessage, ReleaseRoom, RentRoom
from abbotik_contracts.room_log import Record
from abbotik_contracts.room_views import wire_events
from abbotik_room_worker.executors.tools import built_in
from tests.simulation import virtual_time
from tests.simulation.checks import check
from tests.simulation.following import Following
from tests.simulation.network import FAIR
from tests.simulation.worker import SimWorker
from tests.simulation.world import World

Fate = Callable[[World, Following, int], None]
"""What befalls the workers: ends one of them at a step, if it comes to it."""

_LOOK_S = 0.01
_PATIENCE_S = 60.0
# Longer than a session lives, and than others need to be sure of it.
_STILL_S = 8.0
TURN_START, TOOL_START = "actor:turn_start", "tool:start"


def live_up_to(random: Random, seed: int, fate: Fate, step: int) -> bool:
    """Live until the fate's step and on without that process; no if there is no such step.

    The seed tells how long each way takes, and so who comes first.
    """
    random.seed(seed)
    try:
        return virtual_time.run(_live(random, fate, step))
    except AssertionError as broken:
        raise AssertionError(f"seed {seed}, step {step}: {broken}") from broken


def dies(world: World, _following: Following, step: int) -> None:
    """Have the first worker, which gets all that happens, die."""
    machine = world.workers[0].machine
    machine.befall(step, machine.kill)


def stands_still(world: World, _following: Following, step: int) -> None:
    """Have the first worker stand still for so long that others take its turns over."""
    machine = world.workers[0].machine
    machine.befall(step, partial(machine.stand_still, _STILL_S))


def dies_leaving(world: World, _following: Following, step: int) -> None:
    """Have the first worker told to stop in the middle of a turn, and die over it."""

    async def leave() -> None:
        await happens(world, TOOL_START)
        worker = world.workers[0]
        worker.machine.befall(step, worker.machine.kill)
        await world.dismiss(worker)
        world.bury(worker)

    world.befall(leave())


def dies_recovering(world: World, _following: Following, step: int) -> None:
    """Have the second worker die, which takes over what the first one left in a tool call."""

    async def die() -> None:
        await happens(world, TOOL_START)
        machine = world.workers[1].machine
        machine.befall(step, machine.kill)
        world.bury(world.workers[0])

    world.befall(die())


def stream_dies(_world: World, following: Following, step: int) -> None:
    """Have the gateway die that followers read from."""
    following.crash(step)


async def happens(world: World, kind: str, times: int = 1) -> None:
    """Return when the first room has that many events of a kind, or it took too long."""
    until = virtual_time.now() + _PATIENCE_S
    while virtual_time.now() < until:
        events = [e for room in world.rooms for en in world.log_of(room) for e in wire_events(en)]
        if sum(event["event_type"] == kind for event in events) >= times:
            return
        await asyncio.sleep(_LOOK_S)


class _Watched:
    """The tool that waits, which notes who called it without holding the room."""

    def __init__(self, world: World, session: str, strays: list[str]) -> None:
        self._world = world
        self._session = session
        self._strays = strays
        self._tool = built_in()["wait"]
        self.idempotent = self._tool.idempotent

    async def __call__(self, arguments: Record) -> Record:
        """Run once."""
        lease = self._world.log_of(self._world.rooms[0])[-1]["state"]["lease"]
        if lease is None or lease["session"] != self._session:
            self._strays.append(self._session)
        return await self._tool(arguments)


async def _live(random: Random, fate: Fate, step: int) -> bool:
    world = World(random, FAIR, _first)
    for _ in range(3):
        world.start_worker()
    strays: list[str] = []
    for worker in world.workers:
        worker.tools["wait"] = _Watched(world, worker.session, strays)
    following = Following(world)
    machines = [following.machine, *(worker.machine for worker in world.workers)]
    world.befall(world.deliver_triggers())
    fate(world, following, step)
    await _work(world, following)
    rests = await world.comes_to_rest()
    await following.ends()
    world.end()
    assert rests, "the room is stuck"
    check(world)
    following.check()
    assert not strays, "a tool ran in a worker that had lost the room"
    assert world.log_of(world.rooms[0])[-1]["state"]["status"] == "released"
    return any(machine.befallen for machine in machines)


async def _work(world: World, following: Following) -> None:
    """Rent, have a tool called and a long answer interrupted, and release."""
    room = world.id()
    world.rooms.append(room)
    await world.ask(RentRoom(**world.at(room), body=RentBody()))
    following.follow(room)
    for script in ('!tool wait {"ms": 50}\n!say done', "!wait 2500\n!say slept"):
        await world.ask(PostMessage(**world.at(room), body=MessageBody(content=script)))
    await happens(world, TURN_START, 2)
    body = InterruptBody(mode="hard", deadline_ms=2000)
    await world.ask(InterruptRoom(**world.at(room), body=body))
    await world.ask(ReleaseRoom(**world.at(room), body=ReleaseBody()))


def _first(able: list[SimWorker]) -> SimWorker:
    return able[0]

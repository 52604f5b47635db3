"""One small life in fair weather, of which a process can be ended at any step it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random

from abbotik_contracts.policies import WakePolicy
from abbotik_contracts.room_bodies import InterruptBody, MessageBody, ReleaseBody, RentBody
from abbotik_contracts.room_commands import InterruptRoom, PostMessage, ReleaseRoom, RentRoom
from tests.simulation import virtual_time
from tests.simulation.checks import check, check_deaths
from tests.simulation.following import Following
from tests.simulation.network import FAIR
from tests.simulation.virtual_time import happens
from tests.simulation.worker import SimWorker
from tests.simulation.world import World

Fate = Callable[[World, Following, int], None]
"""What befalls the workers: ends one of them at a step, if it comes to it."""

_LOOK_S = 0.01
# Longer than a session lives, and than others need to be sure of it.
_STILL_S = 8.0
# Longer than a session lives, and than anybody asks what became of an entry.
_ELECTION_S = 14.0
TURN_START, TOOL_START = "actor:turn_start", "tool:start"


def live_up_to(random: Random, seed: int, fate: Fate, step: int) -> bool:
    """Live until the fate's step and on without that process; no if there is no such step.

    The seed tells how long each way takes, and so who comes first.
    """
    random.seed(seed)
    try:
        return virtual_time.run(_live(random, fate, step))
    except (AssertionError, virtual_time.UnheardError) as broken:
        raise type(broken)(f"seed {seed}, step {step}: {broken}") from broken


def dies(world: World, _following: Following, step: int) -> None:
    """Have the first worker, which gets all that happens, die."""
    machine = world.workers[0].machine
    machine.befall(step, machine.kill)


def all_die(world: World, _following: Following, step: int) -> None:
    """Have the lights go out when the first worker comes to a step, and NATS lose its files."""

    def die() -> None:
        world.forget()
        for worker in world.workers.copy():
            world.bury(worker)
            world.start_worker()

    world.workers[0].machine.befall(step, die)


def stands_still(world: World, _following: Following, step: int) -> None:
    """Have the first worker stand still for so long that others take its turns over."""
    machine = world.workers[0].machine
    machine.befall(step, partial(machine.stand_still, _STILL_S))


def dies_leaving(world: World, _following: Following, step: int) -> None:
    """Have the first worker told to stop in the middle of a turn, and die over it."""

    async def leave() -> None:
        await _sees(world, TOOL_START)
        worker = world.workers[0]
        worker.machine.befall(step, worker.machine.kill)
        await world.dismiss(worker)
        world.bury(worker)

    world.befall(leave())


def dies_recovering(world: World, _following: Following, step: int) -> None:
    """Have the second worker die, which takes over what the first one left in a tool call."""

    async def die() -> None:
        await _sees(world, TOOL_START)
        machine = world.workers[1].machine
        machine.befall(step, machine.kill)
        world.bury(world.workers[0])

    world.befall(die())


def primary_fails(world: World, _following: Following, step: int) -> None:
    """Have the database lose its primary, when the first worker comes to a step."""
    fail_over = partial(world.servers.primary.fail_over, _ELECTION_S)
    world.workers[0].machine.befall(step, fail_over)


def stream_dies(_world: World, following: Following, step: int) -> None:
    """Have the gateway die that followers read from."""
    following.crash(step)


async def _sees(world: World, kind: str, times: int = 1) -> None:
    """Return when rooms have that many events of a kind, or it took too long."""

    def seen() -> bool:
        events = (e for entry in world.store.entries.values() for e in entry.get("events", ()))
        return sum(event["type"] == kind for event in events) >= times

    await happens(seen, look_s=_LOOK_S)


async def _live(random: Random, fate: Fate, step: int) -> bool:
    world = World(random, FAIR, heard_ms=0, choose=_first)
    for _ in range(3):
        world.start_worker()
    following = Following(world)
    machines = [following.machine, *(worker.machine for worker in world.workers)]
    world.befall(world.deliver_triggers())
    fate(world, following, step)
    await _work(world, following)
    rests = await world.comes_to_rest()
    await world.is_projected()
    await following.ends()
    check_deaths(world)
    world.end()
    assert rests, "a room is stuck"
    check(world)
    following.check()
    assert world.log_of(world.rooms[0])[-1]["state"]["status"] == "released"
    return any(machine.befallen for machine in machines)


async def _work(world: World, following: Following) -> None:
    """Have a tool called in a room, a long answer interrupted, and release it; another sleeps."""
    # Some renewal of a session falls between a commit and its projection.
    await asyncio.sleep(world.random.random())
    room, sleeper = world.id(), world.id()
    world.rooms += [room, sleeper]
    for rented, sleep_after_s in ((room, None), (sleeper, 1)):
        body = RentBody(wake_policy=WakePolicy(sleep_after_s=sleep_after_s))
        await world.ask(RentRoom(**world.at(rented), body=body))
        following.follow(rented)
    calls = f'!tool wait {{"ms": 50, "room": "{room}"}}\n!say done'
    for script in (calls, "!wait 2500\n!say slept"):
        await world.ask(PostMessage(**world.at(room), body=MessageBody(content=script)))
    await _sees(world, TURN_START, 2)
    stop = InterruptBody(mode="hard", deadline_ms=2000)
    await world.ask(InterruptRoom(**world.at(room), body=stop))
    await world.ask(ReleaseRoom(**world.at(room), body=ReleaseBody()))
    await _sees(world, "room:sleeping")


def _first(able: list[SimWorker]) -> SimWorker:
    return able[0]

"""One seed is one life: clients, followers, faults; then what it left is checked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from abbotik_room_worker.adapters import sessions
from abbotik_runtime import ids, loops
from tests.simulation import virtual_time
from tests.simulation.checks import check, check_deaths
from tests.simulation.clients import client
from tests.simulation.following import Following
from tests.simulation.network import FAIR, FOUL, Weather
from tests.simulation.worker import SimWorker
from tests.simulation.world import World

Fate = Callable[[World, Following], Coroutine[Any, Any, None]]
"""What befalls a deployment while its clients work."""

FAULTS_S = 40.0
# How many steps a worker takes at the most before it crashes. In an idle second it takes about 15.
_STEPS = 150


def chance(monkeypatch: pytest.MonkeyPatch) -> Random:
    """Return a source of chance that also makes every id; the product's seconds are virtual."""
    random = Random()  # noqa: S311  a seed has to give the same life again

    def made() -> UUID:
        return UUID(int=random.getrandbits(128), version=4)

    monkeypatch.setattr(ids, "uuid_utils", SimpleNamespace(uuid7=made))
    monkeypatch.setattr(sessions, "elapsed_s", virtual_time.now)
    monkeypatch.setattr(loops, "time", SimpleNamespace(monotonic=virtual_time.now))
    monkeypatch.setattr(loops, "random", random)
    return random


async def everything_goes_wrong(world: World, following: Following) -> None:
    """Have workers die, leave and stand still, and followers lose what they hear."""
    random, until = world.random, virtual_time.now() + FAULTS_S
    while virtual_time.now() < until:
        await asyncio.sleep(random.uniform(0.2, 6))
        dice = random.random()
        if dice < 0.5:
            await _end(world, random.choice(world.workers))
            await asyncio.sleep(random.uniform(0, 2))
            world.start_worker()
        elif dice < 0.75:
            machine = random.choice(world.workers).machine
            still = partial(machine.stand_still, random.uniform(0.5, 10))
            machine.befall(random.randint(1, _STEPS), still)
        elif dice < 0.85:
            random.choice(world.workers).wall_clock.jump()
        elif dice < 0.92:
            world.servers.primary.fail_over(random.uniform(0.3, 12))
        else:
            following.suffer()


def live(
    random: Random, seed: int, fate: Fate = everything_goes_wrong, weather: Weather = FOUL
) -> None:
    """Live the life of a seed; AssertionError that names it where a promise was broken.

    UnheardError, which names it too, where something failed unheard.
    """
    random.seed(seed)
    try:
        virtual_time.run(_live(World(random, weather), fate))
    except (AssertionError, virtual_time.UnheardError) as broken:
        raise type(broken)(f"seed {seed}: {broken}") from broken


async def _live(world: World, fate: Fate) -> None:
    fair = world.weather is FAIR
    for _ in range(world.random.randint(2, 3)):
        world.start_worker()
    following = Following(world)
    world.befall(world.deliver_triggers())
    clients = [asyncio.create_task(client(world, following.follow)) for _ in range(2)]
    await fate(world, following)
    world.clear_up()
    following.clear_up()
    await asyncio.gather(*clients)
    rests = await world.comes_to_rest()
    await world.is_projected()
    await following.ends()
    if fair:
        check_deaths(world)
    world.end()
    assert rests, "a room is stuck"
    check(world)
    following.check()


async def _end(world: World, worker: SimWorker) -> None:
    """Have a worker die now, at some step from now on, or leave, or die while it leaves."""
    how = world.random.choice(("now", "step", "leaves", "leaves", "dies leaving"))
    if how in ("step", "dies leaving"):
        worker.machine.befall(world.random.randint(1, _STEPS), worker.machine.kill)
    if how in ("leaves", "dies leaving"):
        await world.dismiss(worker)
    elif how == "step":
        await worker.machine.ended.wait()
    world.bury(worker)

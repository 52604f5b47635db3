"""NATS loses what it keeps, again and again, and no nudge is heard: what is left is the sweeps."""

from __future__ import annotations

import asyncio

import pytest

from tests.simulation import virtual_time
from tests.simulation.bus import Server
from tests.simulation.following import Following
from tests.simulation.life import FAULTS_S, chance, live
from tests.simulation.network import FAIR
from tests.simulation.world import World

SEEDS = 20
_PORTION = 20
# A sweep looks each second, for rooms that have waited for one, and its trigger may be lost too.
_SWEPT_MS = 6_000
# Some triggers are delivered before; one that is lost is said again a second later.
_FORGETS_S = 0.2


async def bus_forgets(world: World, _following: Following) -> None:
    """Lose each nudge, trigger and reminder, while turns are handed over from worker to worker."""
    bus, world.latest_ms = world.servers.bus, _SWEPT_MS
    bus.nudged = lambda _: None
    world.befall(_forget_all(bus))
    until = virtual_time.now() + FAULTS_S
    while virtual_time.now() < until:
        await asyncio.sleep(world.random.uniform(0, 8))
        world.start_worker()
        leaving = world.workers[0]
        await world.dismiss(leaving)
        world.bury(leaving)


async def _forget_all(bus: Server) -> None:
    while True:
        bus.forget()
        await asyncio.sleep(_FORGETS_S)


@pytest.mark.parametrize("first", range(0, SEEDS, _PORTION))
def test_losing_all_that_nats_keeps_costs_seconds(
    monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """Turns begin and stop, and occurrences are kept, within moments all the same."""
    random = chance(monkeypatch)
    for seed in range(first, first + _PORTION):
        live(random, seed, bus_forgets, FAIR)

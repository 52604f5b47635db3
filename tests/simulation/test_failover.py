"""MongoDB loses its primary again and again, for all processes at once, and nothing else dies."""

from __future__ import annotations

import asyncio

import pytest

from tests.simulation import virtual_time
from tests.simulation.following import Following
from tests.simulation.life import FAULTS_S, chance, live
from tests.simulation.network import FAIR
from tests.simulation.world import World

SEEDS = 40
_PORTION = 20
_MOST_WORKERS = 5


async def primary_fails_over(world: World, _following: Following) -> None:
    """Have no primary for a moment or for far longer than a session lives; begin a worker then."""
    random, until = world.random, virtual_time.now() + FAULTS_S
    while virtual_time.now() < until:
        await asyncio.sleep(random.uniform(0.5, 8))
        away_s = random.uniform(0.3, 12)
        world.servers.primary.fail_over(away_s)
        await asyncio.sleep(random.uniform(0, away_s))
        if len(world.workers) < _MOST_WORKERS:
            world.start_worker()
        await asyncio.sleep(away_s)


@pytest.mark.parametrize("first", range(0, SEEDS, _PORTION))
def test_lost_primary_is_nobodys_death(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """No turn is taken away or runs twice, and whoever begins meanwhile knows the time."""
    random = chance(monkeypatch)
    for seed in range(first, first + _PORTION):
        live(random, seed, primary_fails_over, FAIR)

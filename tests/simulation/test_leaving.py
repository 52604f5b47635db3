"""Workers that are told to stop, one after the other or all at once, in the middle of turns."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from abbotik_contracts.room_log import LogEntry
from tests.simulation import virtual_time
from tests.simulation.following import Following
from tests.simulation.life import FAULTS_S, chance, live
from tests.simulation.network import FAIR
from tests.simulation.worker import SimWorker
from tests.simulation.world import World

SEEDS = 40
_PORTION = 20
# The next worker learns it by a message. Without one it looks each second.
_AT_ONCE_MS = 2_500


async def everybody_leaves(world: World, _following: Following) -> None:
    """Replace one worker after the other, before it leaves or afterwards, or all at once."""
    random, until = world.random, virtual_time.now() + FAULTS_S
    while virtual_time.now() < until:
        await asyncio.sleep(random.uniform(0.2, 3))
        leaving = random.choice((world.workers[:1], world.workers[:1], world.workers[:]))
        # Somebody has to stay who could go on with the turns.
        first = len(leaving) == len(world.workers) or random.random() < 0.7
        begun = [world.start_worker() for _ in leaving if first]
        await asyncio.gather(*(_leaves(world, worker) for worker in leaving))
        for _ in leaving[len(begun) :]:
            world.start_worker()
    for room in world.rooms:
        _go_on_at_once(world.log_of(room))


@pytest.mark.parametrize("first", range(0, SEEDS, _PORTION))
def test_nothing_fails_because_a_worker_was_told_to_stop(
    monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """It leaves in time and holds nothing, and its turns go on elsewhere at once."""
    random = chance(monkeypatch)
    for seed in range(first, first + _PORTION):
        live(random, seed, everybody_leaves, FAIR)


async def _leaves(world: World, worker: SimWorker) -> None:
    await world.dismiss(worker)
    assert worker.left, "a worker did not leave"
    for room in world.rooms:
        lease = world.log_of(room)[-1]["state"]["lease"] if world.log_of(room) else None
        assert lease is None or lease["session"] != worker.session, "it took a turn with it"
    world.bury(worker)


def _go_on_at_once(log: list[LogEntry]) -> None:
    for given_up, taken in pairwise(log):
        state = given_up["state"]
        if state["turn"] is not None and state["lease"] is None:
            waited_ms = taken["at"] - given_up["at"]
            assert waited_ms <= _AT_ONCE_MS, f"a turn waited {waited_ms} ms for its next worker"

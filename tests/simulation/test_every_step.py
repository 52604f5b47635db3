"""A process dies, or stands still, at every step that it takes: nothing of a life is spared."""

from __future__ import annotations

import itertools

import pytest

from tests.simulation import scenario
from tests.simulation.life import chance

FATES = (
    scenario.dies,
    scenario.all_die,
    scenario.stands_still,
    scenario.dies_leaving,
    scenario.dies_recovering,
    scenario.primary_fails,
    scenario.stream_dies,
)
SEEDS = 2
# As few steps as no life of a seed ends before.
_LEAST = 10


@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_promises_hold_at_whatever_step_it_happens(
    monkeypatch: pytest.MonkeyPatch, fate: scenario.Fate, seed: int
) -> None:
    """The room is released, its log is sound, what was told is there, followers have it all."""
    random = chance(monkeypatch)
    steps = itertools.takewhile(
        lambda step: scenario.live_up_to(random, seed, fate, step), itertools.count(1)
    )
    assert sum(1 for _ in steps) > _LEAST

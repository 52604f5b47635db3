"""The simulation finds a product that was broken on purpose: each sabotage is red.

One is not, since all that it does is healed: to compare no tokens after an unknown outcome, and so
to take one's own entry for a lost race. A caller's command then finds its outcome by its key, like
one that is delivered again. A worker's own command is decided again on the room as it is, which has
what it asked for; a turn that ended or was claimed is found by reading the room anew. Followers
read the log, and the sweep mends the projection of a deadline that was kept. Only the writer's own
promise is broken: `tests/integration/test_broken_builds.py` holds it against such a build.

Others show only where times meet that no life here has made meet yet. They have tests of their own:
to read a room once where the session lapsed meanwhile (`test_keeper`), to forget what is in doubt
(`test_keeper`), to look for no holder that was buried (`test_takeover`), to take a projection for
stored that no majority confirmed (`test_projector`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from tests.service.room_worker.broken_builds import (
    forgets_refusals,
    looks_at_no_room_of_its_own,
    looks_for_projected_rooms_only,
    takes_others_for_dead_while_away,
)
from tests.simulation import sabotages
from tests.simulation.life import chance, live
from tests.simulation.network import FAIR
from tests.simulation.sabotages import Sabotage
from tests.simulation.scenario import (
    Fate,
    all_die,
    dies,
    live_up_to,
    primary_fails,
    stands_still,
)
from tests.simulation.test_every_step import SEEDS as EVERY_STEP
from tests.simulation.test_failover import primary_fails_over
from tests.simulation.test_forgetting import bus_forgets
from tests.simulation.test_leaving import everybody_leaves

SEEDS = 80


def _lives(random: Random) -> None:
    for seed in range(SEEDS):
        live(random, seed)


def _leavings(random: Random) -> None:
    for seed in range(SEEDS):
        live(random, seed, everybody_leaves, FAIR)


def _failovers(random: Random) -> None:
    for seed in range(SEEDS):
        live(random, seed, primary_fails_over, FAIR)


def _losses(random: Random) -> None:
    for seed in range(SEEDS):
        live(random, seed, bus_forgets, FAIR)


def _steps(random: Random, fate: Fate) -> None:
    for seed in range(EVERY_STEP):
        for step in itertools.count(1):
            if not live_up_to(random, seed, fate, step):
                break


_deaths = partial(_steps, fate=dies)
_massacres = partial(_steps, fate=all_die)
_standstills = partial(_steps, fate=stands_still)
_elections = partial(_steps, fate=primary_fails)


@pytest.mark.parametrize(
    ("sabotage", "simulate"),
    [
        (sabotages.take_the_next_rev, _lives),
        (sabotages.believe_what_is_unsettled, _lives),
        (sabotages.claim_to_have_projected, _massacres),
        (sabotages.project_once, _lives),
        (sabotages.project_backwards, _lives),
        (looks_for_projected_rooms_only, _massacres),
        (sabotages.leave_an_event_out, _lives),
        (sabotages.keep_the_epoch, _lives),
        (forgets_refusals, _lives),
        (sabotages.never_sweep, _lives),
        (sabotages.declare_nobody_dead, _lives),
        (takes_others_for_dead_while_away, _failovers),
        (sabotages.begin_at_any_time, _failovers),
        (sabotages.believe_the_own_clock, _lives),
        (sabotages.go_by_the_wall_clock, _lives),
        (sabotages.skip_an_occurrence, _lives),
        (sabotages.keep_no_occurrence, _losses),
        (sabotages.mend_no_projection, _elections),
        (looks_at_no_room_of_its_own, _losses),
        (sabotages.leave_an_entry_out_of_replay, _lives),
        (sabotages.trust_the_bus, _lives),
        (sabotages.leave_without_handing_over, _leavings),
        (sabotages.interrupt_what_still_runs, _leavings),
        (sabotages.call_tools_again, _deaths),
        (sabotages.call_tools_without_looking, _standstills),
    ],
)
def test_sabotage_is_found(
    monkeypatch: pytest.MonkeyPatch, sabotage: Sabotage, simulate: Callable[[Random], None]
) -> None:
    """Some life of the first ones breaks a promise."""
    random = chance(monkeypatch)
    sabotage(monkeypatch)
    with pytest.raises(AssertionError, match="seed"):
        simulate(random)

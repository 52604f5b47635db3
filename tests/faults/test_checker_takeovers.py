"""The checker sees a turn that was taken from a worker which lived, and knows which did not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.faults.checker import violations
from tests.faults.faults import outages
from tests.faults.history import Fault, History, Outage
from tests.faults.rules.takeovers import BACK_S
from tests.faults.sound_history import assert_named, sound, with_entries

# Where the first turn's takeover is in the sound history.
RECOVERED = 2
SESSIONS = {"room-worker": "worker-1", "room-worker-2": "worker-2"}


def _taken_at(history: History) -> float:
    return history.logs[0].entries[RECOVERED].at / 1000


def _out(history: History, since: float, until: float = math.inf, session: str = "") -> None:
    """Let the first turn's holder, or another session, have been out then."""
    history.outages[0] = Outage(session or "worker-1", since, until)


def _handed_over(history: History, *, by: str) -> None:
    """Let the first turn's holder give it back, and another take it."""
    entries = history.logs[0].entries
    begun = entries[RECOVERED - 1]
    given = replace(begun, session=by, events=[], state={**begun.state, "lease": None})
    with_entries(history, [*entries[:RECOVERED], given, *entries[RECOVERED:]])


def test_who_was_paused_may_lose_its_rooms_while_it_is_and_a_moment_later() -> None:
    """Its session is renewed only when it is back."""
    history = sound()
    _out(history, since=_taken_at(history) - 10, until=_taken_at(history) - BACK_S)
    assert violations(history) == []


def test_who_is_told_to_end_hands_its_turns_over() -> None:
    """Whoever takes one then finds it without a holder."""
    history = sound()
    _handed_over(history, by="worker-1")
    assert violations(history) == []


def _taken_though_nothing_happened(history: History) -> None:
    history.outages = []


def _taken_before_the_fault(history: History) -> None:
    _out(history, since=_taken_at(history) + 0.1)


def _taken_long_after_the_pause(history: History) -> None:
    at = _taken_at(history)
    _out(history, since=at - 20, until=at - BACK_S - 0.1)


def _taken_though_another_died(history: History) -> None:
    _out(history, since=_taken_at(history) - 3, session="worker-9")


def _handed_over_though_nothing_happened(history: History) -> None:
    _handed_over(history, by="worker-1")
    history.outages = []


@pytest.mark.parametrize(
    "corrupt",
    [
        _taken_though_nothing_happened,
        _taken_before_the_fault,
        _taken_long_after_the_pause,
        _taken_though_another_died,
        _handed_over_though_nothing_happened,
    ],
)
def test_each_corruption_is_named(corrupt: Callable[[History], None]) -> None:
    """Nobody takes the turn of a worker that lives."""
    assert_named(corrupt, "I6/C5", None, "of worker-2 takes the turn of worker-1, which lives")


@pytest.mark.parametrize(
    ("victim", "others", "kind", "out"),
    [
        ("room-worker", (), "kill", {"worker-1": math.inf}),
        ("room-worker", ("mongod",), "kill", {"worker-1": math.inf}),
        ("room-worker-2", (), "term", {"worker-2": math.inf}),
        ("room-worker", (), "pause", {"worker-1": 110.0}),
        ("room-worker", (), "cut-mongo", {"worker-1": 110.0}),
        ("room-worker", (), "hold-mongo", {"worker-1": 110.0}),
        ("nats-server", tuple(SESSIONS), "power-cut", dict.fromkeys(SESSIONS.values(), math.inf)),
        # With these it renews its session as ever.
        ("room-worker", (), "cut-nats", {}),
        ("room-worker", (), "slow-mongo", {}),
        ("mongod", (), "kill", {}),
        ("mongod", (), "pause", {}),
        ("mongod", (), "away", {}),
    ],
)
def test_only_a_fault_of_the_worker_itself_ends_its_session(
    victim: str, others: tuple[str, ...], kind: str, out: dict[str, float]
) -> None:
    """A server that is away, however long, is nobody's death."""
    fault = Fault(victim, kind, began=100.0, healed=110.0, others=others)
    assert outages(fault, SESSIONS) == [Outage(one, 100.0, until) for one, until in out.items()]

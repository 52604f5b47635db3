"""The checker sees what became of the occurrences of schedules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from abbotik_kernel.clock import rfc3339
from tests.faults.checker import violations
from tests.faults.history import History, Record
from tests.faults.rules.schedules import occurrence_id
from tests.faults.rules.violation import Kind
from tests.faults.sound_history import (
    BEGAN,
    ROOM,
    append,
    asked,
    assert_named,
    event,
    last,
    occurrence,
    patch_entry,
    sound,
    then,
    with_entries,
)

WAITS = {"every_s": 1, "overlap": "skip", "misfire": "fire_once"}


def _scheduled(history: History, *seconds: int, **policy: Any) -> list[int]:
    """Give the room a schedule that has fired twice; return when it was set, and the next times.

    ``seconds`` are, from its setting, the occurrences in the log, one entry each.
    """
    schedule = {**WAITS, **policy}
    config = {"metadata": {"patch": "patch-1"}, "wake_policy": {"schedule": schedule}}
    newest = last(history)
    due = [newest.at + 1_000 + 1_000 * place for place in range(12)]
    state = {"policy_version": 2, "wakes": due[1:6]}
    entries = [then(newest, config=config, state=state)]
    for one in seconds or (1, 2):
        fired = occurrence(due[one], "fired", None)
        entries.append(
            then(entries[-1], fired, at=due[one], state={"wakes": due[one + 1 : one + 6]})
        )
    append(history, *entries)
    history.calls.append(asked("patch", "2", body={"wake_policy": {"schedule": schedule}}))
    return due


def _missed(history: History) -> None:
    """Let nobody be there for a while, and then the schedule end."""
    due = _scheduled(history)
    many = occurrence(due[4], "coalesced", "misfire", occurrences=2, first=rfc3339(due[3]))
    kept = [many, occurrence(due[5], "coalesced", "misfire"), occurrence(due[6], "fired", None)]
    late = then(last(history), *kept, at=due[6] + 10, state={"wakes": due[7:12]})
    over = patch_entry(late, "patch-2", 3)
    over = replace(over, at=due[7] - 1, state={**over.state, "wakes": []})
    append(history, late, over)
    body = {"metadata": {"patch": "patch-2"}, "wake_policy": {"schedule": None}}
    history.calls.append(asked("patch", "3", key="patch-2", body=body))


@pytest.mark.parametrize("add", [_scheduled, _missed])
def test_each_occurrence_is_told_of_once(add: Callable[[History], None]) -> None:
    """Occurrences that nobody was there for may share one, and are counted in it."""
    history = sound()
    add(history)
    assert violations(history) == []


@pytest.mark.parametrize(
    ("state", "policy", "outcome", "reason"),
    [
        ({"queue": ["message-0"]}, {}, "skipped", "overlap"),
        ({"queue": ["message-0"]}, {"overlap": "queue"}, "fired", None),
        ({"turn": {"id": "turn-0"}}, {"overlap": "queue"}, "coalesced", "overlap"),
        ({"queue": ["message-0"] * 64}, {"overlap": "queue"}, "skipped", "queue_full"),
        ({"status": "failed"}, {}, "skipped", "room_failed"),
    ],
)
def test_the_state_of_the_room_decides_on_an_occurrence(
    state: Record, policy: Record, outcome: str, reason: str | None
) -> None:
    """It fires in a room at rest; for any other the policy has a say, and nothing fires in vain."""
    history = sound()
    due = _scheduled(history, **policy)
    before = then(last(history), state=state, at=due[3] - 1)
    told = occurrence(due[3], outcome, reason)
    append(history, before, then(before, told, at=due[3], state={"wakes": due[4:9]}))
    assert violations(history) == []


@pytest.mark.parametrize("misfire", ["skip", "fire_once"])
def test_a_release_ends_a_schedule(misfire: str) -> None:
    """What was due by then is skipped, and nothing is due after it."""
    history = sound()
    due = _scheduled(history, misfire=misfire)
    told = [occurrence(at, "skipped", "released") for at in due[3:5]]
    end = event("room:released", 0, 4, settlement={"turns": 2})
    state = {"status": "released", "wakes": []}
    append(history, then(last(history), *told, end, at=due[4], state=state))
    assert violations(history) == []


def _occurrence_left_out(history: History) -> None:
    _scheduled(history, 1, 3)


def _occurrence_kept_twice(history: History) -> None:
    _scheduled(history, 1, 1)


def _occurrence_before_its_time(history: History) -> None:
    due = _scheduled(history)
    early = then(last(history), occurrence(due[3], "fired", None), at=due[3] - 1)
    append(history, replace(early, state={**early.state, "wakes": due[4:9]}))


def _occurrence_left_out_at_the_end(history: History) -> None:
    _missed(history)
    *entries, over = history.logs[0].entries
    with_entries(history, [*entries, replace(over, at=over.at + 1)])


def _occurrence_with_another_id(history: History) -> None:
    _scheduled(history)
    told = last(history).events[0]["payload"]
    told["occurrence_id"] = "another"
    with_entries(history, history.logs[0].entries)


def _occurrences_counted_wrongly(history: History) -> None:
    _missed(history)
    entries = history.logs[0].entries
    entries[-2].events[0]["payload"]["occurrences"] = 3
    with_entries(history, entries)


def _occurrence_fired_in_a_busy_room(history: History) -> None:
    _scheduled(history, 1)
    entries = history.logs[0].entries
    busy = {**entries[-2].state, "queue": ["message-0"]}
    with_entries(history, [*entries[:-2], replace(entries[-2], state=busy), entries[-1]])


def _occurrence_without_its_message(history: History) -> None:
    _scheduled(history, content="!say it is time")


def _occurrence_with_a_message(history: History) -> None:
    due = _scheduled(history, 1)
    queued = event("message:queued", 0, 4, message_id=occurrence_id(ROOM, due[1]))
    *entries, fired = history.logs[0].entries
    with_entries(history, [*entries, replace(fired, events=[queued, *fired.events])])


def _occurrence_without_a_schedule(history: History) -> None:
    newest = last(history)
    append(history, then(newest, occurrence(newest.at, "fired", None)))


def _next_time_forgotten(history: History) -> None:
    _scheduled(history)
    newest = last(history)
    append(history, then(newest, at=newest.at, state={"wakes": []}))


@pytest.mark.parametrize(
    ("corrupt", "promise", "kind", "says"),
    [
        (_occurrence_left_out, "I2/C1", Kind.LOST, f"came when {BEGAN + 3_600} was due"),
        (_occurrence_kept_twice, "I2/C1", Kind.DOUBLED, f"came when {BEGAN + 3_600} was due"),
        (_occurrence_before_its_time, "I2/C1", Kind.OTHER, "came before its time"),
        (_occurrence_left_out_at_the_end, "I2/C1", Kind.LOST, "was due at the schedule's end"),
        (_occurrence_with_another_id, "I2/C1", Kind.OTHER, "has the id another"),
        (_occurrences_counted_wrongly, "I2/C1", Kind.OTHER, "are not 3"),
        (_occurrence_fired_in_a_busy_room, "I2/C1", Kind.OTHER, "not to ('skipped', 'overlap')"),
        (_occurrence_without_its_message, "I2/C1", Kind.LOST, "without its message"),
        (_occurrence_with_a_message, "I2/C1", Kind.DOUBLED, "with a message"),
        (_occurrence_without_a_schedule, "I2/C1", Kind.OTHER, "has no schedule"),
        (_next_time_forgotten, "I2/C1", Kind.LOST, "entry 11 waits for [], not for"),
    ],
)
def test_each_corruption_is_named(
    corrupt: Callable[[History], None], promise: str, kind: Kind, says: str
) -> None:
    """A history with one corruption has a violation of the right promise that says what it is."""
    assert_named(corrupt, promise, kind, says)

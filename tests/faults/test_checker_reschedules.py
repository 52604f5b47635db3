"""The checker sees which schedule holds when: of each kind, set, replaced and ended by patches."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from abbotik_kernel.clock import rfc3339
from tests.faults.checker import violations
from tests.faults.history import History, Record
from tests.faults.rules.schedules import occurrence_id
from tests.faults.rules.violation import Kind
from tests.faults.sound_history import (
    ROOM,
    append,
    asked,
    assert_named,
    event,
    last,
    message,
    occurrence,
    sound,
    then,
)

DEFAULTS = {"overlap": "skip", "misfire": "fire_once"}
OLD: Record = {"every_s": 1, **DEFAULTS}
NEW: Record = {"every_s": 2, **DEFAULTS}
CRON: Record = {"cron": "* * * * *", **DEFAULTS}
# The first schedule is set at this time, and what it lets be due by the next patch comes to pass.
SET = 208_000
# A full minute after that.
MINUTE = 240_000
LATER = 220_000


def _only(at: int) -> Record:
    return {"at": rfc3339(at), **DEFAULTS}


def _set(history: History, schedule: Record | None, at: int, *events: Record, waits: int) -> None:
    """Let a patch set a schedule, or none, after which the room waits for a time, 0 for none."""
    newest = last(history)
    version = newest.state["policy_version"] + 1
    key = f"patch-{version}"
    config = {"metadata": {"patch": key}, "wake_policy": {"schedule": schedule}}
    state = {"policy_version": version, "wakes": [waits] if waits else []}
    append(history, then(newest, *events, at=at, config=config, state=state))
    body = {"wake_policy": {"schedule": schedule}}
    history.calls.append(asked("patch", str(version), key=key, body=body))


def _fires(history: History, at: int, *, late: int = 0, waits: int) -> None:
    """Let an occurrence fire, after which the room waits for a time, 0 for none."""
    state = {"wakes": [waits] if waits else []}
    append(history, then(last(history), occurrence(at), at=at + late, state=state))


def _replaced(history: History) -> None:
    """Let a schedule fire once, and the next one as well, and that be ended."""
    _set(history, OLD, SET, waits=SET + 1_000)
    _fires(history, SET + 1_000, late=5, waits=SET + 2_000)
    _set(history, NEW, SET + 1_900, waits=SET + 3_900)
    _fires(history, SET + 3_900, late=5, waits=SET + 5_900)
    _set(history, None, SET + 5_800, waits=0)


def _kept_by_the_patch(history: History, *, schedule: Record = OLD, said: str = "") -> None:
    """Let a patch find an occurrence due, which is the old schedule's still."""
    _set(history, schedule, SET, waits=SET + 1_000)
    due = [occurrence(SET + 1_000)]
    if said:
        _say(history, SET + 1_000, said)
        message_id = occurrence_id(ROOM, SET + 1_000)
        due.insert(0, event("message:queued", 0, 4, message_id=message_id))
    _set(history, NEW, SET + 1_500, *due, waits=SET + 3_500)


def _say(history: History, at: int, content: str) -> None:
    posted = {"id": occurrence_id(ROOM, at), "author_kind": "system", "content": content}
    history.logs[0].messages.append({**message(3, 5, "user"), **posted})


def _set_again(history: History) -> None:
    """Let a patch set what is set already: its times stay."""
    _set(history, OLD, SET, waits=SET + 1_000)
    _set(history, OLD, SET + 500, waits=SET + 1_000)
    _fires(history, SET + 1_000, waits=SET + 2_000)


def _once(history: History) -> None:
    """Let the only time of a schedule come, and a patch that leaves it as it is."""
    _set(history, _only(LATER), SET, waits=LATER)
    _fires(history, LATER, waits=0)
    _set(history, _only(LATER), LATER + 1_000, waits=0)


def _each_minute(history: History) -> None:
    _set(history, CRON, SET, waits=MINUTE)
    _fires(history, MINUTE, late=5, waits=MINUTE + 60_000)
    _set(history, None, MINUTE + 1_000, waits=0)


@pytest.mark.parametrize("add", [_replaced, _kept_by_the_patch, _set_again, _once, _each_minute])
def test_a_schedule_holds_from_one_patch_to_the_next(add: Callable[[History], None]) -> None:
    """It fires at its times while it holds, and what is due at its end is its own."""
    history = sound()
    add(history)
    assert violations(history) == []


def test_an_only_time_that_has_passed_is_refused() -> None:
    """A patch that was not answered before comes too late when it is sent again."""
    history = sound()
    body = {"wake_policy": {"schedule": _only(102_000)}}
    history.calls.append(asked("patch", error="VALIDATION_FAILED", body=body))
    assert violations(history) == []


def _old_time_after_the_patch(history: History) -> None:
    _kept_by_the_patch(history)
    _fires(history, SET + 2_000, waits=SET + 3_500)


def _old_time_after_the_end(history: History) -> None:
    _set(history, OLD, SET, waits=SET + 1_000)
    _set(history, None, SET + 500, waits=0)
    _fires(history, SET + 1_000, waits=0)


def _old_times_kept(history: History) -> None:
    _set(history, OLD, SET, waits=SET + 1_000)
    _set(history, NEW, SET + 500, waits=SET + 1_000)


def _old_time_left_out(history: History) -> None:
    _set(history, OLD, SET, waits=SET + 1_000)
    _set(history, NEW, SET + 1_000, waits=SET + 3_000)


def _old_time_told_again(history: History) -> None:
    _kept_by_the_patch(history)
    _fires(history, SET + 1_000, waits=SET + 3_500)


def _new_time_left_out(history: History) -> None:
    _kept_by_the_patch(history)
    _fires(history, SET + 5_500, waits=SET + 7_500)


def _new_time_too_early(history: History) -> None:
    _kept_by_the_patch(history)
    _fires(history, SET + 3_500, late=-1, waits=SET + 5_500)


def _old_time_with_the_new_content(history: History) -> None:
    _kept_by_the_patch(history, schedule={**OLD, "content": "old"}, said="new")


def _only_time_twice(history: History) -> None:
    _once(history)
    _fires(history, LATER, waits=0)


def _only_time_left_out(history: History) -> None:
    _set(history, _only(LATER), SET, waits=LATER)
    _set(history, None, LATER, waits=0)


def _only_time_that_has_passed(history: History) -> None:
    _set(history, _only(SET), SET, waits=0)


def _minute_left_out(history: History) -> None:
    _set(history, CRON, SET, waits=MINUTE + 60_000)


def _minutes_counted_wrongly(history: History) -> None:
    _set(history, CRON, SET, waits=MINUTE)
    many = occurrence(MINUTE + 60_000, occurrences=3, first=rfc3339(MINUTE))
    state = {"wakes": [MINUTE + 120_000]}
    append(history, then(last(history), many, at=MINUTE + 60_000, state=state))


def _refused_though_its_time_is_ahead(history: History) -> None:
    body = {"wake_policy": {"schedule": _only(103_000)}}
    history.calls.append(asked("patch", error="VALIDATION_FAILED", body=body))


def _refused_though_it_fires_again_and_again(history: History) -> None:
    body = {"wake_policy": {"schedule": OLD}}
    history.calls.append(asked("patch", error="VALIDATION_FAILED", body=body))


@pytest.mark.parametrize(
    ("corrupt", "promise", "kind", "says"),
    [
        (_old_time_after_the_patch, "I2/C1", Kind.DOUBLED, f"came when {SET + 3_500} was due"),
        (_old_time_after_the_end, "I2/C1", Kind.OTHER, "has no schedule"),
        (_old_times_kept, "I2/C1", Kind.DOUBLED, f"[{SET + 1_000}], not for {SET + 2_500}"),
        (_old_time_left_out, "I2/C1", Kind.LOST, "was due at the schedule's end and is left out"),
        (_old_time_told_again, "I2/C1", Kind.DOUBLED, f"came when {SET + 3_500} was due"),
        (_new_time_left_out, "I2/C1", Kind.LOST, f"came when {SET + 3_500} was due"),
        (_new_time_too_early, "I2/C1", Kind.OTHER, "came before its time"),
        (_old_time_with_the_new_content, "I2/C1", Kind.OTHER, "says ['new'], not 'old'"),
        (_only_time_twice, "I2/C1", Kind.DOUBLED, "came when None was due"),
        (_only_time_left_out, "I2/C1", Kind.LOST, "was due at the schedule's end and is left out"),
        (_only_time_that_has_passed, "I2/C1", Kind.OTHER, "sets a schedule that can never fire"),
        (_minute_left_out, "I2/C1", Kind.LOST, f"waits for [{MINUTE + 60_000}], not for {MINUTE}"),
        (_minutes_counted_wrongly, "I2/C1", Kind.OTHER, "are not 3"),
        (_refused_though_its_time_is_ahead, "C6", Kind.OTHER, "patch-1 was not accepted"),
        (_refused_though_it_fires_again_and_again, "C6", Kind.OTHER, "patch-1 was not accepted"),
    ],
)
def test_each_corruption_is_named(
    corrupt: Callable[[History], None], promise: str, kind: Kind, says: str
) -> None:
    """A history with one corruption has a violation of the right promise that says what it is."""
    assert_named(corrupt, promise, kind, says)

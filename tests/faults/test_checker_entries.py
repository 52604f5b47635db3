"""The checker sees who may not have written an entry, and what is too much in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.faults.checker import violations
from tests.faults.history import Entry, History, Record
from tests.faults.sound_history import assert_named, event, sound, with_entries

# Where these are in the sound history.
RECOVERED, ENDED, BEGUN = 2, 3, 4


def _change(history: History, at: int, **members: Any) -> None:
    """Put another entry in the place of one."""
    entries = list(history.logs[0].entries)
    entries[at] = replace(entries[at], **members)
    with_entries(history, entries)


def _change_state(history: History, at: int, **members: Any) -> None:
    _change(history, at, state={**history.logs[0].entries[at].state, **members})


def _put(history: History, at: int, entry: Entry) -> None:
    """Put one more entry into the log."""
    entries = history.logs[0].entries
    with_entries(history, [*entries[:at], entry, *entries[at:]])


def _call(event_type: str) -> Record:
    return event(event_type, 1, 2, call_id="call-1")


def _with_tool_call(history: History, *, settled_by: str) -> None:
    """Let the first turn call a tool under its second epoch."""
    held = history.logs[0].entries[RECOVERED]
    _put(history, ENDED, replace(held, events=[_call("tool:start")]))
    _put(history, ENDED + 1, replace(held, events=[_call("tool:end")], session=settled_by))


def _handed_over(history: History, *, by: str) -> None:
    """Let the first turn's first holder give it back before another one takes it."""
    begun = history.logs[0].entries[RECOVERED - 1]
    state = {**begun.state, "lease": None}
    _put(history, RECOVERED, replace(begun, session=by, events=[], state=state))


def test_anybody_may_commit_a_command_while_a_turn_runs() -> None:
    """What adds nothing to the turn and leaves its lease alone needs no lease."""
    history = sound()
    held = history.logs[0].entries[RECOVERED]
    _put(history, ENDED, replace(held, events=[], session="worker-9"))
    assert violations(history) == []


def test_a_holder_takes_steps_and_gives_its_lease_back() -> None:
    """Calls of tools are steps; a lease that is given back is taken under the next epoch."""
    history = sound()
    _with_tool_call(history, settled_by="worker-2")
    _handed_over(history, by="worker-1")
    assert violations(history) == []


def _step_of_another_session(history: History) -> None:
    _with_tool_call(history, settled_by="worker-1")


def _end_by_another_session(history: History) -> None:
    _change(history, ENDED, session="worker-1")


def _handed_over_by_another(history: History) -> None:
    _handed_over(history, by="worker-2")


def _claimed_for_another(history: History) -> None:
    _change_state(history, BEGUN, lease={"session": "worker-9", "epoch": 3})


def _lease_of_an_older_epoch(history: History) -> None:
    _change_state(history, BEGUN, lease={"session": "worker-3", "epoch": 2})


def _lease_given_away_by_a_command(history: History) -> None:
    held = history.logs[0].entries[RECOVERED]
    given = {**held.state, "lease": {"session": "worker-9", "epoch": 2}}
    _put(history, ENDED, replace(held, events=[], session="worker-9", state=given))


def _epoch_without_a_step(history: History) -> None:
    held = history.logs[0].entries[RECOVERED]
    lease = {"session": "worker-9", "epoch": 3}
    taken = {**held.state, "epoch": 3, "lease": lease}
    _put(history, ENDED, replace(held, events=[], session="worker-9", state=taken))


def _epoch_left_out(history: History) -> None:
    _change_state(history, BEGUN, epoch=4, lease={"session": "worker-3", "epoch": 4})


def _entry_left_out(history: History) -> None:
    entries = history.logs[0].entries
    entries[ENDED] = replace(entries[ENDED], rev=5)


def _entry_too_large(history: History) -> None:
    _change(history, ENDED, size=17_000)


def _entry_too_large_beside_its_content(history: History) -> None:
    _change(history, ENDED, beside=2_049)


def _too_many_keys(history: History) -> None:
    _change(history, ENDED, keys=3)


def _queue_too_long(history: History) -> None:
    _change_state(history, ENDED, queue=[{}] * 65)


def _too_many_withdrawn(history: History) -> None:
    _change_state(history, ENDED, withdrawn=[1] * 65)


def _too_many_wakes(history: History) -> None:
    _change_state(history, ENDED, wakes=[1] * 6)


def _change_turn(history: History, **members: Any) -> None:
    turn = history.logs[0].entries[RECOVERED].state["turn"]
    _change_state(history, RECOVERED, turn={**turn, **members})


def _too_many_open_calls(history: History) -> None:
    _change_turn(history, open_calls=[{}, {}])


def _too_many_recoveries(history: History) -> None:
    _change_turn(history, recoveries=6)


@pytest.mark.parametrize(
    ("corrupt", "promise", "says"),
    [
        (_step_of_another_session, "I6/C5", "entry 5 of worker-1 takes a step under epoch 2"),
        (_end_by_another_session, "I6/C5", "entry 4 of worker-1 takes a step, the lease is"),
        (_end_by_another_session, "I6/C5", "entry 4 of worker-1 makes the lease None"),
        (_handed_over_by_another, "I6/C5", "entry 3 of worker-2 makes the lease None"),
        (_claimed_for_another, "I6/C5", "entry 5 of worker-3 gives epoch 3 to"),
        (_lease_of_an_older_epoch, "I6/C5", "entry 5 of worker-3 gives epoch 3 to"),
        (_lease_given_away_by_a_command, "I6/C5", "entry 4 of worker-9 makes the lease"),
        (_epoch_without_a_step, "I6/C5", "entry 4 of worker-9 begins epoch 3 without a step"),
        (_epoch_left_out, "C3", "entry 5 of worker-3 has epoch 4 after 2"),
        (_entry_left_out, "I1", "entry 3 is followed by 5"),
        (_entry_too_large, "I4", "entry 4: bytes 17000, 16384 are allowed"),
        (_entry_too_large_beside_its_content, "I4", "bytes beside new content 2049"),
        (_too_many_keys, "I4", "keys 3, 2 are allowed"),
        (_queue_too_long, "I4", "waiting messages 65, 64 are allowed"),
        (_too_many_withdrawn, "I4", "withdrawn messages 65"),
        (_too_many_wakes, "I4", "next wakes 6"),
        (_too_many_open_calls, "I4", "open tool calls 2"),
        (_too_many_recoveries, "I4", "recoveries 6"),
    ],
)
def test_each_corruption_is_named(
    corrupt: Callable[[History], None], promise: str, says: str
) -> None:
    """A log with one corruption has a violation of the right promise that says what it is."""
    assert_named(corrupt, promise, None, says)


@pytest.mark.parametrize("apart", [False, True])
def test_what_else_is_due_may_come_with_an_end_in_place(apart: bool) -> None:
    """An occurrence in the entry that gives a turn up has its epoch; one before it has not."""
    history = sound()
    *before, ended = history.logs[0].entries
    at = "2026-01-31T09:30:00.000Z"
    wake = event("room:wake", 2, 5, cause="schedule", scheduled_for=at, occurrence_id="o")
    wake["payload"] |= {"outcome": "skipped", "reason": "overlap"}
    end = {**ended.events[-1], "epoch": 5}
    end["payload"] = {**end["payload"], "status": "interrupted"}
    entries = [[wake], [end]] if apart else [[wake, end]]
    with_entries(history, [*before, *(replace(ended, events=events) for events in entries)])
    assert any("(room:wake) has epoch 5, not 4" in str(one) for one in violations(history)) == apart

"""The checker sees what an interrupt did not do, and what it should not have done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.faults.checker import violations
from tests.faults.history import Entry, Fault, History
from tests.faults.rules.violation import Kind
from tests.faults.sound_history import BEGAN, asked, assert_named, event, sound, with_entries

# The interrupt is put where the second turn runs.
INTERRUPT = 6
DISTURBING = Fault("room-worker", "pause", began=BEGAN / 1000, healed=BEGAN / 1000 + 10)
NAMED = {"turn_id": "turn-2"}


def _interrupted(history: History, *, mode: str = "hard", status: str = "interrupted") -> None:
    """Let the second turn be interrupted, and told so, and end."""
    *entries, end = history.logs[0].entries
    running = entries[-1]
    stop = {"mode": mode, "deadline_at": running.at + 5_000}
    state = {**running.state, "turn": {**running.state["turn"], "interrupt": stop}}
    answer = {"kind": "interrupt"}
    asks = replace(running, events=[], state=state, session="worker-9", answer=answer)
    end.events[-1]["payload"]["status"] = status
    with_entries(history, [*entries, asks, end])
    history.calls.append(asked("interrupt", "turn-2"))


def _ended_after(history: History, ms: int) -> None:
    """Let the interrupted turn end so much later."""
    *entries, end = history.logs[0].entries
    with_entries(history, [*entries, replace(end, at=entries[-1].at + ms)])


def _with_steps(history: History, *event_types: str) -> None:
    """Put steps of its holder between the interrupt and the end, each of a call of its own."""
    *entries, end = history.logs[0].entries
    held = replace(entries[-1], session="worker-4", answer={})
    with_entries(history, [*entries, *(_step(held, one) for one in event_types), end])


def _step(held: Entry, word: str) -> Entry:
    event_type, call = word.split()
    return replace(held, events=[event(event_type, 2, 4, call_id=call)])


@pytest.mark.parametrize("status", ["interrupted", "completed"])
def test_an_interrupted_turn_ends(status: str) -> None:
    """Also as completed, where the answer was there before its holder heard."""
    history = sound()
    _interrupted(history, status=status)
    assert violations(history) == []


def test_a_soft_interrupt_lets_the_running_step_end() -> None:
    """A call that begins before its holder has heard ends; the answer may be the next step."""
    history = sound()
    _interrupted(history, mode="soft", status="completed")
    _with_steps(history, "tool:start call-1", "tool:end call-1")
    assert violations(history) == []


def test_a_fault_gives_an_interrupted_turn_time() -> None:
    """By its deadline, and when the fault is over, it has ended."""
    history = sound()
    _interrupted(history)
    _ended_after(history, 14_000)
    history.fault = DISTURBING
    assert violations(history) == []


def test_an_interrupt_of_a_turn_that_is_over_is_refused() -> None:
    """And so is one without a turn where none runs."""
    history = sound()
    late = asked("interrupt", error="ROOM_NOT_RUNNING", body={"turn_id": "turn-1"}, over=True)
    history.calls.append(replace(late, began=BEGAN / 1000 + 60))
    history.calls.append(asked("interrupt", error="ROOM_NOT_RUNNING", key="interrupt-2"))
    assert violations(history) == []


def test_an_interrupt_of_a_turn_that_is_to_end_with_its_room_is_refused() -> None:
    """A room that is being released stops its turn by itself."""
    history = sound()
    _refused_while_the_turn_runs(history)
    *entries, end = history.logs[0].entries
    running = entries[-1]
    releasing = replace(running, events=[], state={**running.state, "status": "releasing"})
    with_entries(history, [*entries, releasing, replace(end, at=end.at + 60_000)])
    history.calls[-1] = replace(history.calls[-1], began=BEGAN / 1000 + 30)
    assert violations(history) == []


def _never_ended(history: History) -> None:
    _interrupted(history)
    with_entries(history, history.logs[0].entries[:-1])


def _ended_late(history: History) -> None:
    _interrupted(history)
    _ended_after(history, 4_000)


def _ended_long_after_the_fault(history: History) -> None:
    _interrupted(history)
    _ended_after(history, 21_000)
    history.fault = DISTURBING


def _hits_a_turn_that_does_not_run(history: History) -> None:
    _interrupted(history)
    entries = history.logs[0].entries
    with_entries(history, [*entries, replace(entries[INTERRUPT], at=entries[-1].at)])


def _is_missing(history: History) -> None:
    history.calls.append(asked("interrupt", "turn-2"))


def _is_there_twice(history: History) -> None:
    _interrupted(history)
    entries = history.logs[0].entries
    with_entries(history, [*entries[:-1], entries[INTERRUPT], entries[-1]])


def _goes_on_at_its_takeover(history: History) -> None:
    _interrupted(history)
    *entries, end = history.logs[0].entries
    lease = {"session": "worker-5", "epoch": 5}
    state = {**entries[-1].state, "epoch": 5, "lease": lease}
    recovered = event("room:recovered", 2, 5)
    taken = replace(entries[-1], events=[recovered], state=state, session="worker-5", answer={})
    with_entries(history, [*entries, taken, end])


def _takes_another_step(history: History) -> None:
    _interrupted(history, mode="soft")
    _with_steps(history, "tool:start call-1", "tool:end call-1", "tool:start call-2")


def _completes_though_it_heard(history: History) -> None:
    _interrupted(history, status="completed")
    _with_steps(history, "tool:start call-1", "tool:end call-1")


def _told_another_turn(history: History) -> None:
    _interrupted(history)
    history.calls[-1] = replace(history.calls[-1], body={"turn_id": "turn-1"})


def _accepted_though_it_was_over(history: History) -> None:
    history.calls.append(asked("interrupt", "turn-1", body={"turn_id": "turn-1"}, over=True))


def _refused_while_the_turn_runs(history: History) -> None:
    # Whoever knows the turn's id has seen it begin.
    history.calls.append(asked("interrupt", error="ROOM_NOT_RUNNING", body=NAMED))


def _refused_otherwise(history: History) -> None:
    history.calls.append(asked("interrupt", error="ROOM_RELEASED"))


@pytest.mark.parametrize(
    ("corrupt", "promise", "kind", "says"),
    [
        (_never_ended, "I3", Kind.LOST, "turn-2 was interrupted and did not end"),
        (_ended_late, "I3", Kind.OTHER, "turn-2 ended 4.00 s after its interrupt, 1.00 s too late"),
        (_ended_long_after_the_fault, "I3", Kind.OTHER, "ended 21.00 s after its interrupt"),
        (_hits_a_turn_that_does_not_run, "I2/C1", Kind.OTHER, "turn-2, which does not run"),
        (_is_missing, "I3", Kind.LOST, "turn-2: 1 interrupts told, 0 in the log"),
        (_is_there_twice, "I2/C1", Kind.DOUBLED, "turn-2: 1 interrupts told, 2 in the log"),
        (_goes_on_at_its_takeover, "I3", Kind.OTHER, "turn-2 goes on at its takeover by entry 8"),
        (_takes_another_step, "I3", Kind.OTHER, "begins a tool call of turn turn-2"),
        (_completes_though_it_heard, "I3", Kind.OTHER, "turn-2 completed after it was told"),
        (_told_another_turn, "I3", Kind.OTHER, "asked for turn turn-1 and was told turn-2"),
        (_accepted_though_it_was_over, "I2/C1", Kind.OTHER, "for turn turn-1, which was over"),
        (_refused_while_the_turn_runs, "I2/C1", Kind.OTHER, "was refused though turn turn-2 ran"),
        (_refused_otherwise, "C6", Kind.OTHER, "interrupt with key interrupt-1 was not accepted"),
    ],
)
def test_each_corruption_is_named(
    corrupt: Callable[[History], None], promise: str, kind: Kind, says: str
) -> None:
    """A history with one corruption has a violation of the right promise that says what it is."""
    assert_named(corrupt, promise, kind, says)

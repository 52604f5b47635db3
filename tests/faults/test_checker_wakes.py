"""The checker sees what became of wakes, and of the messages that they bring."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.checker import violations
from tests.faults.history import History
from tests.faults.rules.violation import Kind
from tests.faults.sound_history import (
    ROOM,
    append,
    asked,
    assert_named,
    event,
    last,
    message,
    sound,
    then,
    with_entries,
)

CONTENT = "words 3"


def _woken(history: History, *, outcome: str = "fired", times: int = 1) -> None:
    """Let a room without a turn be woken."""
    woken = event("room:wake", 0, 4, cause="explicit", reason="wake-1", outcome=outcome)
    woken["payload"]["occurrence_id"] = "message-3"
    append(history, *(then(last(history), woken) for _ in range(times)))
    history.calls.append(asked("wake", ROOM))


def _woken_with_content(history: History) -> None:
    """Let the room be woken with a message, and released before that has its turn."""
    _woken(history)
    woken = last(history)
    queued = event("message:queued", 0, 4, message_id="message-3")
    with_entries(
        history,
        [
            *history.logs[0].entries[:-1],
            then(woken, queued, *woken.events, at=woken.at, state={"queue": ["message-3"]}),
        ],
    )
    history.calls[-1] = asked("wake", ROOM, body={"content": CONTENT})
    history.logs[0].messages.append(message(3, 5, "user"))
    _released(history)


def _released(history: History) -> None:
    withdrawn = event("message:withdrawn", 0, 4, message_id="message-3")
    end = event("room:released", 0, 4, settlement={"turns": 2})
    state = {"status": "released", "queue": [], "withdrawn": [5]}
    append(history, then(last(history), withdrawn, end, state=state))


@pytest.mark.parametrize("add", [_woken, _woken_with_content])
def test_each_wake_is_one_event(add: Callable[[History], None]) -> None:
    """It brings its content as a message, and nothing where it has none."""
    history = sound()
    add(history)
    assert violations(history) == []


def _missing(history: History) -> None:
    history.calls.append(asked("wake", ROOM))


def _there_twice(history: History) -> None:
    _woken(history, times=2)


def _with_another_outcome(history: History) -> None:
    _woken(history, outcome="coalesced")


def _refused_and_there(history: History) -> None:
    _woken(history)
    history.calls[-1] = asked("wake", error="ROOM_RELEASED")


def _of_nobody(history: History) -> None:
    _woken(history)
    history.calls.pop()


def _without_its_message(history: History) -> None:
    _woken(history)
    history.calls[-1] = asked("wake", ROOM, body={"content": CONTENT})


def _with_another_text(history: History) -> None:
    _woken_with_content(history)
    history.logs[0].messages[-1]["content"] = "words 4"


def _with_its_message_twice(history: History) -> None:
    _woken_with_content(history)
    history.logs[0].messages.append({**message(3, 6, "user"), "id": "message-4"})


def _with_a_message_of_its_own(history: History) -> None:
    _woken_with_content(history)
    history.calls[-1] = asked("wake", ROOM)


def _with_a_message_that_has_no_turn(history: History) -> None:
    _woken_with_content(history)
    with_entries(history, history.logs[0].entries[:-1])


@pytest.mark.parametrize(
    ("corrupt", "promise", "kind", "says"),
    [
        (_missing, "I2/C1", Kind.LOST, "wake wake-1: room:wake is missing"),
        (_there_twice, "I2/C1", Kind.DOUBLED, "wake wake-1: room:wake 2 times"),
        (_with_another_outcome, "I2/C1", Kind.OTHER, "came to coalesced, not to fired"),
        (_refused_and_there, "I2/C1", Kind.OTHER, "wake wake-1 was refused, the log has"),
        (_of_nobody, "I2/C1", Kind.OTHER, "nobody asked for the wake wake-1"),
        (_without_its_message, "I2/C1", Kind.LOST, "wake wake-1 queued [], not ['message-3']"),
        (_with_another_text, "I2/C1", Kind.LOST, "wake wake-1 is in [], not ['message-3']"),
        (_with_its_message_twice, "I2/C1", Kind.DOUBLED, "is in ['message-3', 'message-4'], not"),
        (_with_a_message_of_its_own, "I2/C1", Kind.DOUBLED, "queued ['message-3'], not []"),
        (_with_a_message_that_has_no_turn, "I2/C1", Kind.LOST, "turn_start is missing"),
    ],
)
def test_each_corruption_is_named(
    corrupt: Callable[[History], None], promise: str, kind: Kind, says: str
) -> None:
    """A history with one corruption has a violation of the right promise that says what it is."""
    assert_named(corrupt, promise, kind, says)

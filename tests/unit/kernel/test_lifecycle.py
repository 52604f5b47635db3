"""The state machine behind every table: rows, misses, terminal states."""

from __future__ import annotations

from enum import StrEnum

import pytest

from abbotik_kernel.lifecycle import IllegalTransitionError, Lifecycle


class Door(StrEnum):
    """A machine that is small enough to know by heart."""

    OPEN = "open"
    SHUT = "shut"
    GONE = "gone"


class Move(StrEnum):
    """What happens to a door."""

    PUSH = "push"
    PULL = "pull"
    BREAK = "break"


DOOR: Lifecycle[Door, Move] = Lifecycle(
    "door",
    Door,
    {
        Door.OPEN: {Move.PUSH: Door.SHUT, Move.BREAK: Door.GONE},
        Door.SHUT: {Move.PULL: Door.OPEN},
        Door.GONE: {},
    },
)


def test_row_names_the_state_that_follows() -> None:
    """An event of the row leads to the state that the table names."""
    assert DOOR.after(Door.OPEN, Move.PUSH) is Door.SHUT
    assert DOOR.after(Door.SHUT, Move.PULL) is Door.OPEN


def test_miss_names_the_state_the_event_and_the_ways_out() -> None:
    """An event without a row raises one error that names all of it, the ways out sorted."""
    with pytest.raises(IllegalTransitionError) as caught:
        DOOR.after(Door.OPEN, Move.PULL)
    error = caught.value
    assert (error.machine, error.state, error.event) == ("door", "open", "pull")
    assert error.allowed == ("break", "push")
    assert str(error) == "door in state 'open' does not accept 'pull'; it accepts break, push"


def test_miss_in_a_terminal_state_says_so() -> None:
    """The error of a terminal state offers nothing."""
    with pytest.raises(IllegalTransitionError, match="nothing, the state is terminal"):
        DOOR.after(Door.GONE, Move.PUSH)


@pytest.mark.parametrize("state", Door)
@pytest.mark.parametrize("event", Move)
def test_accepts_agrees_with_after(state: Door, event: Move) -> None:
    """`accepts` is true for exactly the events that `after` takes and `allowed` lists."""
    if DOOR.accepts(state, event):
        DOOR.after(state, event)
        assert event in DOOR.allowed(state)
    else:
        with pytest.raises(IllegalTransitionError):
            DOOR.after(state, event)
        assert event not in DOOR.allowed(state)


def test_terminal_is_an_empty_row() -> None:
    """Only the state that nothing leads out of is terminal."""
    assert [state for state in Door if DOOR.terminal(state)] == [Door.GONE]


def test_forgotten_state_is_an_error_at_construction() -> None:
    """A table without a row for every state cannot be made."""
    with pytest.raises(ValueError, match=r"door: no row for .*gone"):
        Lifecycle("door", Door, {Door.OPEN: {Move.PUSH: Door.SHUT}, Door.SHUT: {}})

"""State machines as tables: state → event → state, and one error for every miss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class IllegalTransitionError(Exception):
    """An event that the table has no row for; the state is left as it was.

    ``allowed`` holds the names of the events that the state does accept, sorted.
    """

    def __init__(self, machine: str, state: str, event: str, allowed: tuple[str, ...]) -> None:
        self.machine = machine
        self.state = state
        self.event = event
        self.allowed = allowed
        ways = ", ".join(allowed) or "nothing, the state is terminal"
        super().__init__(
            f"{machine} in state {state!r} does not accept {event!r}; it accepts {ways}"
        )


@dataclass(frozen=True)
class Lifecycle(Generic[S, E]):
    """One state machine.

    ``table`` has a row for every state, terminal ones included with an empty row, so that a
    forgotten state is an error at construction and not at the first transition.
    """

    name: str
    states: type[S]
    table: Mapping[S, Mapping[E, S]]

    def __post_init__(self) -> None:
        missing = set(self.states) - set(self.table)
        if missing:
            raise ValueError(f"{self.name}: no row for {sorted(missing)}")

    def after(self, state: S, event: E) -> S:
        """Return the state that follows; raise IllegalTransitionError where the table has none."""
        following = self.table[state].get(event)
        if following is None:
            raise IllegalTransitionError(self.name, state.value, event.value, self.allowed(state))
        return following

    def accepts(self, state: S, event: E) -> bool:
        """Say whether the state has a row for the event."""
        return event in self.table[state]

    def allowed(self, state: S) -> tuple[str, ...]:
        """Return the names of the events that the state accepts, sorted."""
        return tuple(sorted(str(event) for event in self.table[state]))

    def terminal(self, state: S) -> bool:
        """Say whether nothing leads out of the state."""
        return not self.table[state]

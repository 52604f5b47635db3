"""When to refuse new work: before queues grow that nobody will empty in time."""

from __future__ import annotations

from dataclasses import dataclass

from abbotik_gateway.domain.problem import Problem

# What brings new work. The others take work away, or change nothing that waits.
_WORK = frozenset({"rent", "message", "wake"})


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait, how long MongoDB may take, how old a projection may be."""

    commands: int
    turns: int
    store_s: float
    projection_s: float


@dataclass(frozen=True, slots=True)
class Readings:
    """What was read last; what could not be read is 0, as others refuse for that then.

    ``commands`` wait for a worker's decision, ``turns`` are rooms that wait for a free slot;
    ``store_s`` is the longer of its last answer and of how far its majority lags behind;
    ``projection_s`` is since when a worker owes the oldest of the projections that it owes.
    """

    commands: int = 0
    turns: int = 0
    store_s: float = 0.0
    projection_s: float = 0.0


def refusal(verb: str, readings: Readings, limits: Limits) -> Problem | None:
    """Return why a command of that verb is refused now, None where it may go."""
    if verb not in _WORK:
        return None
    for reason, value, limit, sentence in (
        ("commands_waiting", readings.commands, limits.commands, "commands wait for a worker"),
        ("turns_waiting", readings.turns, limits.turns, "rooms wait for a free turn slot"),
        (
            "store_slow",
            readings.store_s,
            limits.store_s,
            "seconds pass until MongoDB answers or confirms",
        ),
        (
            "projections_late",
            readings.projection_s,
            limits.projection_s,
            "seconds is what lists lag behind",
        ),
    ):
        if value > limit:
            return Problem(
                "SERVICE_UNAVAILABLE",
                f"{value:g} {sentence}, more than {limit:g}; this request was not passed on.",
                extra={"reason": reason, "value": value, "limit": limit},
                headers={"Retry-After": "2"},
            )
    return None

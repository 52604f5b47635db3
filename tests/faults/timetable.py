"""The schedules that the load gives its rooms: at rent, and by patches while they run."""

from __future__ import annotations

import time

from abbotik_kernel.clock import rfc3339
from tests.faults.history import Record
from tests.faults.rules.schedules import EVERY_MINUTE

# Longer than a call takes, so that the time is ahead still when a room is rented.
AT_S = 6.0
AT_S_OF_A_PATCH = 3.0
_REPEATED: tuple[Record, ...] = (
    {"every_s": 1, "overlap": "queue", "content": "!say it is time"},
    {"cron": EVERY_MINUTE, "overlap": "queue", "content": "!say a minute is over"},
    {"every_s": 1},
    {"every_s": 2, "content": "!stream 15 it is time"},
    {"cron": EVERY_MINUTE, "timezone": "Asia/Kolkata", "misfire": "skip"},
    {"every_s": 1, "overlap": "queue", "misfire": "skip"},
)
# What one schedule has and the next may not: a patch goes into what is there.
_DEFAULTS: Record = {
    **dict.fromkeys(("at", "every_s", "cron", "timezone", "content")),
    "overlap": "skip",
    "misfire": "fire_once",
}
KINDS = len(_REPEATED) + 1


def schedule(number: int, at_s: float = AT_S) -> Record:
    """Return one of KINDS schedules, counted from 0. The last one fires once, ``at_s`` from now."""
    if number == len(_REPEATED):
        at = rfc3339(round((time.time() + at_s) * 1000))
        return {"at": at, "overlap": "queue", "content": "!say it is the time"}
    return _REPEATED[number]


def replacing(number: int) -> Record | None:
    """Return one of them as a merge patch that leaves nothing of another; number KINDS is none."""
    if number == KINDS:
        return None
    return {**_DEFAULTS, **schedule(number, AT_S_OF_A_PATCH)}

"""The times of a schedule, and what is wrong with one. Times in ms since 1970."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from abbotik_contracts.policies import Schedule

# How many of the next times a room shows and keeps.
SHOWN = 5
_FIELDS = 5


def next_times(schedule: Schedule | None, after: int) -> tuple[int, ...]:
    """Return the next times of a schedule, at most SHOWN; none where it is over or not there.

    For `every_s`, ``after`` is the time that it counts from: the last occurrence, or its setting.
    """
    return () if schedule is None else tuple(itertools.islice(times(schedule, after), SHOWN))


def times(schedule: Schedule, after: int) -> Iterator[int]:
    """Yield the times behind ``after``.

    A cron line whose hour comes twice or never, at a change of the clocks, fires once that day.
    """
    if schedule.at is not None:
        at = _ms(datetime.fromisoformat(schedule.at))
        if at > after:
            yield at
    elif schedule.every_s is not None:
        yield from itertools.count(after + schedule.every_s * 1000, schedule.every_s * 1000)
    elif schedule.cron is not None:
        zone = ZoneInfo(schedule.timezone or "UTC")
        yield from map(_ms, CronSim(schedule.cron, datetime.fromtimestamp(after / 1000, zone)))


def faults(schedule: Schedule, now: int) -> list[tuple[str, str]]:
    """Return what makes a schedule useless: the member and why, none where it is sound."""
    if schedule.at is not None:
        return [("at", fault) for fault in _at_fault(schedule.at, now)]
    if schedule.cron is None:
        return []
    if schedule.timezone is not None and not _is_zone(schedule.timezone):
        return [("timezone", f"{schedule.timezone!r} is no IANA time zone, like Europe/Berlin")]
    try:
        if len(schedule.cron.split()) != _FIELDS:
            raise CronSimError("a line has five fields")  # noqa: TRY301  one sentence for all faults
        next(times(schedule, now))
    except (CronSimError, StopIteration) as error:
        return [("cron", f"{schedule.cron!r} is no cron line that ever fires: {error}")]
    return []


def _at_fault(text: str, now: int) -> Iterator[str]:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        yield f"{text!r} is no RFC 3339 time, like 2026-01-31T09:30:00Z"
        return
    if at.tzinfo is None:
        yield f"{text!r} has no offset: end it with Z or, for example, +01:00"
    elif _ms(at) <= now:
        yield f"{text} has passed"


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _ms(at: datetime) -> int:
    # Whole numbers all the way: a float of seconds is off by a millisecond now and then.
    since = at.astimezone(UTC) - datetime.fromtimestamp(0, UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000

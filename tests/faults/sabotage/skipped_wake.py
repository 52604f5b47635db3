"""A room-worker that leaves out every other occurrence of a schedule."""

from __future__ import annotations

from unittest.mock import patch

from abbotik_contracts.policies import Schedule
from abbotik_room_worker import app
from abbotik_room_worker.domain import requests, wakes
from abbotik_room_worker.domain.schedule import next_times


def times_after_the_next(schedule: Schedule | None, after: int) -> tuple[int, ...]:
    """Return the next times but the first."""
    return next_times(schedule, after)[1:]


if __name__ == "__main__":
    with (
        patch.object(requests, "next_times", times_after_the_next),
        patch.object(wakes, "next_times", times_after_the_next),
    ):
        app.main()

"""What the log of a room must keep that wakes each second and posts a message then."""

from __future__ import annotations

import itertools
from datetime import datetime

from tests.acceptance.room_client import Record


def check_occurrences(log: list[Record]) -> None:
    """Each second has one occurrence with one outcome; one that fired has its turn, which is good.

    The turn of the newest one may still run.
    """
    wakes = [event["payload"] for event in log if event["event_type"] == "room:wake"]
    times = [datetime.fromisoformat(wake["scheduled_for"]).timestamp() for wake in wakes]
    pauses = [round(later - at, 3) for at, later in itertools.pairwise(times)]
    assert pauses == [1.0] * len(pauses)
    assert len({wake["occurrence_id"] for wake in wakes}) == len(wakes)
    fired = [wake["occurrence_id"] for wake in wakes if wake["outcome"] == "fired"]
    queued = [e["payload"]["message_id"] for e in log if e["event_type"] == "message:queued"]
    assert queued == fired
    ended = [e["payload"]["status"] for e in log if e["event_type"] == "actor:turn_end"]
    assert ended == ["completed"] * len(ended)
    assert len(ended) >= len(fired) - 1

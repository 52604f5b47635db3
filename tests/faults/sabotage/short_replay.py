"""A gateway that leaves an entry out when it reads a room's events from the log.

Its live followers hear of everything from the bus; whoever replays the room misses the entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

from abbotik_contracts.room_log import LogEntry
from abbotik_gateway import app
from abbotik_gateway.domain.feed import Event
from abbotik_gateway.handlers.following import log_events

_sound = log_events.encode


def encode_without_the_second(entries: Sequence[LogEntry], after: int) -> tuple[list[Event], int]:
    """Return the events of all entries but the second. One of two is read again, so never last."""
    return _sound([*entries[:1], *entries[2:]], after)


if __name__ == "__main__":
    with patch.object(log_events, "encode", encode_without_the_second):
        app.main()

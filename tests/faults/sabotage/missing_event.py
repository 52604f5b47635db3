"""A room-worker that commits the end of a turn with one event missing: the answer.

It counts the event and tells followers of it, as ever; only the log does not have it.
"""

from __future__ import annotations

from unittest.mock import patch

from abbotik_contracts.room_log import StoredEvent
from abbotik_room_worker import app, sealing
from abbotik_room_worker.domain.draft import Draft

_sound = sealing._chain


def chain_without_the_answer(draft: Draft) -> tuple[list[StoredEvent], list[bytes]]:
    """Return what is told whole, and what is stored with a hole."""
    events, lines = _sound(draft)
    return [event for event in events if event["type"] != "actor:output"], lines


if __name__ == "__main__":
    with patch.object(sealing, "_chain", chain_without_the_answer):
        app.main()

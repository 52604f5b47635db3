"""A gateway that sends its followers an event twice: the last one of whatever it sends at once."""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

from abbotik_gateway import app
from abbotik_gateway.domain import burst
from abbotik_gateway.domain.feed import Event
from abbotik_gateway.domain.sse import Variant, frames


def frames_and_the_last_again(variant: Variant, room: str, events: Sequence[Event]) -> bytes:
    """Return the frames of all events, and once more the last one's."""
    return frames(variant, room, events) + frames(variant, room, events[-1:])


if __name__ == "__main__":
    with patch.object(burst, "frames", frames_and_the_last_again):
        app.main()

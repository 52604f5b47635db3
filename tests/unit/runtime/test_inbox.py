"""What an acknowledgement subject tells of its message."""

from __future__ import annotations

import pytest

from abbotik_runtime.inbox import is_redelivered


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("$JS.ACK.COMMANDS.room-worker.1.7.8.1795826146733.0", False),
        ("$JS.ACK.COMMANDS.room-worker.2.7.8.1795826146733.0", True),
        ("$JS.ACK.hub.acc.COMMANDS.room-worker.1.7.8.1795826146733.0.x", False),
        ("$JS.ACK.hub.acc.COMMANDS.room-worker.11.7.8.1795826146733.0.x", True),
    ],
)
def test_a_message_tells_how_often_it_was_delivered(reply: str, *, expected: bool) -> None:
    """Also behind a domain, where the subject has more tokens."""
    assert is_redelivered(reply) is expected

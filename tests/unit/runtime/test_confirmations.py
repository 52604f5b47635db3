"""What a stream's word means: stored, refused for good, or open."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import Mock

import pytest
from nats.aio.msg import Msg
from nats.js.errors import APIError

from abbotik_runtime.confirmations import SubjectFull, Unconfirmed, read_ack


def _said(**error: Any) -> Msg:
    return Msg(Mock(), data=json.dumps({"error": error}).encode())


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        # The leader took an earlier try, and cannot have it confirmed.
        (
            {"code": 409, "err_code": 10158, "description": "duplicate message id is in process"},
            Unconfirmed,
        ),
        ({"code": 503, "err_code": 10008, "description": "unavailable"}, Unconfirmed),
        (
            {
                "code": 400,
                "err_code": 10077,
                "description": "maximum messages per subject exceeded",
            },
            SubjectFull,
        ),
        ({"code": 400, "err_code": 10077, "description": "maximum bytes exceeded"}, APIError),
    ],
)
def test_an_error_is_open_or_for_good(error: dict[str, Any], meaning: type[Exception]) -> None:
    """Only what no later try can change is an answer."""
    with pytest.raises(meaning):
        read_ack(_said(**error))

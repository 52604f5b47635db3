"""Parameters that several operations share, as `/openapi.json` shows them."""

from __future__ import annotations

from abbotik_gateway.domain.paging import MAX_LIMIT, MAX_SEQ
from abbotik_gateway.domain.prefer import MAX_WAIT_S
from abbotik_gateway.routes.operation import Parameter

_SEQ = {"type": "integer", "minimum": 0, "maximum": MAX_SEQ}

LIMIT = Parameter(
    "limit",
    "How many at most.",
    {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": MAX_LIMIT},
)
CURSOR = Parameter(
    "cursor", "`next_cursor` of the page before.", {"type": "string", "minLength": 1}
)
IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "Makes the request safe to send again for 24 hours: same key and body, same answer.",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    place="header",
)
IF_MATCH = Parameter(
    "If-Match",
    "The `ETag` that the room must still have.",
    {"type": "string", "pattern": r'^(\*|"[1-9][0-9]{0,14}")$'},
    place="header",
)
PREFER = Parameter(
    "Prefer",
    f"`wait=N` waits up to N seconds, at most {MAX_WAIT_S}, for the turn's end.",
    {"type": "string", "examples": ["wait=30"]},
    place="header",
)


def position(name: str, text: str) -> Parameter:
    """Return a query parameter that is a seq."""
    return Parameter(name, text, _SEQ)

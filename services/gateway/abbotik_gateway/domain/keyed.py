"""A request under an idempotency key, and what to do when the key comes again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from abbotik_gateway.domain.outcome import Outcome
from abbotik_gateway.domain.problem import Problem

# So long a first request without an answer counts as running. Longer than a POST may take (5 s).
RUNNING_MS = 10_000

_KEY = re.compile(r"[\x20-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Keyed:
    """One request with an Idempotency-Key.

    ``digest`` is the hash of its body, ``command`` and ``room`` the ids minted for it; ``opened``
    says that its outcome stayed open (503); times in ms, ``age_ms`` since it began to run last.
    """

    tenant: str
    route: str
    key: str
    digest: str
    command: str
    room: str
    age_ms: int = 0
    opened: bool = False
    outcome: Outcome | None = None


class Step(Enum):
    """What a request with a key does next."""

    RUN = "run"
    REPLAY = "replay"
    TAKE_OVER = "take over"


def read_key(values: list[str]) -> str | None:
    """Return the key of the header's values, None without one; HEADER_INVALID if it is none."""
    if not values:
        return None
    key = values[0].strip()
    if len(values) > 1 or _KEY.fullmatch(key) is None:
        raise Problem(
            "HEADER_INVALID",
            "`Idempotency-Key` is one text of 1 to 255 printable ASCII characters.",
        )
    return key


def next_step(wanted: Keyed, stored: Keyed) -> Step:
    """Say what to do with ``wanted``, given what the store holds under its key.

    Raises IDEMPOTENCY_KEY_REUSED for another body, IDEMPOTENCY_IN_PROGRESS while the first
    request may still be running.
    """
    if stored.command == wanted.command:
        return Step.RUN
    if stored.digest != wanted.digest:
        raise Problem(
            "IDEMPOTENCY_KEY_REUSED", "This Idempotency-Key came with another body before."
        )
    if stored.outcome is not None:
        return Step.REPLAY
    if stored.opened or stored.age_ms >= RUNNING_MS:
        return Step.TAKE_OVER
    raise in_progress()


def in_progress() -> Problem:
    """Return the Problem of a key whose first request is still running."""
    return Problem("IDEMPOTENCY_IN_PROGRESS", headers={"Retry-After": "1"})

"""What a handler says about a delivered message; `abbotik_runtime.acks` alone acts on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Done:
    """Settled, refusals included: the message is acknowledged."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Not settled and not the message's fault: delivered again after ``delay_s`` seconds."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Reject:
    """Refused for good: kept under `dlq.<service>` with ``code`` and ``cause``, then ended."""

    code: str
    cause: str


Outcome = Done | Retry | Reject

"""The chain of a room's events: their numbers, and the hash in each of the event before it.

Each event holds the SHA-256 over its canonical form, which holds the hash of the event before it.
Whoever changes, removes or inserts one breaks the chain at that place; whoever makes the whole rest
anew gives it another end, which is compared with what somebody noted earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

GENESIS_HASH = "0" * 64


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a room's chain: an event's seq and its hash."""

    seq: int
    hash: str


class Chain:
    """Follows events in order; `add` yields a sentence for each that is not what it must be.

    ``canonical`` returns a JSON object's form by RFC 8785. ``expected`` is a place that somebody
    noted: the chain must come through it.
    """

    def __init__(
        self, canonical: Callable[[dict[str, Any]], bytes], expected: Mark | None = None
    ) -> None:
        self.end = Mark(0, GENESIS_HASH)
        self._canonical = canonical
        self._expected = expected
        self._met = expected in (None, self.end)

    def add(self, event: Mapping[str, Any]) -> Iterator[str]:
        """Take the next event as the API shows it."""
        seq, digest = int(event["seq"]), str(event["hash"])
        yield from self._place_of(seq)
        if event["prev_hash"] != self.end.hash and seq == self.end.seq + 1:
            yield f"event {seq} does not follow event {self.end.seq}: one of them was exchanged"
        content = {name: value for name, value in event.items() if name != "hash"}
        if sha256(self._canonical(content)).hexdigest() != digest:
            yield f"event {seq} was changed: its content does not give its hash"
        self.end = Mark(seq, digest)
        self._met = self._met or self.end == self._expected

    def faults_at_end(self) -> Iterator[str]:
        """Say what only the end of the log shows."""
        if self._met or self._expected is None:
            return
        noted = self._expected.seq
        if noted > self.end.seq:
            yield f"event {noted} was noted and is missing: the log was cut off, or made anew"
        else:
            yield (
                f"event {noted} does not have the hash that was noted: "
                "the log was made anew from there or from before"
            )

    def _place_of(self, seq: int) -> Iterator[str]:
        expected = self.end.seq + 1
        if seq == expected + 1:
            yield f"event {expected} is missing"
        elif seq > expected:
            yield f"events {expected} to {seq - 1} are missing"
        elif seq < expected:
            yield f"event {seq} was inserted: event {self.end.seq} comes before it"

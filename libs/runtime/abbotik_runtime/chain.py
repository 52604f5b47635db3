"""The proof that a room's log is as it was written: its numbers and its chain of hashes.

Each event holds the SHA-256 over its canonical form, which holds the hash of the event before it.
Whoever changes, removes or inserts one breaks the chain at that place; whoever makes the whole rest
anew gives it another end, which is compared with what somebody noted earlier.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from abbotik_contracts.room_log import GENESIS_HASH, LogEntry, Record, entry_id, wire_events
from abbotik_runtime.canonical import canonical


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a room's chain: an event's seq and its hash."""

    seq: int
    hash: str


class Chain:
    """Follows events in order; `add` yields a sentence for each that is not what it must be."""

    def __init__(self) -> None:
        self.end = Mark(0, GENESIS_HASH)

    def add(self, event: Record) -> Iterator[str]:
        """Take the next event as the API shows it."""
        seq, digest = int(str(event["seq"])), str(event["hash"])
        yield from self._place_of(seq)
        if event["prev_hash"] != self.end.hash and seq == self.end.seq + 1:
            yield f"event {seq} does not follow event {self.end.seq}: one of them was exchanged"
        content = {name: value for name, value in event.items() if name != "hash"}
        if sha256(canonical(content)).hexdigest() != digest:
            yield f"event {seq} was changed: its content does not give its hash"
        self.end = Mark(seq, digest)

    def _place_of(self, seq: int) -> Iterator[str]:
        expected = self.end.seq + 1
        if seq == expected + 1:
            yield f"event {expected} is missing"
        elif seq > expected:
            yield f"events {expected} to {seq - 1} are missing"
        elif seq < expected:
            yield f"event {seq} was inserted: event {self.end.seq} comes before it"


class LogCheck:
    """Follows a room's entries in the order of their revs; `add` yields what is wrong.

    ``expected`` is a place that somebody noted: the chain must come through it.
    """

    def __init__(self, expected: Mark | None = None) -> None:
        self.entries = 0
        self.chain = Chain()
        self._rev = 0
        self._message_seq = 0
        self._expected = expected
        self._met = expected is None

    def add(self, entry: LogEntry) -> Iterator[str]:
        """Take the next entry."""
        self.entries += 1
        yield from self._place_of(entry)
        for event in wire_events(entry):
            yield from self.chain.add(event)
            self._met = self._met or self.chain.end == self._expected
        if entry["state"]["hash"] != self.chain.end.hash:
            yield f"entry {entry['rev']} was changed: its state names another last event"
        for message in entry.get("messages", ()):
            if message["seq"] != self._message_seq + 1:
                yield f"message {message['seq']} follows message {self._message_seq}"
            self._message_seq = message["seq"]

    def end(self) -> Iterator[str]:
        """Say what only the end of the log shows."""
        if not self._met and self._expected is not None:
            yield (
                f"event {self._expected.seq} does not have the hash that was noted: "
                "the log was made anew from there or from before"
            )

    def _place_of(self, entry: LogEntry) -> Iterator[str]:
        rev = entry["rev"]
        if entry["_id"] != entry_id(entry["room"], rev):
            yield f"entry {entry['_id']} says that it is entry {rev}"
        if rev != self._rev + 1:
            yield f"entry {rev} follows entry {self._rev}"
        self._rev = rev

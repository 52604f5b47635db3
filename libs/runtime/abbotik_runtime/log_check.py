"""The proof that a room's log is as it was written: its entries, and the chain of their events."""

from __future__ import annotations

from collections.abc import Iterator

from abbotik_contracts.room_log import LogEntry, entry_id, wire_events
from abbotik_kernel.chain import Chain, Mark
from abbotik_runtime.canonical import canonical


class LogCheck:
    """Follows a room's entries in the order of their revs; `add` yields what is wrong.

    ``expected`` is a place that somebody noted: the chain must come through it.
    """

    def __init__(self, expected: Mark | None = None) -> None:
        self.entries = 0
        self.chain = Chain(canonical, expected)
        self._rev = 0
        self._message_seq = 0

    def add(self, entry: LogEntry) -> Iterator[str]:
        """Take the next entry."""
        self.entries += 1
        yield from self._place_of(entry)
        for event in wire_events(entry):
            yield from self.chain.add(event)
        if entry["state"]["hash"] != self.chain.end.hash:
            yield f"entry {entry['rev']} was changed: its state names another last event"
        for message in entry.get("messages", ()):
            if message["seq"] != self._message_seq + 1:
                yield f"message {message['seq']} follows message {self._message_seq}"
            self._message_seq = message["seq"]

    def faults_at_end(self) -> Iterator[str]:
        """Say what only the end of the log shows."""
        yield from self.chain.faults_at_end()

    def _place_of(self, entry: LogEntry) -> Iterator[str]:
        rev = entry["rev"]
        if entry["_id"] != entry_id(entry["room"], rev):
            yield f"entry {entry['_id']} says that it is entry {rev}"
        if rev != self._rev + 1:
            yield f"entry {rev} follows entry {self._rev}"
        self._rev = rev

"""The proof that a room's log is as it was written: its entries, and the chain of their events."""

from __future__ import annotations

from collections.abc import Iterator

from abbotik_contracts.room_log import LogEntry, Record, entry_id, first_event_seq
from abbotik_contracts.room_views import wire_events
from abbotik_kernel.chain import Chain, Mark
from abbotik_runtime.canonical import canonical, hashed


class LogCheck:
    """Follows a room's entries in the order of their revs; `add` yields what is wrong.

    ``expected`` is a place that somebody noted: the chain must come through it.
    """

    def __init__(self, expected: Mark | None = None) -> None:
        self.entries = 0
        self.chain = Chain(canonical, expected)
        self._rev = 0
        self._event_seq = 0
        self._message_seq = 0

    def add(self, entry: LogEntry) -> Iterator[str]:
        """Take the next entry."""
        self.entries += 1
        yield from self._place_of(entry)
        for event in self._events_of(entry):
            yield from self.chain.add(event)
        self._event_seq = entry["last_event_seq"]
        if entry["state"]["hash"] != self.chain.end.hash:
            yield f"entry {entry['rev']} was changed: its state names another last event"
        for message in entry.get("messages", ()):
            if message["seq"] != self._message_seq + 1:
                yield f"message {message['seq']} follows message {self._message_seq}"
            self._message_seq = message["seq"]

    def faults_at_end(self) -> Iterator[str]:
        """Say what only the end of the log shows."""
        if self.chain.end.seq < self._event_seq:
            yield f"event {self.chain.end.seq + 1} is missing"
        yield from self.chain.faults_at_end()

    def _events_of(self, entry: LogEntry) -> list[Record]:
        """Return the entry's events, each with its number.

        The numbers are not stored: they count back from the entry's last one. Where there are too
        few or too many, those before the gap count from the entry's beginning, as their hashes say.
        """
        events = list(wire_events(entry))
        off = first_event_seq(entry) - self.chain.end.seq - 1
        for place, event in enumerate(events if off else ()):
            moved = {**event, "seq": first_event_seq(entry) + place - off}
            content = {name: value for name, value in moved.items() if name != "hash"}
            if hashed(content)[0] != event["hash"]:
                break
            events[place] = moved
        return events

    def _place_of(self, entry: LogEntry) -> Iterator[str]:
        rev = entry["rev"]
        if entry["_id"] != entry_id(entry["room"], rev):
            yield f"entry {entry['_id']} says that it is entry {rev}"
        if rev != self._rev + 1:
            yield f"entry {rev} follows entry {self._rev}"
        self._rev = rev

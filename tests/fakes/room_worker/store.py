"""One database in memory: what several fakes of the room worker's ports share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from abbotik_contracts.room_log import LogEntry


@dataclass(slots=True)
class StoredSession:
    """A worker's session document. Times in ms of the store's own clock."""

    expires_at: int
    projected_through: int


@dataclass(slots=True)
class MemoryStore:
    """The collections: entries by their `_id`, projections by room, sessions, blobs by name.

    ``exceptions`` are counted by tenant and command.
    """

    entries: dict[str, LogEntry] = field(default_factory=dict)
    rooms: dict[str, dict[str, Any]] = field(default_factory=dict)
    sessions: dict[str, StoredSession] = field(default_factory=dict)
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    exceptions: Counter[tuple[str, str]] = field(default_factory=Counter)

    def log_of(self, tenant: str, room: str) -> list[LogEntry]:
        """Return the entries of one room of one tenant, in order."""
        return sorted(
            (e for e in self.entries.values() if (e["tenant"], e["room"]) == (tenant, room)),
            key=lambda entry: entry["rev"],
        )

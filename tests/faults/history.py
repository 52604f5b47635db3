"""What happened while a fault ran: what clients were told, what followers saw, what the log holds.

Instants are seconds since the epoch, as in the events' `created_at`; durations are measured apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One request and what its sender was told.

    ``what`` is `rent`, `post`, `interrupt`, `release` or `follow`. ``status`` is None where no
    answer came, and ``error`` is then the connection's fault; otherwise it is the answer's
    `error_code`, "" for 2xx. ``told`` is the id that a 2xx told of: of the message for a post, of
    the room for a rent or a release.
    """

    what: str
    room: str
    gateway: str
    began: float
    took_s: float
    status: int | None
    error: str = ""
    key: str = ""
    content: str = ""
    told: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the sender was told that it is done."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(slots=True)
class Sightings:
    """What one follower saw of a room, over all its connections.

    ``cursors`` are the positions that it went on from, ``lagged`` how often it was told that it
    does not keep up.
    """

    room: str
    follower: str
    events: list[Record] = field(default_factory=list)
    cursors: list[int] = field(default_factory=list)
    lagged: int = 0

    @property
    def cursor(self) -> int:
        """The last position seen."""
        return int(self.events[-1]["seq"]) if self.events else 0


@dataclass(frozen=True, slots=True)
class RoomLog:
    """The durable log of one room: its events, all its messages, and the turns it accounts for."""

    room: str
    events: list[Record]
    messages: list[Record]
    turns: int

    @property
    def released(self) -> bool:
        """Whether the room's life is over."""
        return any(event["event_type"] == "room:released" for event in self.events)


@dataclass(frozen=True, slots=True)
class Fault:
    """What was done to whom, from when to when; ``kind`` is what stands in a cell's name.

    ``others`` are the processes that it took down besides.
    """

    victim: str
    kind: str
    began: float
    healed: float
    others: tuple[str, ...] = ()


@dataclass(slots=True)
class History:
    """All of one cell. ``dead_letters`` is how many commands became one in its time."""

    fault: Fault
    calls: list[Call]
    sightings: list[Sightings]
    logs: list[RoomLog]
    dead_letters: int = 0

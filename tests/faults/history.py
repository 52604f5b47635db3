"""What happened while a fault ran: what clients were told, what followers saw, what the log holds.

Instants are seconds since the epoch, as in the events' `created_at`; durations are measured apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One request and what its sender was told.

    ``what`` is `rent`, `post`, `interrupt`, `wake`, `patch`, `release` or `follow`. ``status`` is
    None where no answer came, and ``error`` is then the connection's fault; otherwise it is the
    answer's `error_code`, "" for 2xx. ``told`` is what a 2xx told of: the message for a post, the
    turn for an interrupt, the version for a patch, the room for all others. ``body`` is what was
    sent, ``if_match`` the version that a patch asked for, 0 for any; ``over`` says that the turn to
    interrupt had been seen to end.
    """

    what: str
    room: str
    gateway: str
    began: float
    took_s: float
    status: int | None
    error: str = ""
    key: str = ""
    told: str = ""
    body: Record = field(default_factory=dict)
    if_match: int = 0
    over: bool = False

    @property
    def ended(self) -> float:
        """When the answer was there, or nobody waited for it any more."""
        return self.began + self.took_s

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
class Entry:
    """One commit, as it is stored: who wrote it, what it added, the state that it leads to.

    ``at`` in ms, as in the state. ``keys`` is how many ids it settles, ``config`` the room's
    configuration where the entry changed it. ``size`` is the whole document, ``beside`` all of it
    but new messages, events, turns and configuration, in bytes.
    """

    rev: int
    session: str
    at: int
    state: Record
    events: list[Record]
    keys: int = 0
    answer: Record = field(default_factory=dict)
    config: Record | None = None
    size: int = 0
    beside: int = 0

    @property
    def turn(self) -> str | None:
        """The turn that runs after it."""
        return self.state["turn"]["id"] if self.state["turn"] else None

    @property
    def busy(self) -> bool:
        """Whether a turn runs or messages wait after it."""
        return bool(self.state["turn"] or self.state["queue"])

    def of(self, event_type: str) -> list[Record]:
        """Return its events of a type."""
        return [event for event in self.events if event["event_type"] == event_type]


@dataclass(frozen=True, slots=True)
class RoomLog:
    """The durable log of one room: its events, all its messages, and the turns it accounts for.

    ``entries`` are the commits that it consists of; they hold the same events.
    """

    room: str
    events: list[Record]
    messages: list[Record]
    turns: int
    entries: list[Entry] = field(default_factory=list)

    @property
    def steps(self) -> Iterator[tuple[Entry, Entry]]:
        """Each entry but the first, with the one before it."""
        return pairwise(self.entries)

    @property
    def of_users(self) -> list[Record]:
        """The messages that callers wrote."""
        return [message for message in self.messages if message["author_kind"] == "user"]

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

    def disturbs(self, since: float, until: float, after_s: float) -> bool:
        """Say whether it, or ``after_s`` after it, is part of that time."""
        return since <= self.healed + after_s and until >= self.began


@dataclass(frozen=True, slots=True)
class Outage:
    """A room worker's session that could not be renewed, from when to when.

    ``until`` is infinite where the process did not come back: the next one has another session.
    """

    session: str
    since: float
    until: float = math.inf


@dataclass(slots=True)
class History:
    """All of one cell. ``dead_letters`` is how many commands became one in its time.

    ``outages`` are those that the fault made.
    """

    fault: Fault
    calls: list[Call]
    sightings: list[Sightings]
    logs: list[RoomLog]
    dead_letters: int = 0
    outages: list[Outage] = field(default_factory=list)

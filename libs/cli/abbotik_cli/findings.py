"""What `abbotik doctor` says: from what a look has read to sentences that say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pymongo import IndexModel

LEAST_NATS = (2, 14)
LEAST_MONGO = (6, 0)
# Log lines and tokens go by the clock of each machine; deadlines go by MongoDB's.
MOST_SKEW_S = 2.0
# The sweep looks every second; what is still waiting after this has nobody to heal it.
OVERDUE_MS = 10_000
MOST_WAITING = 10_000
_MARKS = {"ok": "ok   ", "warning": "WARN ", "wrong": "WRONG"}
# Every collection has it.
_OF_THE_SERVER = "_id_"

Index = Mapping[str, Any]
Level = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found. What is ``wrong`` says where it is and what to do."""

    level: Level
    text: str

    @property
    def line(self) -> str:
        """The finding as the operator reads it."""
        return f"{_MARKS[self.level]} {self.text}\n"


@dataclass(frozen=True, slots=True)
class Session:
    """A room worker's session: where it runs, in ms how far its clock is ahead, and its age.

    ``silent_ms`` is the time since it expired, negative while it lives.
    """

    name: str
    host: str
    clock_off_ms: int
    silent_ms: int

    @property
    def where(self) -> str:
        """Name it for somebody who has to find its process."""
        return f"{self.name} on {self.host}"


def of_nats(version: tuple[int, int, int], where: str) -> Finding:
    """Judge the version of the NATS server."""
    named = f"NATS {'.'.join(map(str, version))} at {where}"
    if version[:2] < LEAST_NATS:
        return Finding(
            "wrong",
            f"{named} has no message schedules: install NATS {_dotted(LEAST_NATS)} or newer",
        )
    return Finding("ok", named)


def of_mongo(hello: Mapping[str, Any], version: str, where: str) -> list[Finding]:
    """Judge the version of MongoDB, and that it is a replica set."""
    named = f"MongoDB {version} at {where}"
    found = []
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        found.append(
            Finding("wrong", f"{named} is no replica set: start it with --replSet and initiate it")
        )
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < LEAST_MONGO:
        found.append(
            Finding("wrong", f"{named} is too old: install MongoDB {_dotted(LEAST_MONGO)} or newer")
        )
    return found or [Finding("ok", f"{named}, replica set {hello.get('setName', '(sharded)')}")]


def of_clock(owner: str, ahead_s: float) -> Finding:
    """Judge how far a clock is ahead of MongoDB's."""
    said = f"the clock of {owner} is {ahead_s:+.3f} s off MongoDB's"
    if abs(ahead_s) <= MOST_SKEW_S:
        return Finding("ok", said)
    return Finding("wrong", f"{said}: have both machines set theirs by NTP")


def of_sessions(found: Iterable[Session]) -> list[Finding]:
    """Judge who lives, whose clock is wrong, and whom nobody buries."""
    every = list(found)
    live = [each for each in every if each.silent_ms < 0]
    dead = [each for each in every if each.silent_ms >= 0]
    if not live:
        return [Finding("wrong", "no room worker lives: start one")]
    clocks = [of_clock(f"room worker {each.where}", each.clock_off_ms / 1000) for each in live]
    return [
        Finding("ok", f"{len(live)} room workers live"),
        *(clock for clock in clocks if clock.level != "ok"),
        *map(_of_dead, dead),
    ]


def _of_dead(session: Session) -> Finding:
    said = f"room worker {session.where} died {session.silent_ms // 1000} s ago"
    if session.silent_ms <= OVERDUE_MS:
        return Finding("warning", f"{said} and is being taken over: look again in 10 s")
    return Finding(
        "wrong",
        f"{said} and nobody has taken over what it left: start another room worker, or look for "
        "`room.uncared` and `session.buried` in the logs of those that live",
    )


def of_indexes(
    collections: Mapping[str, tuple[Mapping[str, Index], Sequence[IndexModel]]],
) -> list[Finding]:
    """Compare the indexes of each collection, those that it has with those that are declared."""
    absent, other, refusing, slowing = list[str](), list[str](), list[str](), list[str]()
    for collection, (made, declared) in collections.items():
        wanted = {str(index.document["name"]): index.document for index in declared}
        absent += [f"{collection}.{name}" for name in wanted if name not in made]
        for name, index in made.items():
            if name in wanted and _meaning(index) != _meaning(wanted[name]):
                other.append(f"{collection}.{name}")
            if name not in {*wanted, _OF_THE_SERVER}:
                (refusing if index.get("unique") else slowing).append(f"{collection}.{name}")
    told: tuple[tuple[Level, list[str], str], ...] = (
        ("wrong", absent, "are missing ({}): run `abbotik provision`"),
        ("wrong", other, "are not as declared ({}): stop all workers, drop them, provision"),
        ("wrong", refusing, "are not declared, and unique ({}): drop them, they refuse commits"),
        ("warning", slowing, "are not declared ({}): each slows every commit"),
    )
    found = [
        Finding(level, f"indexes {what.format(', '.join(names))}")
        for level, names, what in told
        if names
    ]
    return found or [Finding("ok", "all indexes are as declared")]


def of_dead_letters(count: int) -> Finding:
    """Judge what was refused for good and waits for a person."""
    if not count:
        return Finding("ok", "0 dead letters")
    return Finding(
        "wrong",
        f"{count} dead letters wait: `abbotik dlq list` says why; redrive or drop each",
    )


def of_sandbox(program: str | None, said: str | None) -> Finding:
    """Judge bubblewrap: where it is, and what it said, None where it made its namespaces.

    Never wrong by itself: an operator looks from machines that verify nothing.
    """
    if program is None:
        return Finding(
            "warning",
            "bwrap is not on the path: install bubblewrap where this machine is to verify",
        )
    if said is not None:
        return Finding(
            "warning",
            f"{program} cannot make namespaces here ({said}): allow unprivileged user namespaces "
            "where this machine is to verify",
        )
    return Finding("ok", "bwrap makes namespaces here")


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _meaning(index: Index) -> tuple[object, ...]:
    """Return what an index does, whatever else the server says of it."""
    flags = [bool(index.get(flag)) for flag in ("unique", "sparse", "hidden")]
    options = ("partialFilterExpression", "expireAfterSeconds", "collation")
    return ([*dict(index["key"]).items()], flags, *(index.get(option) for option in options))

"""Every stream, consumer, subject and header of the bus, named once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

# Tokens of a subject are slugs or UUIDs; a dot, `*` or `>` would change where a message goes.
TOKEN = re.compile(r"^[A-Za-z0-9_-]{1,64}$")

HEADER_MESSAGE_ID = "Nats-Msg-Id"
HEADER_REPLY = "Abbotik-Reply"
HEADER_REQUEST_ID = "x-request-id"
HEADER_TRACE = "traceparent"
HEADER_BLOB = "Abbotik-Blob"
HEADER_CAUSE = "Abbotik-Cause"
# Of a dead letter, and of a message that was passed on: which subject it came on; and, of the
# latter, on which it is acknowledged.
HEADER_SUBJECT = "Abbotik-Subject"
HEADER_ACK = "Abbotik-Ack"
# The server's own: a message that it keeps until a time and then publishes on another subject.
HEADER_SCHEDULE = "Nats-Schedule"
HEADER_SCHEDULE_TARGET = "Nats-Schedule-Target"


@lru_cache(maxsize=4096)  # the same rooms again and again
def _checked(*tokens: str) -> str:
    for token in tokens:
        # `match` would let a line feed through: `$` also stands before one.
        if not TOKEN.fullmatch(token):
            raise ValueError(f"{token!r} cannot be part of a subject: letters, digits, '-', '_'")
    return ".".join(tokens)


def room_command(tenant: str, room: str, verb: str) -> str:
    """Return the subject of one room command."""
    return f"cmd.room.{_checked(tenant, room, verb)}"


def turn(tenant: str, room: str) -> str:
    """Return the subject that says: this room has work."""
    return f"turn.{_checked(tenant, room)}"


def room_schedule(tenant: str, room: str) -> str:
    """Return the subject that keeps the reminder of a room's next occurrence: one a room."""
    return f"schedule.{_checked(tenant, room)}"


def room_due(tenant: str, room: str) -> str:
    """Return the subject on which the reminder comes when it is time."""
    return f"due.{_checked(tenant, room)}"


def room_events(tenant: str, room: str) -> str:
    """Return the subject of a room's committed events."""
    return f"evt.room.{_checked(tenant, room)}"


def room_live(tenant: str, room: str) -> str:
    """Return the subject of a room's deltas, which are not stored."""
    return f"live.room.{_checked(tenant, room)}"


def room_nudge(room: str) -> str:
    """Return the subject that tells a lease holder to look at its room now."""
    return f"ctl.room.{_checked(room)}"


ALL_NUDGES = "ctl.room.*"

# On which room workers say that they are there, each with its session.
WORKERS_HERE = "ctl.workers"


def worker_commands(session: str) -> str:
    """Return the subject on which a worker takes commands that another one was given."""
    return f"ctl.worker.{_checked(session)}"


ALL_DEAD_LETTERS = "dlq.>"


def dead_letters(service: str) -> str:
    """Return the subject of what a service refused for good."""
    return f"dlq.{_checked(service)}"


@dataclass(frozen=True)
class Stream:
    """A stream as the provision step declares it; limits of 0 mean none. Ages in seconds.

    ``flushed_later`` streams are written to the disk in the background, whatever the server's
    `sync_interval` is.
    """

    name: str
    subjects: tuple[str, ...]
    work_queue: bool
    discard_new: bool = True
    max_per_subject: int = 0
    max_age_s: int = 0
    max_bytes: int = 0
    flushed_later: bool = False
    schedules: bool = False


@dataclass(frozen=True)
class Consumer:
    """A durable pull consumer: explicit ack, unlimited deliveries. ``ack_wait_s`` in seconds."""

    stream: str
    name: str
    subject: str
    max_ack_pending: int
    ack_wait_s: float = 2.0
    services: tuple[str, ...] = field(default=())


STREAMS: tuple[Stream, ...] = (
    # A client is told of a commit and never of a place in this queue: what a power cut takes from
    # it was not answered yet, so a command costs no fsync here beside the one of its commit.
    Stream("COMMANDS", ("cmd.>",), work_queue=True, flushed_later=True),
    Stream(
        "SCHEDULES", ("schedule.>", "due.>"), work_queue=True, discard_new=False, schedules=True
    ),
    Stream("TURNS", ("turn.>",), work_queue=True, max_per_subject=1),
    # Followers and durable consumers fill holes from the log, so this stream may forget its newest
    # messages in a power cut: a captured event then costs no fsync of its own.
    Stream(
        "EVENTS",
        ("evt.>",),
        work_queue=False,
        discard_new=False,
        max_age_s=3600,
        max_bytes=64 * 1024 * 1024,
        flushed_later=True,
    ),
    Stream(
        "DLQ",
        ("dlq.>",),
        work_queue=False,
        discard_new=False,
        max_age_s=30 * 24 * 3600,
        max_bytes=256 * 1024 * 1024,
    ),
)

CONSUMERS: tuple[Consumer, ...] = (
    Consumer("COMMANDS", "room-worker", "cmd.room.>", 16384, services=("room-worker",)),
    Consumer("COMMANDS", "factory", "cmd.factory.>", 1024, services=("factory",)),
    Consumer("COMMANDS", "verifier", "cmd.verifier.>", 256, services=("verifier",)),
    Consumer("TURNS", "turns", "turn.>", 4096, services=("room-worker",)),
    Consumer("SCHEDULES", "due", "due.>", 1024, services=("room-worker",)),
)


def streams_of(service: str) -> tuple[str, ...]:
    """Return the names of the streams that a service needs to be ready."""
    if service == "gateway":
        return ("COMMANDS", "EVENTS")
    own = dict.fromkeys(consumer.stream for consumer in consumers_of(service))
    return (*own, "DLQ")


def consumers_of(service: str) -> tuple[Consumer, ...]:
    """Return the consumers that a service needs to be ready."""
    return tuple(consumer for consumer in CONSUMERS if service in consumer.services)


def consumer(name: str) -> Consumer:
    """Return the consumer of that name; LookupError where none is declared."""
    for declared in CONSUMERS:
        if declared.name == name:
            return declared
    raise LookupError(f"no consumer {name!r} is declared")

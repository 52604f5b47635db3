"""Merging what the bus says about a room with what its log says.

The bus is quick and may lose, double or reorder; the log is the truth. A `Tail` turns any mixture
of both into the log's events, each once and in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import orjson

from abbotik_contracts.room_log import Record
from abbotik_gateway.domain.unreadable import UNREADABLE

# Events kept that came before their time. What does not fit is read from the log.
MAX_AHEAD = 256

RELEASED = "room:released"
TURN_START = "actor:turn_start"
TURN_END = "actor:turn_end"
# What a tail takes note of, beside the position.
_TELLING = frozenset({RELEASED, TURN_START, TURN_END})


class UnreadableSignalError(ValueError):
    """A message of the bus that is not what its subject promises."""


class Event(msgspec.Struct):
    """One durable event, as much of it as streams look at.

    ``data`` is its JSON on one line, as the wire has it; the other members are the wire's.
    """

    seq: int
    event_type: str
    epoch: int
    turn_id: str | None
    payload: dict[str, Any]
    # The empty name: no member of the wire is meant.
    data: bytes = msgspec.field(default=b"", name="")
    room_id: str = ""


class Delta(msgspec.Struct):
    """A piece of text as it is produced; ``data`` is its JSON on one line, without a type."""

    turn_id: str
    epoch: int
    data: bytes = msgspec.field(default=b"", name="")
    text: str = ""


_EVENT = msgspec.json.Decoder(Event)
_DELTA = msgspec.json.Decoder(Delta)


def event_of(record: Record) -> Event:
    """Return the event of a wire record."""
    event = msgspec.convert(record, Event)
    event.data = orjson.dumps(record)
    return event


def read_events(room: str, body: bytes) -> list[Event]:
    """Read a message of the room's events: one event a line, passed on as the bytes it came in.

    Raises UnreadableSignalError.
    """
    lines = [line for line in body.split(b"\n") if line]
    broken = b"\r" in body
    try:
        events = [_EVENT.decode(line) for line in lines]
        for event, line in zip(events, lines, strict=True):
            event.data = _one_line(line) if broken else line
    except UNREADABLE as error:
        raise UnreadableSignalError(str(error)) from error
    for event in events:
        if event.room_id != room:
            raise UnreadableSignalError("an event of another room")
    return events


def read_delta(body: bytes) -> Delta:
    """Read a message of the room's deltas. Raises UnreadableSignalError."""
    try:
        delta = _DELTA.decode(body)
        delta.data = _one_line(body)
    except UNREADABLE as error:
        raise UnreadableSignalError(str(error)) from error
    return delta


def _one_line(data: bytes) -> bytes:
    # JSON may have line breaks between its tokens, where they would end an SSE field.
    return orjson.dumps(orjson.loads(data)) if b"\r" in data or b"\n" in data else data


class Tail:
    """Where one room's stream stands in this process.

    ``seq`` is the last event passed on, ``epoch`` the highest seen; ``released`` says that no
    event can follow.
    """

    def __init__(self, seq: int, epoch: int = 0, turn_id: str | None = None) -> None:
        self.seq = seq
        self.released = False
        self._highest = seq
        self._ahead: dict[int, Event] = {}
        self.epoch = epoch
        self._running: set[str] = set() if turn_id is None else {turn_id}

    @property
    def hole(self) -> bool:
        """Whether an event is known to exist that must be read from the log first."""
        return self._highest > self.seq

    @property
    def turn_id(self) -> str | None:
        """The turn that runs, if one does."""
        return next(iter(self._running), None)

    def offer(self, events: Iterable[Event]) -> list[Event]:
        """Take events from the bus or the log; return those that are due now, in order.

        Doubles are dropped; what came too early waits, or is forgotten and read from the log.
        """
        due: list[Event] = []
        for event in events:
            if event.seq == self.seq + 1:
                self._pass(event, due)
                while self._ahead and (waiting := self._ahead.pop(self.seq + 1, None)):
                    self._pass(waiting, due)
            elif event.seq > self.seq:
                self._keep(event)
        return due

    def takes(self, delta: Delta) -> bool:
        """Say whether a delta belongs to a turn that runs, in an epoch that nothing replaced."""
        if delta.epoch < self.epoch or delta.turn_id not in self._running:
            return False
        self.epoch = delta.epoch
        return True

    def _pass(self, event: Event, due: list[Event]) -> None:
        due.append(event)
        self.seq = event.seq
        self.epoch = max(self.epoch, event.epoch)
        if event.event_type in _TELLING:
            self._told(event)

    def _told(self, event: Event) -> None:
        if event.event_type == RELEASED:
            self.released = True
        elif event.turn_id is not None and event.event_type == TURN_START:
            self._running.add(event.turn_id)
        elif event.turn_id is not None:
            self._running.discard(event.turn_id)

    def _keep(self, event: Event) -> None:
        self._highest = max(self._highest, event.seq)
        if len(self._ahead) < MAX_AHEAD:
            self._ahead[event.seq] = event

"""What the room worker needs from outside; `app.py` chooses who provides it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from abbotik_contracts.policies import Actor
from abbotik_contracts.room_config import RoomConfig
from abbotik_contracts.room_log import LogEntry, Record
from abbotik_room_worker.domain.room import Room
from abbotik_runtime.log_reader import Configured
from abbotik_runtime.log_writer import Appended

RoomKey = tuple[str, str]
"""(tenant, room id): a room is never named without its tenant."""


class UnavailableError(Exception):
    """The store or the bus gave no answer; nothing is known and nothing is lost by waiting."""


class RoomLog(Protocol):
    """The log of rooms: the truth."""

    session: str

    def next_counter(self) -> int:
        """Return the counter of this process's next entry, from 1."""
        ...

    async def load(self, key: RoomKey, known: Configured | None = None) -> Room | None:
        """Read a room from its newest entry. Raises UnavailableError.

        A configuration that is ``known`` need not be read again.
        """
        ...

    async def by_key(self, key: RoomKey, settled: str) -> LogEntry | None:
        """Return the entry that settled an id. Raises UnavailableError."""
        ...

    async def config(self, key: RoomKey, rev: int) -> Record:
        """Return the configuration that came with an entry. Raises UnavailableError."""
        ...

    async def append(self, entry: LogEntry) -> Appended:
        """Write one entry under its rev. Raises UnavailableError when the outcome is open."""
        ...

    async def events_of_turn(self, key: RoomKey, turn_id: str, first_seq: int) -> list[Record]:
        """Return the events of a turn that the log holds, in order."""
        ...

    async def content(self, key: RoomKey, message_id: str) -> str:
        """Return the text of a message, wherever it is stored."""
        ...


class Contents(Protocol):
    """Texts that are too large for an entry."""

    async def put(self, tenant: str, data: bytes) -> str:
        """Store them and return their SHA-256 in hex. Raises UnavailableError."""
        ...

    async def get(self, tenant: str, digest: str) -> bytes | None:
        """Return them, or None where the tenant has none of that digest."""
        ...


class Exceptions(Protocol):
    """How often a command broke the code of whichever worker had it."""

    async def count(self, tenant: str, command_id: str) -> int:
        """Count one exception more; return how many there were. Raises UnavailableError."""
        ...

    async def forget(self, tenant: str, command_id: str) -> None:
        """Begin anew. Raises UnavailableError."""
        ...


class Projections(Protocol):
    """The `rooms` collection: what lists and sweeps read."""

    def write(self, room: Room, at: int, *, urgent: bool = False) -> asyncio.Future[None]:
        """Owe a state; the future is done when it, or a newer one, is stored, however late.

        One that is ``urgent`` goes out at once: somebody waits for it.
        """
        ...


class Signals(Protocol):
    """What leaves on the bus. Only `want_turn` waits for an answer; the log heals the others."""

    @property
    def connected(self) -> bool:
        """Say whether anybody could hear; whoever is cut off claims nothing."""
        ...

    async def events(self, key: RoomKey, lines: Sequence[bytes]) -> None:
        """Tell followers what was committed; each line is an event as the API shows it."""
        ...

    async def delta(self, key: RoomKey, frame: Record) -> None:
        """Tell followers what a model is saying."""
        ...

    async def want_turn(self, key: RoomKey) -> None:
        """Say that the room has work; a trigger that waits already counts as said."""
        ...

    async def remind(self, key: RoomKey, at: int) -> None:
        """Have some worker look at the room at a time, in ms; replaces the room's reminder."""
        ...

    async def nudge(self, room: str) -> None:
        """Ask whoever holds the room to look at it now."""
        ...


@dataclass(frozen=True, slots=True)
class Written:
    """An entry that a session wrote: whose room, and under which counter."""

    key: RoomKey
    counter: int


class Sweeps(Protocol):
    """Rooms of every tenant that need somebody: keys only, never contents."""

    async def wanting(self, before_ms: int, limit: int) -> list[RoomKey]:
        """Return rooms that want a turn and have not changed since."""
        ...

    async def due(self, now_ms: int, limit: int, *, but: Collection[RoomKey] = ()) -> list[RoomKey]:
        """Return rooms with a deadline that has passed, the oldest first, but not these."""
        ...

    async def holders(self) -> list[str]:
        """Return the sessions that leases name."""
        ...

    async def held_by(self, session: str, limit: int) -> dict[RoomKey, int]:
        """Return rooms whose lease names the session, and the rev that said so."""
        ...

    async def written_by(self, session: str, after_counter: int, limit: int) -> list[Written]:
        """Return the session's entries above the counter, in the order of their counters."""
        ...

    async def newer(self, revs: dict[str, int]) -> list[RoomKey]:
        """Return the rooms, of those given with the rev that is known here, that moved on."""
        ...


@dataclass(frozen=True, slots=True)
class DeadSession:
    """A worker that renewed its session too long ago, or whose session was buried already."""

    session: str
    projected_through: int


class Sessions(Protocol):
    """The sign of life of this worker, and those of the others."""

    @property
    def live(self) -> bool:
        """Say whether this session cannot have been declared dead yet."""
        ...

    @property
    def lapses(self) -> int:
        """Return how often it was renewed after it may have been declared dead, from any number."""
        ...

    async def dead(self, holders: Sequence[str] = ()) -> list[DeadSession]:
        """Return the dead, with those of the ``holders`` of whom there is no sign at all.

        None while this worker itself was out of touch.
        """
        ...

    async def forget(self, session: str) -> None:
        """Remove a dead session that holds nothing; one that was renewed meanwhile stays."""
        ...


@dataclass(frozen=True, slots=True)
class SettledCall:
    """A tool call that an earlier holder of the turn settled."""

    call_id: str
    name: str
    result: Record


class TurnInput(NamedTuple):
    """One bounded turn: what the log says and what the model is shown, kept apart.

    ``content`` is the message that began the turn; ``context`` describes what else is shown.
    """

    key: RoomKey
    turn_id: str
    epoch: int
    actor: Actor
    config: RoomConfig
    message_id: str
    content: str
    context: Record


class TurnAnswer(NamedTuple):
    """A turn that ended well: the last text, and what it used."""

    text: str
    usage: Record


class TurnFailedError(Exception):
    """A turn that cannot end well; ``code`` is a row of `docs/errors.md`."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class Emit(Protocol):
    """How an executor reaches the room while the turn runs."""

    async def text(self, delta: str) -> None:
        """Show followers a piece of the answer. Not durable: the answer itself sums it up."""
        ...

    async def call(self, name: str, arguments: Record) -> Record:
        """Run a tool as the room's policy allows; a call that was settled before is not repeated.

        Returns the result, or `{"error": {code, message}}` where the tool or the policy refused.
        """
        ...


class TurnExecutor(Protocol):
    """An adapter that answers: a model, or a script."""

    async def run(self, turn: TurnInput, emit: Emit) -> TurnAnswer:
        """Run one turn to its end. Raises TurnFailedError; is cancelled to stop at once."""
        ...


class Tool(Protocol):
    """Something a turn may call."""

    idempotent: bool

    def __call__(self, arguments: Record) -> Awaitable[Record]:
        """Run once. Raises TurnFailedError with `TOOL_FAILED`."""
        ...

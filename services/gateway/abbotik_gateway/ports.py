"""What the gateway needs from outside, as protocols; `adapters` speak them, tests fake them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from abbotik_contracts.room_commands import RoomCommand
from abbotik_contracts.room_log import LogEntry, Record, StoredTurn
from abbotik_gateway.domain.caller import Caller
from abbotik_gateway.domain.keyed import Keyed
from abbotik_gateway.domain.outcome import Outcome
from abbotik_gateway.domain.paging import ListPlace


class UnavailableError(Exception):
    """A server that the gateway needs does not answer; nothing was changed by the attempt."""


class UnconfirmedError(Exception):
    """A command was sent, or may have been, and its outcome is not known."""


class Authority(Protocol):
    """One way to know callers by their tokens."""

    async def identify(self, token: str) -> Caller | None:
        """Return who the token belongs to, None where this authority does not know it.

        Raises Problem: AUTH_TOKEN_EXPIRED, or AUTH_UNAVAILABLE where it cannot tell.
        """
        ...


class Commands(Protocol):
    """The way to a room worker and back."""

    async def send(self, command: RoomCommand, trace: str | None, deadline_s: float) -> Outcome:
        """Return what the worker decided; ``trace`` is the caller's `traceparent`.

        Raises UnavailableError where the command cannot have been sent, UnconfirmedError where
        its outcome stays open; either comes within ``deadline_s`` seconds.
        """
        ...


class Pressure(Protocol):
    """Whether the system takes new work now."""

    def check(self, verb: str) -> None:
        """Raise the Problem of a command that would only wait; SERVICE_UNAVAILABLE with why."""
        ...


class KeyStore(Protocol):
    """Idempotency keys, remembered for 24 h over replicas and restarts.

    A key is its tenant's and its route's. Raises UnavailableError when it cannot be reached.
    """

    async def begin(self, wanted: Keyed) -> Keyed:
        """Store the request unless its key is known; return what is stored, with its age."""
        ...

    async def take_over(self, stored: Keyed) -> bool:
        """Make this request the one that runs; False where another one was quicker."""
        ...

    async def finish(self, stored: Keyed, outcome: Outcome) -> None:
        """Keep the outcome as the answer to every later request with the key."""
        ...

    async def reopen(self, stored: Keyed) -> None:
        """Say that the outcome stayed open, so that the next request may publish at once.

        Nothing happens where another command is stored under the key, or none.
        """
        ...


class RoomScope(Protocol):
    """One room's log, of one tenant. Raises UnavailableError when it cannot be read."""

    async def last(self) -> LogEntry | None:
        """Return the newest entry."""
        ...

    async def room(self) -> tuple[LogEntry, Record] | None:
        """Return the newest entry and the configuration that holds with it."""
        ...

    async def by_key(self, key: str) -> LogEntry | None:
        """Return the entry that settled a command, began a turn or holds an output of that id."""
        ...

    async def events_after(self, seq: int, limit: int = 500) -> Sequence[LogEntry]:
        """Return entries with events above ``seq``, oldest first, at most ``limit``."""
        ...

    async def messages_after(self, seq: int, limit: int = 500) -> Sequence[LogEntry]:
        """Return entries with messages above ``seq``, oldest first, at most ``limit``."""
        ...

    async def ended_turns(self, first: int, last: int) -> dict[int, StoredTurn]:
        """Return the turns of the messages ``first`` to ``last`` that have ended."""
        ...


class RoomLog(Protocol):
    """The log of all rooms; `of` gives the one that a caller may see."""

    def of(self, tenant: str, room: str) -> RoomScope:
        """Return the log of one room of one tenant."""
        ...


class RoomList(Protocol):
    """The rooms of a tenant, as their projection shows them."""

    async def page(
        self,
        tenant: str,
        *,
        status: str | None,
        name: str | None,
        after: ListPlace | None,
        limit: int,
    ) -> Sequence[tuple[ListPlace, Record]]:
        """Return at most ``limit`` rooms behind ``after``, each with its place.

        Unreleased before released, newest first. Raises UnavailableError.
        """
        ...


class Contents(Protocol):
    """Contents that are too large for the log or for the bus."""

    async def put(self, tenant: str, data: bytes) -> str:
        """Store the bytes and return their SHA-256 in hex."""
        ...

    async def get(self, tenant: str, digest: str) -> bytes | None:
        """Return the bytes, None where this tenant has none with that digest."""
        ...

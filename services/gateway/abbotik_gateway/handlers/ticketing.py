"""Tickets for readers that cannot set headers: browsers' EventSource."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from hashlib import sha256

from abbotik_contracts.room_log import Record
from abbotik_gateway.domain.caller import Caller
from abbotik_gateway.domain.follow_query import is_room_id, no_room
from abbotik_gateway.domain.problem import Problem
from abbotik_gateway.streams import RoomEvents, Tickets
from abbotik_kernel.clock import Clock, rfc3339

FIRST_USE_MS = 60_000
AFTER_DISCONNECT_MS = 600_000
# A stream renews its ticket this often; one that dies with its gateway loses no more than this.
KEEP_EVERY_MS = 120_000

_TICKET = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Admitted:
    """Whom a ticket stands for, and its digest."""

    caller: Caller
    digest: str


class Ticketing:
    """Issues tickets and lets their bearers in."""

    def __init__(self, tickets: Tickets, log: RoomEvents, clock: Clock) -> None:
        self._tickets = tickets
        self._log = log
        self._clock = clock

    async def issue(self, caller: Caller, room: str) -> Record:
        """Return a new ticket: its text, the room, and until when it must be used first."""
        caller.needs("read")
        if not is_room_id(room) or await self._log.head(caller.tenant, room) is None:
            raise no_room()
        ticket = secrets.token_urlsafe(32)
        until = self._clock.now_ms() + FIRST_USE_MS
        if caller.token_expires_at is not None:
            until = min(until, caller.token_expires_at)
        await self._tickets.issue(_digest(ticket), caller, room, until)
        return {"ticket": ticket, "room_id": room, "expires_at": rfc3339(until)}

    async def admit(self, ticket: str, room: str) -> Admitted:
        """Return whom the ticket stands for; AUTH_TOKEN_INVALID if it is no live one of the room.

        From now on it is good for reconnects.
        """
        now = self._clock.now_ms()
        if _TICKET.fullmatch(ticket) is not None:
            digest = _digest(ticket)
            until = now + KEEP_EVERY_MS + AFTER_DISCONNECT_MS
            caller = await self._tickets.use(digest, room, now, until)
            if caller is not None:
                return Admitted(caller, digest)
        raise Problem("AUTH_TOKEN_INVALID", "The ticket is unknown, expired or of another room.")


def _digest(ticket: str) -> str:
    return sha256(ticket.encode()).hexdigest()

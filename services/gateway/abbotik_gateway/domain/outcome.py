"""What a room worker decided about a command, and what becomes of it for the caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from abbotik_gateway.domain.problem import Problem
from abbotik_gateway.domain.unreadable import UNREADABLE


class UnreadableOutcomeError(ValueError):
    """Bytes that are no outcome."""


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """A decided command.

    ``command`` is its id; ``data`` is the record that it led to, ``seq`` the position of its first
    event (0 for none) and ``rev`` the room's; a refused one has a ``code`` with ``detail``,
    ``status`` and ``extra``.
    """

    command: str = ""
    ok: bool = False
    data: dict[str, Any] = {}
    seq: int = 0
    rev: int = 0
    code: str = ""
    detail: str = ""
    status: int = 0
    extra: dict[str, Any] = {}

    def settled(self, headers: Mapping[str, str] | None = None) -> Outcome:
        """Return the outcome of an accepted command; raise the Problem of a refused one.

        ``headers`` go out with the Problem.
        """
        if self.ok:
            return self
        raise Problem(
            self.code,
            self.detail or None,
            status=self.status or None,
            extra=self.extra,
            headers=headers,
        )

    def line(self) -> bytes:
        """Return the wire form."""
        return msgspec.json.encode(self)


_OUTCOME = msgspec.json.Decoder(Outcome)


def read_outcome(line: bytes) -> Outcome:
    """Read the wire form; unknown members are ignored, as later workers may send more."""
    try:
        return _OUTCOME.decode(line)
    except UNREADABLE as error:
        raise UnreadableOutcomeError(str(error)) from error

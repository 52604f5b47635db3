"""What a room worker decided about a command, and what becomes of it for the caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from abbotik_contracts.room_log import Record
from abbotik_gateway.domain.problem import Problem


class UnreadableOutcomeError(ValueError):
    """Bytes that are no outcome."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A decided command.

    ``data`` is the record that it led to, ``seq`` the position of its first event (0 for none) and
    ``rev`` the room's; a refused one has a ``code`` with ``detail``, ``status`` and ``extra``.
    """

    ok: bool
    data: Record = field(default_factory=dict)
    seq: int = 0
    rev: int = 0
    code: str = ""
    detail: str = ""
    status: int = 0
    extra: Record = field(default_factory=dict)

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

    def record(self) -> Record:
        """Return the wire form."""
        if self.ok:
            return {"ok": True, "data": self.data, "seq": self.seq, "rev": self.rev}
        return {
            "ok": False,
            "code": self.code,
            "detail": self.detail,
            "status": self.status,
            "extra": self.extra,
        }


def read_outcome(wire: JsonValue) -> Outcome:
    """Read the wire form; unknown members are ignored, as later workers may send more."""
    if not isinstance(wire, dict):
        raise UnreadableOutcomeError("an outcome is an object")
    return Outcome(
        ok=wire.get("ok") is True,
        data=_object(wire, "data"),
        seq=_number(wire.get("seq")),
        rev=_number(wire.get("rev")),
        code=str(wire.get("code") or ""),
        detail=str(wire.get("detail") or ""),
        status=_number(wire.get("status")),
        extra=_object(wire, "extra"),
    )


def _object(wire: Record, name: str) -> Record:
    value = wire.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UnreadableOutcomeError(f"`{name}` is no object")
    return value


def _number(value: JsonValue) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0

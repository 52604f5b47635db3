"""What a broken rule comes to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What sort of harm a violation is."""

    LOST = "lost"
    DOUBLED = "doubled"
    DISORDERED = "out_of_order"
    OTHER = "other"


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """One broken promise: where (a room, mostly) and what."""

    promise: str
    where: str
    what: str
    kind: Kind = Kind.OTHER

    def __str__(self) -> str:
        return f"{self.promise} {self.where}: {self.what}"


def once(room: str, what: str, where: str, times: int) -> Iterator[Violation]:
    """Yield what is wrong with a thing that has to be there exactly once."""
    if times == 0:
        yield Violation("I2/C1", room, f"{what}: {where} is missing", Kind.LOST)
    if times > 1:
        yield Violation("I2/C1", room, f"{what}: {where} {times} times", Kind.DOUBLED)

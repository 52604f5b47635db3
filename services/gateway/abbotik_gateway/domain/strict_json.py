"""Reading a request's JSON: stricter than the grammar, so that nothing odd is ever stored.

Two kinds of refusal. What cannot be read in one way only (not UTF-8, doubled names, NaN, 1e400,
lone surrogates, nesting without end) is INVALID_REQUEST_BODY. What can be read and must not be
kept (control characters, numbers that other JSON readers round, arrays without measure) is
VALIDATION_FAILED with the pointer of each.
"""

from __future__ import annotations

import json
import math
import re
from typing import Never, cast

from pydantic import JsonValue

from abbotik_contracts.faults import pointer
from abbotik_gateway.domain.problem import Problem, invalid

Place = tuple[int | str, ...]

MAX_DEPTH = 32
MAX_MEMBERS = 1000
# A body of 1 MiB could hold half a million values, each of which costs time here.
MAX_VALUES = 20_000
MAX_FAULTS = 50
# RFC 8259 §6: integers in this range mean the same to every reader.
MAX_INTEGER = 2**53

# Unicode's category Cc, less tab, line feed and carriage return.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_object(data: bytes) -> dict[str, JsonValue]:
    """Return the JSON object; an empty body is `{}`. Raises Problem for anything else."""
    if not data:
        return {}
    value = _parse(data)
    if not isinstance(value, dict):
        raise Problem("BODY_NOT_OBJECT")
    walk = _Walk()
    walk.look(value, ())
    walk.finish()
    return value


def _parse(data: bytes) -> JsonValue:
    try:
        # Not `json.loads(data)`, which would guess UTF-16 and UTF-32 too.
        return cast("JsonValue", _DECODER.decode(data.decode("utf-8")))
    except UnicodeDecodeError as error:
        raise Problem("INVALID_REQUEST_BODY", "The body is not UTF-8.") from error
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        # A Refused, a syntax error, or an integer of more digits than Python converts.
        detail = str(error) if isinstance(error, _RefusedError) else None
        raise Problem("INVALID_REQUEST_BODY", detail) from error


class _RefusedError(ValueError):
    """JSON that Python would read, and we do not."""


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _RefusedError("A name stands twice in one object.")
    return members


def _no_constant(name: str) -> Never:
    raise _RefusedError(f"{name} is not JSON.")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise _RefusedError("A number is larger than can be kept.")
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite
)


def _too_deep() -> Problem:
    return Problem("INVALID_REQUEST_BODY", f"The body is nested deeper than {MAX_DEPTH} levels.")


class _Walk:
    """One walk through a value; notes by pointer what must not be kept."""

    def __init__(self) -> None:
        self.faults: dict[str, str] = {}
        self._left = MAX_VALUES

    def look(self, value: JsonValue, place: Place) -> None:
        self._left -= 1
        if self._left < 0 or len(self.faults) >= MAX_FAULTS:
            return
        if isinstance(value, str):
            self._look_at_text(value, place, "the text")
        elif isinstance(value, int) and not -MAX_INTEGER <= value <= MAX_INTEGER:
            self._note(place, "the number is outside of ±2^53; send it as a string")
        elif isinstance(value, dict | list):
            self._look_inside(value, place)

    def finish(self) -> None:
        if self._left < 0:
            self._note((), f"the body holds more than {MAX_VALUES} values")
        if self.faults:
            raise invalid([{"pointer": p, "message": m} for p, m in self.faults.items()])

    def _look_inside(self, value: dict[str, JsonValue] | list[JsonValue], place: Place) -> None:
        if len(place) >= MAX_DEPTH:
            raise _too_deep()
        if len(value) > MAX_MEMBERS:
            self._note(place, f"there are more than {MAX_MEMBERS} members")
            return
        if isinstance(value, list):
            for index, item in enumerate(value):
                self.look(item, (*place, index))
            return
        for name, member in value.items():
            self._look_at_text(name, (*place, name), "the name")
            self.look(member, (*place, name))

    def _look_at_text(self, text: str, place: Place, what: str) -> None:
        if text.isascii() and text.isprintable():
            return
        if _SURROGATE.search(text):
            raise Problem("INVALID_REQUEST_BODY", "The body holds half of a surrogate pair.")
        found = _CONTROL.search(text)
        if found is not None:
            self._note(place, f"{what} holds the control character U+{ord(found[0]):04X}")

    def _note(self, place: Place, message: str) -> None:
        self.faults[_shown(pointer(place))] = message


def _shown(where: str) -> str:
    """Return a pointer that is safe to put into an answer."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", where)

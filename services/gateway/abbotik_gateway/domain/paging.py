"""Pages: their cursors, which callers cannot read, and the parameters that ask for one."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlencode

import orjson

from abbotik_gateway.domain.problem import Problem, invalid_query

MAX_LIMIT = 1000
MAX_SEQ = 2**53

_NUMBER = re.compile(r"[0-9]{1,16}")
_CURSOR = re.compile(r"[A-Za-z0-9_-]{1,400}")
_SEAL_BYTES = 6


@dataclass(frozen=True, slots=True)
class ListPlace:
    """A place in the list of rooms: the sort key of one room. ``rented_at`` in ms."""

    released: bool
    rented_at: int
    room: str


def _seal(kind: str, text: bytes) -> bytes:
    return sha256(kind.encode() + b"\0" + text).digest()[:_SEAL_BYTES]


def write_cursor(kind: str, place: list[bool | int | str]) -> str:
    """Return an opaque cursor. ``kind`` binds it to a route and its filters."""
    text = orjson.dumps(place)
    return urlsafe_b64encode(_seal(kind, text) + text).rstrip(b"=").decode()


def read_cursor(kind: str, cursor: str) -> list[bool | int | str]:
    """Read what `write_cursor` wrote under the same ``kind``; CURSOR_INVALID for all else."""
    if _CURSOR.fullmatch(cursor) is None:
        raise _no_cursor()
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (Base64Error, ValueError) as error:
        raise _no_cursor() from error
    seal, text = raw[:_SEAL_BYTES], raw[_SEAL_BYTES:]
    # The seal is against slips, not against attackers: a forged place shows only one's own rooms.
    if seal != _seal(kind, text) or write_cursor(kind, place := orjson.loads(text)) != cursor:
        raise _no_cursor()
    found: list[bool | int | str] = place
    return found


def list_cursor(kind: str, place: ListPlace) -> str:
    """Return the cursor that leads behind a place in the list of rooms."""
    return write_cursor(kind, [place.released, place.rented_at, place.room])


def read_list_cursor(kind: str, cursor: str) -> ListPlace:
    """Read what `list_cursor` wrote; CURSOR_INVALID for all else."""
    match read_cursor(kind, cursor):
        case [bool(released), int(rented_at), str(room)]:
            return ListPlace(released, rented_at, room)
        case _:
            raise _no_cursor()


def read_seq_cursor(kind: str, cursor: str) -> int:
    """Read the cursor of a list that goes by seq; CURSOR_INVALID for all else."""
    match read_cursor(kind, cursor):
        case [int(seq)] if not isinstance(seq, bool):
            return seq
        case _:
            raise _no_cursor()


def _no_cursor() -> Problem:
    return Problem("CURSOR_INVALID")


def read_limit(query: Mapping[str, str]) -> int:
    """Return `?limit=`, 1 to 1000, 1000 where it is absent."""
    text = query.get("limit")
    if text is None:
        return MAX_LIMIT
    if _NUMBER.fullmatch(text) is None or not 1 <= int(text) <= MAX_LIMIT:
        raise invalid_query("limit", f"must be a whole number from 1 to {MAX_LIMIT}")
    return int(text)


def read_seq(query: Mapping[str, str], name: str) -> int | None:
    """Return a position given as a query parameter, None where it is absent."""
    text = query.get(name)
    if text is None:
        return None
    if _NUMBER.fullmatch(text) is None or int(text) > MAX_SEQ:
        raise invalid_query(name, f"must be a whole number from 0 to {MAX_SEQ}")
    return int(text)


def next_link(path: str, query: Mapping[str, str], cursor: str) -> str:
    """Return the `Link` header that leads to the next page of the same question."""
    return f'<{path}?{urlencode({**query, "cursor": cursor})}>; rel="next"'

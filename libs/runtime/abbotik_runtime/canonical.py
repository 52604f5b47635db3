"""Canonical JSON (RFC 8785) and the hash of an event."""

from __future__ import annotations

from hashlib import sha256

import orjson
import rfc8785
from pydantic import JsonValue

from abbotik_contracts.room_log import Record

_ATOMS = frozenset({str, int, bool, type(None)})


def _plain(value: JsonValue) -> bool:
    """Say whether orjson writes the value just as RFC 8785 asks.

    It does for everything but floats, whose digits differ, and for names outside ASCII, which
    RFC 8785 sorts by UTF-16 code units.
    """
    # Plain loops that look at atoms in place: this sees every member of every event.
    if isinstance(value, dict):
        for name, member in value.items():
            if not name.isascii() or (type(member) not in _ATOMS and not _plain(member)):
                return False
        return True
    if isinstance(value, list):
        for member in value:  # noqa: SIM110  a generator costs more than it finds
            if type(member) not in _ATOMS and not _plain(member):
                return False
        return True
    return not isinstance(value, float)


def canonical(record: Record) -> bytes:
    """Return the RFC 8785 form of a JSON object."""
    if _plain(record):
        return orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
    return rfc8785.dumps(record)


def hashed(event: Record) -> tuple[str, bytes]:
    """Return an event's hash and its wire form.

    ``event`` is the event without `hash`. The hash is SHA-256 over the canonical form, in hex;
    the wire form is that same text with `hash` put in front, so that an event is encoded once.
    """
    # The other members are ASCII names with strings and integers by the shape of an event.
    plain = _plain(event["payload"])
    form = orjson.dumps(event, option=orjson.OPT_SORT_KEYS) if plain else rfc8785.dumps(event)
    digest = sha256(form).hexdigest()
    return digest, b'{"hash":"' + digest.encode() + b'",' + form[1:]

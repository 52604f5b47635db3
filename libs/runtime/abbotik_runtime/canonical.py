"""Canonical JSON (RFC 8785) and the hash of an event."""

from __future__ import annotations

from hashlib import sha256

import orjson
import rfc8785
from pydantic import JsonValue

from abbotik_contracts.room_log import Record


def _plain(value: JsonValue) -> bool:
    """Say whether orjson writes the value just as RFC 8785 asks.

    It does for everything but floats, whose digits differ, and for names outside ASCII, which
    RFC 8785 sorts by UTF-16 code units.
    """
    if isinstance(value, dict):
        return all(name.isascii() and _plain(member) for name, member in value.items())
    if isinstance(value, list):
        return all(map(_plain, value))
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

"""Ids: canonical lower-case UUIDs, version 7, so that they sort by the time they were made."""

from __future__ import annotations

import re

import uuid_utils

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def uuid7() -> str:
    """Make an id."""
    return str(uuid_utils.uuid7())


def is_uuid(text: str) -> bool:
    """Say whether the text is a canonical lower-case UUID of any version."""
    return _UUID.fullmatch(text) is not None

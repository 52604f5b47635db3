"""`ETag` of a room and `If-Match` (RFC 9110 §13.1.1): the version of its configuration."""

from __future__ import annotations

import re

from abbotik_gateway.domain.problem import Problem

# No room has this version, so that a tag which is no version of ours fails the precondition.
NO_VERSION = 0

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_VERSION = re.compile(r"[1-9][0-9]{0,14}")


def etag(policy_version: object) -> str:
    """Return the `ETag` of a room with that version."""
    return f'"{policy_version}"'


def read_if_match(values: list[str]) -> list[int] | None:
    """Return the versions that `If-Match` allows, None where any will do.

    A weak tag, and one that is no version, allows nothing (`[0]`). HEADER_INVALID for what is no
    list of entity tags.
    """
    if not values:
        return None
    text = ", ".join(values).strip()
    if text == "*":
        return None
    parts = [part.strip() for part in text.split(",")]
    found = [_TAG.fullmatch(part) for part in parts]
    if not all(found):
        raise Problem("HEADER_INVALID", '`If-Match` is `*` or a list of entity tags, as in `"3"`.')
    return [
        int(tag[2]) if tag and not tag[1] and _VERSION.fullmatch(tag[2]) else NO_VERSION
        for tag in found
    ]

"""Contents over 64 KiB: what is stored apart, and how it becomes the content again."""

from __future__ import annotations

import json

from pydantic import JsonValue

from abbotik_contracts.room_bodies import Content


def apart(content: Content) -> bytes:
    """Return the bytes to store: a text as it is, blocks as JSON."""
    if isinstance(content, str):
        return content.encode()
    return json.dumps([block.model_dump() for block in content], ensure_ascii=False).encode()


def whole(stored: JsonValue, data: bytes) -> JsonValue:
    """Return the content; ``stored`` is what the message holds in its place, `""` or `[]`."""
    content: JsonValue = json.loads(data) if isinstance(stored, list) else data.decode()
    return content

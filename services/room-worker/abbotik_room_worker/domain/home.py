"""The worker at which a room is at home."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b


@lru_cache(maxsize=4096)  # the same rooms again and again
def home_of(room: str, sessions: tuple[str, ...]) -> str:
    """Return the session whose hash with the room is the highest (rendezvous hashing).

    All who know the same sessions agree. Where one comes or goes, only its own rooms move.
    """

    def rank(session: str) -> bytes:
        return blake2b(f"{session} {room}".encode(), digest_size=8).digest()

    return max(sessions, key=rank)

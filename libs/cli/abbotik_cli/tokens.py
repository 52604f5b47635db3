"""The two tokens of the dev authority."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from abbotik_cli import run_file

BYTES = 24


@dataclass(frozen=True, slots=True)
class Tokens:
    """The user's and the root's token."""

    user: str
    root: str


def keep(path: Path, user: str | None, root: str | None) -> Tokens:
    """Return the given tokens, and in place of a missing one the one that `path` remembers.

    `path` is made with new ones (readable by the owner only) when it is absent or damaged.
    """
    kept = _read(path)
    if kept is None:
        kept = Tokens(f"dev_{secrets.token_urlsafe(BYTES)}", f"root_{secrets.token_urlsafe(BYTES)}")
        run_file.write_private(path, {"user": kept.user, "root": kept.root})
    return Tokens(user or kept.user, root or kept.root)


def _read(path: Path) -> Tokens | None:
    try:
        found = json.loads(path.read_text())
        return Tokens(str(found["user"]), str(found["root"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None

"""Lines for the person at the terminal."""

from __future__ import annotations

import sys
from contextlib import suppress


def say(line: str) -> None:
    """Print a line of the command's own."""
    show(f"abbotik: {line}\n")


def show(text: str) -> None:
    """Print text as it is."""
    # Whoever read it has gone (`make up | head`); the children's lives do not depend on that.
    with suppress(BrokenPipeError):
        sys.stdout.write(text)
        sys.stdout.flush()

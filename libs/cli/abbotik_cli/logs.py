"""The log files of the children."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

LIMIT_BYTES = 32 * 1024**2
TRIM_EVERY_S = 15.0
TAIL_LINES = 4
TAIL_BYTES = 8192
LINE_CHARACTERS = 400


class LogFolder:
    """One `<name>.log` per child and its predecessor `<name>.log.1`, each of bounded size."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def file(self, name: str) -> Path:
        """Return where the child of this name writes."""
        return self.path / f"{name}.log"

    def begin(self, name: str) -> None:
        """Put the log of the run before aside."""
        if self.file(name).exists():
            self.file(name).replace(self.path / f"{name}.log.1")

    def open(self, name: str) -> BinaryIO:
        """Open the log for a child to append to."""
        return self.file(name).open("ab")

    def tail(self, name: str) -> str:
        """Return the last lines, indented, for an error text; "" when nothing was written."""
        try:
            with self.file(name).open("rb") as log:
                log.seek(max(0, self.file(name).stat().st_size - TAIL_BYTES))
                lines = log.read().decode(errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        said = [line for line in lines if line.strip()][-TAIL_LINES:]
        return "".join(f"\n    {line[:LINE_CHARACTERS]}" for line in said)

    def trim(self) -> None:
        """Move what grew over the limit aside; children write on into the emptied file."""
        for log in self.path.glob("*.log"):
            if log.stat().st_size > LIMIT_BYTES:
                # On a full disk there is no room for the copy, and all the more reason to empty.
                with suppress(OSError):
                    shutil.copyfile(log, log.with_name(f"{log.name}.1"))
                # Children append, so the next line starts the file anew.
                with log.open("r+b") as emptied:
                    emptied.truncate()

    async def keep_small(self) -> None:
        """Trim from time to time until cancelled."""
        while True:
            await asyncio.sleep(TRIM_EVERY_S)
            # Somebody moved a log away meanwhile: the next pass looks again.
            with suppress(OSError):
                await asyncio.to_thread(self.trim)

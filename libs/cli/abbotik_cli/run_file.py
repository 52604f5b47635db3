"""`run.json`: what runs where, for people, for scripts and for the next start."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from abbotik_cli.process import Process


@dataclass(slots=True)
class Run:
    """The ports and processes of the last or the current start, by name, and its URLs."""

    ports: dict[str, int] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)


def read(path: Path) -> Run:
    """Read the file; an absent or damaged one is as good as none, since all can be found anew."""
    try:
        found = json.loads(path.read_text())
        processes = {
            name: Process(int(one["pid"]), int(one["started"]), tuple(one["command"]))
            for name, one in found["processes"].items()
        }
        ports = {name: int(port) for name, port in found["ports"].items()}
        return Run(ports, dict(found["urls"]), processes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Run()


def write(path: Path, run: Run) -> None:
    """Replace the file as a whole: a reader never sees half of it."""
    write_private(path, {**asdict(run)})


def write_private(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON that only the owner can read, as a whole or not at all."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123 - the mode is set before the first byte
        file.write(json.dumps(content, indent=2) + "\n")
    draft.replace(path)

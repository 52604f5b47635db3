"""Which connections on this machine belong to a process, as the kernel tells in /proc."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_LOOPBACK = int.from_bytes(socket.inet_aton("127.0.0.1"), "little")


def ports_of(pids: Iterable[int], to: int) -> set[int]:
    """Return the ports from which these processes are connected to a port of 127.0.0.1."""
    held = set().union(*map(_descriptors, pids))
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
    return {
        int(row[1].partition(":")[2], 16)
        for row in rows
        if row[2] == f"{_LOOPBACK:08X}:{to:04X}" and f"socket:[{row[9]}]" in held
    }


def _descriptors(pid: int) -> set[str]:
    found: set[str] = set()
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                found.add(str(descriptor.readlink()))
    except FileNotFoundError:
        return set()  # ended meanwhile
    return found

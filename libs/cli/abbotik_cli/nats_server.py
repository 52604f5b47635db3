"""The embedded nats-server: JetStream on, every write synced, loopback only."""

from __future__ import annotations

import json
import os
import socket
from functools import partial
from pathlib import Path

from abbotik_cli.program import Program

MAX_FILE_STORE = 4 * 1024**3
MAX_MEMORY_STORE = 64 * 1024**2
TIMEOUT_S = 1.0
GRACE_S = 2.5


def program(binary: Path, port: int, folder: Path) -> Program:
    """Write the configuration into `folder` and return the program that serves from it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nats-server.conf"
    config.write_text(_config(port, folder))
    return Program(
        name="nats-server",
        argv=(str(binary), "-c", str(config)),
        env=dict(os.environ),
        ready=partial(answers, "127.0.0.1", port),
        grace_s=GRACE_S,
    )


def answers(host: str, port: int) -> bool:
    """Whether a NATS server greets on this address."""
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT_S) as connection:
            return connection.recv(5) == b"INFO "
    except OSError:
        return False


def _config(port: int, folder: Path) -> str:
    # The server reads JSON too, which quotes any path correctly.
    return json.dumps(
        {
            "server_name": "abbotik",
            "host": "127.0.0.1",
            "port": port,
            "max_payload": 1024**2,
            "jetstream": {
                "store_dir": str(folder),
                # Anything less loses what was acknowledged when the power goes.
                "sync_interval": "always",
                "max_file_store": MAX_FILE_STORE,
                "max_memory_store": MAX_MEMORY_STORE,
            },
        },
        indent=2,
    )

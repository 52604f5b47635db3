"""The embedded nats-server: JetStream on, every write synced, loopback only."""

from __future__ import annotations

import json
import os
import shutil
import socket
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from abbotik_cli.program import Program

MAX_FILE_STORE = 4 * 1024**3
MAX_MEMORY_STORE = 64 * 1024**2
TIMEOUT_S = 1.0
GRACE_S = 2.5
# With less than that another start would soon end where the last one did.
LEAST_ROOM = 16 * 1024**2


def program(binary: Path, port: int, folder: Path, health_port: int | None = None) -> Program:
    """Write the configuration into `folder` and return the program that serves from it.

    Without `health_port` nobody can see when it is stuck.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nats-server.conf"
    config.write_text(_config(port, folder, health_port))
    return Program(
        name="nats-server",
        argv=(str(binary), "-c", str(config)),
        env=dict(os.environ),
        ready=partial(answers, "127.0.0.1", port),
        grace_s=GRACE_S,
        stuck=partial(stuck, health_port, folder) if health_port else None,
        # Else it takes the processor from the very service that is about to send it more.
        batch=True,
    )


def answers(host: str, port: int) -> bool:
    """Whether a NATS server greets on this address."""
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT_S) as connection:
            return connection.recv(5) == b"INFO "
    except OSError:
        return False


def stuck(health_port: int, folder: Path) -> bool:
    """Whether a stream refuses every write though the disk has room.

    After one write that failed, as on a full disk, a stream takes nothing more until the server is
    started again; the server's health tells.
    """
    connection = HTTPConnection("127.0.0.1", health_port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        failed = b"write error" in connection.getresponse().read()
        return failed and shutil.disk_usage(folder).free >= LEAST_ROOM
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _config(port: int, folder: Path, health_port: int | None) -> str:
    # The server reads JSON too, which quotes any path correctly.
    return json.dumps(
        {
            "server_name": "abbotik",
            "host": "127.0.0.1",
            "port": port,
            **({"http": f"127.0.0.1:{health_port}"} if health_port else {}),
            "max_payload": 1024**2,
            # Who is silent for three seconds is cut off; until then it is still given what it asked
            # for, by default for four minutes.
            "ping_interval": "1s",
            "ping_max": 2,
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

"""The product as a user starts it: `abbotik up`."""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from abbotik_cli import services
from bench.children import free_port, running, tail
from bench.servers import Servers

READY_S = 60.0


@dataclass(frozen=True, slots=True)
class Product:
    """A running stack: where its gateway listens, its user's token, and how long it took (s)."""

    port: int
    token: str
    ready_s: float
    run_file: Path

    def pids(self) -> dict[str, int]:
        """Return the processes of the stack by name."""
        processes = json.loads(self.run_file.read_text())["processes"]
        return {name: int(process["pid"]) for name, process in processes.items()}


@contextmanager
def product(home: Path, servers: Servers | None = None) -> Iterator[Product]:
    """Run the stack with its state in `home` until the block ends; RuntimeError if it cannot.

    It stands on the given servers, or on embedded ones of its own.
    """
    home.mkdir(exist_ok=True)
    port, token, log = free_port(), f"dev_{secrets.token_urlsafe(24)}", home / "up.log"
    env = {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "ABBOTIK_HOME": str(home),
        "ABBOTIK_AUTH": "dev",
        "ABBOTIK_DEV_TOKEN": token,
        "ABBOTIK_NATS_URL": servers.nats_url if servers else "",
        "ABBOTIK_MONGO_URL": servers.mongo_url if servers else "",
        "ABBOTIK_MONGO_DATABASE": "abbotik",
    }
    started = time.monotonic()
    with running([sys.executable, "-m", "abbotik_cli", "up"], log, env) as child:
        await_ready(child, port, log)
        yield Product(port, token, time.monotonic() - started, home / "run.json")


def await_ready(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Return when `/health/ready` says 200."""
    until = time.monotonic() + READY_S
    while not services.serves(f"http://127.0.0.1:{port}"):
        if child.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"`abbotik up` is not ready:\n{tail(log)}")
        time.sleep(0.01)

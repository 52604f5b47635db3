"""The NATS server and the MongoDB replica set that the floors and the product share in one run.

Both are configured by the product's own embedded default, so the floors stand on what it stands on.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from abbotik_cli import binaries, mongo_server, nats_server
from abbotik_cli.program import Program
from bench.children import free_port, running, tail

START_S = 30.0


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the two servers listen."""

    nats_url: str
    mongo_url: str


@contextmanager
def serving(program: Program, log: Path) -> Iterator[None]:
    """Run a server until the block ends; RuntimeError with its log's end if it never serves."""
    with running(program.argv, log, program.env, batch=program.batch) as child:
        until = time.monotonic() + START_S
        while not program.ready():
            if child.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{program.name} does not serve:\n{tail(log)}")
            time.sleep(0.02)
        yield


@contextmanager
def both(home: Path) -> Iterator[Servers]:
    """Run both servers with their data in `home`; ends them afterwards."""
    nats_port, mongo_port = free_port(), free_port()
    nats = nats_server.program(binaries.nats_server(), nats_port, home / "nats")
    mongo = mongo_server.program(binaries.mongod(), mongo_port, home / "mongo")
    with serving(nats, home / "nats.log"), serving(mongo, home / "mongod.log"):
        yield Servers(f"nats://127.0.0.1:{nats_port}", mongo_server.url(mongo_port))

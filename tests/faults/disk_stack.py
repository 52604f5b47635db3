"""A stack whose servers keep their data on disks of their own, and what disks do to it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from abbotik_cli import binaries, nats_server
from abbotik_cli.program import Program
from tests import servers
from tests.faults.disks import Disk
from tests.faults.faulty_stack import FaultyStack
from tests.faults.history import Fault, Record
from tests.faults.proxies import Proxies

# A mongod keeps 300 MB of journal in reserve.
NATS_MIB, MONGO_MIB = 128, 640
FULL_S = 8.0
# In which a supervisor notices.
NOTICED_S = 2.0
LOOK_EVERY_S = 0.2


@contextmanager
def on_disks(folder: Path, proxies: Proxies) -> Iterator[DiskStack]:
    """Run a stack on two disks; all is ended, unmounted and detached, whatever happens."""
    with Disk(folder / "nats", NATS_MIB) as nats, Disk(folder / "mongo", MONGO_MIB) as mongo:
        disks = {"nats-server": nats, "mongod": mongo}
        with DiskStack(folder, proxies, disks) as stack:
            yield stack


class DiskStack(FaultyStack):
    """A faulty stack; ``disks`` are those of its servers, mounted where these keep their data."""

    def __init__(self, folder: Path, proxies: Proxies, disks: Mapping[str, Disk]) -> None:
        self._disks = disks
        super().__init__(folder, proxies)

    async def suffer(self, kind: str, server: str) -> Fault:
        """Do it to a server's disk and undo it; returns when everything is as it was before."""
        began = time.time()
        others: tuple[str, ...] = ()
        if kind == "disk-full":
            await asyncio.to_thread(self._run_full, server)
        elif kind == "power-cut-alone":
            await asyncio.to_thread(self._cut_power, server)
        else:
            others = tuple(name for name in self.pids if name not in self._disks)
            await asyncio.to_thread(self._cut_power_of_all, server, others)
        return Fault(server, kind, began, healed=time.time(), others=others)

    def _cut_power(self, server: str) -> None:
        """Cut the power of a server that has a machine to itself."""
        # What was provisioned long ago is on the disk, as it is here in half a minute.
        self._lose_power(server, lambda path: path.name.startswith("meta.") or _either())
        self.bring_back(server)

    def _cut_power_of_all(self, server: str, others: tuple[str, ...]) -> None:
        """Cut the power of a machine with all services; it starts like `make up` does."""
        self._lose_power(server, lambda _: _either(), others)
        self.spawn([server, *others])
        self.wait_ready([server])
        self.provision()
        self.wait_ready(others)

    def _lose_power(
        self, server: str, written: Callable[[Path], bool], others: tuple[str, ...] = ()
    ) -> None:
        disk = self._disks[server]
        servers.stop_clock(self.pids[server])
        disk.write_back(written)
        disk.cut()
        for name in (*others, server):
            self.kill(name)
        disk.lose_power()
        # Every start writes the configuration anew.
        self._programs["nats-server"] = self._nats()

    def _run_full(self, server: str) -> None:
        """Leave a server no room for a while, and keep it running as a supervisor does."""
        disk = self._disks[server]
        disk.fill()
        if server == "mongod":
            self._checkpoint()
        starts = self._tend(server, FULL_S)
        disk.free()
        starts += self._tend(server, NOTICED_S)
        if not starts:
            raise RuntimeError(f"{server} did not notice that its disk is full")
        self.wait_ready([server])

    def _tend(self, server: str, for_s: float) -> int:
        """Start a server again whenever it has ended or is stuck; return how often that was."""
        starts = 0
        until = time.monotonic() + for_s
        while time.monotonic() < until:
            stuck = self._programs[server].stuck
            if server not in self.pids or (stuck is not None and stuck()):
                self.kill(server)
                self.spawn([server])
                starts += 1
            time.sleep(LOOK_EVERY_S)
        return starts

    def _checkpoint(self) -> None:
        """Ask mongod for the checkpoint that it makes every minute, which needs room."""
        with (
            MongoClient[Record](self.mongo_url, directConnection=True, timeoutMS=5000) as client,
            suppress(PyMongoError),
        ):
            client.admin.command("fsync")

    def _add_nats(self) -> str:
        self._nats_port, self._health_port = self._ports.take(), self._ports.take()
        self._programs["nats-server"] = self._nats()
        return f"nats://127.0.0.1:{self._nats_port}"

    def _nats(self) -> Program:
        folder = self._disks["nats-server"].folder
        return nats_server.program(
            binaries.nats_server(), self._nats_port, folder, self._health_port
        )


def _either() -> bool:
    return random.random() < 0.5  # noqa: S311 - spreads, guards nothing

"""Stacks to break: two gateways and two room-workers, whose links or servers can fail."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from tests.faults.proxies import Proxies
from tests.stack import Stack

GATEWAYS = ("gateway", "gateway-2")
WORKERS = ("room-worker", "room-worker-2")


class PairedStack(Stack):
    """Two gateways and two room-workers, and the rest once.

    ``away_s`` is for how long a process that was ended stays away.
    """

    away_s = 0.0

    def __init__(self, folder: Path, *, env: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, gateways=len(GATEWAYS), room_workers=len(WORKERS), env=env)

    @property
    def gateways(self) -> dict[str, str]:
        """The gateways' base URLs by name."""
        return dict(zip(GATEWAYS, self.urls, strict=True))

    async def process(self, victim: str) -> str:
        """Return the name of the process that a victim is now."""
        return victim

    def start_again(self, name: str, number: signal.Signals) -> None:
        """End a process with a signal, wait until it is gone, start it and wait until it serves."""
        self.kill(name, number)
        self._children[name].wait(timeout=30)
        time.sleep(self.away_s)
        self.bring_back(name)


class FaultyStack(PairedStack):
    """Its services each reach NATS and MongoDB over links of their own, which can be cut.

    ``links`` are the ports of the links by service and server (`nats` or `mongo`).
    """

    def __init__(self, folder: Path, proxies: Proxies) -> None:
        super().__init__(folder)
        self.links: dict[tuple[str, str], int] = {}
        self._proxies = proxies

    def plan(self, service: str) -> str:
        """Plan a process that knows only its links to the servers."""
        name = super().plan(service)
        nats, mongo = self._link(name, "nats"), self._link(name, "mongo")
        program = self._programs[name]
        urls = {
            "ABBOTIK_NATS_URL": f"nats://127.0.0.1:{nats}",
            # The replica set would name the server's own port.
            "ABBOTIK_MONGO_URL": f"mongodb://127.0.0.1:{mongo}/?directConnection=true",
        }
        self._programs[name] = replace(program, env={**program.env, **urls})
        return name

    def cut(self, name: str, server: str) -> None:
        """Reset a service's connections to a server, and each new one."""
        self._proxies.cut(self.links[name, server])

    def hold(self, name: str, server: str) -> None:
        """Let a service's connections to a server be silent."""
        self._proxies.hold(self.links[name, server])

    def slow(self, name: str, server: str, seconds: float) -> None:
        """Let everything between a service and a server take that much longer, each way."""
        self._proxies.delay(self.links[name, server], seconds)

    def flow(self, name: str, server: str) -> None:
        """Mend the link again."""
        self._proxies.flow(self.links[name, server])

    def _link(self, name: str, server: str) -> int:
        where = urlsplit(self.nats_url if server == "nats" else self.mongo_url)
        if where.hostname is None or where.port is None:
            raise ValueError(f"{server} has no address")
        port = self._proxies.open(where.hostname, where.port)
        self.links[name, server] = port
        return port

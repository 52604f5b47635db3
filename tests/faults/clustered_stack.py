"""A stack on a NATS cluster and a MongoDB replica set, three members each."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import nats
import nats.errors
from nats.aio.client import Client
from pymongo import MongoClient

from abbotik_cli import services
from abbotik_contracts.subjects import CONSUMERS, STREAMS
from tests import clusters
from tests.eventually import eventually
from tests.faults.faulty_stack import PairedStack
from tests.faults.history import Record

MEMBERS = 3
# Members take over within seconds from one that is gone; it must not be back by then.
AWAY_S = 12.0
ANSWER_S = 2.0
# Each has a leader of its own.
LED = [
    *(("STREAM", stream.name) for stream in STREAMS),
    *(("CONSUMER", f"{consumer.stream}.{consumer.name}") for consumer in CONSUMERS),
]


class ClusteredStack(PairedStack):
    """Its servers are `nats-server`, `nats-server-2`, ..., `mongod`, `mongod-2`, ...

    Every stream is kept three times. Victims beside its processes: `nats-leader` leads the stream
    of commands, `nats-node` leads none and a gateway is connected to it, `mongo-primary` takes the
    writes.
    """

    away_s = AWAY_S

    def __init__(self, folder: Path) -> None:
        self._monitors: dict[str, int] = {}
        self._mongods: dict[str, str] = {}
        super().__init__(folder, env={"ABBOTIK_NATS_REPLICAS": str(MEMBERS)})

    async def process(self, victim: str) -> str:
        """Return the name of the process that a victim is now."""
        match victim:
            case "nats-leader":
                async with self._nats() as client:
                    return str(await eventually(partial(_leader, client, "STREAM", "COMMANDS")))
            case "nats-node":
                return await self._node()
            case "mongo-primary":
                return self.primary()
            case _:
                return victim

    def primary(self) -> str:
        """Return the name of the mongod that takes the writes."""
        with MongoClient[Record](self.mongo_url) as client:
            return self._mongods[client.admin.command("hello")["me"]]

    def address(self, mongod: str) -> str:
        """Return where a mongod listens, as host:port."""
        return next(address for address, name in self._mongods.items() if name == mongod)

    async def _node(self) -> str:
        used = [name for name, port in self._monitors.items() if await _serves_a_gateway(port)]
        async with self._nats() as client:
            await _unburden(client, used[0])
        return used[0]

    @asynccontextmanager
    async def _nats(self) -> AsyncIterator[Client]:
        client = await nats.connect(self.nats_url.split(","))
        try:
            yield client
        finally:
            await client.close()

    def _add_nats(self) -> str:
        names = services.numbered("nats-server", MEMBERS)
        ports, routes, monitors = ([self._ports.take() for _ in names] for _ in range(3))
        self._monitors = dict(zip(names, monitors, strict=True))
        for name, port, route in zip(names, ports, routes, strict=True):
            self._programs[name] = clusters.nats_member(
                name,
                self._folder / name,
                port=port,
                monitor=self._monitors[name],
                route=route,
                routes=routes,
            )
        return ",".join(f"nats://127.0.0.1:{port}" for port in ports)

    def _add_mongo(self) -> str:
        ports = [self._ports.take() for _ in range(MEMBERS)]
        for name, port in zip(services.numbered("mongod", MEMBERS), ports, strict=True):
            self._mongods[f"127.0.0.1:{port}"] = name
            self._programs[name] = clusters.mongo_member(name, self._folder / name, port, ports)
        return clusters.mongo_url(ports)


async def _unburden(client: Client, server: str) -> None:
    """Let others lead what this server leads of the product's streams and consumers."""
    for kind, name in LED:
        if await _leader(client, kind, name) == server:
            await client.request(f"$JS.API.{kind}.LEADER.STEPDOWN.{name}", timeout=ANSWER_S)
            await eventually(partial(_is_led_by_another, client, kind, name, server))


async def _is_led_by_another(client: Client, kind: str, name: str, server: str) -> bool:
    return await _leader(client, kind, name) not in ("", server)


async def _leader(client: Client, kind: str, name: str) -> str:
    """Return the name of the server that leads a stream or a consumer, "" while nobody does."""
    try:
        answer = await client.request(f"$JS.API.{kind}.INFO.{name}", timeout=ANSWER_S)
    except nats.errors.Error:
        return ""
    return str(json.loads(answer.data).get("cluster", {}).get("leader", ""))


async def _serves_a_gateway(monitor: int) -> bool:
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"http://127.0.0.1:{monitor}/connz")
    return any(each.get("name") == "abbotik-gateway" for each in answer.json()["connections"])

"""A stack on a NATS cluster and a MongoDB replica set, three members each."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
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
from tests.faults.proxies import Proxies
from tests.stack import READY_S

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

    Members reach each other over links that can tell their connections from those of clients: a
    route of NATS has a port of its own, while a mongod is known to all by the same one.
    """

    away_s = AWAY_S

    def __init__(self, folder: Path, proxies: Proxies) -> None:
        self._proxies = proxies
        self._links: dict[str, int] = {}
        self._routes: list[int] = []
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

    @contextmanager
    def parted(self, member: str) -> Iterator[None]:
        """Let nothing pass between a member and its peers meanwhile; clients reach all of them."""
        peers = self._peers(member)
        self._proxies.hold(self._links[member], [self.pids[peer] for peer in peers])
        for peer in peers:
            self._proxies.hold(self._links[peer], [self.pids[member]])
        try:
            yield
        finally:
            for each in (member, *peers):
                self._proxies.flow(self._links[each])

    def primary(self) -> str:
        """Return the name of the mongod that takes the writes."""
        with MongoClient[Record](self.mongo_url) as client:
            return self._mongods[client.admin.command("hello")["me"]]

    def address(self, mongod: str) -> str:
        """Return where a mongod listens, as host:port."""
        return next(address for address, name in self._mongods.items() if name == mongod)

    async def gateways_server(self) -> str:
        """Return the name of a nats-server that a gateway is connected to."""
        found = [name for name in self._monitors if "abbotik-gateway" in await self.served_by(name)]
        return found[0]

    async def served_by(self, server: str) -> set[str]:
        """Return by which names clients are connected to a nats-server."""
        connections = (await self._look(server, "connz"))["connections"]
        return {each.get("name", "") for each in connections}

    async def routes_of(self, server: str) -> tuple[set[str], bool]:
        """Return to which servers this one has routes, and whether one leads past the links."""
        routes = (await self._look(server, "routez"))["routes"]
        past = any(each["port"] in self._routes for each in routes)
        return {each["remote_name"] for each in routes}, past

    async def leader(self, stream: str, server: str) -> str:
        """Return who leads a stream as a server says it, "" if it does not."""
        async with self._nats(server) as client:
            return await _leader(client, "STREAM", stream)

    async def let_lead(self, server: str, stream: str) -> None:
        """Make a nats-server the leader of a stream."""
        async with self._nats() as client:
            await eventually(partial(_is_led, client, stream, server), within_s=READY_S)

    @property
    def nats_urls(self) -> dict[str, str]:
        """The URL of each nats-server by its name."""
        return dict(zip(self._monitors, self.nats_url.split(","), strict=True))

    @asynccontextmanager
    async def _nats(self, *servers: str) -> AsyncIterator[Client]:
        """Yield a client of one of these servers, of any where none is named."""
        urls = self.nats_urls
        client = await nats.connect([urls[name] for name in servers or urls])
        try:
            yield client
        finally:
            await client.close()

    async def _node(self) -> str:
        server = await self.gateways_server()
        async with self._nats() as client:
            await _unburden(client, server)
        return server

    def _peers(self, member: str) -> list[str]:
        kind = "nats-server" if member.startswith("nats-server") else "mongod"
        return [name for name in services.numbered(kind, MEMBERS) if name != member]

    def _link(self, member: str, port: int) -> int:
        link = self._links[member] = self._proxies.open("127.0.0.1", port)
        return link

    async def _look(self, server: str, what: str) -> Record:
        async with httpx.AsyncClient() as http:
            answer = await http.get(f"http://127.0.0.1:{self._monitors[server]}/{what}")
        found: Record = answer.json()
        return found

    def _add_nats(self) -> str:
        names = services.numbered("nats-server", MEMBERS)
        ports, routes, monitors = ([self._ports.take() for _ in names] for _ in range(3))
        self._routes = routes
        self._monitors = dict(zip(names, monitors, strict=True))
        links = {name: self._link(name, route) for name, route in zip(names, routes, strict=True)}
        for name, port, route in zip(names, ports, routes, strict=True):
            self._programs[name] = clusters.nats_member(
                name,
                self._folder / name,
                port=port,
                monitor=self._monitors[name],
                route=route,
                advertised=links[name],
                routes=[links[peer] for peer in self._peers(name)],
            )
        return ",".join(f"nats://127.0.0.1:{port}" for port in ports)

    def _add_mongo(self) -> str:
        ports = {name: self._ports.take() for name in services.numbered("mongod", MEMBERS)}
        links = {name: self._link(name, port) for name, port in ports.items()}
        for name, port in ports.items():
            self._mongods[f"127.0.0.1:{links[name]}"] = name
            self._programs[name] = clusters.mongo_member(
                name, self._folder / name, port, list(links.values())
            )
        return clusters.mongo_url(list(links.values()))


async def _unburden(client: Client, server: str) -> None:
    """Let others lead what this server leads of the product's streams and consumers."""
    for kind, name in LED:
        if await _leader(client, kind, name) == server:
            await client.request(f"$JS.API.{kind}.LEADER.STEPDOWN.{name}", timeout=ANSWER_S)
            await eventually(partial(_is_led_by_another, client, kind, name, server))


async def _is_led(client: Client, stream: str, server: str) -> bool:
    """Say whether a server leads a stream; who leads it instead is asked to let it."""
    leader = await _leader(client, "STREAM", stream)
    if leader not in ("", server):
        wish = json.dumps({"placement": {"preferred": server}}).encode()
        await client.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}", wish, timeout=ANSWER_S)
    return leader == server


async def _is_led_by_another(client: Client, kind: str, name: str, server: str) -> bool:
    return await _leader(client, kind, name) not in ("", server)


async def _leader(client: Client, kind: str, name: str) -> str:
    """Return the name of the server that leads a stream or a consumer, "" while nobody does."""
    try:
        answer = await client.request(f"$JS.API.{kind}.INFO.{name}", timeout=ANSWER_S)
    except nats.errors.Error:
        return ""
    return str(json.loads(answer.data).get("cluster", {}).get("leader", ""))

"""A member of a cluster loses its peers and keeps its clients, who find their way to the others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial

import httpx
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect
from pymongo.write_concern import WriteConcern

from abbotik_cli import services
from abbotik_contracts import subjects
from abbotik_runtime.bus import Bus, BusUnavailable
from abbotik_runtime.ids import uuid7
from abbotik_runtime.provision import Severed, missing
from abbotik_runtime.settings import ServiceSettings
from tests.eventually import eventually
from tests.faults.clustered_stack import MEMBERS, ClusteredStack
from tests.faults.history import Record

# NATS waits 4 to 9 s before it votes, and a vote may have to be repeated.
ELECTION_S = 20.0
# In which a leader knows that it hears from nobody. It steps down after ten at the earliest.
ALONE_S = 6.0
# After an election of the fastest kind: streams are looked at every five seconds, and one that is
# led elsewhere has two to answer.
LEFT_S = 6.0
NEEDED = subjects.streams_of("gateway")
SERVERS = services.numbered("nats-server", MEMBERS)


async def test_servers_of_nats_meet_on_links_alone(stack: ClusteredStack) -> None:
    """None was told of a way to another one that cannot be cut."""
    for server in SERVERS:
        assert await stack.routes_of(server) == ({*SERVERS} - {server}, False)


async def test_all_leave_a_server_of_nats_that_lost_the_others(stack: ClusteredStack) -> None:
    """It leads what a gateway needs, and still answers pings; but it can confirm nothing."""
    server = await stack.gateways_server()
    other = next(name for name in SERVERS if name != server)
    for stream in NEEDED:
        await stack.let_lead(server, stream)
    async with _bus_at(stack, server) as bus:
        with stack.parted(server):
            await eventually(partial(_is_severed, bus), within_s=ALONE_S)
            assert not await _confirms(bus)
            await eventually(partial(_another_leads, stack, server, other), within_s=ELECTION_S)
            await eventually(partial(_is_left, stack, server), within_s=LEFT_S)
            await eventually(partial(_all_rent, stack), within_s=ELECTION_S)
            assert await bus.check() is None
            assert not await _another_leads(stack, server, server)
        await eventually(partial(_confirms, bus))


async def test_a_primary_that_lost_the_others_steps_down(stack: ClusteredStack) -> None:
    """It still answers, and what it alone had is taken back; rooms are rented meanwhile."""
    primary = stack.primary()
    with closing(MongoClient[Record](stack.address(primary), directConnection=True)) as client:
        alone = client["test"].get_collection("alone", write_concern=WriteConcern(1))
        with stack.parted(primary):
            alone.insert_one({"_id": primary})
            await eventually(lambda: not client.admin.command("hello")["isWritablePrimary"])
            await eventually(partial(_all_rent, stack))
            assert stack.primary() != primary
            assert _reached(client) == 1
            assert alone.count_documents({}) == 1
        await eventually(lambda: _reached(client) == MEMBERS)
        await eventually(partial(_is_empty, alone))


async def _is_left(stack: ClusteredStack, server: str) -> bool:
    names = {f"abbotik-{service}" for service in (services.GATEWAY, *services.WORKERS)}
    return names.isdisjoint(await stack.served_by(server))


async def _all_rent(stack: ClusteredStack) -> bool:
    """Ask every gateway for a room."""
    async with httpx.AsyncClient(timeout=20, headers=stack.headers) as http:
        answers = [await http.post(f"{url}/llm/room", json={}) for url in stack.urls]
    return all(answer.status_code == httpx.codes.CREATED for answer in answers)


@asynccontextmanager
async def _bus_at(stack: ClusteredStack, server: str) -> AsyncIterator[Bus]:
    """Yield a connection to this server, which nothing makes leave it."""
    bus = await Bus.open(ServiceSettings(nats_url=stack.nats_urls[server]), "test")
    try:
        yield bus
    finally:
        await bus.close()


async def _is_severed(bus: Bus) -> bool:
    try:
        await missing(bus.js, "gateway")
    except Severed:
        return True
    return False


async def _another_leads(stack: ClusteredStack, server: str, other: str) -> bool:
    leaders = [await stack.leader(stream, other) for stream in NEEDED]
    return not {"", server} & {*leaders}


async def _confirms(bus: Bus) -> bool:
    """Say whether a message is stored in a stream, which is tried twice."""
    sent = bus.publish_stored("evt.room.test.apart", b"", message_id=uuid7(), deadline_s=3.0)
    try:
        await sent
    except BusUnavailable:
        return False
    return True


def _reached(client: MongoClient[Record]) -> int:
    """Return how many members a mongod knows to be well, itself too."""
    members = client.admin.command("replSetGetStatus")["members"]
    return sum(member["health"] for member in members)


def _is_empty(collection: Collection[Record]) -> bool:
    try:
        return collection.count_documents({}) == 0
    except AutoReconnect:
        # It closes all connections when it takes back what it had.
        return False

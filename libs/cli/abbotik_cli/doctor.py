"""`abbotik doctor`: looks at everything a deployment stands on and names what is wrong."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nats.errors import Error as NatsError

from abbotik_cli import terminal
from abbotik_cli.deployment import Deployment, connected
from abbotik_contracts.subjects import CONSUMERS, STREAMS
from abbotik_runtime import mongo, provision
from abbotik_runtime.dead_letters import STREAM as DEAD_LETTERS

LEAST_NATS = (2, 14)
LEAST_MONGO = (6, 0)
# Log lines and tokens go by the clock of each machine; deadlines go by MongoDB's.
MOST_SKEW_S = 2.0
# The sweep looks every second; what is still waiting after this has nobody to heal it.
OVERDUE_MS = 10_000
MOST_WAITING = 10_000
_SERVICES = ("gateway", "room-worker", "factory", "verifier")
_MARKS = {"ok": "ok   ", "warning": "WARN ", "wrong": "WRONG"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found."""

    level: Literal["ok", "warning", "wrong"]
    text: str


Look = Callable[[Deployment], AsyncIterator[Finding]]


async def run(_: Namespace) -> int:
    """Look at everything; returns 1 where something is wrong."""
    wrong = 0
    async with connected("doctor") as deployment:
        for look in (bus, streams, store, indexes, clocks, sessions, rooms, dead_letters):
            async for finding in look(deployment):
                wrong += finding.level == "wrong"
                terminal.show(f"{_MARKS[finding.level]} {finding.text}\n")
    async for finding in sandbox():
        terminal.show(f"{_MARKS[finding.level]} {finding.text}\n")
    terminal.say("all is well" if not wrong else f"{wrong} things are wrong")
    return 1 if wrong else 0


async def bus(deployment: Deployment) -> AsyncIterator[Finding]:
    """Look at the NATS server's version and its JetStream."""
    client = deployment.bus.client
    found = client.connected_server_version
    version = f"{found.major}.{found.minor}.{found.patch}"
    if (found.major, found.minor) < LEAST_NATS:
        yield Finding("wrong", f"NATS {version} is older than 2.14: message schedules are missing")
    else:
        yield Finding("ok", f"NATS {version}")
    try:
        await deployment.bus.js.account_info()
    except NatsError as error:
        yield Finding("wrong", f"JetStream does not answer ({type(error).__name__}): enable it")


async def streams(deployment: Deployment) -> AsyncIterator[Finding]:
    """Compare streams and consumers with what is declared; see whether messages pile up."""
    js = deployment.bus.js
    found = [sentence for service in _SERVICES for sentence in await provision.missing(js, service)]
    for sentence in dict.fromkeys(found):
        yield Finding("wrong", sentence)
    if found:
        return
    yield Finding("ok", f"{len(STREAMS)} streams and {len(CONSUMERS)} consumers are as declared")
    for consumer in CONSUMERS:
        info = await js.consumer_info(consumer.stream, consumer.name)
        waiting = (info.num_pending or 0) + (info.num_ack_pending or 0)
        if waiting > MOST_WAITING:
            yield Finding(
                "wrong", f"{waiting} messages wait for consumer {consumer.name}: start more of it"
            )


async def store(deployment: Deployment) -> AsyncIterator[Finding]:
    """Look at MongoDB's version and that it is a replica set."""
    hello = await deployment.client.admin.command("hello")
    version = (await deployment.client.admin.command("buildInfo"))["version"]
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        yield Finding("wrong", "MongoDB is no replica set: start it with --replSet and initiate it")
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < LEAST_MONGO:
        yield Finding("wrong", f"MongoDB {version} is older than 6.0")
    else:
        yield Finding("ok", f"MongoDB {version}, replica set {hello.get('setName', '(sharded)')}")


async def indexes(deployment: Deployment) -> AsyncIterator[Finding]:
    """Look for every declared index, and whether it is as declared."""
    absent, other = list[str](), list[str]()
    for collection, declared in mongo.INDEXES.items():
        made = await deployment.database[collection].index_information()
        for index in declared:
            name = str(index.document["name"])
            if name not in made:
                absent.append(f"{collection}.{name}")
            elif _meaning(made[name]) != _meaning(index.document):
                other.append(f"{collection}.{name}")
    if absent:
        yield Finding("wrong", f"indexes are missing ({', '.join(absent)}): `abbotik provision`")
    if other:
        names = ", ".join(other)
        text = f"indexes are not as declared ({names}): stop all workers, drop them, provision"
        yield Finding("wrong", text)
    if not absent and not other:
        yield Finding("ok", "all indexes are as declared")


def _meaning(index: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what an index does, whatever else the server says of it."""
    flags = [bool(index.get(flag)) for flag in ("unique", "sparse", "hidden")]
    options = ("partialFilterExpression", "expireAfterSeconds", "collation")
    return ([*dict(index["key"]).items()], flags, *(index.get(option) for option in options))


async def clocks(deployment: Deployment) -> AsyncIterator[Finding]:
    """Compare the clock here with MongoDB's, which says when sessions expire."""
    before = time.time()
    hello = await deployment.client.admin.command("hello")
    skew = (before + time.time()) / 2 - hello["localTime"].timestamp()
    level: Literal["ok", "warning"] = "ok" if abs(skew) <= MOST_SKEW_S else "warning"
    yield Finding(level, f"this machine's clock is {skew:+.3f} s off MongoDB's")


async def sessions(deployment: Deployment) -> AsyncIterator[Finding]:
    """Count room workers that live, and dead ones that nobody has buried."""
    workers = deployment.database["workers"]
    expired = {"$expr": {"$lt": ["$expires_at", "$$NOW"]}}
    dead = await workers.count_documents(expired)
    live = await workers.count_documents({}) - dead
    if not live:
        yield Finding("wrong", "no room worker lives: start one")
    else:
        yield Finding("ok", f"{live} room workers live")
    if dead and live:
        yield Finding("warning", f"{dead} dead sessions are being taken over; look again in 10 s")


async def rooms(deployment: Deployment) -> AsyncIterator[Finding]:
    """Find rooms that want a turn or have a deadline behind them, and nobody came."""
    # Deadlines are kept by MongoDB's clock, not by the one here.
    hello = await deployment.client.admin.command("hello")
    now = int(hello["localTime"].timestamp() * 1000)
    found = deployment.database["rooms"]
    late = await _some(found, {"due_at": {"$gt": 0, "$lt": now - OVERDUE_MS}})
    waiting = await _some(found, {"wants_turn": True, "at": {"$lt": now - OVERDUE_MS}})
    for ids, what in ((late, "are past a deadline"), (waiting, "wait for a turn")):
        if ids:
            yield Finding("wrong", f"rooms {what} for over 10 s: {', '.join(ids)}")
    alive = [worker["_id"] async for worker in deployment.database["workers"].find({}, {})]
    lost = await _some(found, {"session": {"$gt": "", "$nin": alive}})
    if lost:
        yield Finding("wrong", f"rooms are held by a session that is gone: {', '.join(lost)}")
    if not (late or waiting or lost):
        yield Finding("ok", "no room waits for somebody who does not come")


async def dead_letters(deployment: Deployment) -> AsyncIterator[Finding]:
    """Count what was refused for good and not looked at yet."""
    info = await deployment.bus.js.stream_info(DEAD_LETTERS)
    count = info.state.messages
    level: Literal["ok", "warning"] = "warning" if count else "ok"
    yield Finding(level, f"{count} dead letters" + (": `abbotik dlq list`" if count else ""))


async def sandbox() -> AsyncIterator[Finding]:
    """Try whether bubblewrap can make namespaces, where this machine is to verify."""
    program = shutil.which("bwrap")
    if program is None:
        yield Finding("warning", "bwrap is not on the path: this machine cannot verify")
        return
    command = [program, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "true"]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    if process.returncode:
        said = errors.decode(errors="replace").strip()[:200]
        yield Finding("warning", f"bwrap cannot make namespaces here ({said}): no verification")
    else:
        yield Finding("ok", "bwrap makes namespaces here")


async def _some(found: Any, filters: dict[str, Any]) -> list[str]:  # noqa: ANN401  a collection of documents
    ids: Awaitable[list[dict[str, Any]]] = found.find(filters, {"_id": 1}).limit(3).to_list(3)
    return [str(document["_id"]) for document in await ids]

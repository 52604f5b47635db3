"""`abbotik doctor`: looks at everything a deployment stands on and names what is wrong."""

from __future__ import annotations

import asyncio
import shutil
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from pymongo.errors import OperationFailure

from abbotik_cli import findings, terminal
from abbotik_cli.deployment import Deployment, connected
from abbotik_cli.findings import MOST_WAITING, OVERDUE_MS, Finding, Session
from abbotik_contracts.subjects import CONSUMERS, STREAMS
from abbotik_runtime import mongo, provision
from abbotik_runtime.dead_letters import STREAM as DEAD_LETTERS

_SERVICES = ("gateway", "room-worker", "factory", "verifier")
_COME_NOT = "start a room worker, or look for `room.uncared` in the logs of those that live"

Look = Callable[[Deployment], AsyncIterator[Finding]]


async def run(_: Namespace) -> int:
    """Look at everything; returns 1 where something is wrong."""
    wrong = 0
    async with connected("doctor") as deployment:
        for look in (bus, streams, store, indexes, clocks, sessions, rooms, dead_letters):
            async for finding in _looked(look, deployment):
                wrong += finding.level == "wrong"
                terminal.show(finding.line)
    terminal.show((await sandbox()).line)
    things = "1 thing is wrong" if wrong == 1 else f"{wrong} things are wrong"
    terminal.say(things if wrong else "all is well")
    return 1 if wrong else 0


async def _looked(look: Look, deployment: Deployment) -> AsyncIterator[Finding]:
    """Look, and go on to the next where a server refuses it: the others may say why."""
    what = look.__name__.replace("_", " ")
    try:
        async for finding in look(deployment):
            yield finding
    except NatsError as error:
        yield Finding(
            "wrong", f"NATS does not tell of {what} ({error}): see the log of nats-server"
        )
    except OperationFailure as error:
        yield Finding("wrong", f"MongoDB does not tell of {what} (code {error.code}): see its log")


async def bus(deployment: Deployment) -> AsyncIterator[Finding]:
    """Look at the NATS server's version and its JetStream."""
    client = deployment.bus.client
    found = client.connected_server_version
    url = client.connected_url
    where = "?" if url is None else f"{url.hostname}:{url.port}"
    yield findings.of_nats((found.major, found.minor, found.patch), where)
    try:
        await deployment.bus.js.account_info()
    except NatsError as error:
        said = type(error).__name__
        yield Finding("wrong", f"NATS at {where} has no JetStream ({said}): start it with --js")


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
    address = await deployment.client.address
    where = "?" if address is None else f"{address[0]}:{address[1]}"
    for finding in findings.of_mongo(hello, version, where):
        yield finding


async def indexes(deployment: Deployment) -> AsyncIterator[Finding]:
    """Compare the indexes that are there with the declared ones."""
    collections = {
        name: (await deployment.database[name].index_information(), declared)
        for name, declared in mongo.INDEXES.items()
    }
    for finding in findings.of_indexes(collections):
        yield finding


async def clocks(deployment: Deployment) -> AsyncIterator[Finding]:
    """Compare the clock here with MongoDB's, which says when sessions expire."""
    before = time.time()
    hello = await deployment.client.admin.command("hello")
    ahead_s = (before + time.time()) / 2 - hello["localTime"].timestamp()
    yield findings.of_clock("this machine", ahead_s)


async def sessions(deployment: Deployment) -> AsyncIterator[Finding]:
    """Look at room workers that live, and at dead ones that nobody has buried."""
    age = {"$subtract": ["$$NOW", "$expires_at"]}
    told = await deployment.database["workers"].aggregate([{"$set": {"silent_ms": age}}])
    found = [
        Session(
            str(each["_id"]),
            # A worker of an earlier version tells neither.
            str(each.get("host", "an unknown machine")),
            int(each.get("clock_off_ms", 0)),
            int(each["silent_ms"]),
        )
        async for each in told
    ]
    for finding in findings.of_sessions(found):
        yield finding


async def rooms(deployment: Deployment) -> AsyncIterator[Finding]:
    """Find rooms that want a turn or have a deadline behind them, and nobody came."""
    # Deadlines are kept by MongoDB's clock, not by the one here.
    hello = await deployment.client.admin.command("hello")
    now = int(hello["localTime"].timestamp() * 1000)
    found = deployment.database["rooms"]
    late = await _some(found, {"due_at": {"$gt": 0, "$lt": now - OVERDUE_MS}})
    waiting = await _some(found, {"wants_turn": True, "at": {"$lt": now - OVERDUE_MS}})
    alive = [worker["_id"] async for worker in deployment.database["workers"].find({}, {})]
    lost = await _some(found, {"session": {"$gt": "", "$nin": alive}})
    for ids, what in (
        (late, "are past a deadline for over 10 s"),
        (waiting, "wait for a turn for over 10 s"),
        (lost, "are held by a session that is gone"),
    ):
        if ids:
            yield Finding("wrong", f"rooms {what} ({', '.join(ids)}): {_COME_NOT}")
    if not (late or waiting or lost):
        yield Finding("ok", "no room waits for somebody who does not come")


async def dead_letters(deployment: Deployment) -> AsyncIterator[Finding]:
    """Count what was refused for good and not looked at yet."""
    try:
        info = await deployment.bus.js.stream_info(DEAD_LETTERS)
    except NotFoundError:
        # Named among the streams that are missing.
        return
    yield findings.of_dead_letters(info.state.messages)


async def sandbox() -> Finding:
    """Try whether bubblewrap can make namespaces, where this machine is to verify."""
    program = shutil.which("bwrap")
    if program is None:
        return findings.of_sandbox(None, None)
    command = [program, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "true"]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    said = errors.decode(errors="replace").strip()[:200] if process.returncode else None
    return findings.of_sandbox(program, said)


async def _some(found: Any, filters: dict[str, Any]) -> list[str]:  # noqa: ANN401  a collection of documents
    ids: Awaitable[list[dict[str, Any]]] = found.find(filters, {"_id": 1}).limit(3).to_list(3)
    return [str(document["_id"]) for document in await ids]

"""Members of a NATS cluster and of a MongoDB replica set as programs, all on loopback."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from abbotik_cli import binaries, mongo_server, nats_server
from abbotik_cli.program import Program

LOOK_S = 1.0


def nats_member(
    name: str,
    folder: Path,
    *,
    port: int,
    monitor: int,
    route: int,
    advertised: int,
    routes: Sequence[int],
) -> Program:
    """Return a nats-server that serves on `port`, and `routes` are where it meets the others.

    They meet it on `advertised`, and whatever comes there has to get to `route`. It is ready when
    all that it keeps is up to date again, as it says on the port `monitor`.
    """
    program = nats_server.program(binaries.nats_server(), port, folder)
    config = folder / "nats-server.conf"
    clustered = {
        "server_name": name,
        "http": f"127.0.0.1:{monitor}",
        "cluster": {
            "name": "abbotik",
            "listen": f"127.0.0.1:{route}",
            # Else it would tell of `route`, and the others would connect there.
            "advertise": f"127.0.0.1:{advertised}",
            "routes": [f"nats://127.0.0.1:{each}" for each in routes],
        },
    }
    config.write_text(json.dumps(json.loads(config.read_text()) | clustered))
    return replace(program, name=name, ready=partial(_is_current, monitor))


def mongo_member(name: str, folder: Path, port: int, ports: Sequence[int]) -> Program:
    """Return a mongod of the replica set on `ports`, ready when it is a primary or a secondary.

    It serves on `port`, and whatever comes to its own one of `ports` has to get there.
    """
    program = mongo_server.program(binaries.mongod(), port, folder)
    return replace(program, name=name, ready=partial(_is_member, port, ports))


def mongo_url(ports: Sequence[int]) -> str:
    """Return the connection string of the replica set on these ports."""
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"mongodb://{hosts}/?replicaSet={mongo_server.REPLICA_SET}"


def _is_current(monitor: int) -> bool:
    try:
        answer = httpx.get(f"http://127.0.0.1:{monitor}/healthz", timeout=LOOK_S)
    except httpx.HTTPError:
        return False
    return answer.is_success


def _is_member(port: int, ports: Sequence[int]) -> bool:
    limit_ms = int(LOOK_S * 1000)
    with MongoClient[dict[str, Any]](
        "127.0.0.1",
        port,
        directConnection=True,
        serverSelectionTimeoutMS=limit_ms,
        timeoutMS=limit_ms,
    ) as client:
        try:
            hello = client.admin.command("hello")
            if "setName" not in hello:
                client.admin.command("replSetInitiate", _replica_set(ports))
        except PyMongoError:
            # Still starting, or not all of them are there: the next look will tell.
            return False
        return bool(hello["isWritablePrimary"] or hello["secondary"])


def _replica_set(ports: Sequence[int]) -> dict[str, Any]:
    members = [{"_id": number, "host": f"127.0.0.1:{port}"} for number, port in enumerate(ports)]
    return {"_id": mongo_server.REPLICA_SET, "members": members, "settings": mongo_server.ELECTIONS}

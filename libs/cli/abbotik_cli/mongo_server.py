"""The embedded mongod: a replica set of one, journaled, with a small cache, loopback only."""

from __future__ import annotations

import os
import socket
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from abbotik_cli.program import Program

if TYPE_CHECKING:
    from pymongo import MongoClient

REPLICA_SET = "rs0"
# With half of it, evicting what was just written costs an eighth more processor time an entry.
CACHE_GB = "0.5"
OPLOG_MB = "512"
TIMEOUT_S = 1.0
GRACE_S = 2.5
# A primary is missed after two seconds.
ELECTIONS = {
    "electionTimeoutMillis": 2000,
    "heartbeatIntervalMillis": 500,
    "heartbeatTimeoutSecs": 2,
}
# From the servers' own table of error codes.
ALREADY_INITIALIZED = 23


def program(binary: Path, port: int, folder: Path) -> Program:
    """Return mongod with its data in `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "--dbpath": str(folder),
        "--bind_ip": "127.0.0.1",
        "--port": str(port),
        "--replSet": REPLICA_SET,
        "--wiredTigerCacheSizeGB": CACHE_GB,
        "--oplogSize": OPLOG_MB,
    }
    parameters = (
        # A paused member must not hold back majority writes for half a minute.
        "oplogNetworkTimeoutBufferSeconds=1",
        # It writes 100 MB of its own measurements and burns processor time.
        "diagnosticDataCollectionEnabled=false",
        # Nobody reads the past: kept for five minutes, it costs a twelfth of mongod's time.
        "minSnapshotHistoryWindowInSeconds=0",
        # A primary without a secondary has nobody to wait for.
        "shutdownTimeoutMillisForSignaledShutdown=100",
    )
    argv = [str(binary), *(word for pair in options.items() for word in pair)]
    # A socket file in /tmp would outlive a kill and belong to one user.
    argv += ["--quiet", "--nounixsocket"]
    argv += [word for parameter in parameters for word in ("--setParameter", parameter)]
    return Program(
        name="mongod",
        argv=tuple(argv),
        env=dict(os.environ),
        ready=partial(settle, port),
        grace_s=GRACE_S,
    )


def url(port: int) -> str:
    """Return the connection string of the replica set on this port."""
    return f"mongodb://127.0.0.1:{port}/?replicaSet={REPLICA_SET}"


def settle(port: int) -> bool:
    """Make the server on this port the primary of its replica set; True once it is.

    A new server is initiated; one whose data remember another port is told the new one.
    """
    # A driver that finds nobody waits half a second before it looks again; a socket does not.
    try:
        socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S).close()
    except OSError:
        return False
    from pymongo import MongoClient  # noqa: PLC0415 - costs 0.1 s, which nats-server can use
    from pymongo.errors import PyMongoError  # noqa: PLC0415 - the same

    limit_ms = int(TIMEOUT_S * 1000)
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
                _join(client, port)
        except PyMongoError:
            # Still starting, or between two states: the next look will tell.
            return False
        return bool(hello.get("isWritablePrimary"))


def _join(client: MongoClient[dict[str, Any]], port: int) -> None:
    from pymongo.errors import OperationFailure  # noqa: PLC0415 - as in `settle`

    members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
    try:
        client.admin.command(
            "replSetInitiate", {"_id": REPLICA_SET, "members": members, "settings": ELECTIONS}
        )
    except OperationFailure as refusal:
        if refusal.code != ALREADY_INITIALIZED:
            raise
        config = client["local"]["system.replset"].find_one() or {}
        moved = {**config, "version": config.get("version", 0) + 1, "members": members}
        # Forced: with its old address the server finds itself in no set, so nobody can agree.
        client.admin.command("replSetReconfig", moved, force=True)

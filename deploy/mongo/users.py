# ruff: noqa: INP001 - a script of the image, in no package
"""Makes MongoDB of docker-compose.yml usable: a replica set of one, and a user for each service.

Runs beside mongod, on its loopback: without any user MongoDB lets the first one be made there and
nowhere else. Running it again changes nothing but roles and passwords that have changed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, OperationFailure

Client = MongoClient[dict[str, Any]]
T = TypeVar("T")

READ = ("find",)
APPEND = ("find", "insert")
WRITE = ("find", "insert", "update", "remove")
# GridFS makes its own indexes with the first file.
STORE = (*WRITE, "createCollection", "createIndex", "listIndexes")
DECLARE = ("createCollection", "createIndex", "listCollections", "listIndexes")

# What each service may do with which collection; "" is all of them. The log is only appended to,
# and by nobody but the room workers: what MongoDB refuses no fault in a service can do.
ROLES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "provision": {"": DECLARE},
    "gateway": {
        "room_log": READ,
        "rooms": READ,
        "workers": READ,
        "blobs.files": STORE,
        "blobs.chunks": STORE,
        "idempotency": WRITE,
        "tickets": WRITE,
    },
    "room-worker": {
        "room_log": APPEND,
        "rooms": WRITE,
        "workers": WRITE,
        "command_exceptions": WRITE,
        "blobs.files": STORE,
        "blobs.chunks": STORE,
    },
    "factory": {},
    "verifier": {},
    "operator": {"": (*READ, "listIndexes")},
}

WAIT_S = 60.0
PAUSE_S = 0.2
CALL_MS = 5000
# From the server's own table of error codes.
AUTHENTICATION_FAILED = 18
ALREADY_INITIALIZED = 23
ROLE_EXISTS = 51002
USER_EXISTS = 51003


class Refused(Exception):  # noqa: N818 - a finding
    """What is given and what MongoDB holds do not fit; the text says what to do."""


def main() -> int:
    """Do everything and return the exit code."""
    server = os.environ.get("MONGO_SERVER") or "127.0.0.1:27017"
    try:
        initiate(server, os.environ.get("MONGO_MEMBER") or server)
        with admin(server, given("MONGO_ADMIN_PASSWORD")) as client:
            for service in ROLES:
                password = given(service.upper().replace("-", "_") + "_PASSWORD")
                grant(client, service, given("ABBOTIK_MONGO_DATABASE"), password)
    except Refused as refused:
        return _say(str(refused))
    except ConnectionFailure as error:
        return _say(f"MongoDB does not answer at {server} ({error}).")
    return 0


def given(name: str) -> str:
    """Return what the environment says; Refused where it says nothing."""
    value = os.environ.get(name)
    if not value:
        raise Refused(f"{name} is not set: run deploy/env.sh, which adds it to .env.")
    return value


def initiate(server: str, member: str) -> None:
    """Make the server a replica set of one that is reached as ``member``; wait for its primary."""
    with _client(server) as client:
        hello = _patiently(lambda: client.admin.command("hello"))
        if "setName" not in hello:
            config = {
                "_id": "rs0",
                "members": [{"_id": 0, "host": member}],
                "settings": {"electionTimeoutMillis": 2000},
            }
            try:
                client.admin.command("replSetInitiate", config)
            except OperationFailure as failure:
                if failure.code != ALREADY_INITIALIZED:
                    raise
        until = time.monotonic() + WAIT_S
        while not client.admin.command("hello").get("isWritablePrimary"):
            if time.monotonic() > until:
                raise Refused(
                    f"MongoDB has not become primary in {WAIT_S:.0f} s: its log says why "
                    "(docker compose logs mongo)."
                )
            time.sleep(PAUSE_S)


def admin(server: str, password: str) -> Client:
    """Return a client of the administrator, who is made if MongoDB has no users yet."""
    client = _client(server, username="admin", password=password)
    try:
        client.admin.command("usersInfo", "admin")
    except OperationFailure as failure:
        client.close()
        if failure.code != AUTHENTICATION_FAILED:
            raise
    else:
        return client
    with _client(server) as nobody:
        try:
            nobody.admin.command("createUser", "admin", pwd=password, roles=["root"])
        except OperationFailure as failure:
            raise Refused(
                "MongoDB knows another MONGO_ADMIN_PASSWORD than .env: put the old one back, or "
                "throw all data away with 'docker compose down -v'."
            ) from failure
    return _client(server, username="admin", password=password)


def grant(client: Client, service: str, database: str, password: str) -> None:
    """Make the service's role and user as declared, or bring them up to date."""
    privileges = [
        {"resource": {"db": database, "collection": collection}, "actions": list(actions)}
        for collection, actions in ROLES[service].items()
    ]
    _make(client, "Role", f"abbotik-{service}", ROLE_EXISTS, privileges=privileges, roles=[])
    _make(client, "User", service, USER_EXISTS, pwd=password, roles=[f"abbotik-{service}"])


def _make(client: Client, kind: str, name: str, exists: int, **members: Any) -> None:  # noqa: ANN401 - any BSON
    try:
        client.admin.command(f"create{kind}", name, **members)
    except OperationFailure as failure:
        if failure.code != exists:
            raise
        client.admin.command(f"update{kind}", name, **members)


def _client(server: str, username: str | None = None, password: str | None = None) -> Client:
    return MongoClient(
        server,
        directConnection=True,
        serverSelectionTimeoutMS=CALL_MS,
        timeoutMS=CALL_MS,
        username=username,
        password=password,
    )


def _patiently(call: Callable[[], T]) -> T:
    until = time.monotonic() + WAIT_S
    while True:
        try:
            return call()
        except ConnectionFailure:
            if time.monotonic() > until:
                raise
        time.sleep(PAUSE_S)


def _say(sentence: str) -> int:
    sys.stderr.write(f"mongo-users: {sentence}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())

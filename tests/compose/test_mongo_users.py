"""The MongoDB users of docker-compose.yml, made by deploy/mongo/users.py on the packaged mongod."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from abbotik_cli import binaries, mongo_server
from abbotik_cli.fault import Fault
from abbotik_cli.ports import Ports
from abbotik_cli.program import Program
from abbotik_runtime import mongo
from abbotik_runtime.settings import ServiceSettings
from tests import servers

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "mongo" / "users.py"
NAMES = ("provision", "gateway", "room-worker", "factory", "verifier", "operator")
UNAUTHORIZED = 13

Client = MongoClient[dict[str, Any]]


@dataclass(frozen=True)
class Store:
    """A mongod with access control; a user's password is its name."""

    port: int

    def url(self, user: str, password: str | None = None) -> str:
        """Return the connection string of a user."""
        return f"mongodb://{user}:{password or user}@127.0.0.1:{self.port}/?replicaSet=rs0"

    @contextmanager
    def client(self, user: str, password: str | None = None) -> Iterator[Client]:
        """Yield a client of a user."""
        # Polling, because the second monitor of a streaming client outlives a quick close.
        with Client(
            self.url(user, password), timeoutMS=5000, serverMonitoringMode="poll"
        ) as client:
            yield client

    def make_users(self, **passwords: str) -> subprocess.CompletedProcess[str]:
        """Run the script as compose does, with these passwords instead of the names."""
        given = {f"{name.upper().replace('-', '_')}_PASSWORD": name for name in NAMES}
        return subprocess.run(
            [sys.executable, str(SCRIPT)],
            env={
                "PATH": os.environ["PATH"],
                "MONGO_SERVER": f"127.0.0.1:{self.port}",
                "ABBOTIK_MONGO_DATABASE": "abbotik",
                "MONGO_ADMIN_PASSWORD": "admin",
                **given,
                **passwords,
            },
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )


def listens(port: int) -> bool:
    """Whether something listens on this port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Yield a mongod that the script has just made usable."""
    home = tmp_path_factory.mktemp("mongo-users")
    key = home / "key"
    key.write_text("k0123456789")
    key.chmod(0o600)
    port = Ports().take()
    try:
        binary = binaries.mongod()
    except Fault as fault:
        servers.not_without(str(fault))
    plain = mongo_server.program(binary, port, home / "data")
    program = Program(
        name="mongod",
        argv=(*plain.argv, "--keyFile", str(key)),
        env=plain.env,
        ready=lambda: listens(port),
        grace_s=plain.grace_s,
    )
    child = servers.Child(program, home / "mongod.log")
    child.start()
    try:
        made = Store(port)
        done = made.make_users()
        assert done.returncode == 0, done.stderr
        yield made
    finally:
        child.stop()


def refused(store: Store, user: str, collection: str, command: dict[str, Any]) -> bool:
    """Whether MongoDB forbids the user this command on a collection of the product."""
    (verb,) = command
    with store.client(user) as client:
        try:
            client["abbotik"].command({verb: collection, **command[verb]})
        except OperationFailure as failure:
            if failure.code != UNAUTHORIZED:
                raise
            return True
    return False


FIND: dict[str, Any] = {"find": {"limit": 1}}
INSERT: dict[str, Any] = {"insert": {"documents": [{"probe": 1}]}}
UPDATE: dict[str, Any] = {"update": {"updates": [{"q": {"probe": 1}, "u": {"$set": {"x": 1}}}]}}
DELETE: dict[str, Any] = {"delete": {"deletes": [{"q": {"probe": 1}, "limit": 1}]}}


async def test_provision_can_make_all_indexes(store: Store) -> None:
    """The user of the provision step can declare every index, twice."""
    settings = ServiceSettings(mongo_url=store.url("provision"), mongo_database="abbotik")
    client = mongo.connect(settings, "test")
    try:
        for _ in range(2):
            await mongo.ensure_indexes(mongo.database(client, settings))
    finally:
        await client.close()


@pytest.mark.parametrize("collection", mongo.INDEXES)
def test_each_collection_has_a_user_who_fills_it(store: Store, collection: str) -> None:
    """Whoever adds a collection with indexes must also say here who may write into it."""
    users = [user for user in NAMES if not refused(store, user, collection, INSERT)]
    assert users


def test_the_log_is_only_appended_to(store: Store) -> None:
    """Room workers add to the log, others read it, and nobody changes what is there."""
    allowed = {
        verb: [user for user in NAMES if not refused(store, user, "room_log", {verb: members})]
        for command in (FIND, INSERT, UPDATE, DELETE)
        for verb, members in command.items()
    }
    assert allowed == {
        "find": ["gateway", "room-worker", "operator"],
        "insert": ["room-worker"],
        "update": [],
        "delete": [],
    }


def test_gateway_and_worker_share_large_contents(store: Store) -> None:
    """Both may store a large content and read it; operators may look."""
    for name in ("blobs.files", "blobs.chunks"):
        for command, others in ((FIND, ["operator"]), (INSERT, [])):
            users = [user for user in NAMES if not refused(store, user, name, command)]
            assert users == ["gateway", "room-worker", *others]


def test_running_again_takes_over_a_new_password(store: Store) -> None:
    """With a new password in .env the user has the new one afterwards, and the old one is over."""
    done = store.make_users(VERIFIER_PASSWORD="anew")
    assert done.returncode == 0, done.stderr
    with store.client("verifier", "anew") as client:
        client["abbotik"].command("connectionStatus")
    with (
        store.client("verifier") as client,
        pytest.raises(OperationFailure),
    ):
        client["abbotik"].command("connectionStatus")
    assert store.make_users().returncode == 0


def test_another_admin_password_is_named(store: Store) -> None:
    """When .env was made anew over old data, a sentence says what to do."""
    done = store.make_users(MONGO_ADMIN_PASSWORD="other")
    assert done.returncode == 1
    assert "MONGO_ADMIN_PASSWORD" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_password_is_named(store: Store) -> None:
    """A password that .env lacks is named, with where to get it."""
    done = store.make_users(GATEWAY_PASSWORD="")
    assert done.returncode == 1
    assert done.stderr == (
        "mongo-users: GATEWAY_PASSWORD is not set: run deploy/env.sh, which adds it to .env.\n"
    )

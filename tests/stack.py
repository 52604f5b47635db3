"""A whole stack of real processes on free ports, for tests and for the bench.

    with Stack(folder, gateways=2, room_workers=3) as stack:
        httpx.post(f"{stack.urls[0]}/llm/room", headers=stack.headers)
        stack.kill("room-worker-2")

Unlike under `abbotik up` nothing is restarted here unless a test asks for it. Any thread may use
a stack, one at a time.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from abbotik_cli import binaries, mongo_server, nats_server, services, tether
from abbotik_cli.logs import LogFolder
from abbotik_cli.ports import Ports
from abbotik_cli.program import Program
from abbotik_cli.tokens import Tokens
from tests.bus import waiting

ROOT = Path(__file__).resolve().parent.parent
# Names a function of tests/service/room_worker/broken_builds.py, whose worker every stack then has.
BUILD = "ABBOTIK_TEST_BUILD"
READY_S = 30.0
LOOK_EVERY_S = 0.02


class Stack:
    """nats-server, mongod, gateways, room-workers, factory and verifier below `folder`.

    Names: `nats-server`, `mongod`, `gateway`, `gateway-2`, ..., `room-worker`, `room-worker-2`,
    ..., `factory`, `verifier`. A given `nats_url` or `mongo_url` is used instead of a server of
    its own. `auth` is the gateways' ABBOTIK_AUTH; `env` is added to every service's environment and
    to that of the provision step. `urls` has the gateways' base URLs, `metrics` those of /metrics
    and /health/* by name.
    """

    def __init__(
        self,
        folder: Path,
        *,
        gateways: int = 1,
        room_workers: int = 1,
        nats_url: str | None = None,
        mongo_url: str | None = None,
        auth: str = "dev",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.urls: list[str] = []
        self.metrics: dict[str, str] = {}
        self.token = f"dev_{secrets.token_urlsafe(24)}"
        self.root_token = f"root_{secrets.token_urlsafe(24)}"
        self.database = "abbotik"
        self._folder = folder
        self._logs = LogFolder(folder / "logs")
        self._ports = Ports()
        self._programs: dict[str, Program] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        # Children are killed when the thread that started them ends: this one ends with the stack.
        self._starter = ThreadPoolExecutor(1, "stack")
        self._dead_letters = 0
        self._counts = {services.GATEWAY: gateways, "room-worker": room_workers}
        self.nats_url = nats_url or self._add_nats()
        self.mongo_url = mongo_url or self._add_mongo()
        self._wiring = services.Wiring(
            base={**os.environ, **(env or {})},
            host="127.0.0.1",
            nats_url=self.nats_url,
            mongo_url=self.mongo_url,
            database=self.database,
            auth=auth,
            tokens=Tokens(self.token, self.root_token),
        )

    @property
    def url(self) -> str:
        """The first gateway's base URL; `urls` has all of them."""
        return self.urls[0]

    @property
    def headers(self) -> dict[str, str]:
        """The user's authorization header."""
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def root_headers(self) -> dict[str, str]:
        """Root's authorization header."""
        return {"Authorization": f"Bearer {self.root_token}"}

    @property
    def pids(self) -> dict[str, int]:
        """What runs now, by name."""
        return {name: one.pid for name, one in self._children.items() if one.poll() is None}

    def __enter__(self) -> Self:
        """Start everything; on a failure nothing is left behind."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End everything."""
        self.stop()

    def start(self) -> None:
        """Start the servers, provision them, start the services; return when all are ready."""
        servers = list(self._programs)
        self.spawn(servers)
        self.wait_ready(servers)
        self.provision()
        planned = [
            self.plan(service)
            for service in (services.GATEWAY, *services.WORKERS)
            for _ in range(self._counts.get(service, 1))
        ]
        self.spawn(planned)
        self.wait_ready(planned)

    def plan(self, service: str) -> str:
        """Add a process of this service without starting it; return its name."""
        count = sum(name.rpartition("-")[0] == service for name in self._programs)
        count += service in self._programs
        name = services.numbered(service, count + 1)[-1]
        metrics_port = self._ports.take()
        self.metrics[name] = services.url("127.0.0.1", metrics_port)
        if service == services.GATEWAY:
            port = self._ports.take()
            self.urls.append(services.url("127.0.0.1", port))
            self._programs[name] = services.gateway(self._wiring, port, metrics_port, name)
        else:
            worker = services.worker(self._wiring, service, metrics_port, name)
            self._programs[name] = _built(worker) if service == "room-worker" else worker
        return name

    def add(self, service: str) -> str:
        """Start one more process of this service; return its name when it is ready."""
        name = self.plan(service)
        self.bring_back(name)
        return name

    def bring_back(self, *names: str) -> None:
        """Start these again and return when they are ready."""
        self.spawn(names)
        self.wait_ready(names)

    def spawn(self, names: Iterable[str]) -> None:
        """Start these now, without waiting for them."""
        for name in names:
            self._children[name] = self._starter.submit(self._popen, self._programs[name]).result()

    def wait_ready(self, names: Iterable[str], within_s: float = READY_S) -> None:
        """Return when these are ready; RuntimeError with the log's end if one dies or is late."""
        until = time.monotonic() + within_s
        for name in names:
            while not self._programs[name].ready():
                if self._children[name].poll() is not None:
                    raise RuntimeError(f"{name} ended:{self._logs.tail(name)}")
                if time.monotonic() > until:
                    raise RuntimeError(f"{name} is not ready:{self._logs.tail(name)}")
                time.sleep(LOOK_EVERY_S)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the process; after SIGKILL return when it is gone."""
        self._children[name].send_signal(number)
        if number == signal.SIGKILL:
            self._children[name].wait()

    def restart(self, name: str) -> None:
        """Kill the process if it lives, start it again on its ports, return when it is ready."""
        self.kill(name)
        self.bring_back(name)

    async def new_dead_letters(self) -> int:
        """Return how many dead letters have come since this was last asked."""
        before, self._dead_letters = self._dead_letters, await waiting(self.nats_url, "DLQ")
        return self._dead_letters - before

    def log(self, name: str) -> str:
        """Return all that the process has written, over its restarts."""
        return self._logs.file(name).read_text(errors="replace")

    def session(self, room_worker: str) -> str:
        """Return the session of a room-worker since its last start; it must be ready."""
        begun = [line for line in self.log(room_worker).splitlines() if '"session.begun"' in line]
        return str(json.loads(begun[-1])["session"])

    def stop(self) -> None:
        """End everything in the order of `abbotik up`: gateways, workers, servers."""
        order = (
            [name for name in self._children if name.startswith(services.GATEWAY)],
            [name for name in self._children if name.startswith(services.WORKERS)],
            [name for name in self._children if name.startswith(("nats-server", "mongod"))],
        )
        for names in order:
            self._end(names)
        self._starter.shutdown()

    def _popen(self, program: Program) -> subprocess.Popen[bytes]:
        with self._logs.open(program.name) as log:
            return subprocess.Popen(
                tether.command(program.argv, batch=program.batch),
                env=program.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _end(self, names: list[str]) -> None:
        for name in names:
            # One that a test had paused could not hear the next signal.
            self._children[name].send_signal(signal.SIGCONT)
            self._children[name].terminate()
        until = time.monotonic() + max((self._programs[name].grace_s for name in names), default=0)
        for name in names:
            child = self._children[name]
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, until - time.monotonic()))
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    def _add_nats(self) -> str:
        port = self._ports.take()
        folder = self._folder / "nats"
        program = nats_server.program(binaries.nats_server(), port, folder)
        self._programs[program.name] = program
        return f"nats://127.0.0.1:{port}"

    def _add_mongo(self) -> str:
        port = self._ports.take()
        program = mongo_server.program(binaries.mongod(), port, self._folder / "mongo")
        self._programs[program.name] = program
        return mongo_server.url(port)

    def provision(self) -> None:
        """Make streams, consumers and indexes."""
        done = subprocess.run(
            [sys.executable, "-m", "abbotik_cli", "provision"],
            env={
                **self._wiring.base,
                "ABBOTIK_NATS_URL": self.nats_url,
                "ABBOTIK_MONGO_URL": self.mongo_url,
                "ABBOTIK_MONGO_DATABASE": self.database,
            },
            capture_output=True,
            text=True,
            timeout=READY_S,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"provision failed: {done.stderr}")


def _built(worker: Program) -> Program:
    """Return the room worker, or the broken one where the environment asks for it."""
    build = os.environ.get(BUILD)
    if build is None:
        return worker
    argv = (sys.executable, "-m", "tests.faults.sabotage.room_worker", build)
    return replace(worker, argv=argv, env={**worker.env, "PYTHONPATH": str(ROOT)})

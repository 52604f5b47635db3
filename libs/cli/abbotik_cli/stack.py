"""The servers and services of one start."""

from __future__ import annotations

import asyncio
import errno
import importlib
import os
import sys

from abbotik_cli import (
    binaries,
    given,
    mongo_server,
    nats_server,
    run_file,
    services,
    terminal,
    tokens,
)
from abbotik_cli.fault import Fault
from abbotik_cli.home import Home
from abbotik_cli.options import Options
from abbotik_cli.ports import Ports, bind_error
from abbotik_cli.process import Process
from abbotik_cli.program import Program
from abbotik_cli.provision import provision
from abbotik_cli.supervisor import Supervisor

SERVERS_S = 30.0
SERVICES_S = 30.0


class Stack:
    """Starts everything in order, notes it in `run.json`, and ends it in the opposite order."""

    def __init__(self, options: Options, home: Home) -> None:
        self.tokens = tokens.keep(home.tokens, options.user_token, options.root_token)
        self._options = options
        self._home = home
        self._logs = home.logs()
        self._last = run_file.read(home.run_file)
        self._run = run_file.Run()
        self._ports = Ports()
        self._servers: list[Program] = []
        self._services: list[Program] = []
        self._supervisor = Supervisor(self._logs, terminal.say, self._note)
        self._trim: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where the gateway serves."""
        return self._run.urls["gateway"]

    async def start(self) -> None:
        """Return once everything serves; Fault says what does not."""
        self._trim = asyncio.create_task(self._logs.keep_small(), name="trim logs")
        gateway_port = self._gateway_port()
        # The import of its drivers, like that of every service, hides behind the servers' start.
        imports = asyncio.create_task(
            asyncio.to_thread(importlib.import_module, "abbotik_runtime.provision")
        )
        nats_url, mongo_url = await self._nats(), await self._mongo()
        self._run.urls |= {"nats": nats_url, "mongo": mongo_url}
        self._services = self._plan(gateway_port)
        terminal.say(f"starting; state and logs are in {self._home.path}")
        # All at once: services wait for their servers, streams and consumers by themselves.
        self._supervisor.start([*self._servers, *self._services])
        await self._supervisor.ready(self._servers, SERVERS_S)
        await imports
        await provision(nats_url, mongo_url, self._options.database, self._options.nats_replicas)
        await self._supervisor.ready(self._services, SERVICES_S)

    async def stop(self) -> None:
        """End everything: who takes work in, then who does it, then the servers."""
        if self._trim is not None:
            self._trim.cancel()
        await self._supervisor.stop(self._services[:1])
        await self._supervisor.stop(self._services[1:])
        await self._supervisor.stop(self._servers)
        self._run.processes = {}
        self._write()

    def kill(self) -> None:
        """Kill all children at once."""
        self._supervisor.kill()

    async def _nats(self) -> str:
        if self._options.nats_url:
            await asyncio.to_thread(given.look_at_nats, self._options.nats_url)
            return self._options.nats_url
        port = self._port("nats-server")
        health_port = self._port("nats-server-health")
        self._servers.append(
            nats_server.program(binaries.nats_server(), port, self._home.nats, health_port)
        )
        return f"nats://127.0.0.1:{port}"

    async def _mongo(self) -> str:
        if self._options.mongo_url:
            await asyncio.to_thread(given.look_at_mongo, self._options.mongo_url)
            return self._options.mongo_url
        port = self._port("mongod")
        self._servers.append(mongo_server.program(binaries.mongod(), port, self._home.mongo))
        return mongo_server.url(port)

    def _plan(self, gateway_port: int) -> list[Program]:
        """Return the services, the gateway first."""
        options = self._options
        wiring = services.Wiring(
            base=os.environ,
            host=options.host,
            nats_url=self._run.urls["nats"],
            mongo_url=self._run.urls["mongo"],
            database=options.database,
            auth=options.auth,
            tokens=self.tokens,
        )
        planned = [services.gateway(wiring, gateway_port, self._metrics_port(services.GATEWAY))]
        for service in services.WORKERS:
            count = options.workers if service == "room-worker" else 1
            for name in services.numbered(service, count):
                port = self._metrics_port(name)
                planned.append(services.worker(wiring, service, port, name))
        return planned

    def _gateway_port(self) -> int:
        host, port = self._options.host, self._options.port
        if port == 0:
            port = self._port("gateway", host=host)
        elif error := bind_error(host, port):
            raise Fault(_cannot_listen(host, port, error))
        self._run.ports["gateway"] = port
        self._run.urls["gateway"] = services.url(host, port)
        return port

    def _metrics_port(self, name: str) -> int:
        usual = services.METRICS_PORTS.get(name)
        return self._port(f"{name}-metrics", usual, self._options.host)

    def _port(self, name: str, usual: int | None = None, host: str = "127.0.0.1") -> int:
        """Return the port of the run before while it is free, for whoever noted it."""
        wanted = (self._last.ports.get(name), usual)
        port = self._ports.take([one for one in wanted if one], host)
        self._run.ports[name] = port
        return port

    def _note(self) -> None:
        self._run.processes = self._supervisor.processes()
        if own := Process.of(os.getpid(), sys.orig_argv):
            self._run.processes["supervisor"] = own
        self._write()

    def _write(self) -> None:
        try:
            run_file.write(self._home.run_file, self._run)
        except OSError as error:
            # A full disk is no reason to end what runs.
            terminal.say(f"cannot write {self._home.run_file} ({error.strerror})")


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} of {host} is in use: stop what listens there, "
            f"or choose another one, for example PORT={port + 1}."
        )
    return (
        f"Nothing can listen on port {port} of {host} ({error.strerror}): "
        "set PORT (1024 or higher) and HOST (an address of this machine)."
    )

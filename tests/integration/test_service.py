"""Services as processes: started, ready, drained by SIGTERM, and ending with a reason."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from abbotik_runtime.settings import ServiceSettings
from tests.servers import Child

START_S = 20.0


class Running:
    """A service's process and what it has logged."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    async def logged(self, event: str) -> dict[str, Any]:
        """Return the first line of this event, from now on; fails when the process ends first."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(START_S):
                while line := await self.process.stdout.readline():
                    self.lines.append(json.loads(line))
                    if self.lines[-1]["event"] == event:
                        return self.lines[-1]
        except TimeoutError:
            raise AssertionError(f"no {event} in {START_S} s: {self.lines}") from None
        raise AssertionError(f"ended without {event}: {self.lines}")

    async def get(self, port: int, path: str) -> httpx.Response:
        """Ask its health server."""
        async with httpx.AsyncClient() as client:
            return await client.get(f"http://127.0.0.1:{port}{path}")


@asynccontextmanager
async def running(service: str, settings: ServiceSettings, **env: str) -> AsyncIterator[Running]:
    """Run `python -m abbotik_<service>` against the given servers."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"abbotik_{service}",
        env={
            **os.environ,
            "ABBOTIK_NATS_URL": settings.nats_url,
            "ABBOTIK_MONGO_URL": settings.mongo_url,
            "ABBOTIK_MONGO_DATABASE": settings.mongo_database,
            "ABBOTIK_METRICS_PORT": "0",
            **env,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("service", ["factory", "verifier"])
async def test_a_service_gets_ready_and_drains(service: str, provisioned: ServiceSettings) -> None:
    """It listens, says `ready` once, answers health and metrics, and leaves on SIGTERM with 0."""
    async with running(service, provisioned) as started:
        port = (await started.logged("listening"))["port"]
        ready = await started.logged("ready")
        assert ready["service"] == service
        answer = await started.get(port, "/health/ready")
        assert answer.status_code == 200
        assert set(answer.json()["data"]["checks"]) == {"nats", "mongo", "streams"}
        assert (await started.get(port, "/health/live")).status_code == 200
        assert f'service="{service}"' in (await started.get(port, "/metrics")).text
        started.process.send_signal(signal.SIGTERM)
        await started.logged("stopped")
        assert await started.process.wait() == 0
        assert [line["event"] for line in started.lines].count("ready") == 1


async def test_a_service_waits_for_nats(
    own_nats: tuple[Child, str], provisioned: ServiceSettings
) -> None:
    """Started before NATS it is alive and unready, and connects when NATS is there."""
    server, url = own_nats
    server.kill()
    settings = provisioned.model_copy(update={"nats_url": url})
    async with running("factory", settings) as started:
        port = (await started.logged("listening"))["port"]
        assert (await started.get(port, "/health/live")).status_code == 200
        answer = await started.get(port, "/health/ready")
        assert answer.status_code == 503
        assert answer.json()["data"]["checks"]["nats"]["ok"] is False
        started.process.send_signal(signal.SIGTERM)
        await started.logged("stopped")
        assert await started.process.wait() == 0


async def test_a_taken_port_is_told(provisioned: ServiceSettings) -> None:
    """A port that somebody uses ends the service with a sentence and code 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with running("factory", provisioned, ABBOTIK_METRICS_PORT=str(port)) as started:
            _, errors = await asyncio.wait_for(started.process.communicate(), START_S)
            assert started.process.returncode == 1
            assert f"port {port} on 127.0.0.1 is taken".encode() in errors


async def test_wrong_settings_are_told(settings: ServiceSettings) -> None:
    """A wrong variable ends the service before it starts, with its name and code 1."""
    async with running("verifier", settings, ABBOTIK_LOG_LEVEL="loud") as started:
        _, errors = await asyncio.wait_for(started.process.communicate(), START_S)
        assert started.process.returncode == 1
        assert errors.decode().startswith("ABBOTIK_LOG_LEVEL: ")

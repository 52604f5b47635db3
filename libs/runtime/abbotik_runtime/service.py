"""The one runner of services without an API: start, be ready, drain, out."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NoReturn, Protocol, TypeVar

import uvloop

from abbotik_runtime import collector, logs, mongo
from abbotik_runtime.bus import Bus
from abbotik_runtime.health import Check, Health
from abbotik_runtime.loops import Loop
from abbotik_runtime.metrics import Metrics
from abbotik_runtime.serving import Serving
from abbotik_runtime.settings import ServiceSettings
from abbotik_runtime.streams_check import StreamsCheck

_DRAIN_S = 20.0
_WATCH_S = 0.25

_log = logs.get("service")

S = TypeVar("S", bound=ServiceSettings)


class Service(Protocol):
    """What a service's `app.py` builds."""

    async def start(self) -> None:
        """Begin to work; NATS is connected by now."""
        ...

    async def drain(self) -> None:
        """Take no new work, finish or hand over what runs; cancelled after 20 s."""
        ...


@dataclass(frozen=True, slots=True)
class Context(Generic[S]):
    """What the runner made and closes; services build on it and close none of it."""

    service: str
    settings: S
    bus: Bus
    client: mongo.Client
    database: mongo.Database
    health: Health
    metrics: Metrics


def main(service: str, settings: type[S], build: Callable[[Context[S]], Service]) -> NoReturn:
    """Be the process: read settings, configure logs, run until SIGTERM or SIGINT."""
    loaded = settings.load()
    logs.configure(service, loaded.log_level, loaded.log_format)
    raise SystemExit(uvloop.run(run(service, loaded, build)))


async def run(service: str, settings: S, build: Callable[[Context[S]], Service]) -> int:
    """Run a service until it is told to stop; returns its exit code.

    Health answers from the first moment on, also while NATS is waited for. The code is 1 where
    it cannot go on, so that whoever supervises it starts another one.
    """
    stopping = _stop_signal()
    failed = False
    metrics = Metrics(service)
    bus = Bus(settings, service, metrics=metrics)
    client = mongo.connect(settings, service)
    health = Health(service, metrics)
    register_checks(health, bus, client)
    context = Context(
        service, settings, bus, client, mongo.database(client, settings), health, metrics
    )
    serving = Serving(health.app(), settings.host, settings.metrics_port)
    watch = Loop("readiness", _WATCH_S, health.watch, metrics=metrics)
    try:
        await serving.start()
        watch.start()
        product = build(context)
        collector.calm()
        await _work(product, bus, stopping)
        health.draining = True
        await _drain(product, bus)
    except Exception:  # noqa: BLE001 - the last line of a process that cannot go on
        _log.exception("failed")
        failed = True
    finally:
        await watch.stop()
        await bus.close()
        await client.close()
        await serving.stop()
    _log.info("stopped")
    return 1 if failed or bus.failed is not None else 0


def register_checks(health: Health, bus: Bus, client: mongo.Client) -> None:
    """Register what every service needs: `nats`, `mongo`, and `streams` with their consumers."""
    health.register("nats", bus.check)
    health.register("mongo", _answers(client))
    health.register("streams", StreamsCheck(bus).check)


def _answers(client: mongo.Client) -> Check:
    async def check() -> str | None:
        await mongo.ping(client)
        return None

    return check


def _stop_signal() -> asyncio.Event:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


async def _work(product: Service, bus: Bus, stopping: asyncio.Event) -> None:
    """Start the service and wait for the signal, which may come while it still starts."""
    starting = asyncio.get_running_loop().create_task(_start(product, bus), name="starting")
    stopped = asyncio.get_running_loop().create_task(stopping.wait(), name="stop signal")
    try:
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await stopped
    finally:
        for task in (starting, stopped):
            task.cancel()
        await asyncio.wait({starting, stopped})


async def _start(product: Service, bus: Bus) -> None:
    await bus.connect()
    await product.start()
    await bus.start_subscribers()


async def _drain(product: Service, bus: Bus) -> None:
    _log.info("draining")
    await bus.stop_subscribers()
    try:
        async with asyncio.timeout(_DRAIN_S):
            await product.drain()
    except TimeoutError:
        _log.warning("drain_cut_short", after_s=_DRAIN_S)
    except Exception:  # noqa: BLE001 - the connections are closed in order all the same
        _log.exception("drain_failed")

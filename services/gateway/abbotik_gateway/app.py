"""The composition root: chooses the adapters, starts the server, stops it in order."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from typing import NoReturn

import httpx
import uvloop

from abbotik_gateway.adapters.authority_dev import DevAuthority
from abbotik_gateway.adapters.authority_introspect import TIMEOUT_S, IntrospectAuthority
from abbotik_gateway.adapters.commands import BusCommands
from abbotik_gateway.adapters.contents import MongoContents
from abbotik_gateway.adapters.http_meter import HttpMeter
from abbotik_gateway.adapters.http_server import HttpServer
from abbotik_gateway.adapters.idempotency import MongoKeyStore
from abbotik_gateway.adapters.pressure import READ_EVERY_S, Pressure
from abbotik_gateway.adapters.room_list import MongoRoomList
from abbotik_gateway.adapters.room_log import MongoRoomLog
from abbotik_gateway.adapters.signals import BusSignals
from abbotik_gateway.adapters.stream_meters import StreamMeters
from abbotik_gateway.adapters.tickets import MongoTickets
from abbotik_gateway.api import Ports, build_api, openapi
from abbotik_gateway.handlers.following.log_events import LogEvents
from abbotik_gateway.handlers.following.open_streams import OpenStreams
from abbotik_gateway.handlers.following.room_streams import RoomStreams
from abbotik_gateway.handlers.seen import SeenRevs
from abbotik_gateway.handlers.ticketing import Ticketing
from abbotik_gateway.ports import Authority
from abbotik_gateway.settings import Settings
from abbotik_kernel.clock import SystemClock
from abbotik_runtime import collector, logs, mongo
from abbotik_runtime.blobs import Blobs
from abbotik_runtime.bus import Bus
from abbotik_runtime.health import Health
from abbotik_runtime.log_reader import RoomLogReader
from abbotik_runtime.loops import Loop
from abbotik_runtime.metrics import Metrics
from abbotik_runtime.service import register_checks
from abbotik_runtime.serving import Serving, listen

__all__ = ["main", "openapi"]

SERVICE = "gateway"
_WATCH_S = 0.25

log = logs.get("gateway")


class Gateway:
    """One gateway process, from its settings to its end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics(SERVICE)
        self._bus = Bus(settings, SERVICE, metrics=self._metrics)
        self._client = mongo.connect(settings, SERVICE)
        self._health = Health(SERVICE, self._metrics)
        database = mongo.database(self._client, settings)
        clock, seen = SystemClock(), SeenRevs()
        room_log = MongoRoomLog(RoomLogReader(database))
        contents = MongoContents(Blobs(database))
        events, tickets = LogEvents(room_log, seen), MongoTickets(database)
        self._commands = BusCommands(self._bus, contents)
        self._pressure = Pressure(self._bus, database, settings.limits)
        self._streams = RoomStreams(
            events,
            BusSignals(self._bus),
            OpenStreams(StreamMeters(self._metrics), tickets, clock),
        )
        self._http = httpx.AsyncClient(
            base_url=settings.api_url or "",
            timeout=TIMEOUT_S,
            follow_redirects=False,
            trust_env=False,
        )
        register_checks(self._health, self._bus, self._client)
        self._health.register("outcomes", self._can_hear_outcomes)
        self._app = build_api(
            Ports(
                authorities=self._authorities(clock),
                commands=self._commands,
                pressure=self._pressure,
                keys=MongoKeyStore(database, clock),
                log=room_log,
                rooms=MongoRoomList(database),
                contents=contents,
                seen=seen,
                streams=self._streams,
                ticketing=Ticketing(tickets, events, clock),
                health=self._health,
                meter=HttpMeter(self._metrics),
                clock=clock,
                docs=settings.docs,
            )
        )

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; returns the exit code.

        It serves from the first moment on, also while NATS and MongoDB are away: then routes that
        need them say 503, readiness says why, and all goes on by itself when they are back.
        """
        stopping = _stop_signal()
        settings, metrics = self._settings, self._metrics
        server = HttpServer(self._app, listen(settings.host, settings.port))
        serving = Serving(self._health.app(), settings.host, settings.metrics_port)
        watch = Loop("readiness", _WATCH_S, self._health.watch, metrics=metrics)
        pressure = Loop("pressure", READ_EVERY_S, self._pressure.read, metrics=metrics)
        await serving.start()
        server.start()
        watch.start()
        pressure.start()
        collector.calm()
        connecting = asyncio.get_running_loop().create_task(self._connect(), name="connecting")
        try:
            await stopping.wait()
            await self._drain(server)
        finally:
            connecting.cancel()
            await asyncio.wait({connecting})
            await watch.stop()
            await pressure.stop()
            await self._close()
            await serving.stop()
        log.info("stopped")
        return 0 if self._bus.failed is None else 1

    async def _connect(self) -> None:
        try:
            await self._bus.connect()
            await self._commands.start()
            self._streams.start()
        except Exception:
            # Without its inbox the gateway would answer 503 for ever: somebody starts another one.
            log.exception("failed")
            self._bus.failed = "the gateway could not subscribe"
            signal.raise_signal(signal.SIGTERM)

    async def _drain(self, server: HttpServer) -> None:
        log.info("draining")
        self._health.draining = True
        try:
            await self._streams.close("shutdown")
        finally:
            await server.stop()

    async def _close(self) -> None:
        await self._bus.close()
        await self._client.close()
        await self._http.aclose()

    async def _can_hear_outcomes(self) -> str | None:
        return None if self._commands.ready else "the inbox of outcomes is not subscribed"

    def _authorities(self, clock: SystemClock) -> list[Authority]:
        made: dict[str, Authority] = {}
        for name in self._settings.authorities:
            if name == "introspect":
                made[name] = IntrospectAuthority(self._http, clock)
            else:
                made[name] = DevAuthority(*_dev_tokens(self._settings))
        return list(made.values())


def _dev_tokens(settings: Settings) -> tuple[str, str]:
    """Return the given tokens, new ones for those that were not given."""
    tokens = []
    for name, given in (
        ("ABBOTIK_DEV_TOKEN", settings.dev_token),
        ("ABBOTIK_DEV_ROOT_TOKEN", settings.dev_root_token),
    ):
        tokens.append(given or secrets.token_urlsafe(24))
        if given is None:
            # Not a log line: logs hold no secrets, and nobody else could ever tell the token.
            print(f"{name}={tokens[-1]}", file=sys.stderr)  # noqa: T201
    return tokens[0], tokens[1]


def _stop_signal() -> asyncio.Event:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


def main() -> NoReturn:
    """Be the gateway until told to stop."""
    settings = Settings.load()
    logs.configure(SERVICE, settings.log_level, settings.log_format)
    raise SystemExit(uvloop.run(_serve(settings)))


async def _serve(settings: Settings) -> int:
    return await Gateway(settings).run()

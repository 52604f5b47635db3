"""The one connection to NATS: made, watched, made again; FastStream's broker owns it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import nats.errors
from faststream import AckPolicy
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.js import JetStreamContext

from abbotik_runtime import logs
from abbotik_runtime.confirmations import Confirmations
from abbotik_runtime.metrics import Metrics
from abbotik_runtime.settings import ServiceSettings

REQUEST_S = 2.0
_FIRST_CONNECT_PAUSE_S = 1.0
_CLOSE_S = 8.0
_SAY_AGAIN_S = 10.0

# What nats-py raises for a connection that is not there; whatever was to be sent is not sent.
GONE = (
    nats.errors.ConnectionClosedError,
    nats.errors.ConnectionDrainingError,
    nats.errors.ConnectionReconnectingError,
    nats.errors.OutboundBufferLimitError,
)

# What ends one try to connect; errors of subscribers come to the same callback.
_REFUSED = (OSError, TimeoutError, nats.errors.Error)

_log = logs.get("bus")

Hook = Callable[[], Awaitable[None]]


class BusUnavailable(Exception):  # noqa: N818 - a state of the bus, no fault of the caller
    """NATS could not be reached, or did not confirm in time; a stored publish is then *unknown*."""


def _end_process() -> None:
    # SIGTERM and not exit: turns under way are still handed over through MongoDB.
    os.kill(os.getpid(), signal.SIGTERM)


class Connection:
    """One per process. ``on_closed`` is called once the client has given up for good.

    `await connect()` waits for as long as NATS is away; `connected` and `check` say so meanwhile.
    ``servers`` are the URLs of the settings.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        service: str,
        *,
        metrics: Metrics | None = None,
        on_closed: Callable[[], None] = _end_process,
    ) -> None:
        self.service = service
        self.metrics = metrics or Metrics(service)
        self.broker = _broker(settings, service, self)
        self.failed: str | None = None
        self.epoch = 0
        self.servers = settings.nats_servers
        self._on_closed = on_closed
        self._client: Client | None = None
        self._js: JetStreamContext | None = None
        self._confirmations: Confirmations | None = None
        self._up = asyncio.Event()
        self._hooks: list[Hook] = []
        self._hook_tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._said_at = -_SAY_AGAIN_S

    async def connect(self) -> None:
        """Connect, trying for ever; subscribers of `broker` start only with `broker.start()`."""
        while self._client is None:
            try:
                client = await self.broker.connect()
                confirmations = Confirmations(client)
                await confirmations.open()
            except nats.errors.Error as error:
                # A refused login may become right by itself: the server's accounts are reloaded.
                self._say("bus_refused", error)
                await asyncio.sleep(_FIRST_CONNECT_PAUSE_S)
            else:
                # FastStream's own callback raises some errors (a refused login, too many
                # connections) out of nats-py's reconnect task, which then never runs again.
                client._error_cb = self.on_error  # noqa: SLF001 - there is no public way
                # It would shuffle its servers before each reconnect, and go anywhere.
                client.options["dont_randomize"] = True
                self._js = client.jetstream(timeout=REQUEST_S)
                self._confirmations = confirmations
                self._client = client
        self._up.set()

    @property
    def client(self) -> Client:
        """nats-py's client; BusUnavailable before the first connect."""
        if self._client is None:
            raise BusUnavailable("NATS has not been reached yet")
        return self._client

    @property
    def js(self) -> JetStreamContext:
        """The JetStream API, 2 s a request; BusUnavailable before the first connect."""
        if self._js is None:
            raise BusUnavailable("NATS has not been reached yet")
        return self._js

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as pings every second can tell."""
        return self._client is not None and self._client.is_connected

    @property
    def stats(self) -> dict[str, int]:
        """nats-py's counts: in_msgs, out_msgs, in_bytes, out_bytes, reconnects, ..."""
        return dict(self._client.stats) if self._client is not None else {}

    async def check(self) -> str | None:
        """Say for readiness what is wrong with the connection, None if nothing is."""
        if not self.connected:
            return "NATS is not connected"
        try:
            await self.client.flush(timeout=1)
        except nats.errors.Error as error:
            return f"NATS does not answer: {type(error).__name__}"
        return None

    async def barrier(self, timeout_s: int = 2) -> None:
        """Return once the server has handled all that was sent; a nats Error where it is away.

        nats-py writes the PING of a flush before what is still pending, a new subscription for
        one, so only a second flush comes behind it.
        """
        await self.client.flush(timeout=timeout_s)
        await self.client.flush(timeout=timeout_s)

    async def go_to(self, server: str) -> None:
        """Leave a server that stands and is of no use for this one of ``servers``."""
        if self.connected and not self._closing:
            _log.warning("bus_goes_elsewhere")
            # The others that it has heard of would be tried first, among them this one once more.
            rest = (each for each in self.servers if each != server)
            self.client.set_server_pool([server, *rest])
            await self.client.force_reconnect()

    def on_reconnect(self, hook: Hook) -> None:
        """Call ``hook`` after each reconnect, in a task of its own."""
        self._hooks.append(hook)

    def off_reconnect(self, hook: Hook) -> None:
        """Forget a hook; nothing happens if it is unknown."""
        with contextlib.suppress(ValueError):
            self._hooks.remove(hook)

    async def start_subscribers(self) -> None:
        """Start what was declared on `broker`."""
        if self.broker.subscribers:
            await self.broker.start()

    async def stop_subscribers(self) -> None:
        """Take no more messages for what was declared on `broker`; the connection stays."""
        for subscriber in self.broker.subscribers:
            await subscriber.stop()

    async def close(self) -> None:
        """Stop subscribers, send what is pending, close; never raises for a broken connection."""
        self._closing = True
        client = self._client
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self.broker.stop()
        except (nats.errors.Error, TimeoutError, ExceptionGroup) as error:
            _log.info("bus_closed_undrained", error=type(error).__name__)
        if client is not None and not client.is_closed:
            await client.close()
        for task in list(self._hook_tasks):
            task.cancel()

    async def on_disconnected(self) -> None:
        """React to a lost connection; called by nats-py."""
        self.epoch += 1
        self._up.clear()
        if self._confirmations is not None:
            self._confirmations.lost()
        if not self._closing:
            _log.warning("bus_disconnected")

    async def on_reconnected(self) -> None:
        """Run the hooks; called by nats-py once subscriptions are back."""
        self._up.set()
        self.metrics.reconnects.add()
        _log.info("bus_reconnected")
        for hook in list(self._hooks):
            task = asyncio.get_running_loop().create_task(self._run(hook))
            self._hook_tasks.add(task)
            task.add_done_callback(self._hook_tasks.discard)

    async def on_closed(self) -> None:
        """End the process unless it asked for the close itself; called by nats-py."""
        self._die("the client closed its connection")

    async def on_error(self, error: Exception) -> None:
        """Log an error of the connection; nats-py also calls it for each failed try."""
        if self.connected:
            _log.warning("bus_error", error=f"{type(error).__name__}: {error}")
            return
        self._say("bus_unreachable", error)
        # nats-py opens the next socket without closing the one that was refused.
        opened = self._client and self._client._transport  # noqa: SLF001 - no public way
        if opened and isinstance(error, _REFUSED):
            opened.close()  # type: ignore[no-untyped-call] # nats-py has no types here

    def _die(self, reason: str) -> None:
        if self._closing or self.failed is not None:
            return
        self.failed = reason
        _log.error("bus_failed", reason=reason)
        self._on_closed()

    def _say(self, event: str, error: Exception) -> None:
        now = time.monotonic()
        if now - self._said_at >= _SAY_AGAIN_S:
            self._said_at = now
            _log.warning(event, error=f"{type(error).__name__}: {error}")

    async def _run(self, hook: Hook) -> None:
        try:
            await hook()
        except Exception:  # noqa: BLE001 - one hook's fault must not keep the others from running
            _log.exception("reconnect_hook_failed")


def _broker(settings: ServiceSettings, service: str, connection: Connection) -> NatsBroker:
    options: dict[str, Any] = {"reconnect_time_wait": 0.25}  # typed int, but it is only slept
    return NatsBroker(
        settings.nats_servers,
        name=f"abbotik-{service}",
        connect_timeout=2,
        max_reconnect_attempts=-1,
        ping_interval=1,
        max_outstanding_pings=2,
        pending_size=4 * 1024 * 1024,
        flush_timeout=2.0,
        drain_timeout=5,
        js_options={"timeout": REQUEST_S},
        graceful_timeout=15.0,
        # The default ends a message on any exception; settling is for `acks.settle` alone.
        ack_policy=AckPolicy.MANUAL,
        logger=logging.getLogger("faststream"),
        disconnected_cb=connection.on_disconnected,
        reconnected_cb=connection.on_reconnected,
        closed_cb=connection.on_closed,
        error_cb=connection.on_error,
        **options,
    )

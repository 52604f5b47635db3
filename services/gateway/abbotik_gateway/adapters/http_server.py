"""The public HTTP server: uvicorn, run inside a process that has its own signals and its end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from abbotik_gateway.adapters.bounded_connection import BoundedConnection
from abbotik_runtime import logs

# Above the idle time of the proxies in front, so that they close first.
KEEP_ALIVE_S = 75
DRAIN_S = 8
_BACKLOG = 2048

log = logs.get("http")


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the composition root, which ends the streams before the server."""
        yield


def config(app: ASGIApp, connection: type[HttpToolsProtocol] = BoundedConnection) -> uvicorn.Config:
    """Return how ``app`` is served."""
    return uvicorn.Config(
        app,
        http=connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )


class HttpServer:
    """Serves ``app`` on a listening socket until `stop`."""

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        self._listener = listener
        self._server = _Server(config(app))
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to serve."""
        self._listener.listen(_BACKLOG)
        self._task = asyncio.get_running_loop().create_task(
            self._server.serve(sockets=[self._listener]), name="http"
        )
        host, port = self._listener.getsockname()[:2]
        log.info("listening", host=host, port=port, api=True)

    async def stop(self) -> None:
        """Take no new connection, let requests end (8 s at most), close."""
        if self._task is None:
            return
        self._server.should_exit = True
        await asyncio.wait({self._task}, timeout=DRAIN_S + 1)
        self._task.cancel()
        await asyncio.wait({self._task})

"""An HTTP server inside a process that has its own signals and its own end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette

from abbotik_runtime import logs

_BACKLOG = 128
_STOP_S = 2.0

_log = logs.get("serving")


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the runner of the service, which drains before this server ends."""
        yield


class Serving:
    """Serves ``app`` on ``host:port``; port 0 takes any free one."""

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._server = _Server(
            uvicorn.Config(
                app,
                http="h11",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen and return the port; SystemExit with a sentence when it is taken."""
        listener = listen(self._host, self._port)
        port: int = listener.getsockname()[1]
        self._task = asyncio.get_running_loop().create_task(
            self._server.serve(sockets=[listener]), name="serving"
        )
        _log.info("listening", host=self._host, port=port)
        return port

    async def stop(self) -> None:
        """Answer what is under way and close."""
        if self._task is None:
            return
        self._server.should_exit = True
        await asyncio.wait({self._task}, timeout=_STOP_S)
        self._task.cancel()
        await asyncio.wait({self._task})


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; SystemExit with what to do where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SystemExit(
                f"port {port} on {host} is taken: end what uses it, or set another port (0 takes "
                "any free one)"
            ) from None
        raise SystemExit(f"cannot listen on {host}:{port}: {error.strerror or error}") from None

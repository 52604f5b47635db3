"""The outermost layer: what holds for every request, whatever route it meets.

Raw ASGI, because it is on the way of every message. It gives each request its id, bounds its
headers, answers what the routes refuse, and lets nothing out that is not the API's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Protocol

import structlog
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from abbotik_gateway.domain.problem import Problem
from abbotik_gateway.ports import UnavailableError, UnconfirmedError
from abbotik_gateway.web.answers import problem_answer
from abbotik_gateway.web.body import ClientGoneError
from abbotik_runtime.ids import uuid7

log = structlog.get_logger(__name__)

MAX_HEADER_BYTES = 16 * 1024
REQUEST_ID = b"x-request-id"

_SANE_ID = re.compile(rb"[\x21-\x7e]{1,128}")
# Every answer: no browser may guess a type, nor show an answer inside of another page.
_ALWAYS = ((b"x-content-type-options", b"nosniff"),)


class Meter(Protocol):
    """Counts requests. ``route`` is the pattern, never a path that a client made up."""

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note one answered request."""
        ...


class Exchange:
    """One request and its answer, as seen from the edge."""

    def __init__(self, request_id: bytes, receive: Receive, send: Send) -> None:
        self._request_id = request_id
        self._send = send
        self.receive = receive
        self.status = 0

    def send(self, message: Message) -> Awaitable[None]:
        """Pass the answer on, with the headers that every one has."""
        # No coroutine of its own: this is on the way of every answer.
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [
                *message.get("headers", ()),
                (REQUEST_ID, self._request_id),
                *_ALWAYS,
            ]
        return self._send(message)


class HeadExchange(Exchange):
    """A request with HEAD: its answer ends with the headers, and then nobody reads any more."""

    def __init__(self, request_id: bytes, receive: Receive, send: Send) -> None:
        super().__init__(request_id, self._until_answered, send)
        self._receive = receive

    async def send(self, message: Message) -> None:
        """Pass the headers on, and nothing else."""
        if message["type"] == "http.response.start":
            await super().send(message)
            await self._send({"type": "http.response.body", "body": b""})

    async def _until_answered(self) -> Message:
        return {"type": "http.disconnect"} if self.status else await self._receive()


class Edge:
    """Wraps the application. ``allowed`` returns the methods that a path knows, [] for no path."""

    def __init__(self, app: ASGIApp, meter: Meter, allowed: Callable[[str], list[str]]) -> None:
        self._app = app
        self._meter = meter
        self._allowed = allowed
        # The module's is a proxy, which makes its logger anew for each line.
        self._log = log.bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"the gateway serves HTTP, not {scope['type']}")
        began = perf_counter()
        request_id, header_bytes = _look_at_headers(scope)
        as_text = request_id.decode()
        structlog.contextvars.bind_contextvars(request_id=as_text)
        method: str = scope["method"]
        is_head = method == "HEAD"
        exchange = (HeadExchange if is_head else Exchange)(request_id, receive, send)
        scope["state"] = {"request_id": as_text}
        # A copy: the server keeps its own to know that HEAD has no body.
        inner = {**scope, "method": "GET"} if is_head else scope
        try:
            app = self._app if header_bytes <= MAX_HEADER_BYTES else _headers_too_large
            await app(inner, exchange.receive, exchange.send)
        except ClientGoneError:
            return
        except Exception as error:  # noqa: BLE001  the last resort: see `_answer_to`
            await self._refuse(inner, exchange, error, method)
        finally:
            route = getattr(inner.get("route"), "path_format", "none")
            took = perf_counter() - began
            self._meter.request(method, route, exchange.status, took)
            self._log.debug(
                "request", method=method, route=route, status=exchange.status, took_s=took
            )

    async def _refuse(
        self, scope: Scope, exchange: Exchange, error: Exception, method: str
    ) -> None:
        answer = self._answer_to(error, scope["path"], method)
        if exchange.status:
            # Too late for an answer; the server closes the connection on an unfinished one.
            log.error("answer.broken", path=scope["path"], exc_info=error)
            return
        if answer.status_code >= 500:  # noqa: PLR2004  the server's faults
            log.warning("request.failed", method=method, path=scope["path"], cause=repr(error))
        await answer(scope, exchange.receive, exchange.send)

    def _answer_to(self, error: Exception, path: str, method: str) -> Response:
        match error:
            case Problem():
                problem = error
            case HTTPException(status_code=404):
                problem = Problem("NOT_FOUND")
            case HTTPException(status_code=405):
                allow = ", ".join([*self._allowed(path), "OPTIONS"])
                if method == "OPTIONS":
                    return Response(status_code=204, headers={"Allow": allow})
                problem = Problem("METHOD_NOT_ALLOWED", headers={"Allow": allow})
            case UnconfirmedError():
                problem = Problem("COMMAND_UNCONFIRMED")
            case UnavailableError() | asyncio.TimeoutError():
                problem = Problem("SERVICE_UNAVAILABLE", "A server that this needs is away.")
            case _:
                log.error("request.crashed", method=method, path=path, exc_info=error)
                problem = Problem("INTERNAL")
        return problem_answer(problem, path)


async def _headers_too_large(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise Problem("HEADERS_TOO_LARGE", f"The headers are larger than {MAX_HEADER_BYTES} bytes.")


def _look_at_headers(scope: Scope) -> tuple[bytes, int]:
    """Return the request's id, taken or made, and the size of its headers."""
    taken, size = b"", len(scope["raw_path"]) + len(scope["query_string"])
    for name, value in scope["headers"]:
        size += len(name) + len(value) + 4
        if name == REQUEST_ID:
            taken = value
    if _SANE_ID.fullmatch(taken) is None:
        taken = uuid7().encode()
    return taken, size

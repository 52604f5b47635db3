"""A stand-in for the API server, run as a process of its own: `python tests/fakes/api_server.py`.

It prints its port, then answers `GET /api/user/introspect` by what the token says: `good-…` and
`sudo-…` are callers, anything before the first `-` that is listed in BEHAVIOUR is that fault, any
other token is unknown. `GET /asked` gives how often each token was asked for.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any, ClassVar

SLOW_S = 0.3
HANG_S = 30.0


def caller(**token: Any) -> dict[str, Any]:
    """Return a good answer."""
    return {
        "success": True,
        "data": {
            "user": {"id": "u-1", "username": "ada", "access": "edit"},
            "tenant": {"id": "acme", "name": "Acme"},
            "token": {"auth_type": "jwt", "is_sudo": False, **token},
        },
    }


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    asked: ClassVar[Counter[str]] = Counter()
    lock: ClassVar[Any] = Lock()
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        if self.path == "/asked":
            self.answer(200, dict(self.asked))
            return
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        with self.lock:
            self.asked[token] += 1
        kind = token.partition("-")[0]
        BEHAVIOUR.get(kind, _unknown)(self)

    def answer(self, status: int, body: Any, **headers: str) -> None:
        """Send JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the standard library's
        """Say nothing."""


def _unknown(handler: Handler) -> None:
    handler.answer(401, {"success": False, "error_code": "AUTH_TOKEN_INVALID"})


def _slow(handler: Handler) -> None:
    time.sleep(SLOW_S)
    handler.answer(200, caller())


def _hang(handler: Handler) -> None:
    time.sleep(HANG_S)
    handler.close_connection = True


def _trickle(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


def _cut(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"success": tr')
    handler.close_connection = True


def _good(status: int, body: Any, **headers: str) -> Callable[[Handler], None]:
    return lambda handler: handler.answer(status, body, **headers)


def _ending(handler: Handler) -> None:
    handler.answer(200, caller(expires_at=time.time() + 1.0))


BEHAVIOUR: dict[str, Callable[[Handler], None]] = {
    "good": _good(200, caller()),
    "sudo": _good(200, caller(is_sudo=True)),
    "ending": _ending,
    "ended": _good(200, caller(expires_at=1)),
    "forbidden": _good(403, {"success": False}),
    "expired": _good(401, {"success": False, "error_code": "AUTH_TOKEN_EXPIRED"}),
    "text": _good(200, b"welcome"),
    "wrong": _good(200, {"success": True, "data": {"user": "ada"}}),
    "tenant": _good(200, {**caller(), "data": {**caller()["data"], "tenant": {"id": "a.*"}}}),
    "huge": _good(200, b" " * 1_000_000 + b"{}"),
    "broken": _good(500, {"error": "boom"}),
    "busy": _good(429, {"error": "busy"}),
    "gone": _good(404, {"error": "no such route"}),
    "empty": _good(204, b""),
    "redirect": _good(302, b"", Location="/api/user/introspect?token=x"),
    "slow": _slow,
    "hang": _hang,
    "trickle": _trickle,
    "cut": _cut,
}


def main() -> None:
    """Serve until the process is ended."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()

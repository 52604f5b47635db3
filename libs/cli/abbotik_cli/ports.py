"""TCP ports for what is started here."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable

from abbotik_cli.fault import Fault

LOOPBACK = "127.0.0.1"
# Below the ephemeral range of Linux (32768 and up): no outgoing connection of anybody can sit on
# the port of a server that is just being started again.
LOWEST, HIGHEST = 20_000, 32_000
TRIES = 500


def bind_error(host: str, port: int) -> OSError | None:
    """Return why nothing can listen on this address now, or None when it is free."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, proto) as probe:
            # As servers do: connections that are fading away do not make a port busy.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None


class Ports:
    """Hands out ports that are free and that it did not hand out before."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def take(self, preferred: Iterable[int] = (), host: str = LOOPBACK) -> int:
        """Return the first of `preferred` that is free on `host`, else any free one."""
        for port in preferred:
            if self._claim(host, port):
                return port
        for _ in range(TRIES):
            port = random.randint(LOWEST, HIGHEST)  # noqa: S311 - spreads, guards nothing
            if self._claim(host, port):
                return port
        raise Fault(
            f"No port between {LOWEST} and {HIGHEST} is free on {host}: end what uses them."
        )

    def _claim(self, host: str, port: int) -> bool:
        if port in self._taken or bind_error(host, port):
            return False
        self._taken.add(port)
        return True

"""All links of a stack in a process of their own, told what to do by lines on its input.

    open HOST PORT      -> the port to connect to instead
    cut|hold|flow PORT  -> ok
    hold PORT PID ...   -> ok, for the connections of these processes alone
    delay PORT SECONDS  -> ok

A process of its own, because what passes here would otherwise wait for the load's Python.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Self

import uvloop

from abbotik_cli import tether
from tests.faults.proxy import Link, Whose, anybody
from tests.faults.sockets import ports_of
from tests.stack import ROOT


class Proxies:
    """Starts the process and ends it; a link is known by its port."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start the process."""
        self._child = subprocess.Popen(
            tether.command([sys.executable, "-m", "tests.faults.proxies"]),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End its input, at which it closes all links and ends."""
        if self._child is not None:
            self._child.communicate(timeout=10)

    def open(self, host: str, port: int) -> int:
        """Open a link to a server and return its port."""
        return int(self._ask(f"open {host} {port}"))

    def cut(self, port: int) -> None:
        """Reset every connection of a link, and each new one."""
        self._ask(f"cut {port}")

    def hold(self, port: int, pids: Sequence[int] = ()) -> None:
        """Let a link take everything and forward nothing, of all clients or of these processes."""
        self._ask(" ".join(map(str, ["hold", port, *pids])))

    def delay(self, port: int, seconds: float) -> None:
        """Let a link forward each byte later."""
        self._ask(f"delay {port} {seconds}")

    def flow(self, port: int) -> None:
        """Let a link forward again."""
        self._ask(f"flow {port}")

    def _ask(self, line: str) -> str:
        if self._child is None or self._child.stdin is None or self._child.stdout is None:
            raise RuntimeError("the proxies do not run")
        self._child.stdin.write(f"{line}\n")
        self._child.stdin.flush()
        answer = self._child.stdout.readline().strip()
        if not answer:
            raise RuntimeError(f"the proxies ended at {line!r}")
        return answer


async def _obey(line: str, links: dict[str, Link], held: AsyncExitStack) -> str:
    verb, *words = line.split()
    if verb == "open":
        link = await held.enter_async_context(Link(words[0], int(words[1])))
        links[str(link.port)] = link
        return str(link.port)
    link = links[words[0]]
    match verb:
        case "delay":
            link.delay(float(words[1]))
        case "hold":
            link.hold(_whose([int(word) for word in words[1:]], link.port))
        case _:
            {"cut": link.cut, "flow": link.flow}[verb]()
    return "ok"


def _whose(pids: Sequence[int], port: int) -> Whose:
    return partial(ports_of, pids, port) if pids else anybody


async def _serve() -> None:
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    links: dict[str, Link] = {}
    async with AsyncExitStack() as held:
        while line := await commands.readline():
            sys.stdout.write(f"{await _obey(line.decode(), links, held)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(_serve())

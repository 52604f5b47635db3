"""The proxy does to a connection what a network can do to it."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator

import pytest

from tests.faults.proxies import Proxies
from tests.faults.proxy import Link


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data)
    writer.close()


@pytest.fixture
async def echo_port() -> AsyncIterator[int]:
    """Yield the port of a server that sends back what it gets."""
    async with await asyncio.start_server(_echo, "127.0.0.1", 0) as server:
        yield int(server.sockets[0].getsockname()[1])


@pytest.fixture
async def link(echo_port: int) -> AsyncIterator[Link]:
    """Yield a link to that server."""
    async with Link("127.0.0.1", echo_port) as opened:
        yield opened


async def test_it_forwards(link: Link) -> None:
    """Bytes come back, and an end of the client's is passed on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()


async def test_a_cut_resets_old_and_new_connections(link: Link) -> None:
    """A reset, not a polite end; and after it flows again a new connection works."""
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    writer.write(b"hello")
    await reader.readexactly(5)
    link.cut()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    link.flow()
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    writer.write(b"again")
    assert await reader.readexactly(5) == b"again"
    writer.close()


async def test_held_bytes_arrive_when_it_flows_again(link: Link) -> None:
    """Old and new connections stay open, are silent, and lose nothing."""
    pairs = [await asyncio.open_connection("127.0.0.1", link.port)]
    pairs[0][1].write(b"a")
    assert await pairs[0][0].readexactly(1) == b"a"
    link.hold()
    pairs.append(await asyncio.open_connection("127.0.0.1", link.port))
    for _, writer in pairs:
        writer.write(b"held")
    reads = [asyncio.create_task(reader.readexactly(4)) for reader, _ in pairs]
    done, _ = await asyncio.wait(reads, timeout=0.1)
    assert not done
    link.flow()
    assert await asyncio.gather(*reads) == [b"held", b"held"]
    for _, writer in pairs:
        writer.close()


async def test_a_delay_is_felt_in_both_directions(link: Link) -> None:
    """There and back takes twice the delay, and many bytes take no longer than one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    link.delay(0.1)
    began = time.monotonic()
    for _ in range(20):
        writer.write(b"slow")
        await asyncio.sleep(0)
    assert await reader.readexactly(80) == b"slow" * 20
    assert 0.2 <= time.monotonic() - began < 1.0
    writer.close()


async def test_a_link_is_held_for_some_processes_alone(echo_port: int) -> None:
    """Whether their connection was there before or begins now; what they sent arrives at last."""
    with Proxies() as proxies:
        port = proxies.open("127.0.0.1", echo_port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        old, new = [await _talker(port) for _ in range(2)]
        assert await _told(old, b"hello") == b"hello"
        proxies.hold(port, [old.pid, new.pid])
        held = [asyncio.create_task(_told(each, b"held")) for each in (old, new)]
        writer.write(b"hello")
        assert await asyncio.wait_for(reader.readexactly(5), 5) == b"hello"
        done, _ = await asyncio.wait(held, timeout=0.1)
        assert not done
        proxies.flow(port)
        assert await asyncio.gather(*held) == [b"held", b"held"]
        writer.close()
        for each in (old, new):
            each.terminate()
            await each.wait()


async def _talker(port: int) -> Process:
    """Start a process that connects when it first has something to send."""
    program = """
import socket, sys
connection = None
for line in sys.stdin:
    connection = connection or socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    connection.sendall(line.encode())
    print(connection.recv(100).decode(), end="", flush=True)
"""
    argv = (sys.executable, "-c", program, str(port))
    return await asyncio.create_subprocess_exec(*argv, stdin=PIPE, stdout=PIPE)


async def _told(talker: Process, what: bytes) -> bytes:
    """Have a process send this, and return what it hears."""
    assert talker.stdin is not None
    assert talker.stdout is not None
    talker.stdin.write(what + b"\n")
    return (await talker.stdout.readline()).strip()


async def test_links_live_in_a_process_of_their_own(echo_port: int) -> None:
    """What the process is told on its input happens to the link with that port."""
    with Proxies() as proxies:
        port = proxies.open("127.0.0.1", echo_port)
        proxies.delay(port, 0.01)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        proxies.hold(port)
        writer.write(b"hello")
        proxies.flow(port)
        assert await reader.readexactly(5) == b"hello"
        proxies.cut(port)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()

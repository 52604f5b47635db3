"""The gateway's HTTP server over a real socket: what a client may do to a connection."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from abbotik_gateway.adapters import bounded_connection
from abbotik_gateway.adapters.http_server import HttpServer
from abbotik_gateway.web import body
from tests.eventually import eventually
from tests.fakes.gateway_api import USER_TOKEN, GatewayApi

AUTH = f"Authorization: Bearer {USER_TOKEN}\r\n"
JSON = "Content-Type: application/json\r\n"
HOST = "Host: gateway\r\n"


@pytest.fixture
async def port(api: GatewayApi) -> AsyncIterator[int]:
    """Yield the port of a running server."""
    listener = socket.create_server(("127.0.0.1", 0))
    number: int = listener.getsockname()[1]
    server = HttpServer(api.app, listener)
    server.start()
    yield number
    await server.stop()


async def _talk(port: int, *sent: bytes, within_s: float = 5.0) -> bytes:
    """Send the parts one after the other and return all that comes until the connection closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in sent:
        writer.write(part)
        await writer.drain()
    answer = await asyncio.wait_for(reader.read(), within_s)
    writer.close()
    return answer


def _request(line: str, *headers: str, data: bytes = b"", close: bool = True) -> bytes:
    ending = "Connection: close\r\n" if close else ""
    return f"{line} HTTP/1.1\r\n{HOST}{AUTH}{''.join(headers)}{ending}\r\n".encode() + data


def _read(answer: bytes) -> tuple[int, dict[str, str], Any]:
    head, _, text = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), headers, json.loads(text) if text else None


async def test_a_body_that_says_it_is_too_large_is_refused(port: int) -> None:
    """413 by Content-Length; a client that sends all the same still reads the answer."""
    size = 2 * 1024 * 1024
    head = _request("POST /llm/room", JSON, f"Content-Length: {size}\r\n", close=False)
    status, headers, problem = _read(await _talk(port, head, b" " * size))
    assert (status, problem["error_code"]) == (413, "BODY_TOO_LARGE")
    assert headers["connection"] == "close"


async def test_a_client_that_asks_first_sends_nothing(port: int) -> None:
    """With `Expect: 100-continue` the 413 comes before the body."""
    headers = (JSON, "Content-Length: 99999999\r\n", "Expect: 100-continue\r\n")
    answer = await _talk(port, _request("POST /llm/room", *headers, close=False))
    assert _read(answer)[0] == 413


async def test_a_body_without_a_length_is_counted(port: int) -> None:
    """Chunks that never end are cut off at 1 MiB."""
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    head = _request("POST /llm/room", JSON, "Transfer-Encoding: chunked\r\n", close=False)
    answer = await _talk(port, head, *[chunk] * 20, b"0\r\n\r\n")
    assert _read(answer)[0] == 413


async def test_exactly_one_mib_is_read(port: int) -> None:
    """The limit itself is allowed."""
    data = b"{}".ljust(1024 * 1024)
    head = _request("POST /llm/room", JSON, f"Content-Length: {len(data)}\r\n")
    assert _read(await _talk(port, head, data))[0] == 201


async def test_chunks_are_one_body(port: int) -> None:
    """A body in pieces is read as a whole."""
    head = _request("POST /llm/room", JSON, "Transfer-Encoding: chunked\r\n")
    assert _read(await _talk(port, head, b"1\r\n{\r\n", b"1\r\n}\r\n0\r\n\r\n"))[0] == 201


async def test_a_body_that_never_comes_is_not_waited_for(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A length that lies ends in 400 and a closed connection."""
    monkeypatch.setattr(body, "RECEIPT_S", 0.2)
    head = _request("POST /llm/room", JSON, "Content-Length: 100\r\n", close=False)
    status, headers, problem = _read(await _talk(port, head, b"{"))
    assert (status, problem["error_code"]) == (400, "INVALID_REQUEST_BODY")
    assert headers["connection"] == "close"


async def test_a_client_that_leaves_is_no_fault(port: int, api: GatewayApi) -> None:
    """A connection that closes inside of its body sends nothing on and breaks nothing."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_request("POST /llm/room", JSON, "Content-Length: 100\r\n", data=b"{"))
    await writer.drain()
    writer.close()
    assert _read(await _talk(port, _request("GET /health/live")))[0] == 200
    assert api.plane.sent == []


@pytest.mark.parametrize(
    "request_",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_a_problem_too(port: int, request_: bytes) -> None:
    """400 as the API says it, and the connection closes."""
    status, headers, problem = _read(await _talk(port, request_))
    assert (status, problem["error_code"]) == (400, "HEADER_INVALID")
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"


async def test_a_64_kib_header_is_431(port: int) -> None:
    """Large headers are answered, not cut off."""
    status, _, problem = _read(await _talk(port, _request("GET /", f"A: {'x' * 65536}\r\n")))
    assert (status, problem["error_code"]) == (431, "HEADERS_TOO_LARGE")


async def test_headers_without_end_are_cut_off(port: int) -> None:
    """Past 256 KiB the connection is gone."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with pytest.raises(ConnectionError):
        await _endless_head(reader, writer)


async def _endless_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET / HTTP/1.1\r\n")
    while True:
        writer.write(b"A: " + b"x" * 8192 + b"\r\n")
        await writer.drain()
        if reader.at_eof():
            raise ConnectionResetError


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nA: b"])
async def test_a_head_that_does_not_come_is_not_waited_for(
    port: int, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that says nothing, or too little, is closed."""
    monkeypatch.setattr(bounded_connection, "HEAD_S", 0.2)
    assert await _talk(port, sent) == b""


async def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    """Fifty requests in one write get fifty answers."""
    many = b"".join(
        _request("GET /health/live", f"x-request-id: r{n}\r\n", close=n == 49) for n in range(50)
    )
    answer = await _talk(port, many)
    found = [part.split(b"\r\n")[0] for part in answer.split(b"x-request-id: ")[1:]]
    assert found == [b"r%d" % n for n in range(50)]


async def test_a_refused_body_leaves_the_connection_usable(port: int) -> None:
    """After a 401 whose body nobody read, the next request on the connection works."""
    refused = (
        f"POST /llm/room HTTP/1.1\r\n{HOST}{JSON}Content-Length: 4096\r\n\r\n".encode()
        + b" " * 4096
    )
    answer = await _talk(port, refused + _request("GET /health/live"))
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"401", b"200"]


async def test_head_has_no_body_on_the_wire(port: int) -> None:
    """HEAD ends with its headers, and the connection goes on."""
    answer = await _talk(port, _request("HEAD /", close=False) + _request("GET /health/live"))
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert rest.startswith(b"HTTP/1.1 200")


async def test_a_turn_streams_over_the_wire(port: int, api: GatewayApi) -> None:
    """The answer of a streamed message is chunked and ends by itself."""
    room = await api.rent()
    data = b'{"content":"hi"}'
    head = _request(
        f"POST /llm/room/{room}/messages",
        JSON,
        f"Content-Length: {len(data)}\r\n",
        "Accept: text/event-stream\r\n",
    )
    asked = asyncio.create_task(_talk(port, head, data))
    await eventually(lambda: len(api.plane.sent) == 2)
    api.plane.finish(room)
    answer = await asked
    assert b"event: actor:turn_end" in answer
    assert answer.endswith(b"0\r\n\r\n")

"""What holds for every request."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from abbotik_gateway.ports import UnavailableError, UnconfirmedError
from abbotik_gateway.web.edge import Edge
from tests.fakes.gateway_api import FakeMeter, GatewayApi


async def test_a_problem_is_rfc_9457_and_the_envelope(api: GatewayApi) -> None:
    """One body is both, and its `type` leads to the code's row."""
    answer = await api.call("GET", "/llm/room/nope?x=1")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "/docs/errors#ROOM_NOT_FOUND",
        "title": "There is no such room",
        "status": 404,
        "detail": "Check the id; rooms of other tenants are not shown.",
        "instance": "/llm/room/nope",
        "success": False,
        "error": "There is no such room",
        "error_code": "ROOM_NOT_FOUND",
    }


async def test_a_request_id_is_taken_or_made(api: GatewayApi) -> None:
    """A sane one comes back, any other is replaced; every answer has one."""
    taken = await api.client.get("/health/live", headers={"x-request-id": "abc-1"})
    assert taken.headers["x-request-id"] == "abc-1"
    for odd in ("", "a b", "x" * 129, "a\tb"):
        answer = await api.client.get("/nowhere", headers={"x-request-id": odd})
        assert len(answer.headers["x-request-id"]) == 36


@pytest.mark.parametrize("path", ["/nope", "/llm/room/", "/llm", "/docs/../x", "/llm/factory/runs"])
async def test_an_unknown_route_is_404(api: GatewayApi, path: str) -> None:
    """404 NOT_FOUND, without a look at the token."""
    answer = await api.client.get(path)
    assert (answer.status_code, answer.json()["error_code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/llm/room", "GET, HEAD, POST, OPTIONS"),
        ("PUT", "/llm/room/x", "GET, HEAD, PATCH, OPTIONS"),
        ("POST", "/health", "GET, HEAD, OPTIONS"),
        ("GET", "/api/rooms/x/wake", "POST, OPTIONS"),
    ],
)
async def test_an_unknown_method_is_405_with_allow(
    api: GatewayApi, method: str, path: str, allow: str
) -> None:
    """405 with all methods of the path; OPTIONS answers the same without a body."""
    answer = await api.client.request(method, path)
    assert (answer.status_code, answer.json()["error_code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == allow
    options = await api.client.options(path)
    assert (options.status_code, options.headers["allow"], options.content) == (204, allow, b"")


async def test_head_is_get_without_a_body(api: GatewayApi) -> None:
    """HEAD has GET's status and headers."""
    room = await api.rent()
    got = await api.call("GET", f"/llm/room/{room}")
    head = await api.call("HEAD", f"/llm/room/{room}")
    assert (head.status_code, head.headers["etag"]) == (200, got.headers["etag"])
    assert head.headers["content-length"] == got.headers["content-length"]
    assert head.content == b""


async def test_head_of_a_stream_ends(api: GatewayApi) -> None:
    """HEAD on a stream that never ends has headers and an end."""
    room = await api.rent()
    answer = await api.call("HEAD", f"/llm/room/{room}/events")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_headers_that_are_too_large_are_refused(api: GatewayApi) -> None:
    """431 above 16 KiB, in one header or in many."""
    for headers in ({"a": "x" * 16_400}, {f"a{n}": "x" * 100 for n in range(200)}):
        answer = await api.client.get("/health/live", headers=headers)
        assert (answer.status_code, answer.json()["error_code"]) == (431, "HEADERS_TOO_LARGE")


@pytest.mark.parametrize(
    ("broken", "status", "code"),
    [
        (UnavailableError("mongodb://user:pass@host"), 503, "SERVICE_UNAVAILABLE"),
        (UnconfirmedError("cmd.room.dev.1 not stored"), 503, "COMMAND_UNCONFIRMED"),
        (TimeoutError("late"), 503, "SERVICE_UNAVAILABLE"),
        (ValueError("secret detail"), 500, "INTERNAL"),
    ],
)
async def test_no_fault_leaves_its_text_in_an_answer(
    api: GatewayApi, broken: Exception, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Faults become their code; their text stays in the log, and 503 says when to come again."""
    caplog.set_level(logging.CRITICAL)
    api.plane.broken = broken
    answer = await api.call("POST", "/llm/room")
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    assert str(broken) not in answer.text
    assert ("retry-after" in answer.headers) is (status == 503)


async def test_reads_say_503_while_the_log_is_away(api: GatewayApi) -> None:
    """Every read is 503 with Retry-After, and works again when the log is back."""
    room = await api.rent()
    api.plane.away = True
    for path in ("", f"/{room}", f"/{room}/messages", f"/{room}/turns", f"/{room}/history"):
        answer = await api.call("GET", f"/llm/room{path}")
        assert (answer.status_code, answer.json()["error_code"]) == (503, "SERVICE_UNAVAILABLE")
        assert int(answer.headers["retry-after"]) >= 1
    api.plane.away = False
    assert (await api.call("GET", f"/llm/room/{room}")).status_code == 200


async def test_routes_are_counted_by_pattern(api: GatewayApi) -> None:
    """No path that a client makes up becomes a label."""
    room = await api.rent()
    await api.call("GET", f"/llm/room/{room}")
    await api.call("GET", "/made/up")
    assert api.meter.counted[-2:] == [("GET", "/llm/room/{room_id}", 200), ("GET", "none", 404)]


async def test_a_fault_after_the_start_leaves_the_answer_broken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once an answer began, no second one is put behind it."""
    caplog.set_level(logging.CRITICAL)

    async def breaks(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("too late")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [],
    }
    await Edge(breaks, FakeMeter(), lambda _path: [])(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start"]


async def test_only_http_is_served(api: GatewayApi) -> None:
    """Anything else is a fault of how the gateway was started."""
    with pytest.raises(RuntimeError, match="websocket"):
        await api.app({"type": "websocket"}, None, None)  # type: ignore[arg-type]  # never called

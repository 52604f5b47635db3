"""The gateway while its servers are away: typed answers in time, and back by itself."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.stack import Stack

# Five seconds is the promise; what is added is the test's own.
WITHIN_S = 5.5


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yield one stack that the tests of this file break and mend in turn."""
    with Stack(tmp_path_factory.mktemp("outages")) as running:
        yield running


def _call(stack: Stack, method: str, path: str, **options: object) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    answer = httpx.request(
        method,
        stack.url + path,
        headers=stack.headers,
        timeout=20,
        **options,  # type: ignore[arg-type]  # httpx's own options
    )
    return answer, time.monotonic() - began


def _rent(stack: Stack) -> str:
    answer, _ = _call(stack, "POST", "/llm/room")
    assert answer.status_code == 201, answer.text
    room: str = answer.json()["data"]["id"]
    return room


def _refused_in_time(stack: Stack, method: str, path: str, codes: set[str]) -> None:
    options = {"json": {"content": "x"}} if path.endswith("/messages") else {}
    answer, took = _call(stack, method, path, **(options if method == "POST" else {}))
    assert answer.status_code == 503, answer.text
    assert answer.json()["error_code"] in codes
    assert int(answer.headers["retry-after"]) >= 1
    assert took < WITHIN_S


def _eventually_works(stack: Stack, room: str, within_s: float = 15.0) -> None:
    until = time.monotonic() + within_s
    while True:
        answer, _ = _call(stack, "POST", f"/llm/room/{room}/messages", json={"content": "back"})
        if answer.status_code == 202:
            return
        assert answer.status_code == 503, answer.text
        assert time.monotonic() < until, answer.text
        time.sleep(0.1)


def test_nats_away(stack: Stack) -> None:
    """Posts are 503 in time, reads go on, and all works again once NATS is back."""
    room = _rent(stack)
    stack.kill("nats-server")
    codes = {"SERVICE_UNAVAILABLE", "COMMAND_UNCONFIRMED"}
    _refused_in_time(stack, "POST", f"/llm/room/{room}/messages", codes)
    _refused_in_time(stack, "POST", "/llm/room", codes)
    assert _call(stack, "GET", f"/llm/room/{room}")[0].status_code == 200
    assert _call(stack, "GET", "/health/live")[0].status_code == 200
    ready, _ = _call(stack, "GET", "/health/ready")
    assert (ready.status_code, ready.json()["data"]["checks"]["nats"]["ok"]) == (503, False)
    stack.spawn(["nats-server"])
    _eventually_works(stack, room)


def test_nats_paused(stack: Stack) -> None:
    """A server that takes and answers nothing is 503 in time too."""
    room = _rent(stack)
    stack.kill("nats-server", signal.SIGSTOP)
    codes = {"SERVICE_UNAVAILABLE", "COMMAND_UNCONFIRMED"}
    _refused_in_time(stack, "POST", f"/llm/room/{room}/messages", codes)
    stack.kill("nats-server", signal.SIGCONT)
    _eventually_works(stack, room)


def test_mongodb_paused(stack: Stack) -> None:
    """Reads and posts are 503 in time; a post under a key is carried out once, later."""
    room = _rent(stack)
    stack.kill("mongod", signal.SIGSTOP)
    for path in ("/llm/room", f"/llm/room/{room}", f"/llm/room/{room}/history"):
        _refused_in_time(stack, "GET", path, {"SERVICE_UNAVAILABLE"})
    _refused_in_time(stack, "POST", f"/llm/room/{room}/messages", {"COMMAND_UNCONFIRMED"})
    stack.kill("mongod", signal.SIGCONT)
    _eventually_works(stack, room)
    messages, _ = _call(stack, "GET", f"/llm/room/{room}/messages")
    contents = [one["content"] for one in messages.json()["data"] if one["author_kind"] == "user"]
    # The command that nobody confirmed was kept by NATS, and came first.
    assert contents == ["x", "back"]


def test_a_start_without_servers(stack: Stack) -> None:
    """The gateway lives, says what is missing, and is ready by itself once they are there."""
    room = _rent(stack)
    for name in ("gateway", "nats-server", "mongod"):
        stack.kill(name)
    stack.spawn(["gateway"])
    until = time.monotonic() + 10
    while not _lives(stack):
        assert time.monotonic() < until, stack.log("gateway")[-2000:]
        time.sleep(0.05)
    ready, _ = _call(stack, "GET", "/health/ready")
    assert ready.status_code == 503
    assert not ready.json()["data"]["checks"]["nats"]["ok"]
    _refused_in_time(stack, "POST", "/llm/room", {"SERVICE_UNAVAILABLE"})
    _refused_in_time(stack, "GET", f"/llm/room/{room}", {"SERVICE_UNAVAILABLE"})
    assert _call(stack, "GET", "/docs")[0].status_code == 200
    stack.spawn(["mongod", "nats-server"])
    stack.wait_ready(["gateway"])
    _eventually_works(stack, room)


def _lives(stack: Stack) -> bool:
    try:
        return _call(stack, "GET", "/health/live")[0].status_code == 200
    except httpx.TransportError:
        return False


def test_sigterm_ends_streams_and_the_process(stack: Stack) -> None:
    """A follower is told to go elsewhere, and the process is gone in time with exit code 0."""
    room = _rent(stack)
    gateway = stack._children["gateway"]
    with (
        httpx.Client(base_url=stack.url, headers=stack.headers, timeout=20) as client,
        client.stream("GET", f"/llm/room/{room}/events") as answer,
    ):
        lines = answer.iter_lines()
        while "room:rented" not in next(lines):
            pass
        began = time.monotonic()
        stack.kill("gateway", signal.SIGTERM)
        assert any("stream:closing" in line for line in lines)
    assert gateway.wait(10) == 0
    assert time.monotonic() - began < 10
    assert '"event":"stopped"' in stack.log("gateway")
    stack.restart("gateway")


def test_no_token_is_in_a_log(stack: Stack) -> None:
    """Neither a good token nor a wrong one is ever written down."""
    secret = "planted-canary-token"
    httpx.get(f"{stack.url}/llm/room", headers={"Authorization": f"Bearer {secret}"})
    httpx.get(f"{stack.url}/llm/room?token={secret}")
    log = stack.log("gateway")
    assert log
    for token in (stack.token, stack.root_token, secret):
        assert token not in log

"""Two gateways over real servers, with an API server beside them: what only all of it shows."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.stack import Stack

API_SERVER = Path(__file__).resolve().parents[1] / "fakes" / "api_server.py"
ADA = {"Authorization": "Bearer good-ada"}


@pytest.fixture(scope="module")
def api_server() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Yield an API server that the tests may end."""
    with subprocess.Popen([sys.executable, str(API_SERVER)], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        yield server, f"http://127.0.0.1:{int(server.stdout.readline())}"
        server.kill()


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, api_server: tuple[subprocess.Popen[bytes], str]
) -> Iterator[Stack]:
    """Yield a stack with two gateways that ask the API server first."""
    with Stack(
        tmp_path_factory.mktemp("replicas"),
        gateways=2,
        auth="introspect,dev",
        env={"ABBOTIK_API_URL": api_server[1]},
    ) as running:
        yield running


def _call(stack: Stack, method: str, path: str, **options: Any) -> httpx.Response:
    headers = {**stack.headers, **options.pop("headers", {})}
    url = stack.urls[options.pop("gateway", 0)]
    return httpx.request(method, url + path, headers=headers, timeout=30, **options)


def _rent(stack: Stack, **options: Any) -> str:
    answer = _call(stack, "POST", "/llm/room", **options)
    assert answer.status_code == 201, answer.text
    room: str = answer.json()["data"]["id"]
    return room


def test_large_contents_come_back_whole(stack: Stack) -> None:
    """However large contents are stored, every read shows all of them, on any gateway."""
    room = _rent(stack)
    text = "é" * 131_072
    path = f"/llm/room/{room}/messages"
    posted = _call(stack, "POST", path, json={"content": text})
    assert (posted.status_code, posted.json()["data"]["content"]) == (202, text)
    made = {"content": "!size 200"}
    waited = _call(stack, "POST", path, json=made, headers={"Prefer": "wait=20"})
    assert waited.status_code == 200
    (output,) = waited.json()["data"]["outputs"]
    assert len(output["content"]) == 200 * 1024
    listed = _call(stack, "GET", path, gateway=1).json()["data"]
    assert listed[0]["content"] == text
    assert listed[-1] == output
    one = _call(stack, "GET", f"{path}/{output['id']}", gateway=1).json()["data"]
    assert one == output
    history = _call(stack, "GET", f"/llm/room/{room}/history").json()["data"]
    assert history["messages"] == listed


def test_names_that_mean_something_to_mongodb_are_kept(stack: Stack) -> None:
    """Metadata is the caller's: `$`, dots and empty names are stored and shown as they are."""
    odd = {"$where": "1", "a.b": {"$gt": ""}, "": {"__proto__": {}}, "$set": [{"$x": None}]}
    room = _rent(stack, json={"metadata": odd})
    path = f"/llm/room/{room}"
    assert _call(stack, "GET", path).json()["data"]["metadata"] == odd
    patched = _call(stack, "PATCH", path, json={"metadata": {"$inc": {"a.b": 1}}})
    assert patched.json()["data"]["metadata"] == {**odd, "$inc": {"a.b": 1}}
    body = {"content": "x", "metadata": odd}
    message = _call(stack, "POST", f"{path}/messages", json=body).json()["data"]
    read = _call(stack, "GET", f"{path}/messages/{message['id']}").json()["data"]
    assert read["metadata"] == odd
    listed = _call(stack, "GET", "/llm/room").json()["data"]
    assert next(one for one in listed if one["id"] == room)["metadata"]["$where"] == "1"


def test_a_key_holds_over_gateways_and_restarts(stack: Stack) -> None:
    """One room, whichever gateway is asked, in parallel and after both were started again."""
    key = {"Idempotency-Key": "over-all"}
    with ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(
                lambda n: _call(stack, "POST", "/llm/room", headers=key, gateway=n % 2), range(50)
            )
        )
    rooms = {one.json()["data"]["id"] for one in answers if one.status_code == 201}
    assert len(rooms) == 1
    assert {one.status_code for one in answers} <= {201, 409}
    for name in ("gateway", "gateway-2"):
        stack.restart(name)
    again = _call(stack, "POST", "/llm/room", headers=key, gateway=1)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
    assert again.json()["data"]["id"] in rooms
    named = _call(stack, "GET", "/llm/room?status=rented").json()["data"]
    assert sum(one["id"] in rooms for one in named) == 1


def test_a_new_room_is_in_the_list_of_every_gateway(stack: Stack) -> None:
    """As soon as its renter knows of it."""
    for number in range(10):
        room = _rent(stack, gateway=number % 2)
        listed = _call(stack, "GET", "/llm/room?limit=1", gateway=1 - number % 2).json()["data"]
        assert listed[0]["id"] == room


def test_an_introspected_caller_has_a_tenant_of_their_own(stack: Stack) -> None:
    """Their rooms are theirs; what the API server says is what is shown."""
    room = _rent(stack, headers=ADA)
    assert _call(stack, "GET", f"/llm/room/{room}", headers=ADA).json()["data"]["tenant_id"] == (
        "acme"
    )
    assert _call(stack, "GET", f"/llm/room/{room}").status_code == 404
    who = _call(stack, "GET", "/api/user/introspect", headers=ADA).json()["data"]
    assert (who["user"]["id"], who["tenant"]["id"]) == ("u-1", "acme")
    for token, status, code in (
        ("nobody", 401, "AUTH_TOKEN_INVALID"),
        ("expired-1", 401, "AUTH_TOKEN_EXPIRED"),
        ("broken-1", 503, "AUTH_UNAVAILABLE"),
        ("hang-1", 503, "AUTH_UNAVAILABLE"),
    ):
        headers = {"Authorization": f"Bearer {token}"}
        began = time.monotonic()
        answer = _call(stack, "GET", "/llm/room", headers=headers)
        assert (answer.status_code, answer.json()["error_code"]) == (status, code)
        assert time.monotonic() - began < 4


def test_without_the_api_server_nobody_unknown_gets_in(
    stack: Stack, api_server: tuple[subprocess.Popen[bytes], str]
) -> None:
    """Its callers are remembered 5 s at most, then it is 503; other authorities go on."""
    assert _call(stack, "GET", "/llm/room", headers=ADA).status_code == 200
    api_server[0].kill()
    api_server[0].wait()
    until = time.monotonic() + 6
    while (answer := _call(stack, "GET", "/llm/room", headers=ADA)).status_code == 200:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert (answer.status_code, answer.json()["error_code"]) == (503, "AUTH_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) >= 1
    assert _call(stack, "GET", "/llm/room").status_code == 200

"""Who may do what, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from abbotik_gateway.app import openapi
from tests.fakes.gateway_api import ROOT_TOKEN, GatewayApi

ROOM = "00000000-0000-7000-8000-00000000000a"


def _operations() -> Iterator[tuple[str, str, str | None]]:
    for path, methods in openapi()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation.get("x-access")


OPERATIONS = sorted(_operations(), key=str)
PROTECTED = [(method, path, needs) for method, path, needs in OPERATIONS if needs]
PUBLIC = [(method, path) for method, path, needs in OPERATIONS if not needs]


def _filled(path: str) -> str:
    for name in ("room_id", "message_id", "turn_id"):
        path = path.replace("{" + name + "}", ROOM)
    return path.replace("{path}", "architecture")


@pytest.mark.parametrize(("method", "path", "needs"), PROTECTED)
async def test_every_protected_route_wants_a_token(
    api: GatewayApi, method: str, path: str, needs: str
) -> None:
    """Without a token 401 with WWW-Authenticate, with too little access 403, on every route."""
    answer = await api.client.request(method, _filled(path))
    assert (answer.status_code, answer.json()["error_code"]) == (401, "AUTH_TOKEN_REQUIRED")
    assert answer.headers["www-authenticate"] == "Bearer"
    reader = api.authority.add("reader", access="read")
    answer = await api.client.request(method, _filled(path), headers=reader)
    if needs == "read":
        assert answer.status_code in {200, 201, 404, 422}
    else:
        assert (answer.status_code, answer.json()["error_code"]) == (403, "AUTH_FORBIDDEN")


@pytest.mark.parametrize(("method", "path"), PUBLIC)
async def test_public_routes_want_none(api: GatewayApi, method: str, path: str) -> None:
    """The public routes answer without a token."""
    assert (await api.client.request(method, _filled(path))).status_code == 200


@pytest.mark.parametrize(("method", "path", "needs"), PROTECTED)
async def test_no_route_shows_a_foreign_room(
    api: GatewayApi, method: str, path: str, needs: str
) -> None:
    """Every route with a room in it answers another tenant's caller as if there were none."""
    if "{room_id}" not in path:
        return
    room = await api.rent()
    message = (await api.post(room)).json()["data"]
    asked = (
        path.replace("{room_id}", room)
        .replace("{message_id}", message["id"])
        .replace("{turn_id}", message["turn_id"])
    )
    body: dict[str, Any] = {"json": {"content": "x"}} if path.endswith("/messages") else {}
    theirs = api.authority.add("theirs", tenant="acme", access=needs)
    answer = await api.client.request(
        method, asked, headers=theirs, **(body if method == "POST" else {})
    )
    assert (answer.status_code, answer.json()["error_code"]) == (404, "ROOM_NOT_FOUND")


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Basic dXNlcg==",
        "user-token",
        "Bearer user-token x",
        "Bearer nobody",
        "Bearer " + "x" * 5000,
    ],
)
async def test_an_odd_token_is_invalid(api: GatewayApi, header: str) -> None:
    """Another scheme, more than a token, or one that nobody knows: 401 AUTH_TOKEN_INVALID."""
    answer = await api.client.get("/llm/room", headers={"Authorization": header})
    assert (answer.status_code, answer.json()["error_code"]) == (401, "AUTH_TOKEN_INVALID")


async def test_two_authorizations_are_none(api: GatewayApi) -> None:
    """Nobody can say which of two tokens counts."""
    headers = [("Authorization", "Bearer user-token"), ("Authorization", "Bearer user-token")]
    answer = await api.client.get("/llm/room", headers=headers)
    assert answer.json()["error_code"] == "AUTH_TOKEN_INVALID"


async def test_the_scheme_has_no_case(api: GatewayApi) -> None:
    """`bearer` is as good as `Bearer`."""
    answer = await api.client.get("/llm/room", headers={"Authorization": "bEaReR user-token"})
    assert answer.status_code == 200


async def test_an_expired_token_is_said_to_be(api: GatewayApi) -> None:
    """A token that ends while its caller is still remembered is AUTH_TOKEN_EXPIRED."""
    mine = api.authority.add("mine", token_expires_at=api.clock.now + 10)
    assert (await api.client.get("/llm/room", headers=mine)).status_code == 200
    api.clock.now += 10
    answer = await api.client.get("/llm/room", headers=mine)
    assert (answer.status_code, answer.json()["error_code"]) == (401, "AUTH_TOKEN_EXPIRED")


async def test_an_authority_that_cannot_tell_lets_nobody_in(api: GatewayApi) -> None:
    """503 AUTH_UNAVAILABLE, never 401; a token that another authority knows is let in."""
    api.authority.away = True
    unknown = await api.client.get("/llm/room", headers={"Authorization": "Bearer x"})
    assert (unknown.status_code, unknown.json()["error_code"]) == (503, "AUTH_UNAVAILABLE")
    assert int(unknown.headers["retry-after"]) >= 1
    assert (await api.call("GET", "/llm/room")).status_code == 200


async def test_introspection_shows_the_caller(api: GatewayApi) -> None:
    """`GET /api/user/introspect` answers in the shape that introspection reads."""
    user = (await api.call("GET", "/api/user/introspect")).json()["data"]
    assert user["user"] == {"id": "dev", "username": "dev", "access": "full"}
    assert user["tenant"] == {"id": "dev", "name": "dev"}
    assert user["token"] == {"auth_type": "dev", "is_sudo": False}
    root = {"Authorization": f"Bearer {ROOT_TOKEN}"}
    shown = (await api.client.get("/api/user/introspect", headers=root)).json()["data"]
    assert (shown["user"]["access"], shown["token"]["is_sudo"]) == ("root", True)


async def test_no_token_is_read_from_the_url(api: GatewayApi) -> None:
    """A token in the query is no token."""
    answer = await api.client.get("/llm/room?token=user-token&access_token=user-token")
    assert answer.status_code == 401

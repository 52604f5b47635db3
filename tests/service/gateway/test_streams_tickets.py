"""Tickets and event routes, through the gateway's whole API."""

from __future__ import annotations

from typing import Any

import httpx

from tests.fakes.gateway_api import GatewayApi
from tests.fakes.streams import FakeTickets


async def issue(api: GatewayApi, room: str, **options: Any) -> httpx.Response:
    """Ask for a ticket."""
    return await api.call("POST", f"/llm/room/{room}/events/ticket", **options)


async def use(api: GatewayApi, room: str, ticket: str) -> httpx.Response:
    """Follow with a ticket in place of a header, to the log's end."""
    path = f"/api/rooms/{room}/events"
    return await api.client.get(path, params={"ticket": ticket, "follow": "false"})


async def test_a_ticket_stands_for_its_caller(api: GatewayApi) -> None:
    """It is created with its place, and opens its room in both families of paths."""
    room = await api.rent()
    answer = await issue(api, room)
    data = answer.json()["data"]
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/llm/room/{room}/events?ticket={data['ticket']}"
    assert data["room_id"] == room
    assert data["expires_at"] == "2023-11-14T22:14:20.000Z"
    followed = await use(api, room, data["ticket"])
    assert followed.status_code == 200
    assert "event: room:rented" in followed.text


async def test_a_ticket_is_for_one_room(api: GatewayApi) -> None:
    """Another room, another text, no text: 401 with its scheme."""
    room, other = await api.rent(), await api.rent()
    ticket = (await issue(api, room)).json()["data"]["ticket"]
    for where, what in ((other, ticket), (room, ticket[:-1]), (room, ""), (room, "ö" * 43)):
        answer = await use(api, where, what)
        assert answer.status_code == 401
        assert answer.json()["error_code"] == "AUTH_TOKEN_INVALID"
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_ticket_that_was_not_used_in_time(api: GatewayApi) -> None:
    """The first use must come within 60 s."""
    room = await api.rent()
    ticket = (await issue(api, room)).json()["data"]["ticket"]
    api.clock.now += 60_000
    assert (await use(api, room, ticket)).status_code == 401


async def test_a_ticket_lives_ten_minutes_after_the_last_disconnect(api: GatewayApi) -> None:
    """Once used it is good for reconnects, each of which gives it ten more minutes."""
    room = await api.rent()
    ticket = (await issue(api, room)).json()["data"]["ticket"]
    for _ in range(3):
        assert (await use(api, room, ticket)).status_code == 200
        await api.streams.tick()
        api.clock.now += 599_000
    assert (await use(api, room, ticket)).status_code == 200
    await api.streams.tick()
    api.clock.now += 600_000
    assert (await use(api, room, ticket)).status_code == 401


async def test_a_ticket_ends_with_its_token(api: GatewayApi) -> None:
    """However often it is used, it never outlives the token that it was made for."""
    room = await api.rent()
    headers = api.authority.add("mortal", token_expires_at=api.clock.now + 120_000)
    ticket = (await issue(api, room, headers=headers)).json()["data"]["ticket"]
    assert (await use(api, room, ticket)).status_code == 200
    api.clock.now += 119_000
    assert (await use(api, room, ticket)).status_code == 200
    api.clock.now += 1_000
    assert (await use(api, room, ticket)).status_code == 401


async def test_who_may_have_a_ticket(api: GatewayApi) -> None:
    """`read` is enough; a foreign or unknown room is 404; a body has nothing to say."""
    room = await api.rent()
    reader = api.authority.add("reader", access="read")
    stranger = api.authority.add("stranger", tenant="other")
    assert (await issue(api, room, headers=reader)).status_code == 201
    assert (await issue(api, room, headers=stranger)).status_code == 404
    assert (await issue(api, "x")).status_code == 404
    assert (await issue(api, room, json={"ttl": 5})).status_code == 422
    answer = await api.client.post(f"/llm/room/{room}/events/ticket")
    assert answer.status_code == 401


async def test_a_stored_ticket_is_no_ticket(api: GatewayApi) -> None:
    """Only the digest is kept."""
    ticket = (await issue(api, room := await api.rent())).json()["data"]["ticket"]
    tickets = api.streams._opened._tickets
    assert isinstance(tickets, FakeTickets)
    assert ticket not in tickets.held
    assert (await use(api, room, next(iter(tickets.held)))).status_code == 401


async def test_bad_input_of_event_routes(api: GatewayApi) -> None:
    """Each fault has its documented code, in both families."""
    room = await api.rent()
    rows: list[tuple[dict[str, str], dict[str, str], int, str]] = [
        ({"after": "-1"}, {}, 400, "CURSOR_INVALID"),
        ({"after": "9" * 10_000}, {}, 400, "CURSOR_INVALID"),
        ({"after": str(2**63)}, {}, 400, "CURSOR_INVALID"),
        ({}, {"Last-Event-ID": "abc"}, 400, "CURSOR_INVALID"),
        ({"format": "json", "cursor": "x"}, {}, 400, "CURSOR_INVALID"),
        ({"format": "json", "limit": "0"}, {}, 422, "VALIDATION_FAILED"),
        ({"follow": "perhaps"}, {}, 422, "VALIDATION_FAILED"),
    ]
    for family in ("/llm/room", "/api/rooms"):
        for query, headers, status, code in rows:
            path = f"{family}/{room}/events"
            answer = await api.call("GET", path, params=query, headers=headers)
            assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    answer = await api.call("GET", "/llm/events", params={"rooms": "nobody"})
    assert (answer.status_code, answer.json()["error_code"]) == (404, "ROOM_NOT_FOUND")


async def test_a_page_of_events_over_http(api: GatewayApi) -> None:
    """`?format=json` is an enveloped page with its cursor."""
    room = await api.rent()
    answer = await api.call("GET", f"/api/rooms/{room}/events", params={"format": "json"})
    body = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert (body["success"], body["next_cursor"], body["has_more"]) == (True, "1", False)
    assert [event["event_type"] for event in body["data"]] == ["room:rented"]

"""Rooms over HTTP: rent, list, read, change, and the verbs."""

from __future__ import annotations

from typing import Any

import pytest

from abbotik_runtime.ids import uuid7
from tests.fakes.gateway_api import GatewayApi

FAMILIES = ("/llm/room", "/api/rooms")
NOBODYS = "00000000-0000-7000-8000-00000000000a"


@pytest.mark.parametrize("family", FAMILIES)
async def test_rent_answers_201_with_location_and_etag(api: GatewayApi, family: str) -> None:
    """A rent answers with the room, where it is in the same family, and its version."""
    answer = await api.call("POST", family, json={"purpose": "look", "metadata": {"name": "a"}})
    room = answer.json()["data"]
    assert answer.status_code == 201
    assert answer.json()["success"] is True
    assert answer.headers["location"] == f"{family}/{room['id']}"
    assert answer.headers["etag"] == '"1"'
    assert (room["purpose"], room["status"], room["tenant_id"]) == ("look", "rented", "dev")
    assert [actor["agent_id"] for actor in room["actors"]] == ["assistant-1"]


async def test_rent_needs_no_body(api: GatewayApi) -> None:
    """An empty body is `{}` and needs no Content-Type."""
    assert (await api.call("POST", "/llm/room")).status_code == 201


async def test_agents_are_actors(api: GatewayApi) -> None:
    """`agents` is another name of `actors`, and both at once are refused."""
    answer = await api.call("POST", "/llm/room", json={"agents": [{"agent_id": "ada"}]})
    assert [actor["agent_id"] for actor in answer.json()["data"]["actors"]] == ["ada"]
    both = await api.call("POST", "/llm/room", json={"agents": [{}], "actors": [{}]})
    assert both.status_code == 422


@pytest.mark.parametrize(
    ("body", "code", "pointers"),
    [
        ({"foo": 1}, "VALIDATION_FAILED", ["/foo"]),
        ({"purpose": 5, "metadata": []}, "VALIDATION_FAILED", ["/purpose", "/metadata"]),
        ({"actors": []}, "VALIDATION_FAILED", ["/actors"]),
        ({"wake_policy": {"sleep": 1}}, "VALIDATION_FAILED", ["/wake_policy/sleep"]),
        ({"metadata": {"a": "x" * 300_000}}, "VALIDATION_FAILED", [""]),
        (
            {"wake_policy": {"schedule": {"every_s": 5, "cron": "* * * * *"}}},
            "VALIDATION_FAILED",
            ["/wake_policy/schedule"],
        ),
        (
            {"done_policy": {"mode": "on_idle", "then": "sleep"}},
            "POLICY_NOT_SUPPORTED",
            ["/done_policy/mode", "/done_policy/then"],
        ),
        ({"turn_policy": {"mode": "round_robin"}}, "POLICY_NOT_SUPPORTED", ["/turn_policy/mode"]),
        ({"mcp_servers": [{"url": "x"}]}, "POLICY_NOT_SUPPORTED", ["/mcp_servers"]),
    ],
)
async def test_a_wrong_rent_names_each_fault_and_sends_nothing(
    api: GatewayApi, body: dict[str, Any], code: str, pointers: list[str]
) -> None:
    """422 with the code and a pointer for each fault; no command leaves."""
    answer = await api.call("POST", "/llm/room", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (422, code)
    assert [fault["pointer"] for fault in answer.json()["errors"]] == pointers
    assert api.plane.sent == []


async def test_another_tenants_id_in_the_body_is_refused(api: GatewayApi) -> None:
    """`tenant_id` may be left out or be one's own, in every body."""
    assert (await api.call("POST", "/llm/room", json={"tenant_id": "dev"})).status_code == 201
    room = await api.rent()
    own = {"tenant_id": "dev", "content": "x"}
    assert (await api.call("POST", f"/llm/room/{room}/messages", json=own)).status_code == 202
    for method, rest in (
        ("POST", ""),
        ("PATCH", f"/{room}"),
        ("POST", f"/{room}/messages"),
        ("POST", f"/{room}/wake"),
        ("POST", f"/{room}/interrupt"),
        ("POST", f"/{room}/release"),
    ):
        answer = await api.call(method, f"/llm/room{rest}", json={"tenant_id": "acme"})
        assert (answer.status_code, answer.json()["error_code"]) == (403, "TENANT_MISMATCH")


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_room_is_read_with_its_etag(api: GatewayApi, family: str) -> None:
    """GET shows the room, and its version as ETag."""
    room = await api.rent()
    answer = await api.call("GET", f"{family}/{room}")
    assert (answer.status_code, answer.headers["etag"]) == (200, '"1"')
    assert answer.json()["data"]["id"] == room


@pytest.mark.parametrize(
    "room", ["x", "..", "%00", "%2e%2e", NOBODYS, NOBODYS.upper(), f"{NOBODYS}%20"]
)
@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("GET", "/messages"),
        ("POST", "/messages"),
        ("GET", "/turns"),
        ("POST", "/wake"),
        ("POST", "/interrupt"),
        ("POST", "/release"),
        ("GET", "/history"),
    ],
)
async def test_a_room_that_nobody_has_is_a_404(
    api: GatewayApi, method: str, rest: str, room: str
) -> None:
    """Unknown and malformed ids are the same 404 on every route."""
    body = {"json": {"content": "x"} if rest == "/messages" else {}} if method != "GET" else {}
    answer = await api.call(method, f"/llm/room/{room}{rest}", **body)
    code = "NOT_FOUND" if room == ".." else "ROOM_NOT_FOUND"
    assert (answer.status_code, answer.json()["error_code"]) == (404, code)


async def test_a_foreign_room_is_a_404(api: GatewayApi) -> None:
    """Another tenant's room does not exist, for reading or for anything else."""
    room = await api.rent()
    theirs = api.authority.add("theirs", tenant="acme")
    for method, rest in (("GET", ""), ("PATCH", ""), ("GET", "/history"), ("POST", "/release")):
        answer = await api.call(method, f"/llm/room/{room}{rest}", headers=theirs)
        assert (answer.status_code, answer.json()["error_code"]) == (404, "ROOM_NOT_FOUND")
    listed = await api.call("GET", "/llm/room", headers=theirs)
    assert listed.json()["data"] == []


async def test_patch_changes_and_moves_the_etag(api: GatewayApi) -> None:
    """A merge patch sets, resets with null, and `{}` changes nothing."""
    room = await api.rent(purpose="old", metadata={"a": 1, "b": 2})
    path = f"/llm/room/{room}"
    answer = await api.call("PATCH", path, json={"purpose": "new", "metadata": {"a": None}})
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    assert answer.json()["data"]["purpose"] == "new"
    assert answer.json()["data"]["metadata"] == {"b": 2}
    again = await api.call("PATCH", path, json={})
    assert (again.status_code, again.headers["etag"]) == (200, '"2"')


async def test_patch_takes_merge_patch_json_and_agents(api: GatewayApi) -> None:
    """`application/merge-patch+json` is right for PATCH, and only for it; `agents` are `actors`."""
    room = await api.rent()
    kind = {"Content-Type": "application/merge-patch+json"}
    body = b'{"agents": [{"agent_id": "ada"}]}'
    answer = await api.call("PATCH", f"/llm/room/{room}", content=body, headers=kind)
    assert answer.json()["data"]["actors"][0]["agent_id"] == "ada"
    answer = await api.call("POST", "/llm/room", content=b"{}", headers=kind)
    assert answer.json()["error_code"] == "UNSUPPORTED_MEDIA_TYPE"


async def test_patch_refuses_members_that_cannot_be_changed(api: GatewayApi) -> None:
    """A member that is no configuration is refused with its pointer."""
    room = await api.rent()
    answer = await api.call("PATCH", f"/llm/room/{room}", json={"status": "released", "a/b": 1})
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/status", "/a~1b"]


async def test_patch_passes_on_what_only_the_worker_can_refuse(api: GatewayApi) -> None:
    """The worker's faults of the merged room come out as they are."""
    room = await api.rent()
    wrong = await api.call("PATCH", f"/llm/room/{room}", json={"purpose": 5})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/purpose")
    unbuilt = await api.call("PATCH", f"/llm/room/{room}", json={"mcp_servers": [{}]})
    assert unbuilt.json()["error_code"] == "POLICY_NOT_SUPPORTED"


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        ('"1"', 200),
        ("*", 200),
        ('"7", "1"', 200),
        ('"2"', 412),
        ('W/"1"', 412),
        ('"abc"', 412),
        ('"7", "8"', 412),
        ("1", 400),
    ],
)
async def test_if_match_guards_a_patch(api: GatewayApi, if_match: str, status: int) -> None:
    """Only the version that the room has lets the patch through."""
    room = await api.rent()
    answer = await api.call(
        "PATCH", f"/llm/room/{room}", json={"purpose": "p"}, headers={"If-Match": if_match}
    )
    assert answer.status_code == status


async def test_release_is_idempotent_and_final(api: GatewayApi) -> None:
    """A released room answers release again, and refuses everything else."""
    room = await api.rent()
    path = f"/llm/room/{room}"
    answer = await api.call("POST", f"{path}/release", json={"result": {"n": 1}})
    assert (answer.status_code, answer.json()["data"]["status"]) == (200, "released")
    assert answer.json()["data"]["result"] == {"n": 1}
    assert (await api.call("POST", f"{path}/release")).status_code == 200
    for method, rest, body in (
        ("POST", "/messages", {"content": "x"}),
        ("POST", "/wake", {}),
        ("PATCH", "", {"purpose": "x"}),
    ):
        refused = await api.call(method, path + rest, json=body)
        assert (refused.status_code, refused.json()["error_code"]) == (409, "ROOM_RELEASED")


async def test_a_result_that_is_too_large_is_refused(api: GatewayApi) -> None:
    """A result holds at most 64 KiB."""
    room = await api.rent()
    answer = await api.call("POST", f"/llm/room/{room}/release", json={"result": "x" * 70_000})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/result")


async def test_interrupt_stops_the_running_turn(api: GatewayApi) -> None:
    """202 with the turn and where it is; without one 409."""
    room = await api.rent()
    path = f"/llm/room/{room}/interrupt"
    idle = await api.call("POST", path)
    assert (idle.status_code, idle.json()["error_code"]) == (409, "ROOM_NOT_RUNNING")
    turn = (await api.post(room)).json()["data"]["turn_id"]
    answer = await api.call("POST", path, json={"turn_id": turn, "mode": "soft"})
    assert (answer.status_code, answer.json()["data"]["turn_id"]) == (202, turn)
    assert answer.headers["location"] == f"/llm/room/{room}/turns/{turn}"
    other = await api.call("POST", path, json={"turn_id": uuid7()})
    assert other.json()["error_code"] == "ROOM_NOT_RUNNING"


async def test_wake_with_content_posts_a_message(api: GatewayApi) -> None:
    """The content of a wake obeys the rules of a message's, and becomes one."""
    room = await api.rent()
    path = f"/llm/room/{room}/wake"
    answer = await api.call("POST", path, json={"content": "up", "reason": "because"})
    assert (answer.status_code, answer.json()["data"]["status"]) == (200, "active")
    assert (await api.call("POST", path)).status_code == 200
    blank = await api.call("POST", path, json={"content": " "})
    assert (blank.status_code, blank.json()["errors"][0]["pointer"]) == (422, "/content")


async def test_the_list_shows_unreleased_rooms_first(api: GatewayApi) -> None:
    """Unreleased before released, newest first in each, over pages of any size."""
    rooms = []
    for number in range(7):
        api.clock.now += 1000
        rooms.append(await api.rent(metadata={"name": f"n{number}"}))
    for room in (rooms[2], rooms[5]):
        await api.call("POST", f"/llm/room/{room}/release")
    expected = [rooms[place] for place in (6, 4, 3, 1, 0, 5, 2)]
    for limit in (1, 3, 7, 1000):
        assert await _all_pages(api, f"/llm/room?limit={limit}") == expected
    assert await _all_pages(api, "/llm/room?status=released&limit=1") == [rooms[5], rooms[2]]
    assert await _all_pages(api, "/llm/room?name=n3") == [rooms[3]]


async def _all_pages(api: GatewayApi, path: str) -> list[str]:
    found: list[str] = []
    following: str | None = path
    while following is not None:
        answer = await api.call("GET", following)
        body = answer.json()
        assert answer.status_code == 200
        assert body["has_more"] is (body["next_cursor"] is not None)
        found += [room["id"] for room in body["data"]]
        following = answer.links["next"]["url"] if body["has_more"] else None
    return found


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("limit=0", 422, "VALIDATION_FAILED"),
        ("limit=-1", 422, "VALIDATION_FAILED"),
        ("limit=1001", 422, "VALIDATION_FAILED"),
        ("limit=1e2", 422, "VALIDATION_FAILED"),
        ("limit=", 422, "VALIDATION_FAILED"),
        ("limit=99999999999999999999", 422, "VALIDATION_FAILED"),
        ("status=gone", 422, "VALIDATION_FAILED"),
        ("name=%00", 422, "VALIDATION_FAILED"),
        ("cursor=", 400, "CURSOR_INVALID"),
        ("cursor=abc", 400, "CURSOR_INVALID"),
        ("foo=bar", 200, None),
    ],
)
async def test_query_parameters_are_checked(
    api: GatewayApi, query: str, status: int, code: str | None
) -> None:
    """A malformed parameter is refused by name, an unknown one is ignored."""
    answer = await api.call("GET", f"/llm/room?{query}")
    assert (answer.status_code, answer.json().get("error_code")) == (status, code)
    if code == "VALIDATION_FAILED":
        assert answer.json()["errors"][0]["pointer"] == "/query/" + query.partition("=")[0]


async def test_a_cursor_belongs_to_its_filters(api: GatewayApi) -> None:
    """A cursor that was changed, or of another question, is refused."""
    for _ in range(3):
        await api.rent()
    cursor = (await api.call("GET", "/llm/room?limit=1")).json()["next_cursor"]
    assert (await api.call("GET", f"/llm/room?cursor={cursor}")).status_code == 200
    for other in (f"status=rented&cursor={cursor}", f"cursor={cursor[:-1]}", f"cursor=x{cursor}"):
        answer = await api.call("GET", f"/llm/room?{other}")
        assert (answer.status_code, answer.json()["error_code"]) == (400, "CURSOR_INVALID")

"""Messages and turns over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from abbotik_contracts.room_commands import PostMessage
from abbotik_runtime.ids import uuid7
from tests.eventually import eventually
from tests.fakes.gateway_api import GatewayApi
from tests.fakes.sse_reader import parse


async def test_a_message_is_accepted_with_202(api: GatewayApi) -> None:
    """202 with the message and where it is; its id is the command's."""
    room = await api.rent()
    answer = await api.post(room, body={"metadata": {"n": 1}})
    message = answer.json()["data"]
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/llm/room/{room}/messages/{message['id']}"
    assert (message["content"], message["seq"], message["metadata"]) == ("hello", 1, {"n": 1})
    command = api.plane.sent[-1]
    assert isinstance(command, PostMessage)
    assert (command.id, command.room, command.tenant) == (message["id"], room, "dev")
    assert command.caller == "dev"
    read = await api.call("GET", answer.headers["location"])
    assert read.json()["data"] == message


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({}, "VALIDATION_FAILED", "/content"),
        ({"content": ""}, "VALIDATION_FAILED", "/content"),
        ({"content": " \n"}, "VALIDATION_FAILED", "/content"),
        ({"content": 5}, "VALIDATION_FAILED", "/content"),
        ({"content": []}, "VALIDATION_FAILED", "/content"),
        ({"content": "x" * 262_145}, "VALIDATION_FAILED", "/content"),
        ({"content": "é" * 131_073}, "VALIDATION_FAILED", "/content"),
        ({"content": "x", "kind": "output"}, "VALIDATION_FAILED", "/kind"),
        ({"content": "x", "metadata": {"a": "x" * 70_000}}, "VALIDATION_FAILED", "/metadata"),
        ({"content": "x", "delivery": "bogus"}, "VALIDATION_FAILED", "/delivery"),
        ({"content": "x", "delivery": "steer"}, "DELIVERY_NOT_SUPPORTED", "/delivery"),
    ],
)
async def test_a_wrong_message_is_refused(
    api: GatewayApi, body: dict[str, Any], code: str, pointer: str
) -> None:
    """422 with the pointer; no command leaves."""
    room = await api.rent()
    sent = len(api.plane.sent)
    answer = await api.call("POST", f"/llm/room/{room}/messages", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (422, code)
    assert pointer in [fault["pointer"] for fault in answer.json()["errors"]]
    assert len(api.plane.sent) == sent


@pytest.mark.parametrize("content", ["x" * 262_144, "\u202eabc", "a\r\nevent: x", "!\t§ 漢"])
async def test_odd_contents_come_back_as_they_were(api: GatewayApi, content: str) -> None:
    """What is allowed is stored and shown unchanged."""
    room = await api.rent()
    answer = await api.post(room, content)
    assert answer.status_code == 202
    assert answer.json()["data"]["content"] == content


async def test_blocks_come_back_as_blocks(api: GatewayApi) -> None:
    """Content given as blocks is shown as blocks, under both names."""
    room = await api.rent()
    blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    message = (await api.post(room, blocks)).json()["data"]
    assert message["content"] == message["content_blocks"] == blocks


async def test_reject_refuses_a_busy_room(api: GatewayApi) -> None:
    """`delivery: reject` is 409 while a turn runs."""
    room = await api.rent()
    assert (await api.post(room, body={"delivery": "reject"})).status_code == 202
    busy = await api.post(room, body={"delivery": "reject"})
    assert (busy.status_code, busy.json()["error_code"]) == (409, "ROOM_BUSY")


async def test_a_full_queue_asks_to_come_again(api: GatewayApi) -> None:
    """429 with Retry-After once 64 messages wait."""
    room = await api.rent()
    for _ in range(65):
        assert (await api.post(room)).status_code == 202
    full = await api.post(room)
    assert (full.status_code, full.json()["error_code"]) == (429, "ROOM_QUEUE_FULL")
    assert int(full.headers["retry-after"]) >= 1


async def test_wait_answers_with_turn_and_outputs(api: GatewayApi) -> None:
    """`Prefer: wait` answers 200 once the turn has ended, with what it put out."""
    room = await api.rent()
    asked = asyncio.create_task(api.post(room, headers={"Prefer": "respond-async, wait=20"}))
    await eventually(lambda: len(api.plane.sent) == 2)
    output = api.plane.finish(room, "the answer")
    answer = await asked
    data = answer.json()["data"]
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=20")
    assert data["content"] == "hello"
    assert data["turn"]["status"] == "completed"
    assert data["turn"]["id"] == data["turn_id"]
    assert [(one["id"], one["content"]) for one in data["outputs"]] == [(output, "the answer")]


async def test_wait_ends_with_202(api: GatewayApi) -> None:
    """A turn that takes longer is 202, as without the preference."""
    room = await api.rent()
    answer = await api.post(room, headers={"Prefer": "wait=0"})
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "wait=0")


async def test_a_preference_that_cannot_be_read_is_none(api: GatewayApi) -> None:
    """RFC 7240 wants it ignored."""
    room = await api.rent()
    answer = await api.post(room, headers={"Prefer": "wait=soon"})
    assert (answer.status_code, answer.headers.get("preference-applied")) == (202, None)


async def test_an_event_stream_is_the_turns_own(api: GatewayApi) -> None:
    """With `Accept: text/event-stream` the turn's events come, and the stream ends with it."""
    room = await api.rent()
    headers = {"Accept": "text/event-stream", "Idempotency-Key": "k"}
    asked = asyncio.create_task(api.post(room, headers=headers))
    await eventually(lambda: len(api.plane.sent) == 2)
    api.plane.finish(room)
    answer = await asked
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["location"].startswith(f"/llm/room/{room}/messages/")
    names = [frame.event for frame in parse(answer.text) if frame.data is not None]
    assert (names[0], names[-1]) == ("message:queued", "actor:turn_end")
    again = await api.post(room, headers=headers)
    assert again.headers["idempotent-replayed"] == "true"
    assert [frame.event for frame in parse(again.text) if frame.data is not None] == names


async def test_messages_are_listed_in_order(api: GatewayApi) -> None:
    """Pages of any size give all messages, outputs included, with their states and turns."""
    room = await api.rent()
    for number in range(5):
        await api.post(room, f"m{number}")
        api.plane.finish(room, f"o{number}")
    await api.post(room, "running")
    await api.post(room, "waiting")
    path = f"/llm/room/{room}/messages"
    whole = (await api.call("GET", path)).json()
    assert [one["seq"] for one in whole["data"]] == list(range(1, 13))
    assert [one["content"] for one in whole["data"][:2]] == ["m0", "o0"]
    assert [one["state"] for one in whole["data"][-2:]] == ["applied", "queued"]
    assert all(one["turn_id"] for one in whole["data"][:-1])
    assert whole["has_more"] is False
    page = (await api.call("GET", f"{path}?limit=5")).json()
    paged = page["data"]
    while page["has_more"]:
        page = (await api.call("GET", f"{path}?limit=5&cursor={page['next_cursor']}")).json()
        paged += page["data"]
    assert paged == whole["data"]
    after = (await api.call("GET", f"{path}?after_seq=10")).json()
    assert [one["seq"] for one in after["data"]] == [11, 12]


async def test_a_page_of_large_messages_is_bounded(api: GatewayApi) -> None:
    """A page holds at most 4 MiB and says that there is more."""
    room = await api.rent()
    for _ in range(20):
        await api.post(room, "x" * 262_000)
    answer = await api.call("GET", f"/llm/room/{room}/messages")
    assert 3_000_000 < len(answer.content) <= 4 * 1024 * 1024
    assert answer.json()["has_more"] is True


async def test_unknown_messages_and_turns_are_404(api: GatewayApi) -> None:
    """Malformed and unknown ids, and ids of another kind, are not found."""
    room = await api.rent()
    turn = (await api.post(room)).json()["data"]["turn_id"]
    for kind, ids in (("messages", ("x", uuid7(), turn)), ("turns", ("x", uuid7(), room))):
        for one in ids:
            answer = await api.call("GET", f"/llm/room/{room}/{kind}/{one}")
            code = kind[:-1].upper() + "_NOT_FOUND"
            assert (answer.status_code, answer.json()["error_code"]) == (404, code)


async def test_turns_are_listed_and_read_as_they_are_now(api: GatewayApi) -> None:
    """A turn is shown running and then ended, in the order of the messages."""
    room = await api.rent()
    turns = []
    for number in range(3):
        turns.append((await api.post(room, f"m{number}")).json()["data"]["turn_id"])
        if number < 2:
            api.plane.finish(room)
    path = f"/llm/room/{room}/turns"
    listed = (await api.call("GET", path)).json()
    assert [one["id"] for one in listed["data"]] == turns
    assert [one["status"] for one in listed["data"]] == ["completed", "completed", "running"]
    first = (await api.call("GET", f"{path}?limit=1")).json()
    assert first["has_more"] is True
    rest = (await api.call("GET", f"{path}?cursor={first['next_cursor']}")).json()
    assert [one["id"] for one in rest["data"]] == turns[1:]
    one = (await api.call("GET", f"{path}/{turns[0]}")).json()["data"]
    assert (one["status"], one["message_id"]) == ("completed", listed["data"][0]["message_id"])


async def test_history_gives_the_newest_and_says_what_is_left(api: GatewayApi) -> None:
    """The newest of each, ascending; positions move the windows."""
    room = await api.rent()
    for number in range(6):
        await api.post(room, f"m{number}")
        api.plane.finish(room)
    path = f"/llm/room/{room}/history"
    whole = (await api.call("GET", path)).json()["data"]
    events, messages = whole["events"], whole["messages"]
    assert whole["room"]["id"] == room
    assert whole["has_more"] is False
    assert [one["seq"] for one in events] == list(range(1, len(events) + 1))
    assert [one["seq"] for one in messages] == list(range(1, 13))
    assert events[1]["prev_hash"] == events[0]["hash"]
    newest = (await api.call("GET", f"{path}?limit=3")).json()["data"]
    assert newest["events"] == events[-3:]
    assert newest["messages"] == messages[-3:]
    assert newest["has_more"] is True
    query = "limit=2&after_message_seq=4&before_event_seq=6"
    moved = (await api.call("GET", f"{path}?{query}")).json()["data"]
    assert moved["messages"] == messages[4:6]
    assert moved["events"] == events[3:5]
    beyond = (await api.call("GET", f"{path}?after_event_seq=999&after_message_seq=999")).json()
    assert (beyond["data"]["events"], beyond["data"]["has_more"]) == ([], False)


async def test_history_is_at_most_4_mib(api: GatewayApi) -> None:
    """Large contents are left out from the old end, and the answer says so."""
    room = await api.rent()
    for _ in range(30):
        await api.post(room, "x" * 200_000)
    answer = await api.call("GET", f"/llm/room/{room}/history")
    data = answer.json()["data"]
    assert 3_000_000 < len(answer.content) <= 4 * 1024 * 1024
    assert data["has_more"] is True
    assert data["messages"][-1]["seq"] == 30
    assert data["events"][-1]["seq"] == data["room"]["last_event_seq"]


async def test_refusals_hide_no_events(api: GatewayApi) -> None:
    """Entries without events, however many, leave the history complete."""
    room = await api.rent()
    await api.post(room)
    for _ in range(200):
        await api.post(room, body={"delivery": "reject"})
    api.plane.finish(room)
    data = (await api.call("GET", f"/llm/room/{room}/history")).json()["data"]
    assert len(data["events"]) == data["room"]["last_event_seq"]


async def test_trace_and_request_id_travel_with_the_command(api: GatewayApi) -> None:
    """A sane request id and traceparent are passed on; others are not."""
    room = await api.rent()
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    await api.post(room, headers={"x-request-id": "mine", "traceparent": trace})
    assert (api.plane.sent[-1].request_id, api.plane.traces[-1]) == ("mine", trace)
    await api.post(room, headers={"traceparent": "x\ty"})
    assert api.plane.traces[-1] is None
    assert api.plane.sent[-1].request_id not in ("", "mine")

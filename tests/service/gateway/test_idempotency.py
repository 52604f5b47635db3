"""Idempotency-Key on every POST."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import httpx
import pytest

from abbotik_gateway.domain.keyed import Keyed
from abbotik_gateway.handlers import commanding
from abbotik_gateway.ports import UnavailableError, UnconfirmedError
from tests.eventually import eventually
from tests.fakes.gateway_api import GatewayApi

KEY = {"Idempotency-Key": "k-1"}


@pytest.mark.parametrize(
    ("rest", "body"),
    [
        ("", {"purpose": "p"}),
        ("/messages", {"content": "x"}),
        ("/wake", {"reason": "r"}),
        ("/interrupt", {}),
        ("/release", {}),
    ],
)
async def test_the_same_request_gets_the_stored_answer(
    api: GatewayApi, rest: str, body: dict[str, Any]
) -> None:
    """The second answer is the first one, refusals included, and no command leaves for it."""
    path = f"/llm/room/{await api.rent()}{rest}" if rest else "/llm/room"
    first = await api.call("POST", path, json=body, headers=KEY)
    sent = len(api.plane.sent)
    again = await api.call("POST", path, json=body, headers=KEY)
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers.get("location") == first.headers.get("location")
    assert again.headers.get("etag") == first.headers.get("etag")
    assert first.headers.get("idempotent-replayed") is None
    assert len(api.plane.sent) == sent
    assert again.headers["idempotent-replayed"] == "true"


async def test_the_key_holds_over_both_families(api: GatewayApi) -> None:
    """One handler, one key: the other family replays too, with its own Location."""
    first = await api.call("POST", "/llm/room", headers=KEY)
    again = await api.call("POST", "/api/rooms", headers=KEY)
    assert again.json() == first.json()
    assert again.headers["location"].startswith("/api/rooms/")


async def test_members_in_another_order_are_the_same_body(api: GatewayApi) -> None:
    """What counts is what the body says, not how it is written."""
    first = await api.call(
        "POST", "/llm/room", content=b'{"purpose":"p","metadata":{}}', headers={**KEY, **JSON}
    )
    again = await api.call(
        "POST", "/llm/room", content=b'{ "metadata":{}, "purpose":"p" }', headers={**KEY, **JSON}
    )
    assert again.json() == first.json()


JSON = {"Content-Type": "application/json"}


async def test_another_body_is_refused(api: GatewayApi) -> None:
    """422 IDEMPOTENCY_KEY_REUSED; the key of another room or tenant is another key."""
    room, other = await api.rent(), await api.rent()
    assert (await api.post(room, "a", headers=KEY)).status_code == 202
    reused = await api.post(room, "b", headers=KEY)
    assert (reused.status_code, reused.json()["error_code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert (await api.post(other, "b", headers=KEY)).status_code == 202
    acme = api.authority.add("acme-token", tenant="acme")
    theirs = await api.call("POST", "/llm/room", headers={**KEY, **acme})
    ours = await api.call("POST", "/llm/room", headers=KEY)
    assert theirs.json()["data"]["id"] != ours.json()["data"]["id"]


async def test_fifty_at_once_make_one_room(api: GatewayApi) -> None:
    """Of equal requests in parallel exactly one is carried out."""
    answers = await asyncio.gather(*(api.call("POST", "/llm/room", headers=KEY) for _ in range(50)))
    rooms = {answer.json()["data"]["id"] for answer in answers if answer.status_code == 201}
    assert len(rooms) == 1
    assert len(api.plane.rooms) == 1
    others = [answer for answer in answers if answer.status_code != 201]
    assert {answer.json()["error_code"] for answer in others} <= {"IDEMPOTENCY_IN_PROGRESS"}


async def test_a_running_request_is_waited_for(api: GatewayApi) -> None:
    """409 with Retry-After while the first is younger than 10 s, then the command runs again."""
    api.plane.broken = UnconfirmedError("open")
    api.plane.lost = True
    api.keys.away = False
    room = await _lost_rent(api)
    # As if the first gateway had died before it could say that the outcome is open.
    _forget_that_it_is_open(api)
    busy = await api.call("POST", "/llm/room", headers=KEY)
    assert (busy.status_code, busy.json()["error_code"]) == (409, "IDEMPOTENCY_IN_PROGRESS")
    assert busy.headers["retry-after"] == "1"
    api.clock.now += 10_000
    again = await api.call("POST", "/llm/room", headers=KEY)
    assert (again.status_code, again.json()["data"]["id"]) == (201, room)


async def _lost_rent(api: GatewayApi) -> str:
    lost = await api.call("POST", "/llm/room", headers=KEY)
    assert (lost.status_code, lost.json()["error_code"]) == (503, "COMMAND_UNCONFIRMED")
    assert int(lost.headers["retry-after"]) >= 1
    api.plane.broken = None
    return api.plane.sent[-1].room


def _forget_that_it_is_open(api: GatewayApi) -> None:
    held = api.keys._held
    place, (keyed, began) = next(iter(held.items()))
    object.__setattr__(keyed, "opened", False)
    held[place] = (keyed, began)


async def test_after_a_503_the_same_command_is_sent_again(api: GatewayApi) -> None:
    """The retry goes out at once, under the same ids, and finds what the first one did."""
    api.plane.broken, api.plane.lost = UnconfirmedError("open"), True
    room = await _lost_rent(api)
    again = await api.call("POST", "/llm/room", headers=KEY)
    assert (again.status_code, again.json()["data"]["id"]) == (201, room)
    first, second = api.plane.sent
    assert (first.id, first.room) == (second.id, second.room)
    assert len(api.plane.rooms) == 1


async def test_a_command_that_never_left_is_sent_by_the_retry(api: GatewayApi) -> None:
    """NATS away is 503 SERVICE_UNAVAILABLE, and the key is good for a retry."""
    api.plane.broken = UnavailableError("away")
    away = await api.call("POST", "/llm/room", headers=KEY)
    assert (away.status_code, away.json()["error_code"]) == (503, "SERVICE_UNAVAILABLE")
    api.plane.broken = None
    assert (await api.call("POST", "/llm/room", headers=KEY)).status_code == 201


async def test_without_its_store_a_key_is_not_ignored(api: GatewayApi) -> None:
    """A key that cannot be stored is 503, and nothing is sent."""
    api.keys.away = True
    answer = await api.call("POST", "/llm/room", headers=KEY)
    assert (answer.status_code, answer.json()["error_code"]) == (503, "SERVICE_UNAVAILABLE")
    assert api.plane.sent == []


@pytest.mark.parametrize("step", ["begin", "take_over"])
async def test_a_key_whose_store_did_not_answer_is_good_for_the_retry(
    api: GatewayApi, step: str
) -> None:
    """What was stored without a word to say so does not count as a request that runs."""
    if step == "take_over":
        api.plane.broken, api.plane.lost = UnconfirmedError("open"), True
        await _lost_rent(api)
    stored = getattr(api.keys, step)

    async def unheard(keyed: Keyed) -> None:
        await stored(keyed)
        raise UnavailableError("no answer")

    setattr(api.keys, step, unheard)
    refused = await api.call("POST", "/llm/room", headers=KEY)
    assert (refused.status_code, refused.json()["error_code"]) == (503, "SERVICE_UNAVAILABLE")
    setattr(api.keys, step, stored)
    assert (await api.call("POST", "/llm/room", headers=KEY)).status_code == 201
    assert len({command.id for command in api.plane.sent}) == 1


async def test_a_store_that_hears_no_cancellation_holds_up_no_answer(
    api: GatewayApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver loses one now and then while it looks for a server."""
    monkeypatch.setattr(commanding, "_UNHEARD_S", 0.05)
    api.keys.away = True
    back = asyncio.Event()

    async def deaf(_keyed: Keyed) -> None:
        while not back.is_set():
            with suppress(asyncio.CancelledError):
                await back.wait()

    monkeypatch.setattr(api.keys, "reopen", deaf)
    answer = await asyncio.wait_for(api.call("POST", "/llm/room", headers=KEY), 5)
    assert (answer.status_code, answer.json()["error_code"]) == (503, "SERVICE_UNAVAILABLE")
    back.set()


async def test_an_outcome_that_cannot_be_stored_is_still_answered(api: GatewayApi) -> None:
    """What is committed is told; the key's next request finds it by the command's id."""
    finish = api.keys.finish

    async def broken(*_given: object) -> None:
        raise UnavailableError("away")

    api.keys.finish = broken  # type: ignore[assignment,method-assign]  # the store goes away
    first = await api.call("POST", "/llm/room", headers=KEY)
    assert first.status_code == 201
    api.keys.finish = finish  # type: ignore[method-assign]  # and is back
    api.clock.now += 10_000
    again = await api.call("POST", "/llm/room", headers=KEY)
    assert again.json()["data"]["id"] == first.json()["data"]["id"]


@pytest.mark.parametrize("key", ["", "k" * 256, "ä", "a\tb"])
async def test_a_key_that_is_none_is_refused(api: GatewayApi, key: str) -> None:
    """1 to 255 printable ASCII characters, else 400 HEADER_INVALID."""
    headers = [(b"authorization", b"Bearer user-token"), (b"idempotency-key", key.encode())]
    request = httpx.Request("POST", "http://gateway/llm/room", headers=headers)
    answer = await api.client.send(request)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "HEADER_INVALID")


async def test_a_waited_answer_is_waited_for_again(api: GatewayApi) -> None:
    """The replay of a waited message has its turn and outputs too."""
    room = await api.rent()
    headers = {**KEY, "Prefer": "wait=20"}
    asked = asyncio.create_task(api.post(room, headers=headers))
    await eventually(lambda: len(api.plane.sent) == 2)
    api.plane.finish(room, "out")
    first = await asked
    again = await api.post(room, headers=headers)
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["idempotent-replayed"] == "true"

"""Every query has an index: ten thousand idle rooms must cost nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pymongo
import pytest

from tests.eventually import eventually_sync
from tests.stack import Stack

PASSES = 6


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack whose MongoDB refuses every query that would read a whole collection."""
    with Stack(tmp_path_factory.mktemp("scans")) as running:
        with pymongo.MongoClient[dict[str, Any]](running.mongo_url) as client:
            client.admin.command({"setParameter": 1, "notablescan": True})
        yield running


def test_every_read_of_the_api_has_an_index(stack: Stack) -> None:
    """All reads of a room with a turn behind it are answered."""
    rooms, headers = f"{stack.url}/llm/room", stack.headers
    room = httpx.post(rooms, headers=headers).json()["data"]["id"]
    waited = httpx.post(
        f"{rooms}/{room}/messages",
        headers={**headers, "Prefer": "wait=10", "Idempotency-Key": "once"},
        json={"content": "!tool echo {}\n!say hi"},
    ).json()["data"]
    paths = [
        "",
        "?status=idle&name=x",
        f"/{room}",
        f"/{room}/messages",
        f"/{room}/messages/{waited['id']}",
        f"/{room}/messages/{waited['outputs'][0]['id']}",
        f"/{room}/turns",
        f"/{room}/turns/{waited['turn']['id']}",
        f"/{room}/history",
        f"/{room}/history?before_event_seq=5&before_message_seq=2",
        f"/{room}/events?format=json&after=2",
        f"/{room}/events?follow=false",
    ]
    answers = {path: httpx.get(rooms + path, headers=headers).status_code for path in paths}
    assert set(answers.values()) == {200}, answers


def test_every_sweep_has_an_index(stack: Stack) -> None:
    """Once the worker looks for dead sessions too, each of its loops still passes."""

    def passes(outcome: str) -> dict[str, float]:
        text = httpx.get(f"{stack.metrics['room-worker']}/metrics").text
        pattern = rf'loop_passes_total{{loop="(\w+)",outcome="{outcome}"}} (\S+)'
        return {name: float(count) for name, count in re.findall(pattern, text)}

    began = passes("ok")
    assert {"waiting", "deadlines", "recovery", "own_rooms", "session"} <= set(began)
    # It looks for others' sessions only after it renewed its own for a full expiry.
    eventually_sync(
        lambda: all(passes("ok")[name] >= began[name] + PASSES for name in began), within_s=20
    )
    assert passes("error") == {}
    # A gateway looks at the workers too; what MongoDB refuses it says in its log.
    assert "mongo.failed" not in stack.log("gateway")

"""Runs in the network of docker-compose.yml (service `smoke`): a turn, health, and closed doors."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid

import httpx
import nats
import nats.errors
from pymongo import MongoClient
from pymongo.errors import OperationFailure

URL = "http://gateway:9002"
HEALTH = (
    "http://gateway:9102",
    "http://room-worker:9103",
    "http://factory:9104",
    "http://verifier:9105",
)
WORDS = "inside and out"
KEY = uuid.uuid4().hex
# Times five characters: more than a command carries itself.
LARGE = 20_000
UNAUTHORIZED = 13


def ready() -> None:
    """Expect every service to call itself ready, under its name in the network."""
    for base in HEALTH:
        answer = httpx.get(f"{base}/health/ready", timeout=10)
        expect(answer.status_code == httpx.codes.OK, f"{base} is not ready: {answer.text}")


def turn() -> None:
    """Expect a new room's turn to answer with what was asked for."""
    with gateway() as client:
        said = outputs(client, rent(client), f"!stream 5 {WORDS}")
        expect(said == [WORDS], f"the turn said {said}")


def every_collection() -> None:
    """Expect what is rarely written to be writable too: keys, tickets, large contents."""
    with gateway() as client:
        rooms = {rent(client, {"Idempotency-Key": KEY}) for _ in range(2)}
        expect(len(rooms) == 1, "one idempotency key rented two rooms")
        room = rooms.pop()
        client.post(f"/llm/room/{room}/events/ticket").raise_for_status()
        long = "long " * LARGE
        outputs(client, room, long)
        page = client.get(f"/llm/room/{room}/messages").raise_for_status().json()["data"]
        said = [message["content"] for message in page if message["kind"] == "output"]
        expect(said == [f"echo: {long}"], "a large content did not come back whole")


def gateway() -> httpx.Client:
    """Return a client of the gateway with the user's token."""
    authorization = {"Authorization": f"Bearer {os.environ['ABBOTIK_DEV_TOKEN']}"}
    return httpx.Client(base_url=URL, headers=authorization, timeout=30)


def rent(client: httpx.Client, headers: dict[str, str] | None = None) -> str:
    """Rent a room and return its id."""
    answer = client.post("/llm/room", json={"purpose": "smoke"}, headers=headers)
    return str(answer.raise_for_status().json()["data"]["id"])


def outputs(client: httpx.Client, room: str, content: str) -> list[str]:
    """Post a message, follow its turn to the end, return what was said."""
    answer = client.post(
        f"/llm/room/{room}/messages",
        json={"content": content},
        headers={"Accept": "text/event-stream"},
    ).raise_for_status()
    data = [
        json.loads(line.removeprefix("data:"))
        for line in answer.text.splitlines()
        if line.startswith("data:")
    ]
    return [event["payload"]["text"] for event in data if event.get("event_type") == "actor:output"]


async def bus_is_closed() -> None:
    """Expect NATS to let nobody in who has no user."""
    try:
        client = await nats.connect("nats://nats:4222", allow_reconnect=False, error_cb=_unheard)
    except nats.errors.Error:
        return
    await client.close()
    expect(False, "NATS let a stranger in")


def store_is_closed() -> None:
    """Expect MongoDB to show nothing to whom it does not know."""
    with MongoClient[dict[str, object]](
        "mongodb://mongo:27017/?replicaSet=rs0", timeoutMS=5000
    ) as client:
        try:
            client["abbotik"]["room_log"].find_one()
        except OperationFailure as refusal:
            expect(refusal.code == UNAUTHORIZED, f"MongoDB refused for another reason: {refusal}")
        else:
            expect(False, "MongoDB showed the log to a stranger")


def expect(condition: bool, otherwise: str) -> None:
    """End with a sentence where the condition does not hold."""
    if not condition:
        sys.exit(f"smoke: {otherwise}")


async def _unheard(_error: Exception) -> None:
    """Ignore the refusal here: it also reaches the call that waits for it."""


if __name__ == "__main__":
    ready()
    turn()
    every_collection()
    asyncio.run(bus_is_closed())
    store_is_closed()

"""Runs in the network of docker-compose.yml (service `smoke`): a turn, health, and closed doors."""

from __future__ import annotations

import asyncio
import json
import os
import sys

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
UNAUTHORIZED = 13


def ready() -> None:
    """Expect every service to call itself ready, under its name in the network."""
    for base in HEALTH:
        answer = httpx.get(f"{base}/health/ready", timeout=10)
        expect(answer.status_code == httpx.codes.OK, f"{base} is not ready: {answer.text}")


def turn() -> None:
    """Expect a new room's turn to answer with what was asked for."""
    authorization = {"Authorization": f"Bearer {os.environ['ABBOTIK_DEV_TOKEN']}"}
    with httpx.Client(base_url=URL, headers=authorization, timeout=30) as client:
        room = client.post("/llm/room", json={"purpose": "smoke"}).raise_for_status().json()["data"]
        answer = client.post(
            f"/llm/room/{room['id']}/messages",
            json={"content": f"!stream 5 {WORDS}"},
            headers={"Accept": "text/event-stream"},
        ).raise_for_status()
        data = [
            json.loads(line.removeprefix("data:"))
            for line in answer.text.splitlines()
            if line.startswith("data:")
        ]
        outputs = [
            event["payload"]["text"] for event in data if event.get("event_type") == "actor:output"
        ]
        expect(outputs == [WORDS], f"the turn said {outputs}")


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
    asyncio.run(bus_is_closed())
    store_is_closed()

"""Outcomes that are known together share a message; none is lost, and none is mixed up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

import orjson
import pytest
from nats.errors import MaxPayloadError

from abbotik_contracts.room_log import Record
from abbotik_room_worker.adapters.replies import NatsReplies
from abbotik_runtime.bus import Bus, BusUnavailable


class Ears:
    """A bus that keeps what was published, or is away."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.away = False
        self.most = 1024 * 1024

    async def publish(
        self, subject: str, data: bytes, _headers: Mapping[str, str] | None = None
    ) -> None:
        """Keep a message."""
        if self.away:
            raise BusUnavailable("away")
        if len(data) > self.most:
            raise MaxPayloadError
        self.heard.append((subject, data))

    def commands(self) -> list[tuple[str, list[str]]]:
        """Return whose outcomes came in each message."""
        return [
            (inbox, [orjson.loads(line)["command"] for line in data.split(b"\n")])
            for inbox, data in self.heard
        ]


@pytest.fixture
def ears() -> Ears:
    """Return a bus."""
    return Ears()


@pytest.fixture
def replies(ears: Ears) -> NatsReplies:
    """Return what tells outcomes on it."""
    return NatsReplies(cast("Bus", ears))


async def test_an_outcome_names_its_command(ears: Ears, replies: NatsReplies) -> None:
    """One alone is a message of one line."""
    await replies.tell("in", "c1", {"ok": True, "data": {"text": "a\nb"}})
    ((inbox, data),) = ears.heard
    assert inbox == "in"
    assert orjson.loads(data) == {"command": "c1", "ok": True, "data": {"text": "a\nb"}}


async def test_outcomes_of_one_moment_share_a_message(ears: Ears, replies: NatsReplies) -> None:
    """Those to another inbox have one of their own, and later ones too."""
    await asyncio.gather(
        *(replies.tell(inbox, f"c{n}", {}) for n, inbox in enumerate(("a", "b", "a", "a")))
    )
    assert ears.commands() == [("a", ["c0", "c2", "c3"]), ("b", ["c1"])]
    await replies.tell("a", "c4", {})
    assert ears.commands()[2:] == [("a", ["c4"])]


async def test_no_message_passes_what_the_bus_takes(ears: Ears, replies: NatsReplies) -> None:
    """Many large outcomes are some messages, in order."""
    large: Record = {"data": "x" * 100_000}
    await asyncio.gather(*(replies.tell("in", str(n), large) for n in range(20)))
    assert max(len(data) for _, data in ears.heard) < 1024 * 1024
    assert 1 < len(ears.heard) < 20
    told = [command for _, commands in ears.commands() for command in commands]
    assert told == [str(n) for n in range(20)]


async def test_an_outcome_that_the_bus_refuses_takes_no_other_along(
    ears: Ears, replies: NatsReplies
) -> None:
    """It goes alone, as it is larger than what shares a message, and the others come."""
    sizes = [10, 900_000, 10, 10]
    ears.most = 800_000
    large: list[Record] = [{"data": "x" * size} for size in sizes]
    await asyncio.gather(*(replies.tell("in", str(n), one) for n, one in enumerate(large)))
    assert ears.commands() == [("in", ["0"]), ("in", ["2", "3"])]


async def test_who_is_cancelled_takes_no_other_outcome_along(
    ears: Ears, replies: NatsReplies
) -> None:
    """The first of a moment sends for all of them."""
    tellings = [asyncio.create_task(replies.tell("in", str(n), {})) for n in range(2)]
    asyncio.get_running_loop().call_soon(tellings[0].cancel)
    await asyncio.gather(*tellings, return_exceptions=True)
    assert tellings[0].cancelled()
    assert ears.commands() == [("in", ["0", "1"])]


async def test_without_a_bus_nothing_is_said(ears: Ears, replies: NatsReplies) -> None:
    """The gateway asks again; the log has the outcome."""
    ears.away = True
    await replies.tell("in", "c1", {})
    ears.away = False
    await replies.tell("in", "c2", {})
    assert ears.commands() == [("in", ["c2"])]

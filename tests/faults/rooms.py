"""The rooms of a load, as their followers show them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from tests.faults.history import Call, Record, Sightings

OPEN_PER_ROOM = 2


class Rooms:
    """What is known of each room; ``events`` is how many its followers have seen in all.

    ``turns`` are the turns that have begun, by message; ``over`` is the last one that has ended,
    and ``versions`` the newest configuration, by room. ``scheduled`` are those that wake by
    themselves, or did.
    """

    def __init__(self) -> None:
        self.sightings: dict[str, Sightings] = {}
        self.events = 0
        self.turns: dict[str, str] = {}
        self.over: dict[str, str] = {}
        self.versions: dict[str, int] = {}
        self.scheduled: list[str] = []
        # Those that were not released, and how many messages of writers and wakes they got.
        self._posted: dict[str, int] = {}
        self._queued: dict[str, set[str]] = {}
        self._ended: dict[str, set[str]] = {}
        self._change = asyncio.Event()

    @property
    def living(self) -> list[str]:
        """The rooms that were not released."""
        return list(self._posted)

    @property
    def free(self) -> list[str]:
        """The rooms that take another message."""
        return [
            room
            for room, posted in self._posted.items()
            if posted - len(self._ended[room]) < OPEN_PER_ROOM
        ]

    def add(self, room: str) -> Sightings:
        """Add a room; return what its follower is to write to."""
        self._posted[room], self._queued[room], self._ended[room] = 0, set(), set()
        self.sightings[room] = Sightings(room, "follower")
        return self.sightings[room]

    def remove(self, room: str) -> bool:
        """Have nobody post into it any more; False where it is so already."""
        return self._posted.pop(room, None) is not None

    def count(self, room: str, posts: int) -> None:
        """Add to the number of its messages."""
        if room in self._posted:
            self._posted[room] += posts

    def has_ended(self, room: str, message: str) -> bool:
        """Say whether nothing of a message can come any more."""
        return message in self._ended[room]

    def all_ended(self, calls: Iterable[Call]) -> bool:
        """Say whether all messages that were accepted or seen have ended."""
        told = all(
            self.has_ended(call.room, call.told)
            for call in calls
            if call.what == "post" and call.accepted
        )
        return told and all(seen <= self._ended[room] for room, seen in self._queued.items())

    def saw(self, event: Record) -> None:
        """Take note of an event that a follower saw."""
        self.events += 1
        room, payload = event["room_id"], event["payload"]
        self.versions[room] = event["policy_version"]
        match event["event_type"]:
            case "message:queued":
                self._queued[room].add(payload["message_id"])
            case "actor:turn_start":
                self.turns[payload["message_id"]] = payload["turn_id"]
            case "actor:turn_end":
                self.over[room] = payload["turn_id"]
                self._ended[room].add(payload["message_id"])
            case "message:withdrawn":
                self._ended[room].add(payload["message_id"])
            case "room:wake" if payload["occurrence_id"] in self._queued[room]:
                # What a wake posts takes its place among the others.
                self.count(room, 1)
        # Whoever waits looks again; the next change has an event of its own.
        self._change.set()
        self._change = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once the condition holds, looking after each event that a follower sees."""
        while not condition():
            await self._change.wait()

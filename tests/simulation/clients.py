"""What clients of a life do: each rents a room, works in it, and perhaps releases it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from abbotik_contracts.policies import Schedule, WakePolicy
from abbotik_contracts.room_bodies import (
    InterruptBody,
    MessageBody,
    ReleaseBody,
    RentBody,
    WakeBody,
)
from abbotik_contracts.room_commands import (
    InterruptRoom,
    PatchChange,
    PatchRoom,
    PostMessage,
    ReleaseRoom,
    RentRoom,
    RoomCommand,
    WakeRoom,
)
from tests.simulation.virtual_time import happens
from tests.simulation.world import World

SCRIPTS = (
    "hello",
    "!stream 100 one two three",
    '!tool echo {"room": "ROOM"}\n!wait 400\n!say done',
    "!wait 2500\n!say slept",
    # Longer than a worker that leaves waits for its turns.
    '!tool wait {"ms": 4000, "room": "ROOM"}\n!say waited',
    "!fail BROKEN no",
)
LONG = "!wait 30000\n!say slept long"
POLICIES = (
    SCHEDULED := WakePolicy(schedule=Schedule(every_s=3, content="tick", overlap="queue")),
    WakePolicy(sleep_after_s=1),
    WakePolicy(),
)


async def client(world: World, rented: Callable[[str], None]) -> None:
    """Live in one room; ``rented`` is called once it is there."""
    random = world.random
    room = world.id()
    world.rooms.append(room)
    policy = random.choice(POLICIES)
    await world.ask(RentRoom(**world.at(room), body=RentBody(wake_policy=policy)))
    rented(room)
    if random.random() < 0.4:
        await _stop_at_once(world, room)
    for _ in range(random.randint(4, 9)):
        await world.ask(_some_command(world, room))
        await asyncio.sleep(random.choice((0, 0.1, 3)))
    if random.random() < 0.3:
        await world.ask(ReleaseRoom(**world.at(room), body=ReleaseBody()))
    if policy is SCHEDULED:
        over = PatchChange(patch={"wake_policy": {"schedule": None}})
        await world.ask(PatchRoom(**world.at(room), body=over))


async def _stop_at_once(world: World, room: str) -> None:
    """Have a turn interrupted that would go on for long, and say nothing more until it is over."""
    message = PostMessage(**world.at(room), body=MessageBody(content=LONG))

    def runs() -> bool:
        turn = world.log_of(room)[-1]["state"]["turn"]
        return turn is not None and turn["message_id"] == message.id

    await world.ask(message)
    await happens(runs)
    body = InterruptBody(mode="hard", deadline_ms=60_000)
    await world.ask(InterruptRoom(**world.at(room), body=body))
    await happens(lambda: not runs())


def _some_command(world: World, room: str) -> RoomCommand:
    random = world.random
    dice = random.random()
    if dice < 0.7:
        delivery: Any = random.choice(("queue", "queue", "reject"))
        content = random.choice(SCRIPTS).replace("ROOM", room)
        body = MessageBody(content=content, delivery=delivery)
        return PostMessage(**world.at(room), body=body)
    if dice < 0.85:
        mode: Any = random.choice(("soft", "hard"))
        body_ = InterruptBody(mode=mode, deadline_ms=random.choice((200, 2000)))
        return InterruptRoom(**world.at(room), body=body_)
    return WakeRoom(**world.at(room), body=WakeBody())

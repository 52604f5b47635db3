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
from tests.simulation.world import World

SCRIPTS = (
    "hello",
    "!stream 100 one two three",
    '!tool echo {"x": 1}\n!wait 400\n!say done',
    "!wait 2500\n!say slept",
    # Longer than a worker that leaves waits for its turns.
    '!tool wait {"ms": 4000}\n!say waited',
    "!fail BROKEN no",
)
SCHEDULED = WakePolicy(schedule=Schedule(every_s=3, content="tick", overlap="queue"))


async def client(world: World, rented: Callable[[str], None]) -> None:
    """Live in one room; ``rented`` is called once it is there."""
    random = world.random
    room = world.id()
    world.rooms.append(room)
    policy = SCHEDULED if random.random() < 0.3 else WakePolicy()
    await world.ask(RentRoom(**world.at(room), body=RentBody(wake_policy=policy)))
    rented(room)
    for _ in range(random.randint(4, 9)):
        await world.ask(_some_command(world, room))
        await asyncio.sleep(random.choice((0, 0.1, 3)))
    if random.random() < 0.3:
        await world.ask(ReleaseRoom(**world.at(room), body=ReleaseBody()))
    if policy is SCHEDULED:
        over = PatchChange(patch={"wake_policy": {"schedule": None}})
        await world.ask(PatchRoom(**world.at(room), body=over))


def _some_command(world: World, room: str) -> RoomCommand:
    random = world.random
    dice = random.random()
    if dice < 0.7:
        delivery: Any = random.choice(("queue", "queue", "reject"))
        body = MessageBody(content=random.choice(SCRIPTS), delivery=delivery)
        return PostMessage(**world.at(room), body=body)
    if dice < 0.85:
        mode: Any = random.choice(("soft", "hard"))
        body_ = InterruptBody(mode=mode, deadline_ms=random.choice((200, 2000)))
        return InterruptRoom(**world.at(room), body=body_)
    return WakeRoom(**world.at(room), body=WakeBody())

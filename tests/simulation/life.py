"""One seed is one life: run it, and check what it left."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from types import SimpleNamespace
from uuid import UUID

import pytest

from abbotik_runtime import ids
from tests.simulation import virtual_time
from tests.simulation.worker import MAX_QUEUE
from tests.simulation.world import World
from tests.unit.room_worker.sound_log import SoundLog


def chance(monkeypatch: pytest.MonkeyPatch) -> Random:
    """Return a source of chance that also makes every id."""
    random = Random()  # noqa: S311  a seed has to give the same life again

    def made() -> UUID:
        return UUID(int=random.getrandbits(128), version=4)

    monkeypatch.setattr(ids, "uuid_utils", SimpleNamespace(uuid7=made))
    return random


def live(random: Random, seed: int) -> None:
    """Live the life of a seed; AssertionError that names it where a promise was broken."""
    random.seed(seed)
    world = World(random)
    rests = virtual_time.run(world.live())
    try:
        assert rests, "a room is stuck"
        _check(world)
    except AssertionError as broken:
        raise AssertionError(f"seed {seed}: {broken}") from broken


def _check(world: World) -> None:
    assert world.dead_letters == []
    for command, outcomes in world.told.items():
        assert len({_said(outcome) for outcome in outcomes}) == 1, f"{command} has two outcomes"
    for room in world.rooms:
        log = world.log_of(room)
        sound = SoundLog(MAX_QUEUE)
        for entry in log:
            sound.add(entry)
        sound.check_quiet(log[-1])
        settled = {key for entry in log for key in entry.get("keys", ())}
        for command, outcomes in world.told.items():
            data = outcomes[0].get("data")
            if isinstance(data, dict) and data.get("room_id") == room:
                assert command in settled, f"message {command} was told and is not in the log"


def _said(outcome: Mapping[str, object]) -> tuple[object, ...]:
    data = outcome.get("data")
    return (outcome["ok"], outcome.get("code"), data.get("id") if isinstance(data, dict) else None)

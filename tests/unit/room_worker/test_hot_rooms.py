"""Rooms at hand share what is the same in all of them, and nothing else."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest

from abbotik_contracts.room_config import RoomConfig
from abbotik_room_worker import hot_rooms
from abbotik_room_worker.domain.decide import decide
from abbotik_room_worker.domain.draft import Draft
from abbotik_room_worker.domain.room import Room, config_record
from abbotik_room_worker.hot_rooms import HotRooms, SharedConfigs
from tests.unit.room_worker.rooms import AROUND, T0, rent

# Written alike, or equal to Python, and not the same.
_ALIKE = {"none": None, "nan": math.nan, "one": 1, "float": 1.0, "true": True}


def rented(name: str, **body: Any) -> Room:
    """Return a room as it is after its rent."""
    decision = decide(None, rent(**body), T0, AROUND)
    assert isinstance(decision, Draft)
    decision.room.id = name
    return decision.room


def test_rooms_of_one_configuration_keep_it_once() -> None:
    """It is most of what a room takes."""
    rooms = HotRooms(cast("Any", None), cast("Any", None))
    first, second, other = rented("a"), rented("b"), rented("c", purpose="another")
    assert first.config is not second.config
    for room in (first, second, other):
        rooms.keep(room)
    assert second.config is first.config
    assert second.config_record is first.config_record
    assert other.config is not first.config


def test_changed_configuration_is_shared_anew() -> None:
    """A copy with another configuration takes the place of the room."""
    rooms = HotRooms(cast("Any", None), cast("Any", None))
    first, second = rented("a"), rented("b", purpose="another")
    rooms.keep(first)
    rooms.keep(second)
    changed = first.copy()
    changed.config = RoomConfig.model_validate({**second.config_record})
    changed.config_record = config_record(changed.config)
    rooms.keep(changed)
    assert changed.config is second.config
    assert first.config is not second.config


def test_what_is_only_written_alike_is_not_shared() -> None:
    """No number is written as null, and 1 is no 1.0."""
    configs = SharedConfigs()
    config = cast("RoomConfig", object())
    kept = {name: configs.shared(config, {"n": value}) for name, value in _ALIKE.items()}
    assert [record["n"] for _, record in kept.values()] == [*_ALIKE.values()]


def test_few_configurations_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was not used for long is forgotten, and shared anew when it comes again."""
    monkeypatch.setattr(hot_rooms, "_MOST_CONFIGS", 2)
    configs = SharedConfigs()
    one, again = cast("RoomConfig", object()), cast("RoomConfig", object())
    assert configs.shared(one, {"n": 1})[0] is one
    for n in (2, 3):
        configs.shared(one, {"n": n})
    assert configs.shared(again, {"n": 1})[0] is again

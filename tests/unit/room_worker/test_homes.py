"""Where rooms are at home: all workers agree, few rooms move, who runs a turn keeps its room."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from abbotik_room_worker.domain.home import home_of
from abbotik_room_worker.homes import Homes
from abbotik_room_worker.progress import Progress
from tests.fakes.room_worker.clock import ManualClock
from tests.fakes.room_worker.sessions import FakeSessions
from tests.fakes.room_worker.store import MemoryStore

ROOMS = [str(UUID(int=number)) for number in range(3000)]
THREE = ("one", "three", "two")


def test_rooms_are_shared_evenly() -> None:
    """Each of three workers is the home of about a third."""
    shares = Counter(home_of(room, THREE) for room in ROOMS)
    assert set(shares) == set(THREE)
    assert all(900 < share < 1100 for share in shares.values())


def test_only_rooms_of_who_goes_move() -> None:
    """Without one of them, every other room stays where it was."""
    left = ("one", "three")
    moved = [room for room in ROOMS if home_of(room, left) != home_of(room, THREE)]
    assert moved == [room for room in ROOMS if home_of(room, THREE) == "two"]


class House:
    """Two workers on one store."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.running: set[tuple[str, str]] = set()
        store = MemoryStore()
        self.sessions = {
            name: FakeSessions(store, name, Progress(), self.clock) for name in ("one", "two")
        }
        self.homes = {
            name: Homes(
                name, sessions, self.running.__contains__, lambda: self.clock.now_ms() / 1000
            )
            for name, sessions in self.sessions.items()
        }

    async def look(self, *live: str) -> None:
        """Have these renew their sessions, and all of them look."""
        for name in live:
            await self.sessions[name].renew()
        for name in live:
            await self.homes[name].look()

    def elsewhere(self, name: str) -> set[str | None]:
        """Return where one of them says that rooms are at home."""
        return {self.homes[name].elsewhere(("tenant", room)) for room in ROOMS}


async def test_each_room_has_one_home() -> None:
    """One says it is here, and the other one names it."""
    house = House()
    await house.look("one", "two")
    for room in ROOMS:
        said = {name: homes.elsewhere(("tenant", room)) for name, homes in house.homes.items()}
        assert said in ({"one": None, "two": "one"}, {"one": "two", "two": None})


async def test_who_is_alone_is_the_home_of_all() -> None:
    """Before it has looked, without others, and once the other one has expired."""
    house = House()
    assert house.elsewhere("one") == {None}
    await house.look("one")
    assert house.elsewhere("one") == {None}
    await house.look("one", "two")
    assert house.elsewhere("one") == {None, "two"}
    house.clock.advance(1_601)
    await house.look("one")
    assert house.elsewhere("one") == {None}


async def test_a_room_whose_turn_runs_here_stays() -> None:
    """Its newest copy is here, wherever its home is."""
    house = House()
    await house.look("one", "two")
    away = next(room for room in ROOMS if house.homes["one"].elsewhere(("tenant", room)))
    house.running.add(("tenant", away))
    assert house.homes["one"].elsewhere(("tenant", away)) is None


async def test_a_home_in_doubt_gets_nothing_for_some_seconds() -> None:
    """Its rooms stay with who was given their commands; rooms at home here raise no doubt."""
    house = House()
    await house.look("one", "two")
    homes = house.homes["one"]
    here = next(room for room in ROOMS if homes.elsewhere(("tenant", room)) is None)
    homes.doubt(("tenant", here))
    assert house.elsewhere("one") == {None, "two"}
    there = next(room for room in ROOMS if homes.elsewhere(("tenant", room)))
    homes.doubt(("tenant", there))
    assert house.elsewhere("one") == {None}
    house.clock.advance(4_999)
    await house.look("one", "two")
    assert house.elsewhere("one") == {None}
    house.clock.advance(1)
    await house.look("one", "two")
    assert house.elsewhere("one") == {None, "two"}

"""Where rooms are at home: all workers agree, few rooms move, who runs a turn keeps its room."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from abbotik_room_worker.domain.home import home_of
from abbotik_room_worker.homes import Homes

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
    """Two workers and the time, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.running: set[tuple[str, str]] = set()
        self.homes = {
            name: Homes(name, self.running.__contains__, lambda: self.now)
            for name in ("one", "two")
        }

    def say(self, *there: str) -> None:
        """Have these be heard by both of them, and both look."""
        for homes in self.homes.values():
            for name in there:
                homes.heard(name)
            homes.look()

    def elsewhere(self, name: str) -> set[str | None]:
        """Return where one of them says that rooms are at home."""
        return {self.homes[name].elsewhere(("tenant", room)) for room in ROOMS}


def test_each_room_has_one_home() -> None:
    """One says it is here, and the other one names it."""
    house = House()
    house.say("one", "two")
    for room in ROOMS:
        said = {name: homes.elsewhere(("tenant", room)) for name, homes in house.homes.items()}
        assert said in ({"one": None, "two": "one"}, {"one": "two", "two": None})


def test_who_is_alone_is_the_home_of_all() -> None:
    """Before it has heard anybody, and when it hears but itself."""
    house = House()
    assert house.elsewhere("one") == {None}
    house.say("one")
    assert house.elsewhere("one") == {None}


def test_who_is_silent_for_a_moment_is_the_home_of_none() -> None:
    """Until it is heard again."""
    house = House()
    house.say("one", "two")
    for house.now in (0.2, 0.4, 0.599):
        house.say("one")
    assert house.elsewhere("one") == {None, "two"}
    house.now = 0.6
    house.say("one")
    assert house.elsewhere("one") == {None}
    house.say("two")
    assert house.elsewhere("one") == {None, "two"}


def test_who_hears_nobody_is_the_home_of_all() -> None:
    """Also not itself, as where its connection is held up."""
    house = House()
    house.say("one", "two")
    for house.now in (0.2, 0.4, 0.6):
        house.say()
    assert house.elsewhere("one") == house.elsewhere("two") == {None}


def test_a_room_whose_turn_runs_here_stays() -> None:
    """Its newest copy is here, wherever its home is."""
    house = House()
    house.say("one", "two")
    away = next(room for room in ROOMS if house.homes["one"].elsewhere(("tenant", room)))
    house.running.add(("tenant", away))
    assert house.homes["one"].elsewhere(("tenant", away)) is None


def test_who_is_not_heard_is_no_home_and_keeps_nothing() -> None:
    """One that cannot decide passes on all that it is given, also of rooms whose turn runs here."""
    house = House()
    house.say("one")
    house.running.add(("tenant", ROOMS[0]))
    assert house.elsewhere("two") == {"one"}
    assert house.homes["two"].elsewhere(("tenant", ROOMS[0])) == "one"


def test_who_stood_still_forgets_nobody_at_once() -> None:
    """What the others said meanwhile is read before the next look."""
    house = House()
    house.say("one", "two")
    house.now = 30.0
    house.say()
    assert house.elsewhere("one") == {None, "two"}
    house.now = 30.2
    house.say()
    assert house.elsewhere("one") == {None}

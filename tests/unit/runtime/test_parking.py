"""Parking: true only when a mark came back after which nothing was delivered."""

from __future__ import annotations

from abbotik_runtime.parking import Parking
from tests.eventually import eventually


class Line:
    """Collects marks that are under way; the test lets them come back."""

    def __init__(self) -> None:
        self.marks: list[str] = []

    async def send(self, mark: str) -> None:
        """Take a mark."""
        self.marks.append(mark)


async def test_unknown_until_a_mark_is_back() -> None:
    """A request that was just sent is not known to be parked until its mark has returned."""
    line = Line()
    parking = Parking(line.send)
    parking.disturbed()
    await eventually(lambda: line.marks)
    assert not parking.parked
    parking.mark_back(line.marks[0])
    assert parking.parked


async def test_a_delivery_ends_it_until_the_next_mark() -> None:
    """A message means that there was something; only a later mark says that this was all."""
    line = Line()
    parking = Parking(line.send)
    parking.disturbed()
    await eventually(lambda: line.marks)
    parking.mark_back(line.marks[0])
    parking.disturbed()
    assert not parking.parked
    await eventually(lambda: len(line.marks) == 2)
    parking.mark_back(line.marks[1])
    assert parking.parked


async def test_a_mark_from_before_a_delivery_says_nothing() -> None:
    """A mark that was overtaken by a message does not make it parked."""
    line = Line()
    parking = Parking(line.send)
    parking.disturbed()
    await eventually(lambda: line.marks)
    parking.disturbed()
    parking.mark_back(line.marks[0])
    assert not parking.parked


async def test_a_mark_for_lost_requests_says_nothing() -> None:
    """When all requests are forgotten, marks on their way mean nothing any more."""
    line = Line()
    parking = Parking(line.send)
    parking.disturbed()
    await eventually(lambda: line.marks)
    parking.unknown()
    parking.mark_back(line.marks[0])
    assert not parking.parked


async def test_a_burst_of_deliveries_sends_one_mark() -> None:
    """While messages keep coming no mark is sent; after them one is."""
    line = Line()
    parking = Parking(line.send)
    for _ in range(1000):
        parking.disturbed()
    await eventually(lambda: line.marks)
    assert len(line.marks) == 1
    parking.close()

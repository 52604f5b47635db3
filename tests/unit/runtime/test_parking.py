"""Parking: true only when it is known that nothing was there, and nothing came since."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from abbotik_runtime.parking import Parking
from tests.eventually import eventually


class Line:
    """Marks under way, and the server's answers to the question whether nothing waits."""

    def __init__(self) -> None:
        self.marks: list[str] = []
        self.questions = 0
        self.empty = True
        self.go = asyncio.Event()
        self.go.set()

    async def send(self, mark: str) -> None:
        """Take a mark; the test lets it come back."""
        self.marks.append(mark)

    async def nothing_waits(self) -> bool:
        """Answer the question, when the test lets it."""
        self.questions += 1
        await self.go.wait()
        return self.empty


@pytest.fixture
def line() -> Line:
    """Return a line without delay to an empty server."""
    return Line()


@pytest.fixture
async def parking(line: Line) -> AsyncIterator[Parking]:
    """Yield a parking on that line."""
    parking = Parking(line.send, line.nothing_waits)
    yield parking
    parking.close()


async def test_a_first_request_asks_the_server(line: Line, parking: Parking) -> None:
    """Nobody has said yet whether something waits, so the server's count decides."""
    parking.asked()
    assert not parking.parked
    await eventually(lambda: parking.parked)
    assert (line.questions, line.marks) == (1, [])


async def test_it_asks_again_while_something_waits(line: Line, parking: Parking) -> None:
    """What waits may be for others: it is parked as soon as they have taken it."""
    line.empty = False
    parking.asked()
    await eventually(lambda: line.questions >= 2)
    assert not parking.parked
    line.empty = True
    await eventually(lambda: parking.parked)


async def test_an_answer_that_was_overtaken_says_nothing(line: Line, parking: Parking) -> None:
    """A message that comes while the server is asked makes its answer worthless."""
    line.go.clear()
    parking.asked()
    await eventually(lambda: line.questions == 1)
    parking.delivered(was_last=False)
    line.empty = False
    line.go.set()
    await eventually(lambda: line.questions == 2)
    assert not parking.parked


async def test_the_last_message_needs_only_a_mark(line: Line, parking: Parking) -> None:
    """A message that says it was the last one is believed once a mark is back behind it."""
    parking.delivered(was_last=True)
    await eventually(lambda: line.marks)
    assert not parking.parked
    parking.mark_back(line.marks[0])
    assert parking.parked
    assert line.questions == 0


async def test_a_delivery_ends_it_until_the_next_mark(line: Line, parking: Parking) -> None:
    """A message means that there was something; only a later mark says that this was all."""
    parking.delivered(was_last=True)
    await eventually(lambda: line.marks)
    parking.mark_back(line.marks[0])
    parking.delivered(was_last=True)
    assert not parking.parked
    parking.mark_back(line.marks[0])
    assert not parking.parked
    await eventually(lambda: len(line.marks) == 2)
    parking.mark_back(line.marks[1])
    assert parking.parked


async def test_a_mark_for_lost_requests_says_nothing(line: Line, parking: Parking) -> None:
    """When all requests are forgotten, marks on their way mean nothing any more."""
    parking.delivered(was_last=True)
    await eventually(lambda: line.marks)
    parking.unknown()
    parking.mark_back(line.marks[0])
    assert not parking.parked


async def test_a_burst_of_deliveries_asks_once(line: Line, parking: Parking) -> None:
    """While messages keep coming nothing is sent; after them one mark is."""
    for _ in range(1000):
        parking.delivered(was_last=True)
    await eventually(lambda: line.marks)
    assert (len(line.marks), line.questions) == (1, 0)

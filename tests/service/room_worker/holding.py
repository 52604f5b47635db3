"""A turn that waits at its worker, and those who take it over."""

from __future__ import annotations

from abbotik_contracts.room_log import Record
from tests.service.room_worker.house import House, Worker


class Counting:
    """A tool that counts how often it ran."""

    def __init__(self, *, idempotent: bool) -> None:
        self.idempotent = idempotent
        self.ran: list[Record] = []

    async def __call__(self, arguments: Record) -> Record:
        """Run once."""
        self.ran.append(arguments)
        return {"ran": len(self.ran)}


async def holding(house: House, worker: Worker, content: str) -> str:
    """Return a room whose turn runs at the worker and sleeps at its first pause."""
    room = await house.rent(worker)
    worker.pauses.hold()
    await worker.ask(house.message(room, content))
    await worker.pauses.reached.wait()
    return room


async def taken_over(house: House, worker: Worker) -> None:
    """Let the others be dead and have the worker recover what they held, until all rests."""
    await house.expire(worker)
    await worker.care.recover()
    await worker.rested()

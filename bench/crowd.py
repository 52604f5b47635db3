"""Many followers of one stream: who has which event, and when the last one got it."""

import asyncio
import re
from collections import deque
from collections.abc import Callable
from functools import partial

from bench.wire import Follower, Target

ID = b"\nid: "
MARK = re.compile(rb"\nid: (\d+)\nevent: ([a-z:_]+)\n")


class Crowd:
    """`size` followers of one path; counts the events delivered to all, and the reads they took.

    They begin with the room's first event; `gaps` counts what did not follow the event before it.

    The first one reads event names; the others only count `id:` lines and note the last id. Each
    event whose name is in `marks` is called back as `on_all(name, at)` once everybody has it, in
    order of ids; `at` is the `perf_counter` second at which the last follower read it.
    """

    def __init__(self, size: int, marks: frozenset[bytes]) -> None:
        self.deliveries = 0
        self.reads = 0
        self.gaps = 0
        self.on_all: Callable[[bytes, float], None] = lambda _name, _at: None
        self._marks = marks
        self._last = [0] * size
        self._ahead: deque[tuple[int, bytes]] = deque()
        self._missing = 0
        self._followers: list[Follower] = []

    async def connect(self, target: Target, path: str) -> None:
        """Open the connections, 50 at a time, from the stream's present end or its beginning."""
        for start in range(0, len(self._last), 50):
            numbers = range(start, min(start + 50, len(self._last)))
            self._followers += await asyncio.gather(
                *(Follower.connect(target, path, partial(self._frames, n)) for n in numbers)
            )

    def check(self) -> None:
        """Raise RuntimeError if a follower was cut off, or missed an event, or got one twice."""
        if self.gaps:
            raise RuntimeError(f"events are missing or doubled in {self.gaps} places")
        lost = [follower.lost for follower in self._followers if follower.lost is not None]
        if lost:
            raise RuntimeError(f"{len(lost)} of {len(self._followers)} followers cut: {lost[0]}")

    def close(self) -> None:
        """Close all connections."""
        for follower in self._followers:
            follower.close()

    def _frames(self, number: int, block: bytes, at: float) -> None:
        start = block.rfind(ID)
        if start < 0:
            return
        self.reads += 1
        events = block.count(ID)
        self.deliveries += events
        before, last = self._last[number], int(block[start + 5 : block.index(b"\n", start + 5)])
        self.gaps += last != before + events
        self._last[number] = last
        if number == 0:
            self._read(block)
        if self._ahead and before < self._ahead[0][0] <= last:
            self._missing -= 1
            self._settle(at)

    def _read(self, block: bytes) -> None:
        """Line up the marks of a block that the first follower got."""
        for found in MARK.finditer(block):
            if found[2] in self._marks:
                self._ahead.append((int(found[1]), found[2]))
                if len(self._ahead) == 1:
                    # The reader itself is taken off by the caller, like every other follower.
                    self._missing = self._behind(int(found[1])) + 1

    def _behind(self, seq: int) -> int:
        return sum(1 for last in self._last if last < seq)

    def _settle(self, at: float) -> None:
        """Report every mark that nobody misses any more."""
        while self._ahead and self._missing == 0:
            _, name = self._ahead.popleft()
            if self._ahead:
                self._missing = self._behind(self._ahead[0][0])
            self.on_all(name, at)

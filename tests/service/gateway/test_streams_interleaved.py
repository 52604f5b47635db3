"""I8: whatever bus, log and readers do, a reader has the log, in order and without a gap."""

from __future__ import annotations

import asyncio
from urllib.parse import urlencode

from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from abbotik_contracts import subjects
from abbotik_contracts.room_log import LogEntry
from abbotik_gateway.domain.caller import Caller
from abbotik_gateway.handlers.following.log_events import LogEvents
from abbotik_gateway.handlers.following.open_streams import OpenStreams
from abbotik_gateway.handlers.following.room_streams import RoomStreams
from abbotik_gateway.handlers.seen import SeenRevs
from tests.eventually import eventually
from tests.fakes.room_history import TENANT, RoomHistory, Said, delta, published
from tests.fakes.sse_reader import SseReader
from tests.fakes.streams import FakeClock, FakeMeters, FakeRoomLog, FakeSignals, FakeTickets

CALLER = Caller("u", "user", TENANT, "Acme", "read", "dev", is_root=False, token_expires_at=None)

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.integers(1, 4), st.booleans()),
        st.tuples(st.just("publish"), st.integers(0, 60), st.integers(1, 5)),
        st.tuples(st.just("follow"), st.integers(0, 60), st.booleans()),
        st.tuples(st.just("stall"), st.integers(0, 5), st.booleans()),
        st.tuples(st.just("log"), st.just(0), st.booleans()),
        st.tuples(st.just("bus"), st.just(0), st.booleans()),
        st.tuples(st.just("delta"), st.integers(0, 3), st.booleans()),
        st.tuples(st.just("pause"), st.integers(0, 5), st.booleans()),
    ),
    max_size=40,
)


class Storm:
    """One room, a bus and a log that misbehave, and readers that come, stall and stay."""

    def __init__(self) -> None:
        self.log = FakeRoomLog()
        self.signals = FakeSignals()
        self.meters = FakeMeters()
        opened = OpenStreams(self.meters, FakeTickets(), FakeClock())
        self.streams = RoomStreams(LogEvents(self.log, SeenRevs()), self.signals, opened)
        self.history = RoomHistory()
        self.committed: list[LogEntry] = []
        self.readers: list[tuple[int, SseReader]] = []
        self.commit(1, publish=True)

    @property
    def last(self) -> int:
        """The log's end."""
        return self.committed[-1]["last_event_seq"]

    def commit(self, events: int, *, publish: bool) -> None:
        """Commit an entry with that many events; its publish may be lost."""
        entry = self.history.add(*[Said("room:wake")] * events)
        self.log.commit(entry)
        self.committed.append(entry)
        if publish:
            self.publish(len(self.committed) - 1, 1)

    def publish(self, first: int, count: int) -> None:
        """Publish entries again, late or out of order."""
        some = self.committed[first : first + count]
        if some:
            subject = subjects.room_events(TENANT, self.history.room)
            self.signals.publish(subject, published(*some))

    def delta(self, epoch: int) -> None:
        """Publish text of a turn that nobody knows."""
        subject = subjects.room_live(TENANT, self.history.room)
        self.signals.publish(subject, delta(self.history.room, "t", epoch, "x"))

    async def follow(self, after: int) -> None:
        """Begin to follow, unless the log is away."""
        if self.log.away:
            return
        query = urlencode({"after": after}).encode()
        scope = {"type": "http", "headers": [], "query_string": query, "path": "/"}
        answer = await self.streams.follow(Request(scope), CALLER, self.history.room)
        self.readers.append((after, SseReader(answer)))

    def stall(self, which: int, *, stalls: bool) -> None:
        """Have a reader stop, or read again."""
        for _, reader in self.readers[which : which + 1]:
            if stalls:
                reader.stall()
            else:
                reader.read_on()

    async def step(self, step: tuple[str, int, int]) -> None:
        """Do one step."""
        name, number, flag = step
        if name == "follow":
            await self.follow(min(number, self.last))
        elif name == "pause":
            for _ in range(number):
                await asyncio.sleep(0)
        elif name in ("log", "bus"):
            (self.log if name == "log" else self.signals).away = bool(flag)
        elif name == "publish":
            self.publish(number, flag)
        else:
            self._happen(name, number, flag=bool(flag))

    def _happen(self, name: str, number: int, *, flag: bool) -> None:
        if name == "commit":
            self.commit(number, publish=flag)
        elif name == "stall":
            self.stall(number, stalls=flag)
        else:
            self.delta(number)

    async def settle(self) -> None:
        """End all trouble, and the room."""
        self.log.away = False
        for _, reader in self.readers:
            reader.read_on()
        entry = self.history.release()
        self.log.commit(entry)
        self.committed.append(entry)
        await self.signals.reconnect()
        for _, reader in self.readers:
            await reader.end()


@settings(max_examples=150, deadline=None)
@given(STEPS)
async def test_every_reader_has_the_log(steps: list[tuple[str, int, int]]) -> None:
    """From its cursor on, each reader gets each event once, in order, to the end of the room."""
    storm = Storm()
    for step in steps:
        await storm.step(step)
    await storm.settle()
    for after, reader in storm.readers:
        assert reader.events == storm.history.records[after:]
        assert reader.names[-1] == "stream:end"
    await storm.streams.close("test")
    await eventually(lambda: storm.signals.subscribed == {})
    assert storm.meters.open == 0

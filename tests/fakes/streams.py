"""What the streams need from outside, in memory; each can fail as the real one does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from abbotik_contracts.room_log import LogEntry, StoredTurn
from abbotik_gateway.domain.caller import Caller
from abbotik_gateway.ports import UnavailableError


class FakeClock:
    """A clock that a test sets. ``now`` in ms."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self.now = now

    def now_ms(self) -> int:
        """Return milliseconds since 1970."""
        return self.now


class FakeRoomLog:
    """A `RoomLog`. ``away`` makes every read fail; ``reads`` counts the pages that were asked."""

    def __init__(self) -> None:
        self.rooms: dict[tuple[str, str], list[LogEntry]] = {}
        self.away = False
        self.reads = 0

    def commit(self, *entries: LogEntry) -> None:
        """Append entries, each to its room."""
        for entry in entries:
            self.rooms.setdefault((entry["tenant"], entry["room"]), []).append(entry)

    def of(self, tenant: str, room: str) -> FakeRoomScope:
        """Return one room's log."""
        return FakeRoomScope(self, (tenant, room))


class FakeRoomScope:
    """The log of one room."""

    def __init__(self, log: FakeRoomLog, place: tuple[str, str]) -> None:
        self._log = log
        self._place = place

    def _entries(self) -> list[LogEntry]:
        if self._log.away:
            raise UnavailableError("away")
        return self._log.rooms.get(self._place, [])

    async def last(self) -> LogEntry | None:
        """Return the newest entry."""
        entries = self._entries()
        return entries[-1] if entries else None

    async def room(self) -> None:
        """Nobody here asks for the configuration."""
        raise NotImplementedError

    async def by_key(self, key: str) -> None:
        """Nobody here asks for keys."""
        raise NotImplementedError(key)

    async def events_after(self, seq: int, limit: int = 500) -> list[LogEntry]:
        """Return entries with events above ``seq``."""
        self._log.reads += 1
        return [entry for entry in self._entries() if entry["last_event_seq"] > seq][:limit]

    async def messages_after(self, seq: int, limit: int = 500) -> list[LogEntry]:
        """Nobody here asks for messages."""
        raise NotImplementedError(seq, limit)

    async def ended_turns(self, first: int, last: int) -> dict[int, StoredTurn]:
        """Nobody here asks for turns."""
        raise NotImplementedError(first, last)


class FakeSubscription:
    """A subscription of FakeSignals."""

    def __init__(self, signals: FakeSignals, subject: str) -> None:
        self._signals = signals
        self._subject = subject

    async def cancel(self) -> None:
        """Give it up."""
        self._signals.subscribed.pop(self._subject, None)


class FakeSignals:
    """`Signals`: what is published is delivered at once, or, while ``away``, never."""

    def __init__(self) -> None:
        self.subscribed: dict[str, Callable[[bytes], None]] = {}
        self.away = False
        self.never_reached = False
        self._hooks: list[Callable[[], Awaitable[None]]] = []

    async def subscribe(self, subject: str, on_data: Callable[[bytes], None]) -> FakeSubscription:
        """Deliver to ``on_data`` from now on."""
        if self.never_reached:
            raise ConnectionError("never reached")
        self.subscribed[subject] = on_data
        return FakeSubscription(self, subject)

    async def flush(self) -> None:
        """Nothing is on its way here."""
        if self.away:
            raise TimeoutError

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Remember the callback."""
        self._hooks.append(callback)

    def publish(self, subject: str, data: bytes) -> None:
        """Deliver to the subscriber, if there is one."""
        on_data = self.subscribed.get(subject)
        if on_data is not None and not self.away:
            on_data(data)

    async def reconnect(self) -> None:
        """Come back."""
        self.away = False
        for hook in self._hooks:
            await hook()


class FakeTickets:
    """`Tickets` in a dictionary: digest → (caller, room, usable until)."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[Caller, str, int]] = {}

    async def issue(self, digest: str, caller: Caller, room: str, usable_until: int) -> None:
        """Store a new ticket."""
        self.held[digest] = (caller, room, _bounded(caller, usable_until))

    async def use(self, digest: str, room: str, now: int, usable_until: int) -> Caller | None:
        """Return whom a live ticket stands for."""
        caller, of_room, until = self.held.get(digest, (None, "", 0))
        if caller is None or of_room != room or until <= now:
            return None
        self.held[digest] = (caller, room, _bounded(caller, usable_until))
        return caller

    async def keep(self, digests: Iterable[str], usable_until: int) -> None:
        """Keep tickets."""
        for digest in digests:
            caller, room, _ = self.held[digest]
            self.held[digest] = (caller, room, _bounded(caller, usable_until))


def _bounded(caller: Caller, until: int) -> int:
    return until if caller.token_expires_at is None else min(until, caller.token_expires_at)


class FakeMeters:
    """`Meters` that can be read."""

    def __init__(self) -> None:
        self.open = 0
        self.cut = 0

    def followers(self, change: int) -> None:
        """Note streams opened or closed."""
        self.open += change

    def lagged(self) -> None:
        """Note a stream that was cut."""
        self.cut += 1

"""Worker sessions in memory, on a clock that a test moves."""

from __future__ import annotations

from collections.abc import Sequence

from abbotik_room_worker.adapters.sessions import EXPIRY_S
from abbotik_room_worker.ports import DeadSession
from abbotik_room_worker.progress import Progress
from tests.fakes.room_worker.clock import ManualClock
from tests.fakes.room_worker.store import MemoryStore, StoredSession

EXPIRY_MS = int(EXPIRY_S * 1000)


class FakeSessions:
    """One worker's session; the store's clock and its own are the same here."""

    def __init__(
        self, store: MemoryStore, session: str, progress: Progress, clock: ManualClock
    ) -> None:
        self._store = store
        self._session = session
        self._progress = progress
        self._clock = clock
        self.lapses = 0
        self._good_until = 0
        self._unbroken_since = 0

    @property
    def live(self) -> bool:
        """Say whether this session cannot have been declared dead yet."""
        return self._clock.now_ms() < self._good_until

    async def renew(self) -> None:
        """Say that this process lives, and how far its commits are projected."""
        now = self._clock.now_ms()
        if now >= self._good_until:
            self._unbroken_since = now
            self.lapses += 1
        self._good_until = now + EXPIRY_MS
        self._store.sessions[self._session] = StoredSession(
            self._good_until, self._progress.through
        )

    async def dead(self, holders: Sequence[str] = ()) -> list[DeadSession]:
        """Return the dead, and holders without a sign; none while this worker was out of touch."""
        now = self._clock.now_ms()
        if not self.live or now - self._unbroken_since < EXPIRY_MS:
            return []
        expired = [
            DeadSession(session, stored.projected_through)
            for session, stored in self._store.sessions.items()
            if stored.expires_at < now and session != self._session
        ]
        buried = sorted(set(holders) - set(self._store.sessions))
        return expired + [DeadSession(session, 2**62) for session in buried]

    async def forget(self, session: str) -> None:
        """Remove a dead session; one that was renewed meanwhile stays."""
        stored = self._store.sessions.get(session)
        if stored is not None and stored.expires_at < self._clock.now_ms():
            del self._store.sessions[session]

    async def end(self) -> None:
        """Let others see at once that this process is gone."""
        stored = self._store.sessions.get(self._session)
        if stored is not None:
            stored.expires_at = self._clock.now_ms() - 1
            stored.projected_through = self._progress.through

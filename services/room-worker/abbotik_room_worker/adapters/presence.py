"""Room workers tell each other on the bus that they are there."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from nats.aio.msg import Msg

from abbotik_contracts.subjects import TOKEN, WORKERS_HERE
from abbotik_room_worker.homes import Homes
from abbotik_room_worker.ports import Sessions, UnavailableError
from abbotik_runtime.bus import Bus, BusUnavailable
from abbotik_runtime.hearing import hear

# Where the server forbids it, the client logs each try.
_UNHEARD_S = 5.0


class Presence:
    """A worker's word that it is there, and its ear for the others'.

    One that cannot renew its session can decide nothing, and says nothing. One that does not hear
    itself says it seldom. ``now`` returns seconds.
    """

    def __init__(
        self, bus: Bus, homes: Homes, sessions: Sessions, now: Callable[[], float] = monotonic
    ) -> None:
        self._bus = bus
        self._homes = homes
        self._sessions = sessions
        self._now = now
        self._said_in = -1
        self._again_at = 0.0

    async def listen(self) -> None:
        """Hear who is there, over reconnects too; the bus must have been connected once."""
        await hear(self._bus.client, WORKERS_HERE, self._on_word)

    async def say(self) -> None:
        """Forget who is silent, and say that this one is there. Raises UnavailableError."""
        self._homes.look()
        if not self._bus.connected or not self._sessions.live:
            return
        now, is_new = self._now(), self._said_in != self._bus.epoch
        if is_new or self._homes.hears_itself or now >= self._again_at:
            self._said_in, self._again_at = self._bus.epoch, now + _UNHEARD_S
            try:
                await self._bus.publish(WORKERS_HERE, self._homes.session.encode())
            except BusUnavailable as error:
                raise UnavailableError(f"NATS: {error}") from error

    def _on_word(self, message: Msg) -> None:
        session = message.data.decode()
        if TOKEN.fullmatch(session):
            self._homes.heard(session)

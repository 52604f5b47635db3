"""Runs turns: a slot each, from the claim that the log holds to the end that it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

import structlog

from abbotik_kernel.retry import Backoff
from abbotik_room_worker.domain.draft import Nothing
from abbotik_room_worker.domain.due import wants_turn
from abbotik_room_worker.domain.ending import Finish
from abbotik_room_worker.domain.lifecycle import RoomStatus
from abbotik_room_worker.domain.room import Room, Turn
from abbotik_room_worker.domain.takeover import HandOver
from abbotik_room_worker.domain.turns import Claim
from abbotik_room_worker.keeper import RoomKeeper
from abbotik_room_worker.performance import Ended, Performance
from abbotik_room_worker.performer import Performer
from abbotik_room_worker.ports import RoomKey, Sessions, Signals, UnavailableError
from abbotik_runtime.ids import uuid7

log = structlog.get_logger(__name__)

# Turns of one room before rooms that wait for a slot come first.
_TURNS_IN_A_ROW = 16


@dataclass(slots=True)
class _Held:
    """A room whose turn runs here; ``rev`` is the newest one that its turn was told of."""

    key: RoomKey
    turn: Turn
    epoch: int
    rev: int
    performance: Performance
    turns: int = 1


@dataclass(slots=True)
class Slots:
    """How many turns may run at once, and how many places are promised to claims under way."""

    total: int
    promised: int = 0
    held: dict[RoomKey, _Held] = field(default_factory=dict)

    @property
    def free(self) -> int:
        """Return the number of turns that could begin now."""
        return self.total - len(self.held) - self.promised


class _Offer:
    """A claim whose place is promised inside of `with`. No generator: one is made each command."""

    def __init__(self, slots: Slots, claim: Claim | None) -> None:
        self._slots = slots
        self._claim = claim

    def __enter__(self) -> Claim | None:
        if self._claim is not None:
            self._slots.promised += 1
        return self._claim

    def __exit__(self, *_: object) -> None:
        if self._claim is not None:
            self._slots.promised -= 1


class TurnRunner:
    """Whatever commit leaves a room with this session's lease, its turn runs here.

    It makes no difference whether the claim came with a message, from the queue of triggers, or
    from a takeover: `noticed` sees the room and starts, stops or drops its turn.

    ``rooms_wait`` says whether rooms wait for a free worker. While they do, a room that always has
    another message gives its slot up now and then, and waits behind them.
    """

    def __init__(
        self,
        keeper: RoomKeeper,
        performer: Performer,
        signals: Signals,
        sessions: Sessions,
        *,
        slots: int,
        turn_timeout_ms: int,
        rooms_wait: Callable[[], bool],
    ) -> None:
        # Asking for the loop is a system call each time.
        self._loop = asyncio.get_running_loop()
        self._keeper = keeper
        self._performer = performer
        self._signals = signals
        self._sessions = sessions
        self._turn_timeout_ms = turn_timeout_ms
        self.rooms_wait = rooms_wait
        self._backoff = Backoff(first=0.05, ceiling=1.0)
        self._asides: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.slots = Slots(slots)
        self.draining = False

    def offer(self) -> _Offer:
        """Promise a slot while a decision is under way; None while this worker should take none."""
        able = self._may_claim and self.slots.free > 0 and self._sessions.live
        return _Offer(self.slots, self._claim() if able else None)

    def runs(self, key: RoomKey) -> bool:
        """Say whether a turn of the room runs here."""
        return key in self.slots.held

    def noticed(self, room: Room) -> None:
        """Look at a room after a commit or a read: start, stop, drop or hand over its turn."""
        key = (room.tenant, room.id)
        held = self.slots.held.get(key)
        ours = room.lease is not None and room.lease.session == self._keeper.session
        if held is not None and (not ours or room.epoch != held.epoch):
            held.performance.drop()
            del self.slots.held[key]
            held = None
        if held is not None:
            held.rev = room.rev
            _pass_on_stop(held.performance, room)
        elif ours and room.turn is not None and self.draining:
            # Claimed with a slot that was promised before; it would wait for this session's end.
            self._aside(self._hand_over(key, room.epoch))
        elif ours and room.turn is not None:
            self._start(key, room, room.turn)
        elif room.lease is not None and _is_told_to_stop(room):
            self._aside(self._signals.nudge(room.id))
        elif not ours and wants_turn(room):
            self._aside(self._say_waiting(key))

    async def drain(self, patience_s: float) -> None:
        """Let turns end for a while; hand over what still runs, at the step it has reached."""
        self.draining = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience_s)
        leftover = list(self.slots.held.values())
        for held in leftover:
            held.performance.drop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience_s)
        for held in leftover:
            await self._hand_over(held.key, held.epoch)
        while self._asides:
            await asyncio.gather(*self._asides)

    @property
    def _may_claim(self) -> bool:
        """Whether this worker goes on to be there, and hears of what becomes of its rooms."""
        return not self.draining and self._signals.connected

    def _claim(self) -> Claim:
        return Claim(self._keeper.session, uuid7(), self._turn_timeout_ms)

    def _start(self, key: RoomKey, room: Room, turn: Turn) -> None:
        held = _Held(key, turn, room.epoch, room.rev, Performance(self._performer, key, room, turn))
        self.slots.held[key] = held
        _pass_on_stop(held.performance, room)
        task = self._loop.create_task(self._run(held))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, held: _Held) -> None:
        """Run the turn, and the ones that its end goes on with."""
        try:
            while (ended := await held.performance.run()) is not None:
                following = await self._finish(held, ended)
                if following is None or following.turn is None:
                    return
                if self.slots.held.get(held.key) is not held:
                    # Dropped meanwhile: what was read is older than that.
                    return
                held.turn, held.rev = following.turn, following.rev
                held.turns += 1
                held.performance = Performance(self._performer, held.key, following, following.turn)
                _pass_on_stop(held.performance, following)
        finally:
            if self.slots.held.get(held.key) is held:
                del self.slots.held[held.key]

    async def _finish(self, held: _Held, ended: Ended) -> Room | None:
        """Commit the end until the log has it; None where the lease was lost meanwhile."""
        output_id = uuid7()
        attempt = 0
        while True:
            await self._performer.in_touch()
            try:
                blob = await self._performer.stored_apart(held.key, ended.output)
                finish = self._finish_command(held, ended, output_id, blob)
                applied = await self._keeper.held(held.key, finish)
                break
            except UnavailableError as error:
                log.warning("turn.end_waits", room=held.key[1], error=str(error))
                await asyncio.sleep(self._backoff.delay(attempt))
                attempt += 1
        room = await self._after_all(held) if isinstance(applied, Nothing) else applied.room
        return room if room is not None and room.holds(self._keeper.session, held.epoch) else None

    async def _after_all(self, held: _Held) -> Room | None:
        """Look what became of a turn that had ended already: by us, unheard, or by another."""
        log.info("turn.ended_already", room=held.key[1], turn=held.turn.id)
        while True:
            lapses = self._sessions.lapses
            try:
                room = await self._keeper.refresh(held.key)
            except UnavailableError:
                # The sweep for rooms that this session holds and nobody runs finds it.
                return None
            # The room was read before its projection was waited for.
            if self._sessions.lapses == lapses:
                return room

    def _finish_command(
        self, held: _Held, ended: Ended, output_id: str, blob: str | None
    ) -> Finish:
        return Finish(
            session=self._keeper.session,
            epoch=held.epoch,
            turn_id=held.turn.id,
            status=ended.status,
            output_id=output_id,
            output=ended.output,
            output_blob=blob,
            usage=ended.usage,
            steps=ended.steps,
            context=ended.context,
            error_code=ended.error_code,
            error_message=ended.error_message,
            idle_reason="interrupted" if ended.status == "interrupted" else "drained",
            next_claim=self._next_claim(held),
        )

    def _next_claim(self, held: _Held) -> Claim | None:
        """Return the claim of the room's next turn; None where another worker should have it."""
        yields = held.turns % _TURNS_IN_A_ROW == 0 and self.rooms_wait()
        return self._claim() if self._may_claim and not yields else None

    async def _hand_over(self, key: RoomKey, epoch: int) -> None:
        try:
            applied = await self._keeper.held(key, HandOver(self._keeper.session, epoch))
        except UnavailableError as error:
            # The session ends with this process; others recover the turn from the log.
            log.warning("turn.not_handed_over", room=key[1], error=str(error))
            return
        if not isinstance(applied, Nothing):
            await self._say_waiting(key)

    async def _say_waiting(self, key: RoomKey) -> None:
        try:
            await self._signals.want_turn(key)
        except UnavailableError as error:
            # The sweep says it again.
            log.warning("turn.trigger_unsaid", room=key[1], error=str(error))

    def _aside(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)


def _is_told_to_stop(room: Room) -> bool:
    stop = room.turn.interrupt if room.turn is not None else None
    return stop is not None or room.status is RoomStatus.RELEASING


def _pass_on_stop(performance: Performance, room: Room) -> None:
    if room.turn is None:
        return
    stop = room.turn.interrupt
    if room.status is RoomStatus.RELEASING or (stop is not None and stop.mode == "hard"):
        performance.stop(hard=True)
    elif stop is not None:
        performance.stop(hard=False)

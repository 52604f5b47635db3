"""What callers ask of a room, decided: rent, patch, message, wake, interrupt, release."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import JsonValue, ValidationError

from abbotik_contracts.faults import faults
from abbotik_contracts.policies import unsupported
from abbotik_contracts.room_bodies import MessageBody
from abbotik_contracts.room_commands import (
    InterruptRoom,
    PatchRoom,
    PostMessage,
    ReleaseRoom,
    RentRoom,
    WakeRoom,
)
from abbotik_contracts.room_config import MAX_CONFIG_BYTES, RoomConfig, merge_patch
from abbotik_contracts.room_log import Record
from abbotik_room_worker.domain.draft import Decision, Draft, Nothing, Refusal, begin
from abbotik_room_worker.domain.lifecycle import ROOM, RoomStatus, RoomVerb
from abbotik_room_worker.domain.queueing import begin_if_wanted, queue, revive
from abbotik_room_worker.domain.room import Interrupt, Releasing, Room, Turn, config_record
from abbotik_room_worker.domain.schedule import faults as schedule_faults
from abbotik_room_worker.domain.schedule import next_times
from abbotik_room_worker.domain.turns import Claim
from abbotik_room_worker.domain.wakes import end_wakes, keep_wakes

MAX_QUEUE = 64
_SOFT_DEADLINE_MS = 30_000
_HARD_DEADLINE_MS = 5_000
_RELEASE_DEADLINE_MS = 10_000
_ENDING = frozenset({RoomStatus.RELEASING, RoomStatus.RELEASED})


class Circumstances(NamedTuple):
    """What a decision on a caller's command may depend on beside the room.

    ``claim`` is there when this worker has a free slot for the room's turn; ``blob`` is the digest
    of a content that was stored apart; ``provider`` and ``model`` are the installation's defaults.
    """

    provider: str
    model: str
    max_queue: int = MAX_QUEUE
    claim: Claim | None = None
    blob: str | None = None


def rent(command: RentRoom, now: int, around: Circumstances) -> Decision:
    """Begin a room."""
    body = command.body
    given = body.model_dump(exclude={"actors", "agents", "tenant_id"}, exclude_unset=True)
    roster = body.actors or body.agents
    try:
        config = _staffed({**given, **({} if roster is None else {"actors": roster})}, around)
    except ValidationError as error:
        return _invalid([dict(fault) for fault in faults(error)], lasting=True)
    useless = _useless_schedule(config, now)
    if useless:
        return _invalid(useless, lasting=True)
    room = Room(
        tenant=command.tenant,
        id=command.room,
        rev=0,
        status=RoomStatus.RENTED,
        config=config,
        config_record=config_record(config),
        rented_by=command.caller,
        rented_at=now,
        last_active_at=now,
        idle_since=now,
        wakes=next_times(config.wake_policy.schedule, now),
    )
    draft = Draft(room, now, keys=[command.id], config_changed=True, answer={"kind": "room"})
    draft.add("room:rented", {"rented_by": command.caller, "purpose": config.purpose})
    return draft


def patch(room: Room, command: PatchRoom, now: int, around: Circumstances) -> Decision:
    """Change the configuration; the next turn sees it."""
    refusal = _refused(room, RoomVerb.CONFIGURE)
    if refusal is not None:
        return refusal
    wanted = command.body.if_match
    if wanted is not None and wanted != room.policy_version:
        return Refusal("PRECONDITION_FAILED", f"the room is at version {room.policy_version}")
    merged = merge_patch(room.config_record, command.body.patch)
    try:
        config = _staffed(merged, around)
    except ValidationError as error:
        return _invalid([dict(fault) for fault in faults(error)])
    refusal = _unusable(config, room, now)
    if refusal is not None:
        return refusal
    draft = begin(room, now)
    draft.move(RoomVerb.CONFIGURE)
    if _rescheduled(config, room):
        # What is due already belongs to the schedule that is left.
        keep_wakes(draft, around.max_queue)
        draft.room.wakes = next_times(config.wake_policy.schedule, now)
    # One that changes nothing is remembered too: delivered again after another patch it would
    # change something.
    if config != room.config:
        draft.room.config = config
        draft.room.config_record = config_record(config)
        draft.room.policy_version += 1
        draft.config_changed = True
    _answer(draft, command.id, "room")
    return draft


def post(room: Room, command: PostMessage, now: int, around: Circumstances) -> Decision:
    """Put a message into the queue, and begin its turn where this worker can."""
    refusal = _refused(room, RoomVerb.ACCEPT) or _no_place(room, command.body, around)
    if refusal is not None:
        return refusal
    draft = begin(room, now)
    queue(draft, command.id, command.body, author="user", blob=around.blob)
    revive(draft, RoomVerb.ACCEPT, "message")
    begin_if_wanted(draft, around.claim)
    _answer(draft, command.id, "message")
    return draft


def wake(room: Room, command: WakeRoom, now: int, around: Circumstances) -> Decision:
    """Bring the room back, with a message where there is content."""
    body = command.body
    message = None if body.content is None else MessageBody(content=body.content)
    refusal = _refused(room, RoomVerb.WAKE)
    if refusal is None and message is not None:
        refusal = _no_place(room, message, around)
    if refusal is not None:
        return refusal
    draft = begin(room, now)
    running = room.turn is not None
    if message is not None:
        queue(draft, command.id, message, author="user", blob=around.blob)
    woken: Record = {
        "cause": "explicit",
        "outcome": "coalesced" if running else "fired",
        "occurrence_id": command.id,
        "reason": body.reason,
    }
    draft.add("room:wake", woken)
    revive(draft, RoomVerb.WAKE, "woken")
    draft.room.woken = bool(draft.room.queue)
    draft.room.idle_since = now
    begin_if_wanted(draft, around.claim)
    _answer(draft, command.id, "room")
    return draft


def interrupt(room: Room, command: InterruptRoom, now: int) -> Decision:
    """Ask for the running turn's end; a stronger or earlier request wins."""
    body, turn = command.body, room.turn
    if room.status in _ENDING:
        return Refusal("ROOM_NOT_RUNNING", "the room is ending", lasting=True)
    if turn is None or body.turn_id not in (None, turn.id):
        return Refusal("ROOM_NOT_RUNNING", "no such turn is running in this room")
    draft = begin(room, now)
    draft.move(RoomVerb.INTERRUPT)
    default = _SOFT_DEADLINE_MS if body.mode == "soft" else _HARD_DEADLINE_MS
    wait = default if body.deadline_ms is None else body.deadline_ms
    _ask_to_stop(draft, turn, body.mode, now + wait)
    _answer(draft, command.id, "interrupt")
    return draft


def release(room: Room, command: ReleaseRoom, now: int) -> Decision:
    """End the room: at once, or as soon as its turn has stopped."""
    if room.status in _ENDING:
        return Nothing("the room is released or being released")
    body = command.body
    draft = begin(room, now)
    draft.move(RoomVerb.RELEASE)
    end_wakes(draft)
    _withdraw_queue(draft)
    if room.turn is not None:
        deadline = now + _RELEASE_DEADLINE_MS
        draft.room.releasing = Releasing(body.result, body.reason, deadline)
        _ask_to_stop(draft, room.turn, "hard", deadline)
        draft.add("room:releasing", {"reason": body.reason})
    else:
        draft.room.released_at = now
        draft.room.result = body.result
        settlement: Record = dict(draft.room.usage)
        draft.add("room:released", {"settlement": settlement, "reason": body.reason})
    _answer(draft, command.id, "room")
    return draft


def _staffed(values: object, around: Circumstances) -> RoomConfig:
    staffed = RoomConfig.model_validate(values).staffed(around.provider, around.model)
    # Places give names too, so only now is it sure that all actors are told apart.
    return RoomConfig.model_validate(dict(staffed))


def _refused(room: Room, verb: RoomVerb) -> Refusal | None:
    if room.status in _ENDING:
        return Refusal("ROOM_RELEASED", f"the room is {room.status.value}", lasting=True)
    if ROOM.accepts(room.status, verb):
        return None
    allowed: list[JsonValue] = [*ROOM.allowed(room.status)]
    return Refusal(
        "ILLEGAL_TRANSITION",
        f"a room that is {room.status.value} does not accept {verb.value}",
        extra={"allowed": allowed},
    )


def _no_place(room: Room, body: MessageBody, around: Circumstances) -> Refusal | None:
    if body.delivery == "reject" and (room.turn is not None or room.queue):
        return Refusal("ROOM_BUSY", "a turn is running or messages are waiting")
    if len(room.queue) >= around.max_queue:
        return Refusal("ROOM_QUEUE_FULL", f"{around.max_queue} messages are waiting already")
    return None


def _ask_to_stop(draft: Draft, turn: Turn, mode: str, deadline: int) -> None:
    before = turn.interrupt
    if before is not None:
        mode = "hard" if "hard" in (mode, before.mode) else "soft"
        deadline = min(deadline, before.deadline_at)
    draft.room.turn = turn._replace(interrupt=Interrupt(mode, deadline))


def _withdraw_queue(draft: Draft) -> None:
    room = draft.room
    withdrawn, room.queue = room.queue, ()
    room.withdrawn = (*room.withdrawn, *(trigger.seq for trigger in withdrawn))
    for trigger in withdrawn:
        draft.add("message:withdrawn", {"message_id": trigger.id, "seq": trigger.seq})


def _answer(draft: Draft, command_id: str, kind: str) -> None:
    draft.keys.insert(0, command_id)
    draft.answer = {"kind": kind}


def _invalid(errors: list[JsonValue], *, lasting: bool = False) -> Refusal:
    return Refusal("VALIDATION_FAILED", "the room would be wrong", lasting, {"errors": errors})


def _unusable(config: RoomConfig, room: Room, now: int) -> Refusal | None:
    """Return why a configuration that is well-formed cannot be the room's."""
    lacking = unsupported(dict(config))
    if lacking:
        return _unsupported(lacking)
    if len(config.model_dump_json().encode()) > MAX_CONFIG_BYTES:
        message = f"the configuration is larger than {MAX_CONFIG_BYTES} bytes"
        return _invalid([{"pointer": "", "message": message}])
    # One that stays as it is may have passed its only time by now.
    useless = _useless_schedule(config, now) if _rescheduled(config, room) else []
    return _invalid(useless) if useless else None


def _rescheduled(config: RoomConfig, room: Room) -> bool:
    return config.wake_policy.schedule != room.config.wake_policy.schedule


def _useless_schedule(config: RoomConfig, now: int) -> list[JsonValue]:
    schedule = config.wake_policy.schedule
    if schedule is None:
        return []
    return [
        {"pointer": f"/wake_policy/schedule/{member}", "message": message}
        for member, message in schedule_faults(schedule, now)
    ]


def _unsupported(pointers: list[str]) -> Refusal:
    errors: list[JsonValue] = [
        {"pointer": where, "message": "this mechanism is not built yet"} for where in pointers
    ]
    return Refusal("POLICY_NOT_SUPPORTED", "see `errors`", extra={"errors": errors})

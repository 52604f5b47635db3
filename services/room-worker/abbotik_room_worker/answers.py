"""What the caller of a command is told, made from the entry that settled it.

An entry answers the same whenever it is asked, so a redelivered command gets its first outcome.
"""

from __future__ import annotations

from abbotik_contracts.errors import ERRORS
from abbotik_contracts.policies import Actor
from abbotik_contracts.providers import provider_named
from abbotik_contracts.room_config import RoomConfig
from abbotik_contracts.room_log import LogEntry, Record, first_event_seq
from abbotik_contracts.room_views import message_record, message_state, room_record
from abbotik_room_worker.domain.draft import Refusal
from abbotik_room_worker.domain.room import Room

_WITHOUT_ROOM = ("refusal", "message", "interrupt")


def of_entry(entry: LogEntry, config: Record) -> Record:
    """Return the outcome of the command that the entry settled; ``config`` held with it."""
    answer = entry.get("answer", {})
    kind = answer.get("kind")
    if kind == "refusal":
        extra = answer["extra"]
        return refused(
            Refusal(
                str(answer["code"]),
                str(answer["detail"]),
                extra=extra if isinstance(extra, dict) else {},
            )
        )
    if kind == "message":
        return _ok(_message(entry), entry)
    if kind == "interrupt":
        turn = entry["state"]["turn"] or {}
        return _ok({"turn_id": turn.get("id"), "status": "interrupting"}, entry)
    warnings = _warnings(RoomConfig.model_validate(config).actors)
    record = room_record(entry["tenant"], entry["room"], entry["state"], config, warnings)
    return _ok(record, entry)


def shows_room(entry: LogEntry) -> bool:
    """Say whether the outcome shows the room, with the configuration that held then."""
    return entry.get("answer", {}).get("kind") not in _WITHOUT_ROOM


def of_room(room: Room) -> Record:
    """Return the outcome of a command that found nothing to do: the room as it is."""
    record = room_record(room.tenant, room.id, room.to_state(), room.config_record)
    return {"ok": True, "data": record, "seq": room.last_event_seq, "rev": room.rev}


def refused(refusal: Refusal) -> Record:
    """Return the outcome of a refused command."""
    return {
        "ok": False,
        "code": refusal.code,
        "detail": refusal.detail,
        "status": ERRORS[refusal.code].status,
        "extra": refusal.extra,
    }


def _ok(data: Record, entry: LogEntry) -> Record:
    seq = first_event_seq(entry) if "events" in entry else 0
    return {"ok": True, "data": data, "seq": seq, "rev": entry["rev"]}


def _message(entry: LogEntry) -> Record:
    message = entry["messages"][0]
    state = entry["state"]
    turn = state["turn"]
    begun = turn is not None and turn["message_id"] == message["id"]
    turn_id = str(turn["id"]) if turn is not None and begun else None
    return message_record(
        entry["room"], message, entry["at"], message_state(message, state), turn_id
    )


def _warnings(actors: list[Actor]) -> list[str]:
    return [
        f"actor {actor.agent_id}: provider {actor.provider!r} is not configured here; "
        "its turns will fail with PROVIDER_NOT_CONFIGURED"
        for actor in actors
        if actor.provider is not None and provider_named(actor.provider) is None
    ]

"""What must hold of the logs that a life left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise

from abbotik_contracts.room_log import LogEntry, Record
from abbotik_contracts.room_views import wire_events
from tests.simulation.worker import MAX_QUEUE
from tests.simulation.world import World
from tests.unit.room_worker.sound_log import SoundLog

# By how much the times of two commits may be wrong: the way to the database and back, and what a
# clock runs off until it hears the time again.
_MOST_OFF_MS = 250
# How late an occurrence is kept where workers stand still or die one after the other.
_LATEST_MS = 20_000
# Errors that a script asks for; no turn fails because of what happens to a worker.
_ASKED_FOR = {"BROKEN"}


def check(world: World) -> None:
    """Check every room; AssertionError where a promise was broken."""
    assert world.dead_letters == []
    for command, outcomes in world.told.items():
        assert len({_said(outcome) for outcome in outcomes}) == 1, f"{command} has two outcomes"
    for worker in (*world.workers, *world.gone):
        for off_ms in worker.room_log.off_ms:
            assert abs(off_ms) <= _MOST_OFF_MS, f"a commit is off by {off_ms} ms"
    for room in world.rooms:
        _check_room(world, room, world.log_of(room))


def _check_room(world: World, room: str, log: list[LogEntry]) -> None:
    sound = SoundLog(MAX_QUEUE)
    for entry in log:
        sound.add(entry)
    sound.check_quiet(log[-1])
    settled = {key for entry in log for key in entry.get("keys", ())}
    for command, outcomes in world.told.items():
        data = outcomes[0].get("data")
        if isinstance(data, dict) and data.get("room_id") == room:
            assert command in settled, f"message {command} was told and is not in the log"
    failed = {str(event["payload"]["code"]) for event in _events(log, "error")}  # type: ignore[index,call-overload]  # errors have one
    assert failed <= _ASKED_FOR, f"turns failed with {failed - _ASKED_FOR}"
    _check_occurrences(log)
    for before, entry in pairwise(log):
        _check_interrupts(before, entry)
        late_ms = entry["at"] - min(before["state"]["wakes"], default=entry["at"])
        assert late_ms <= _LATEST_MS, f"an occurrence waited {late_ms} ms"
    calls = Counter(event["turn_id"] for event in _events(log, "tool:start"))
    assert all(times == 1 for times in calls.values()), "a tool was called again"


def _check_occurrences(log: list[LogEntry]) -> None:
    """Assert that each occurrence of a schedule ends once, and none is left out."""
    told: list[int] = []
    for event in _events(log, "room:wake"):
        payload = event["payload"]
        assert isinstance(payload, dict)
        if payload["cause"] == "schedule":
            assert "occurrences" not in payload, "more were missed than a life has"
            told.append(
                round(datetime.fromisoformat(str(payload["scheduled_for"])).timestamp() * 1000)
            )
    apart = {later - earlier for earlier, later in pairwise(told)}
    assert apart <= {3000}, f"occurrences are {apart} ms apart"


def _check_interrupts(before: LogEntry, entry: LogEntry) -> None:
    """Assert that a turn is interrupted only where somebody asked for it."""
    state = before["state"]
    for turn in entry.get("turns", ()):
        if turn["status"] == "interrupted" and state["status"] != "releasing":
            assert state["turn"] is not None
            assert state["turn"]["interrupt"] is not None, "a turn was interrupted by nobody"


def _events(log: list[LogEntry], kind: str) -> Iterator[Record]:
    return (e for entry in log for e in wire_events(entry) if e["event_type"] == kind)


def _said(outcome: Mapping[str, object]) -> tuple[object, ...]:
    data = outcome.get("data")
    return (outcome["ok"], outcome.get("code"), data.get("id") if isinstance(data, dict) else None)

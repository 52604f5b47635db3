"""What must hold of the logs that a life left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise

from abbotik_contracts.room_log import LogEntry, Record
from abbotik_contracts.room_views import wire_events
from abbotik_room_worker.domain.due import wants_turn
from abbotik_room_worker.domain.room import Room
from tests.simulation.worker import MAX_QUEUE
from tests.simulation.world import World
from tests.unit.room_worker.sound_log import SoundLog

# By how much the times of two commits may be wrong: the way to the database and back, and what a
# clock runs off until it hears the time again.
_MOST_OFF_MS = 250
# Errors that a script asks for; no turn fails because of what happens to a worker.
_ASKED_FOR = {"BROKEN"}


def check(world: World) -> None:
    """Check every room; AssertionError where a promise was broken."""
    assert world.dead_letters == []
    assert not world.strays, "a tool ran in a worker that had lost the room"
    for command, outcomes in world.told.items():
        assert len({_said(outcome) for outcome in outcomes}) == 1, f"{command} has two outcomes"
    for worker in (*world.workers, *world.gone):
        for off_ms in worker.room_log.off_ms:
            assert abs(off_ms) <= _MOST_OFF_MS, f"a commit is off by {off_ms} ms"
    for room in world.rooms:
        log, projection = world.log_of(room), world.store.rooms[room]
        assert projection["rev"] == log[-1]["rev"], f"lists show rev {projection['rev']}"
        _check_room(world, room, log)


def check_deaths(world: World) -> None:
    """Assert that nobody was taken for dead who lived all the time, where the ways are fair.

    Asked before the end, which is everybody's.
    """
    for worker in world.workers:
        if not worker.serves or worker.machine.stopped:
            continue
        assert worker.session in world.store.sessions, "a worker was buried alive"
        for room in world.rooms:
            for event in _events(world.log_of(room), "room:recovered"):
                payload = event["payload"]
                assert isinstance(payload, dict)
                assert payload["previous_worker"] != worker.session, "a turn was taken away"


def _check_room(world: World, room: str, log: list[LogEntry]) -> None:
    sound = SoundLog(MAX_QUEUE)
    rooms = [sound.add(entry) for entry in log]
    sound.check_quiet(log[-1])
    settled = {key for entry in log for key in entry.get("keys", ())}
    for command, outcomes in world.told.items():
        data = outcomes[0].get("data")
        if isinstance(data, dict) and data.get("room_id") == room:
            assert command in settled, f"message {command} was told and is not in the log"
    failed = {str(event["payload"]["code"]) for event in _events(log, "error")}  # type: ignore[index,call-overload]  # errors have one
    assert failed <= _ASKED_FOR, f"turns failed with {failed - _ASKED_FOR}"
    _check_occurrences(log)
    _check_promptness(log, rooms, world.latest_ms)
    for before, entry in pairwise(log):
        _check_interrupts(before, entry)
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


def _check_promptness(log: list[LogEntry], rooms: list[Room], most_ms: int) -> None:
    """Assert that nothing that was due waited for longer than that.

    An occurrence, a turn that is to begin or to go on, one that is to stop in the middle of its
    script.
    """
    waits_since: int | None = None
    asked_at: dict[str, int] = {}
    for room, (before, entry) in zip(rooms, pairwise(log), strict=False):
        late_ms = entry["at"] - min(before["state"]["wakes"], default=entry["at"])
        assert late_ms <= most_ms, f"an occurrence waited {late_ms} ms"
        waits_since = (waits_since or before["at"]) if wants_turn(room) else None
        late_ms = entry["at"] - (waits_since or entry["at"])
        assert late_ms <= most_ms, f"a turn waited {late_ms} ms"
        for ended in entry.get("turns", ()):
            late_ms = entry["at"] - asked_at.get(ended["id"], entry["at"])
            assert late_ms <= most_ms, f"a turn went on for {late_ms} ms"
        turn = entry["state"]["turn"]
        stop = None if turn is None else turn["interrupt"]
        if turn is not None and isinstance(stop, dict) and stop["mode"] == "hard":
            asked_at.setdefault(str(turn["id"]), entry["at"])


def _events(log: list[LogEntry], kind: str) -> Iterator[Record]:
    return (e for entry in log for e in wire_events(entry) if e["event_type"] == kind)


def _said(outcome: Mapping[str, object]) -> tuple[object, ...]:
    data = outcome.get("data")
    return (outcome["ok"], outcome.get("code"), data.get("id") if isinstance(data, dict) else None)

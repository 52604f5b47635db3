"""A room's log proves itself: what was changed, left out or put in is named."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from abbotik_contracts.room_log import LogEntry
from abbotik_contracts.room_views import wire_events
from abbotik_kernel.chain import Mark
from abbotik_runtime.canonical import hashed
from abbotik_runtime.log_check import LogCheck
from tests.service.room_worker.house import House

Log = list[LogEntry]


async def _log(house: House) -> Log:
    """Return the log of a room with three turns, of which one fails."""
    worker = await house.worker()
    room = await house.rent(worker, purpose="π")
    for number, content in enumerate(("hello", '!tool echo {"x": 1.5}', "!fail BROKEN no")):
        await worker.ask(house.message(room, content))
        await house.until(room, "actor:turn_end", number + 1)
        await worker.rested()
    return copy.deepcopy(house.log(room))


def _faults(log: Log, expected: Mark | None = None) -> list[str]:
    check = LogCheck(expected)
    found = [fault for entry in log for fault in check.add(entry)]
    return [*found, *check.faults_at_end()]


def _mark(log: Log, seq: int) -> Mark:
    events = [event for entry in log for event in wire_events(entry)]
    return Mark(seq, str(events[seq - 1]["hash"]))


def _change_payload(log: Log) -> None:
    log[1]["events"][0]["payload"]["seq"] = 7


def _change_actor(log: Log) -> None:
    log[2]["events"][0]["actor"] = "somebody"


def _change_hash(log: Log) -> None:
    log[1]["events"][1]["hash"] = "0" * 64


def _leave_out_an_entry(log: Log) -> None:
    del log[2]


def _leave_out_an_event(log: Log) -> None:
    del log[1]["events"][1]


def _leave_out_the_last_event(log: Log) -> None:
    del log[1]["events"][-1]


def _leave_out_the_very_last_event(log: Log) -> None:
    del log[-1]["events"][-1]


def _put_in_an_event(log: Log) -> None:
    log[2]["events"].insert(1, copy.deepcopy(log[2]["events"][0]))


def _put_in_an_entry(log: Log) -> None:
    log.insert(2, copy.deepcopy(log[1]))


def _leave_out_a_message(log: Log) -> None:
    del log[1]["messages"]


async def test_log_as_it_was_written_is_sound(house: House) -> None:
    """Nothing is found in a log that nobody touched, and its end is the room's own hash."""
    log = await _log(house)
    assert _faults(log) == []
    check = LogCheck()
    assert [fault for entry in log for fault in check.add(entry)] == []
    assert check.chain.end == Mark(log[-1]["last_event_seq"], log[-1]["state"]["hash"])
    assert check.entries == len(log)


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (_change_payload, "event 2 was changed"),
        (_change_actor, "event 5 was changed"),
        (_change_hash, "event 3 was changed"),
        (_leave_out_an_entry, "events 5 to 7 are missing"),
        (_leave_out_an_event, "event 3 is missing"),
        (_leave_out_the_last_event, "event 4 is missing"),
        (_leave_out_the_very_last_event, "event 20 is missing"),
        (_put_in_an_event, "event 5 was inserted"),
        (_put_in_an_entry, "event 2 was inserted"),
        (_leave_out_a_message, "message 2 follows message 0"),
    ],
)
async def test_tampering_is_named(house: House, tamper: Callable[[Log], None], named: str) -> None:
    """Each kind of change is found, with the number of the event it shows at."""
    log = await _log(house)
    tamper(log)
    assert any(named in fault for fault in _faults(log)), _faults(log)


async def test_rest_that_was_made_anew_misses_the_noted_hash(house: House) -> None:
    """A forger who recomputes every later hash is caught by a hash that somebody noted."""
    log = await _log(house)
    noted, before = _mark(log, 6), _mark(log, 2)
    _forge_from(log, 2)
    assert _faults(log) == []
    assert _faults(log, before) == []
    assert any("event 6 does not have the hash" in fault for fault in _faults(log, noted))


def _forge_from(log: Log, first: int) -> None:
    """Change a payload and give everything from there a chain that fits."""
    log[first]["events"][0]["payload"]["forged"] = True
    prev_hash = log[first - 1]["state"]["hash"]
    for entry in log[first:]:
        entry["prev_hash"] = prev_hash
        for place, event in enumerate(entry.get("events", ())):
            record = list(wire_events(entry))[place]
            del record["hash"]
            event["hash"] = prev_hash = hashed(record)[0]
        entry["state"]["hash"] = prev_hash

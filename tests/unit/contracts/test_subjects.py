"""Subjects, streams and consumers: what is declared, and what may stand in a subject."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from abbotik_contracts import subjects
from abbotik_contracts.subjects import CONSUMERS, STREAMS

ROOM = "0198a1b2-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (subjects.room_command("acme", ROOM, "message"), f"cmd.room.acme.{ROOM}.message"),
        (subjects.turn("acme", ROOM), f"turn.acme.{ROOM}"),
        (subjects.room_events("acme", ROOM), f"evt.room.acme.{ROOM}"),
        (subjects.room_live("acme", ROOM), f"live.room.acme.{ROOM}"),
        (subjects.room_nudge(ROOM), f"ctl.room.{ROOM}"),
        (subjects.worker_commands(ROOM), f"ctl.worker.{ROOM}"),
        (subjects.dead_letters("room-worker"), "dlq.room-worker"),
    ],
)
def test_subjects_have_the_documented_form(subject: str, expected: str) -> None:
    """Each subject is what the design's table says."""
    assert subject == expected


@pytest.mark.parametrize("token", ["", "a.b", "*", ">", "a b", "é", "x" * 65, "a\n", "a/b"])
@pytest.mark.parametrize(
    "make",
    [
        lambda token: subjects.room_command(token, ROOM, "message"),
        lambda token: subjects.turn("acme", token),
        lambda token: subjects.room_events(token, ROOM),
        lambda token: subjects.room_live("acme", token),
        subjects.room_nudge,
        subjects.worker_commands,
        subjects.dead_letters,
    ],
)
def test_token_that_could_change_the_address_is_refused(
    make: Callable[[str], str], token: str
) -> None:
    """Whatever is no slug never becomes part of a subject."""
    with pytest.raises(ValueError, match="cannot be part of a subject"):
        make(token)


def _matches(pattern: str, subject: str) -> bool:
    wanted, given = pattern.split("."), subject.split(".")
    for place, token in enumerate(wanted):
        if token == ">":
            return len(given) > place
        if place >= len(given) or token not in ("*", given[place]):
            return False
    return len(wanted) == len(given)


@pytest.mark.parametrize(
    ("subject", "stream"),
    [
        (subjects.room_command("acme", ROOM, "rent"), "COMMANDS"),
        (subjects.turn("acme", ROOM), "TURNS"),
        (subjects.room_events("acme", ROOM), "EVENTS"),
        (subjects.dead_letters("gateway"), "DLQ"),
        (subjects.room_live("acme", ROOM), None),
        (subjects.room_nudge(ROOM), None),
    ],
)
def test_each_subject_lies_in_one_stream_or_is_core(subject: str, stream: str | None) -> None:
    """A stored subject has exactly one home; deltas and nudges have none."""
    homes = [s.name for s in STREAMS if any(_matches(p, subject) for p in s.subjects)]
    assert homes == ([] if stream is None else [stream])


def test_consumers_lie_in_their_streams() -> None:
    """Every consumer names a declared stream and a subject of it."""
    streams = {stream.name: stream for stream in STREAMS}
    for consumer in CONSUMERS:
        wide = streams[consumer.stream].subjects
        assert any(_matches(pattern, consumer.subject.replace(">", "x")) for pattern in wide)


def test_work_queues_have_no_overlapping_consumers() -> None:
    """A work queue refuses two consumers of one subject, so none are declared."""
    names = [consumer.subject for consumer in CONSUMERS]
    assert len(set(names)) == len(names)
    assert len({consumer.name for consumer in CONSUMERS}) == len(CONSUMERS)


def test_turns_keep_one_waiting_message_per_room() -> None:
    """TURNS refuses a second trigger of a room instead of dropping the first."""
    turns = next(stream for stream in STREAMS if stream.name == "TURNS")
    assert (turns.max_per_subject, turns.discard_new, turns.work_queue) == (1, True, True)


def test_services_need_what_they_consume() -> None:
    """Readiness looks at the streams of the service's consumers and at its dead letters."""
    assert subjects.streams_of("room-worker") == ("COMMANDS", "TURNS", "SCHEDULES", "DLQ")
    assert subjects.streams_of("gateway") == ("COMMANDS", "EVENTS")
    assert [c.name for c in subjects.consumers_of("room-worker")] == ["room-worker", "turns", "due"]
    assert subjects.consumers_of("gateway") == ()


def test_undeclared_consumer_is_an_error() -> None:
    """A name that nobody declared is found out at once."""
    assert subjects.consumer("turns").stream == "TURNS"
    with pytest.raises(LookupError, match="no consumer 'nobody'"):
        subjects.consumer("nobody")

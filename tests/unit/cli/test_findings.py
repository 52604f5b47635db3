"""What `abbotik doctor` says of what it has read, where it cannot be made wrong for real."""

from __future__ import annotations

import pytest
from pymongo import IndexModel

from abbotik_cli import findings
from abbotik_cli.findings import Session

DECLARED = [IndexModel([("at", 1)], name="forget", expireAfterSeconds=60)]
MADE = {
    "_id_": {"v": 2, "key": [("_id", 1)]},
    "forget": {"v": 2, "key": [("at", 1)], "expireAfterSeconds": 60},
}
LIVE = Session("w1", "north", 0, -2000)


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ((2, 14, 0), "ok"),
        ((2, 15, 3), "ok"),
        ((3, 0, 0), "ok"),
        ((2, 13, 9), "wrong"),
        ((1, 99, 0), "wrong"),
    ],
)
def test_old_nats_is_named(version: tuple[int, int, int], level: str) -> None:
    """Below 2.14 there are no message schedules."""
    assert findings.of_nats(version, "n:4222").level == level


def test_old_nats_says_which_to_install() -> None:
    """What is wrong, where it is, what to do."""
    assert findings.of_nats((2, 10, 1), "n:4222").text == (
        "NATS 2.10.1 at n:4222 has no message schedules: install NATS 2.14 or newer"
    )


@pytest.mark.parametrize(
    ("version", "level"),
    [("6.0.1", "ok"), ("8.0.0-rc1", "ok"), ("5.0.31", "wrong"), ("4.4", "wrong")],
)
def test_old_mongodb_is_named(version: str, level: str) -> None:
    """Below 6.0."""
    (found,) = findings.of_mongo({"setName": "rs0"}, version, "m:27017")
    assert found.level == level


def test_old_mongodb_without_a_replica_set_is_two_faults() -> None:
    """Each says what is wrong, where it is and what to do."""
    assert [found.text for found in findings.of_mongo({}, "5.0.31", "m:27017")] == [
        "MongoDB 5.0.31 at m:27017 is no replica set: start it with --replSet and initiate it",
        "MongoDB 5.0.31 at m:27017 is too old: install MongoDB 6.0 or newer",
    ]
    (sharded,) = findings.of_mongo({"msg": "isdbgrid"}, "8.0.4", "m:27017")
    assert sharded.level == "ok"


@pytest.mark.parametrize(
    ("ahead_s", "level"), [(0.5, "ok"), (-2.0, "ok"), (2.1, "wrong"), (-60.0, "wrong")]
)
def test_clock_may_be_two_seconds_off(ahead_s: float, level: str) -> None:
    """Either way."""
    assert findings.of_clock("this machine", ahead_s).level == level


def test_wrong_clock_says_whose_and_what_to_do() -> None:
    """With its sign."""
    assert findings.of_clock("this machine", -61.25).text == (
        "the clock of this machine is -61.250 s off MongoDB's: have both machines set theirs by NTP"
    )


def test_nobody_lives() -> None:
    """Whatever the dead left, somebody has to be started first."""
    (found,) = findings.of_sessions([Session("w1", "north", 0, 60_000)])
    assert (found.level, found.text) == ("wrong", "no room worker lives: start one")
    assert findings.of_sessions([]) == [found]


def test_wrong_clock_of_a_worker_is_named() -> None:
    """By its session and machine; that of a dead one is of no interest."""
    ahead = Session("w2", "south", 60_000, -1000)
    dead = Session("w3", "west", 60_000, 5000)
    good, clock, taken_over = findings.of_sessions([LIVE, ahead, dead])
    assert (good.level, good.text) == ("ok", "2 room workers live")
    assert clock.level == "wrong"
    assert "room worker w2 on south is +60.000 s off" in clock.text
    assert taken_over.level == "warning"


@pytest.mark.parametrize(("silent_ms", "level"), [(0, "warning"), (10_000, "warning")])
def test_dead_session_is_taken_over_within_ten_seconds(silent_ms: int, level: str) -> None:
    """Until then it is nobody's fault."""
    _, dead = findings.of_sessions([LIVE, Session("w2", "south", 0, silent_ms)])
    assert dead.level == level


def test_dead_session_that_nobody_buries_is_wrong() -> None:
    """With its machine, its age and what to do."""
    _, dead = findings.of_sessions([LIVE, Session("w2", "south", 0, 10_001)])
    assert dead.level == "wrong"
    assert dead.text.startswith("room worker w2 on south died 10 s ago and nobody has taken over")
    assert "start another room worker" in dead.text


def test_indexes_as_declared() -> None:
    """Whatever else the server says of them, and with that of `_id`."""
    (found,) = findings.of_indexes({"keys": (MADE, DECLARED)})
    assert found.level == "ok"


def test_absent_other_and_extra_indexes_are_told_apart() -> None:
    """Each kind in a sentence of its own, with what to do."""
    other = {**MADE, "forget": {**MADE["forget"], "expireAfterSeconds": 5}}
    unique = {**MADE, "by_hand": {"v": 2, "key": [("x", 1)], "unique": True}}
    slow = {**MADE, "by_hand": {"v": 2, "key": [("x", 1)]}}
    found = findings.of_indexes(
        {
            "a": ({}, DECLARED),
            "b": (other, DECLARED),
            "c": (unique, DECLARED),
            "d": (slow, DECLARED),
        }
    )
    assert [one.line for one in found] == [
        "WRONG indexes are missing (a.forget): run `abbotik provision`\n",
        "WRONG indexes are not as declared (b.forget): stop all workers, drop them, provision\n",
        "WRONG indexes are not declared, and unique (c.by_hand): drop them, they refuse commits\n",
        "WARN  indexes are not declared (d.by_hand): each slows every commit\n",
    ]


def test_dead_letters_wait_for_a_person() -> None:
    """One is enough."""
    assert findings.of_dead_letters(0).level == "ok"
    one = findings.of_dead_letters(1)
    assert one.level == "wrong"
    assert "`abbotik dlq list`" in one.text


def test_sandbox_says_what_to_do_and_is_never_wrong_by_itself() -> None:
    """A machine that verifies nothing needs none."""
    absent, unable = (
        findings.of_sandbox(None, None),
        findings.of_sandbox("/bin/bwrap", "no uid map"),
    )
    assert {absent.level, unable.level} == {"warning"}
    assert "install bubblewrap" in absent.text
    assert "(no uid map): allow unprivileged user namespaces" in unable.text
    assert findings.of_sandbox("/bin/bwrap", None).level == "ok"

"""Occurrences of a schedule: each ends once, as fired, coalesced or skipped, with its reason."""

from __future__ import annotations

from typing import Any

import pytest

from abbotik_contracts.policies import WakePolicy
from abbotik_kernel.clock import rfc3339
from abbotik_room_worker.domain.draft import Draft
from abbotik_room_worker.domain.due import TURN_GRACE_MS, due_at, wants_turn
from abbotik_room_worker.domain.lifecycle import RoomStatus
from abbotik_room_worker.domain.room import Room
from abbotik_room_worker.domain.ticks import Tick
from abbotik_room_worker.domain.wakes import MISFIRE_MS, MOST_MISSED, TOLD_APART, occurrence_id
from tests.unit.room_worker.rooms import (
    T0,
    TIMEOUT_MS,
    active,
    after,
    asked,
    drafted,
    failed,
    held,
    message,
    patch,
    payload,
    refused,
    release,
    rent,
    rented,
    room_in,
)

TICK = Tick("w2", 2)
MINUTE = 60_000


def policy(**members: Any) -> WakePolicy:
    """Return a policy that wakes each minute unless told otherwise."""
    return WakePolicy.model_validate({"schedule": {"every_s": 60, **members}})


def ticked(room: Room, now: int) -> Draft:
    """Return what a tick at that time commits."""
    return drafted(held(room, TICK, now))


def outcomes(draft: Draft) -> list[tuple[str, str | None]]:
    """Return the outcomes that a draft reports, each with its reason."""
    wakes = [event.payload for event in draft.events if event.type == "room:wake"]
    return [(str(wake["outcome"]), wake["reason"]) for wake in wakes]  # type: ignore[misc]  # text or None


def test_rented_room_knows_its_next_five_times() -> None:
    """They count from the rent, and the first is the room's deadline."""
    room = rented(wake_policy=policy())
    assert room.wakes == tuple(T0 + MINUTE * n for n in range(1, 6))
    assert due_at(room) == T0 + MINUTE


def test_occurrence_posts_its_content_as_the_system() -> None:
    """The message is queued, the room wants a turn, and the times move on by one."""
    room = rented(wake_policy=policy(content="report"))
    draft = ticked(room, T0 + MINUTE)
    assert outcomes(draft) == [("fired", None)]
    (posted,) = draft.messages
    assert (posted["content"], posted["author"], posted["kind"]) == ("report", "system", "task")
    assert posted["id"] == occurrence_id(room.id, T0 + MINUTE)
    assert draft.keys == [posted["id"]]
    assert wants_turn(draft.room)
    assert draft.room.wakes[0] == T0 + 2 * MINUTE
    told = payload(draft, "room:wake")
    assert told["cause"] == "schedule"
    assert told["scheduled_for"] == rfc3339(T0 + MINUTE)


def test_occurrence_without_content_wakes_a_sleeper() -> None:
    """It becomes idle and runs nothing."""
    sleepy = policy(every_s=3600).model_copy(update={"sleep_after_s": 5})
    room = ticked(rented(wake_policy=sleepy), T0 + 5_000).room
    assert room.status is RoomStatus.SLEEPING
    draft = ticked(room, room.wakes[0])
    assert draft.room.status is RoomStatus.IDLE
    assert outcomes(draft) == [("fired", None)]
    assert not wants_turn(draft.room)


def test_queued_work_of_an_explicit_room_runs_at_its_time() -> None:
    """A schedule is a wake: what waited for one is wanted now."""
    explicit = policy().model_copy(update={"mode": "explicit"})
    room = after(asked(rented(wake_policy=explicit), message(5)))
    assert not wants_turn(room)
    queued = policy(overlap="queue").model_copy(update={"mode": "explicit"})
    room = after(asked(rented(wake_policy=queued), message(5)))
    assert wants_turn(ticked(room, room.wakes[0]).room)


@pytest.mark.parametrize(
    ("overlap", "content", "expected"),
    [
        ("skip", "report", ("skipped", "overlap")),
        ("queue", "report", ("fired", None)),
        ("queue", None, ("coalesced", "overlap")),
    ],
)
def test_occurrence_that_meets_a_running_turn(
    overlap: str, content: str | None, expected: tuple[str, str | None]
) -> None:
    """Skipped, queued behind it, or one with what runs: as the policy says."""
    given = {"overlap": overlap} | ({} if content is None else {"content": content})
    room = active(wake_policy=policy(**given))
    draft = ticked(room, room.wakes[0])
    assert outcomes(draft) == [expected]
    assert len(draft.messages) == (expected[0] == "fired")
    assert draft.room.turn == room.turn


def test_full_queue_skips() -> None:
    """A schedule adds no more than the queue takes."""
    room = active(wake_policy=policy(overlap="queue", content="report"))
    for number in (5, 6):
        room = after(asked(room, message(number)))
    draft = ticked(room, room.wakes[0])
    assert outcomes(draft) == [("skipped", "queue_full")]
    assert draft.messages == []


def test_failed_room_is_left_alone() -> None:
    """Only a person or a message brings it back."""
    room = failed(wake_policy=policy(content="report"))
    draft = ticked(room, room.wakes[0])
    assert outcomes(draft) == [("skipped", "room_failed")]
    assert draft.room.status is RoomStatus.FAILED
    assert draft.room.queue == room.queue


@pytest.mark.parametrize(
    ("misfire", "late", "expected"),
    [
        ("fire_once", 0, [("coalesced", "misfire"), ("coalesced", "misfire"), ("fired", None)]),
        ("skip", 0, [("skipped", "misfire"), ("skipped", "misfire"), ("fired", None)]),
        ("fire_once", MISFIRE_MS + 1,
         [("coalesced", "misfire"), ("coalesced", "misfire"), ("fired", None)]),
        ("skip", MISFIRE_MS + 1, [("skipped", "misfire")] * 3),
    ],
)  # fmt: skip
def test_missed_occurrences_end_once_each(
    misfire: str, late: int, expected: list[tuple[str, str | None]]
) -> None:
    """Three are due; what was missed is told as the policy says, and the next one is ahead."""
    room = rented(wake_policy=policy(misfire=misfire, content="report"))
    now = T0 + 3 * MINUTE + late
    draft = ticked(room, now)
    assert outcomes(draft) == expected
    ids = {str(e.payload["occurrence_id"]) for e in draft.events if e.type == "room:wake"}
    assert ids == {occurrence_id(room.id, T0 + MINUTE * n) for n in (1, 2, 3)}
    assert draft.room.wakes[0] == T0 + 4 * MINUTE
    assert len(draft.messages) == (("fired", None) in expected)


def test_many_missed_ones_are_told_together() -> None:
    """A night of missed minutes is one event with their number, and the last ones apart."""
    room = rented(wake_policy=policy())
    draft = ticked(room, T0 + 600 * MINUTE)
    wakes = [event.payload for event in draft.events if event.type == "room:wake"]
    assert len(wakes) == 1 + TOLD_APART + 1
    together = wakes[0]
    assert together["occurrences"] == 600 - TOLD_APART - 1
    assert together["first"] == rfc3339(T0 + MINUTE)


def test_years_of_missed_seconds_are_one_commit() -> None:
    """What is not counted any more does not come back: the next time is ahead."""
    room = rented(wake_policy=policy(every_s=1))
    now = T0 + 5 * MOST_MISSED * 1000
    draft = ticked(room, now)
    assert len(draft.events) == 1 + TOLD_APART + 1
    assert draft.room.wakes[0] == now + 1000


def test_turn_deadline_is_kept_beside_a_schedule_that_is_always_due() -> None:
    """A schedule of each second starves no deadline."""
    room = active(wake_policy=policy(every_s=1))
    draft = ticked(room, T0 + TIMEOUT_MS + TURN_GRACE_MS)
    assert draft.room.turn is None
    assert draft.room.status is RoomStatus.FAILED


def test_once_is_over_after_it_fired() -> None:
    """An `at` has no next time, and the room no deadline by it."""
    wake_policy = WakePolicy.model_validate({"schedule": {"at": rfc3339(T0 + MINUTE)}})
    draft = ticked(rented(wake_policy=wake_policy), T0 + MINUTE)
    assert outcomes(draft) == [("fired", None)]
    assert draft.room.wakes == ()
    assert due_at(draft.room) is None


def test_patch_counts_anew_only_where_the_schedule_changed() -> None:
    """Another member leaves the times as they are; null takes them away."""
    room = rented(wake_policy=policy())
    later = T0 + 10_000
    same = after(asked(room, patch(5, purpose="other"), now=later))
    assert same.wakes == room.wakes
    other = after(asked(room, patch(6, wake_policy={"schedule": {"every_s": 30}}), now=later))
    assert other.wakes[0] == later + 30_000
    none = after(asked(room, patch(7, wake_policy={"schedule": None}), now=later))
    assert none.wakes == ()


def test_useless_schedule_is_refused_with_its_pointer() -> None:
    """At rent and at a patch alike; an old one that has passed does not block other changes."""
    bad = {"schedule": {"cron": "61 * * * *"}}
    for decision in (
        asked(None, rent(2, wake_policy=bad)),
        asked(rented(), patch(5, wake_policy=bad)),
    ):
        refusal = refused(decision)
        assert refusal.code == "VALIDATION_FAILED"
        assert refusal.extra["errors"][0]["pointer"] == "/wake_policy/schedule/cron"  # type: ignore[call-overload,index]  # a list of records
    once = WakePolicy.model_validate({"schedule": {"at": rfc3339(T0 + MINUTE)}})
    passed = ticked(rented(wake_policy=once), T0 + MINUTE).room
    after(asked(passed, patch(6, purpose="later"), now=T0 + 2 * MINUTE))


@pytest.mark.parametrize("status", [RoomStatus.RENTED, RoomStatus.IDLE, RoomStatus.ACTIVE])
def test_released_room_wakes_no_more(status: RoomStatus) -> None:
    """From the release on it has no next time."""
    room = room_in(status, wake_policy=policy())
    assert after(asked(room, release(5))).wakes == ()


def test_patch_keeps_what_was_due_by_the_old_schedule() -> None:
    """Its time had come before: it ends as one outcome, and the new times count from the patch."""
    room, later = rented(wake_policy=policy(content="look")), T0 + MINUTE + 100
    draft = drafted(asked(room, patch(5, wake_policy={"schedule": {"every_s": 30}}), now=later))
    assert outcomes(draft) == [("fired", None)]
    assert payload(draft, "room:wake")["scheduled_for"] == rfc3339(T0 + MINUTE)
    assert [message["content"] for message in draft.messages] == ["look"]
    assert draft.room.wakes[0] == later + 30_000


@pytest.mark.parametrize("status", [RoomStatus.RENTED, RoomStatus.ACTIVE])
def test_release_ends_what_was_due(status: RoomStatus) -> None:
    """Nobody kept it before the room was over: it is skipped, once."""
    room = room_in(status, wake_policy=policy())
    draft = drafted(asked(room, release(5), now=room.wakes[1] + 100))
    assert outcomes(draft) == [("skipped", "released")] * 2
    assert draft.room.wakes == ()
    assert draft.events[-1].type in ("room:released", "room:releasing")

"""Tests of the promises, on room workers without the fix that each is about: every one is red."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from inspect import signature

import pytest

from tests.service.room_worker import broken_builds as builds
from tests.service.room_worker import house as house_module
from tests.service.room_worker import (
    test_care,
    test_commands,
    test_deadlines,
    test_interrupts,
    test_redelivery,
    test_takeover,
    test_triggers,
)
from tests.service.room_worker.broken_builds import Build
from tests.service.room_worker.house import House

Scenario = Callable[..., Awaitable[None]]


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """Yield an empty house that is left as it is: what happens in it need not be sound."""
    monkeypatch.setattr(house_module, "_PATIENCE_S", 0.5)
    house = House()
    yield house
    for worker in house.workers.values():
        await worker.killed()


async def _unheard_message_is_applied_once(house: House) -> None:
    await test_redelivery.test_unknown_outcome_is_tried_again_and_applied_once(
        house, "unwritten", lambda house, room: house.message(room, "!say again")
    )


@pytest.mark.parametrize(
    ("build", "scenario", "red"),
    [
        # The message is accepted when it comes again.
        (builds.forgets_refusals, test_redelivery.test_refusal_stays_one, "'ok': True"),
        (builds.forgets_refusals, test_redelivery.test_queue_full_stays_refused, "'ok': True"),
        # A turn is stopped that was not meant.
        (
            builds.forgets_refusals,
            test_redelivery.test_interrupt_that_came_too_early_stays_refused,
            "'ok': True",
        ),
        # The caller is told of a message that is nowhere.
        (builds.answers_what_is_unknown, _unheard_message_is_applied_once, "Done"),
        # Nobody finds the turn.
        (
            builds.looks_for_projected_rooms_only,
            test_care.test_claim_that_was_owed_is_found_by_the_log_alone,
            "done",
        ),
        (
            builds.looks_for_projected_rooms_only,
            test_care.test_projection_that_was_owed_is_written_after_death,
            "assert 2 == 3",
        ),
        # A command becomes a dead letter because MongoDB is away.
        (
            builds.counts_bad_weather,
            test_commands.test_exceptions_are_counted_apart_from_bad_weather,
            "Reject",
        ),
        # Nobody says that the message waits.
        (
            builds.acks_and_looks_no_more,
            test_triggers.test_message_between_the_read_and_the_ack_is_not_forgotten,
            r"assert \[\] == \[",
        ),
        # Where no slot is free the room waits until another one is done for good.
        (
            builds.thinks_that_no_room_waits,
            test_triggers.test_room_that_is_never_done_waits_behind_others,
            "'5'",
        ),
        # A hung turn runs on.
        (
            builds.looks_at_no_room_of_its_own,
            test_interrupts.test_holder_notices_without_a_nudge,
            # It never rests.
            "^$",
        ),
        (
            builds.keeps_no_deadline,
            test_interrupts.test_holder_that_cannot_stop_is_ended_by_anybody,
            "assert 'active' == 'idle'",
        ),
        (
            builds.keeps_no_deadline,
            test_deadlines.test_release_past_its_deadline_is_carried_out,
            "releasing",
        ),
        (
            builds.takes_nobody_over,
            test_takeover.test_release_of_a_dead_workers_room_is_carried_out,
            "releasing",
        ),
        (builds.takes_nobody_over, test_takeover.test_dead_workers_turn_goes_on_elsewhere, "done"),
    ],
)
async def test_promise_is_broken_without_its_fix(
    house: House, monkeypatch: pytest.MonkeyPatch, build: Build, scenario: Scenario, red: str
) -> None:
    """The assertion that fails says what the build does."""
    build(monkeypatch)
    arguments = (
        (house, monkeypatch) if "monkeypatch" in signature(scenario).parameters else (house,)
    )
    with pytest.raises((AssertionError, TimeoutError), match=red):
        await scenario(*arguments)

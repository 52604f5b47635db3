"""Rent, messages and wakes, decided."""

from __future__ import annotations

import pytest

from abbotik_contracts.policies import Actor, WakePolicy
from abbotik_contracts.room_bodies import TextBlock
from abbotik_room_worker.domain.due import wants_turn
from abbotik_room_worker.domain.lifecycle import RoomStatus
from abbotik_room_worker.domain.requests import MAX_QUEUE
from abbotik_room_worker.domain.room import Lease, Room, Trigger
from tests.unit.room_worker.rooms import (
    AROUND,
    T0,
    TURN,
    active,
    after,
    asked,
    claim,
    drafted,
    failed,
    finish,
    held,
    message,
    payload,
    refused,
    rent,
    rented,
    sleeping,
    types,
    uid,
    wake,
)

EXPLICIT = WakePolicy(mode="explicit")


def test_rent_begins_a_room_with_its_defaults() -> None:
    """A rented room has one event, a default actor, and the caller's name in it."""
    draft = drafted(asked(None, rent(1, purpose="p", metadata={"name": "n"})))
    assert types(draft) == ["room:rented"]
    assert payload(draft, "room:rented") == {"rented_by": "ada", "purpose": "p"}
    assert draft.keys == [uid(1)]
    assert draft.config_changed
    assert draft.answer == {"kind": "room"}
    room = draft.room
    assert (room.rented_by, room.rented_at, room.idle_since) == ("ada", T0, T0)
    assert (room.last_event_seq, room.last_message_seq, room.epoch) == (1, 0, 0)
    assert room.config.actors == [
        Actor(agent_id="assistant-1", provider="scripted", model="scripted-1")
    ]
    assert room.config_record["metadata"] == {"name": "n"}


def test_rent_takes_the_roster_by_either_name() -> None:
    """`agents` is `actors`."""
    roster = [Actor(agent_id="critic")]
    assert rented(agents=roster).config == rented(actors=roster).config
    assert rented(agents=roster).config.actors[0].agent_id == "critic"


def test_rent_with_twins_is_refused_for_ever() -> None:
    """Two actors of one name are the caller's fault, not an exception of the worker's."""
    twins = [Actor(agent_id="twin"), Actor(agent_id="twin")]
    refusal = refused(asked(None, rent(1, actors=twins)))
    assert (refusal.code, refusal.lasting) == ("VALIDATION_FAILED", True)


def test_rent_whose_numbering_makes_twins_is_refused() -> None:
    """A given name that an unnamed actor would get as well cannot be stored."""
    roster = [Actor(), Actor(agent_id="assistant-1")]
    assert refused(asked(None, rent(1, actors=roster))).code == "VALIDATION_FAILED"


def test_message_without_a_free_slot_waits() -> None:
    """An accepted message is queued, gets the next seq, and makes the room want a turn."""
    draft = drafted(asked(rented(), message(2, actor_key="bob", metadata={"k": 1})))
    assert types(draft) == ["message:queued"]
    assert payload(draft, "message:queued") == {"message_id": uid(2), "seq": 1}
    assert draft.events[0].actor == "bob"
    assert draft.keys == [uid(2)]
    assert draft.answer == {"kind": "message"}
    assert draft.room.queue == (Trigger(1, uid(2)),)
    assert draft.room.status is RoomStatus.RENTED
    assert wants_turn(draft.room)
    assert draft.messages == [
        {
            "id": uid(2),
            "seq": 1,
            "actor": "bob",
            "author": "user",
            "kind": "task",
            "content": "hello",
            "blob": None,
            "metadata": {"k": 1},
            "turn": None,
        }
    ]


def test_message_with_a_free_slot_begins_its_turn_in_the_same_commit() -> None:
    """Accepting and claiming are one entry, so a turn costs two commits."""
    draft = drafted(asked(rented(), message(2), begin=claim()))
    assert types(draft) == ["message:queued", "room:active", "actor:turn_start"]
    assert draft.keys == [uid(2), TURN]
    assert draft.room.queue == ()
    assert draft.room.lease == Lease("w1", 1)
    assert draft.room.status is RoomStatus.ACTIVE


def test_message_to_a_busy_room_waits_for_its_holder() -> None:
    """A free slot elsewhere starts no second turn; the holder drains the queue."""
    room = after(asked(active(), message(3), begin=claim("w2", uid(901))))
    assert room.lease == Lease("w1", 1)
    assert room.queue == (Trigger(2, uid(3)),)
    assert not wants_turn(room)


def test_message_begins_the_turn_of_the_one_that_waited_longer() -> None:
    """The first in the queue is the first to run."""
    waiting = after(asked(rented(), message(2)))
    draft = drafted(asked(waiting, message(3), begin=claim()))
    assert draft.room.turn is not None
    assert draft.room.turn.message_id == uid(2)
    assert draft.room.queue == (Trigger(2, uid(3)),)


def test_content_that_is_stored_apart_leaves_only_its_digest() -> None:
    """A large content is not in the entry, neither as text nor as blocks."""
    around = AROUND._replace(blob="d" * 64)
    text = drafted(asked(rented(), message(2), around=around)).messages[0]
    assert (text["content"], text["blob"]) == ("", "d" * 64)
    blocks = message(3).model_copy(
        update={
            "body": message(3).body.model_copy(
                update={"content": [TextBlock(type="text", text="a")]}
            )
        }
    )
    assert drafted(asked(rented(), blocks, around=around)).messages[0]["content"] == []
    stored = drafted(asked(rented(), blocks)).messages[0]
    assert stored["content"] == [{"type": "text", "text": "a"}]


@pytest.mark.parametrize("busy", [active(), after(asked(rented(), message(2)))])
def test_delivery_reject_refuses_a_busy_room(busy: Room) -> None:
    """A running turn or a waiting message is busy; the refusal is remembered, not lasting."""
    refusal = refused(asked(busy, message(3, delivery="reject")))
    assert (refusal.code, refusal.lasting) == ("ROOM_BUSY", False)


def test_delivery_reject_takes_a_free_room() -> None:
    """Nothing runs and nothing waits: the message is taken like any other."""
    assert types(asked(rented(), message(2, delivery="reject"))) == ["message:queued"]


def test_queue_is_bounded() -> None:
    """The 65th message is refused, and a wake with content as well; one less is taken."""
    room = rented()
    for number in range(MAX_QUEUE):
        room = after(asked(room, message(100 + number)))
    assert len(room.queue) == 64
    refusal = refused(asked(room, message(3)))
    assert (refusal.code, refusal.lasting) == ("ROOM_QUEUE_FULL", False)
    assert refused(asked(room, wake(4, content="more"))).code == "ROOM_QUEUE_FULL"
    assert types(asked(room, wake(5))) == ["room:wake"]


def test_queue_can_be_configured_down() -> None:
    """An installation's own limit counts, and the text names it."""
    room = after(asked(rented(), message(2)))
    refusal = refused(asked(room, message(3), around=AROUND._replace(max_queue=1)))
    assert (refusal.code, refusal.detail) == ("ROOM_QUEUE_FULL", "1 messages are waiting already")


def test_message_revives_a_failed_room() -> None:
    """Failed leads to idle before the answer, and on into the message's own turn."""
    draft = drafted(asked(failed(), message(3)))
    assert types(draft) == ["message:queued", "room:idle"]
    assert payload(draft, "room:idle") == {"reason": "message"}
    assert draft.room.status is RoomStatus.IDLE
    assert draft.room.last_error is not None
    running = drafted(asked(failed(), message(3), begin=claim(turn=uid(901))))
    assert types(running)[1:] == ["room:idle", "room:active", "actor:turn_start"]
    assert running.room.turn is not None
    assert running.room.turn.message_id == uid(3)


def test_failed_turns_message_is_not_run_again() -> None:
    """The trigger of a failed turn stays applied; the queue behind it is kept."""
    room = after(asked(active(), message(3)))
    room = after(held(room, finish(room, "failed", error_code="X")))
    assert room.queue == (Trigger(2, uid(3)),)
    assert not wants_turn(room)
    revived = after(asked(room, wake(4)))
    assert wants_turn(revived)
    assert after(held(revived, claim(turn=uid(901)))).turn.message_id == uid(3)  # type: ignore[union-attr]  # it runs


def test_message_wakes_a_sleeping_room_into_its_turn() -> None:
    """A sleeping room starts its turn from sleep, without idle in between."""
    draft = drafted(asked(sleeping(), message(3), begin=claim(turn=uid(901))))
    assert types(draft) == ["message:queued", "room:active", "actor:turn_start"]


@pytest.mark.parametrize(
    ("room", "kinds", "woken_at"),
    [
        (sleeping(), ["room:wake", "room:idle"], T0 + 9),
        (failed(), ["room:wake", "room:idle"], T0 + 9),
    ],
    ids=["sleeping", "failed"],
)
def test_wake_brings_a_resting_room_to_idle(room: Room, kinds: list[str], woken_at: int) -> None:
    """Without content no turn runs; the room is idle from now on."""
    draft = drafted(asked(room, wake(4, reason="because"), woken_at, begin=claim(turn=uid(901))))
    assert types(draft) == kinds
    assert payload(draft, "room:wake") == {
        "cause": "explicit",
        "outcome": "fired",
        "occurrence_id": uid(4),
        "reason": "because",
    }
    assert payload(draft, "room:idle") == {"reason": "woken"}
    assert draft.room.idle_since == woken_at
    assert draft.room.turn is None
    assert draft.answer == {"kind": "room"}


def test_wake_of_an_idle_room_puts_its_sleep_off() -> None:
    """A wake counts as work: the time until sleep begins anew."""
    room = rented(wake_policy=WakePolicy(sleep_after_s=5))
    assert after(asked(room, wake(2), T0 + 4_000)).idle_since == T0 + 4_000


def test_wake_with_content_is_a_message_too() -> None:
    """The content becomes a message under the command's own id, and its turn begins."""
    draft = drafted(asked(sleeping(), wake(4, content="up"), begin=claim(turn=uid(901))))
    assert types(draft) == [
        "message:queued",
        "room:wake",
        "room:idle",
        "room:active",
        "actor:turn_start",
    ]
    assert draft.messages[0]["id"] == uid(4)
    assert draft.room.turn is not None
    assert draft.room.turn.message_id == uid(4)


def test_wake_of_a_running_room_is_coalesced() -> None:
    """A turn runs already: the wake is noted and changes no state."""
    draft = drafted(asked(active(), wake(4)))
    assert payload(draft, "room:wake")["outcome"] == "coalesced"
    assert types(draft) == ["room:wake"]


def test_explicit_rooms_wait_for_a_wake() -> None:
    """With `explicit` a message starts nothing, a wake starts all that waits, and then rest."""
    room = after(asked(rented(wake_policy=EXPLICIT), message(2), begin=claim()))
    room = after(asked(room, message(3), begin=claim()))
    assert room.turn is None
    assert not wants_turn(room)
    woken = after(asked(room, wake(4)))
    assert wants_turn(woken)
    first = after(held(woken, claim()))
    second = after(held(first, finish(first, next_claim=claim(turn=uid(901)))))
    assert second.turn is not None
    assert second.turn.message_id == uid(3)
    rest = after(held(second, finish(second, output_id=uid(991), next_claim=claim(turn=uid(902)))))
    assert rest.status is RoomStatus.IDLE
    assert not rest.woken
    assert not wants_turn(after(asked(rest, message(5))))


def test_wake_of_an_empty_explicit_room_is_not_saved_up() -> None:
    """A wake with nothing to do is over; the next message waits for another one."""
    room = after(asked(rented(wake_policy=EXPLICIT), wake(2)))
    assert not wants_turn(after(asked(room, message(3))))


def test_failure_ends_a_wake() -> None:
    """What was left of the queue of a failed explicit room waits for the next wake."""
    room = after(asked(rented(wake_policy=EXPLICIT), message(2)))
    room = after(asked(room, message(3)))
    room = after(asked(room, wake(4), begin=claim()))
    room = after(held(room, finish(room, "failed", error_code="X")))
    room = after(asked(room, message(5)))
    assert room.status is RoomStatus.IDLE
    assert not wants_turn(room)
    assert wants_turn(after(asked(room, wake(6))))

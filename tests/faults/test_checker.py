"""The checker finds nothing in a sound history and names each kind of harm in a broken one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.faults.checker import violations
from tests.faults.history import History
from tests.faults.rules.violation import Kind
from tests.faults.sound_history import (
    FAULT,
    ROOM,
    assert_named,
    event,
    message,
    post,
    sealed,
    sound,
    with_events,
)


def _released(history: History, *, turns: int = 2, after: int = 0) -> None:
    """Let the room be released, with a third message that never had a turn."""
    history.calls.append(post(3, 202, "", "message-3"))
    history.calls.append(replace(post(4, 200, "", ROOM), what="release"))
    history.calls.append(post(5, 409, "ROOM_RELEASED", ""))
    history.logs[0].messages.append(message(3, 5, "user"))
    end = [
        event("message:queued", 0, 4, message_id="message-3"),
        event("message:withdrawn", 0, 4, message_id="message-3"),
        event("room:released", 0, 4, settlement={"turns": turns}),
        *(event("room:idle", 0, 4) for _ in range(after)),
    ]
    with_events(history, sealed([*history.logs[0].events, *end]))


def _without(history: History, event_type: str) -> None:
    """Leave the first event of a type out of a log that is made anew from there."""
    events = history.logs[0].events
    gone = next(at for at, one in enumerate(events) if one["event_type"] == event_type)
    with_events(history, sealed(events[:gone] + events[gone + 1 :]))


def _event_left_out_of_replay(history: History) -> None:
    del history.sightings[0].events[3]


def _event_shown_twice(history: History) -> None:
    history.sightings[0].events.insert(5, history.sightings[0].events[4])


def _event_shown_late(history: History) -> None:
    events = history.sightings[0].events
    events[3], events[4] = events[4], events[3]


def _event_shown_otherwise(history: History) -> None:
    history.sightings[0].events[4] = {**history.sightings[0].events[4], "payload": {}}


def _follower_stopped(history: History) -> None:
    del history.sightings[0].events[-2:]


def _accepted_message_missing(history: History) -> None:
    del history.logs[0].messages[2:]
    with_events(history, sealed(history.logs[0].events[:6]))
    history.logs[0] = replace(history.logs[0], turns=1)


def _message_there_twice(history: History) -> None:
    again = {**message(1, 5, "user"), "id": "message-1-again"}
    history.logs[0].messages.append(again)


def _message_carried_out_twice(history: History) -> None:
    history.logs[0].messages.append(message(1, 5, "user"))


def _message_seq_with_gap(history: History) -> None:
    history.logs[0].messages[3]["seq"] = 5


def _falling_epoch(history: History) -> None:
    events = history.logs[0].events
    with_events(history, sealed([*events[:6], *({**one, "epoch": 1} for one in events[6:])]))


def _turn_never_ended(history: History) -> None:
    _without(history, "actor:turn_end")
    history.logs[0] = replace(history.logs[0], turns=1)


def _turn_without_output(history: History) -> None:
    _without(history, "actor:output")


def _epoch_without_recovery(history: History) -> None:
    _without(history, "room:recovered")


def _output_of_another_turn(history: History) -> None:
    events = list(history.logs[0].events)
    events[4] = {**events[4], "turn_id": "turn-2"}
    with_events(history, sealed(events))


def _with_tool_call(history: History, *event_types: str) -> None:
    """Put events of a tool call into the first turn, before its output."""
    events = history.logs[0].events
    call = [{**event("actor:", 1, 2, call_id="call-1"), "event_type": one} for one in event_types]
    with_events(history, sealed([*events[:4], *call, *events[4:]]))


def _tool_call_never_ended(history: History) -> None:
    _with_tool_call(history, "tool:start")


def _tool_call_ended_twice(history: History) -> None:
    _with_tool_call(history, "tool:start", "tool:end", "tool:end")


def _broken_hash(history: History) -> None:
    events = list(history.logs[0].events)
    events[4] = {**events[4], "payload": {"message_id": "output-9"}}
    with_events(history, events)


def _event_gone_from_the_log(history: History) -> None:
    events = history.logs[0].events
    with_events(history, events[:3] + events[4:])


def _late_call(history: History) -> None:
    history.calls[0] = replace(history.calls[0], took_s=5.6)


def _call_of_a_living_gateway_unanswered(history: History) -> None:
    history.calls[0] = replace(history.calls[0], gateway="gateway-2")
    history.calls.insert(0, replace(history.calls[0], status=None, error="ReadError"))


def _untyped_error(history: History) -> None:
    history.calls[1] = replace(history.calls[1], error="")


def _never_accepted(history: History) -> None:
    del history.calls[2]


def _wrong_account(history: History) -> None:
    history.logs[0] = replace(history.logs[0], turns=3)


def _release_not_in_the_log(history: History) -> None:
    history.calls.append(replace(post(4, 200, "", ROOM), what="release"))


def _withdrawn_without_a_release(history: History) -> None:
    _released(history)
    _without(history, "room:released")


def _withdrawn_after_its_turn(history: History) -> None:
    _released(history)
    events = history.logs[0].events
    again = event("message:withdrawn", 0, 4, message_id="message-2")
    with_events(history, sealed([*events[:-1], again, events[-1]]))


def _event_after_the_release(history: History) -> None:
    _released(history, after=1)


def _settlement_with_one_turn_too_many(history: History) -> None:
    _released(history, turns=3)


def _refused_by_a_living_room(history: History) -> None:
    history.calls.append(post(5, 409, "ROOM_RELEASED", ""))


def _release_refused(history: History) -> None:
    _released(history)
    release = next(call for call in history.calls if call.what == "release")
    history.calls.remove(release)
    history.calls.append(replace(release, status=409, error="ROOM_RELEASED", told=""))


def _refused_and_in_the_log(history: History) -> None:
    _released(history)
    history.calls = [call for call in history.calls if call.told != "message-3"]
    history.calls.append(post(3, 503, "COMMAND_UNCONFIRMED", ""))
    history.calls.append(post(3, 409, "ROOM_RELEASED", ""))


def _rent_never_answered(history: History) -> None:
    history.calls.append(replace(post(6, 503, "COMMAND_UNCONFIRMED", ""), what="rent"))


def _dead_letter(history: History) -> None:
    history.dead_letters = 1


def test_a_release_withdraws_what_waits_and_refuses_what_comes() -> None:
    """A message that was withdrawn with its room needs no turn, and a late one no acceptance."""
    history = sound()
    _released(history)
    assert violations(history) == []


def test_a_sound_history_has_no_violations() -> None:
    """Recoveries, a 503 and a reconnect are no violations."""
    assert violations(sound()) == []


def _ended_in_place(history: History, status: str) -> None:
    """Let the second turn end under the next epoch, without an output."""
    events = history.logs[0].events
    start, end = events[7], {**events[-1], "epoch": 4}
    end["payload"] = {**end["payload"], "status": status}
    with_events(history, sealed([*events[:7], start, end]))


def _completed_in_place(history: History) -> None:
    _ended_in_place(history, "completed")


def test_a_turn_whose_holder_let_a_deadline_pass_is_ended_by_another() -> None:
    """Its end belongs to the next epoch, and nobody goes on with it."""
    history = sound()
    _ended_in_place(history, "interrupted")
    assert violations(history) == []


def test_a_tool_call_that_begins_and_ends_is_sound() -> None:
    """Its events belong to the turn that runs."""
    history = sound()
    _with_tool_call(history, "tool:start", "tool:end")
    assert violations(history) == []


def test_a_gateway_that_is_down_may_leave_calls_unanswered() -> None:
    """A refused connection to the killed process is the fault itself, as is a paused one's wait."""
    history = sound()
    history.calls.insert(0, replace(history.calls[0], status=None, error="ConnectError"))
    assert violations(history) == []
    history.fault = replace(FAULT, kind="pause")
    history.calls[0] = replace(history.calls[0], took_s=6.0)
    assert violations(history) == []


def test_only_a_gateway_that_lost_its_power_too_may_leave_calls_unanswered() -> None:
    """A power cut of a server excuses the gateways on the same machine, and no others."""
    history = sound()
    history.calls.insert(0, replace(history.calls[0], status=None, error="ConnectError"))
    history.fault = replace(FAULT, victim="mongod", kind="power-cut", others=("gateway",))
    assert violations(history) == []
    history.fault = replace(history.fault, others=())
    assert [one.promise for one in violations(history)] == ["C6"]


@pytest.mark.parametrize(
    ("corrupt", "promise", "kind", "says"),
    [
        (_event_left_out_of_replay, "I8/C4", Kind.LOST, "did not see [4] of 11"),
        (_event_shown_twice, "I8/C4", Kind.DOUBLED, "saw [5] more than once"),
        (_event_shown_late, "I8/C4", Kind.DISORDERED, "saw 4 after 5"),
        (_event_shown_otherwise, "I8/C4", Kind.OTHER, "another event 5"),
        (_follower_stopped, "I8/C4", Kind.LOST, "did not see [10, 11] of 11"),
        (_accepted_message_missing, "I2/C1", Kind.LOST, "message-2: in the log is missing"),
        (_message_there_twice, "I2/C1", Kind.DOUBLED, "key key-1 was carried out 2 times"),
        (_message_carried_out_twice, "I2/C1", Kind.DOUBLED, "message-1: in the log 2 times"),
        (_message_seq_with_gap, "I1", Kind.LOST, "message 3 is followed by 5"),
        (_falling_epoch, "C3", Kind.DISORDERED, "epoch 1 of event 7 follows 2"),
        (_turn_never_ended, "I2/C1", Kind.LOST, "message-1: actor:turn_end is missing"),
        (_turn_never_ended, "I6/C5", Kind.OTHER, "begins while turn turn-1 runs"),
        (_turn_without_output, "I6/C5", Kind.OTHER, "turn turn-1 completed, 0 outputs"),
        (_completed_in_place, "I6/C5", Kind.OTHER, "has epoch 4, not 3"),
        (_epoch_without_recovery, "I6/C5", Kind.OTHER, "has epoch 2, not 1"),
        (_output_of_another_turn, "I6/C5", Kind.OTHER, "is of turn turn-2 while turn-1 runs"),
        (_tool_call_never_ended, "I6/C5", Kind.LOST, "call-1 has 1 beginnings and 0 ends"),
        (_tool_call_ended_twice, "I6/C5", Kind.DOUBLED, "call-1 has 1 beginnings and 2 ends"),
        (_broken_hash, "I1", Kind.OTHER, "event 5 does not give its hash"),
        (_event_gone_from_the_log, "I1", Kind.LOST, "event 3 is followed by 5"),
        (_late_call, "C6", Kind.OTHER, "took 5.60 s"),
        (_call_of_a_living_gateway_unanswered, "C6", Kind.OTHER, "not answered: ReadError"),
        (_untyped_error, "C6", Kind.OTHER, "got 503 without a known error_code"),
        (_never_accepted, "C6", Kind.OTHER, "key key-2 was not accepted in 1 tries"),
        (_release_not_in_the_log, "I2/C1", Kind.LOST, "the release is missing"),
        (_withdrawn_without_a_release, "I2/C1", Kind.LOST, "message-3: actor:turn_end is missing"),
        (_withdrawn_after_its_turn, "I2/C1", Kind.DOUBLED, "message-2: actor:turn_end as well"),
        (_event_after_the_release, "C8", Kind.DISORDERED, "came after the release"),
        (_settlement_with_one_turn_too_many, "C8", Kind.OTHER, "the settlement counts 3 turns"),
        (_refused_by_a_living_room, "C6", Kind.OTHER, "key key-5 was not accepted"),
        (_release_refused, "C6", Kind.OTHER, "key key-4 was not accepted"),
        (_refused_and_in_the_log, "I2/C1", Kind.OTHER, "key key-3 was refused, the log has"),
        (_rent_never_answered, "C6", Kind.OTHER, "key key-6 was not accepted"),
        (_dead_letter, "I2/C1", Kind.LOST, "dead letters: 1"),
        (_wrong_account, "C8", Kind.OTHER, "usage.turns is 3, the log has 2 turn ends"),
    ],
)
def test_each_corruption_is_named(
    corrupt: Callable[[History], None], promise: str, kind: Kind, says: str
) -> None:
    """A history with one corruption has a violation of the right promise that says what it is."""
    assert_named(corrupt, promise, kind, says)

"""Turns from message to answer: the script, its deltas, its tools, its failures."""

from __future__ import annotations

from typing import Any

import pytest

from abbotik_contracts.policies import Actor, ToolPolicy
from abbotik_room_worker.ports import Emit, TurnAnswer, TurnInput
from tests.service.room_worker.house import TENANT, House, Worker

TURN = ["actor:turn_start", "actor:output", "actor:turn_end"]


async def _answered(house: House, worker: Worker, room: str, content: Any) -> None:
    """Send a message and wait for the end of all turns."""
    outcome = await worker.ask(house.message(room, content))
    assert outcome["ok"], outcome
    await worker.rested()


async def test_message_is_echoed_in_two_commits(house: House) -> None:
    """Accept and claim are one entry, the answer is the other; the room is idle again."""
    worker = await house.worker()
    room = await house.rent(worker)
    message = house.message(room, "hello")
    outcome = await worker.ask(message)
    await worker.rested()
    assert outcome["data"] == {
        **outcome["data"],  # type: ignore[dict-item]  # a record
        "id": message.id,
        "state": "applied",
        "content": "hello",
    }
    assert house.types(room) == ["room:rented", "message:queued", "room:active", *TURN, "room:idle"]
    assert len(house.log(room)) == 3
    assert house.outputs(room) == ["echo: hello"]
    assert house.status(room) == "idle"


async def test_what_followers_get_is_what_the_log_has(house: House) -> None:
    """Every event is published once, in order, byte for byte as the log shows it."""
    worker = await house.worker()
    room = await house.rent(worker, purpose="π")
    await _answered(house, worker, room, "größe")
    assert house.signals.published == house.events(room)


async def test_room_waits_while_others_wait_longer(house: House) -> None:
    """While triggers wait, a message only queues and says so; the trigger begins its turn."""
    worker = await house.worker()
    worker.waiting_rooms = True
    room = await house.rent(worker)
    outcome = await worker.ask(house.message(room, "hello"))
    assert outcome["data"]["state"] == "queued"  # type: ignore[call-overload,index]  # a record
    await worker.rested()
    assert list(house.signals.triggers) == [(TENANT, room)]
    assert await worker.take((TENANT, room)) is None
    await worker.rested()
    assert house.outputs(room) == ["echo: hello"]


async def test_worker_without_a_free_slot_leaves_the_message_to_others(house: House) -> None:
    """A full worker accepts the message and says that the room waits."""
    full, free = await house.worker("w1", slots=1), await house.worker("w2")
    busy, other = await house.rent(full), await house.rent(full)
    full.pauses.hold()
    await full.ask(house.message(busy, "!wait 5"))
    await full.ask(house.message(other, "hello"))
    await house.signals.until(lambda: (TENANT, other) in house.signals.triggers)
    assert await free.take((TENANT, other)) is None
    await free.rested()
    assert house.outputs(other) == ["echo: hello"]
    assert house.log(other)[-1]["session"] == "w2"


async def test_messages_run_in_their_order_under_one_lease(house: House) -> None:
    """What comes while a turn runs waits for its holder, which drains the queue."""
    worker = await house.worker()
    room = await house.rent(worker)
    worker.pauses.hold()
    await worker.ask(house.message(room, "!wait 1\n!say one"))
    for word in ("two", "three"):
        await worker.ask(house.message(room, f"!say {word}"))
    worker.pauses.go()
    await worker.rested()
    assert house.outputs(room) == ["one", "two", "three"]
    assert house.types(room).count("room:active") == house.types(room).count("room:idle") == 1
    assert {event["epoch"] for event in house.events(room)} == {0, 1}


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ("plain", "echo: plain"),
        ("!say hello", "hello"),
        ("!say a\n!say b", "a\nb"),
        ("!stream 5 word by word", "word by word"),
        ("!wait 5\n!say done", "done"),
        ('!tool echo {"a": "ä"}', '{"a": "ä"}'),
        ("!size 1", "x" * 1024),
        ([{"type": "text", "text": "!say from"}, {"type": "text", "text": "!say blocks"}],
         "from\nblocks"),
    ],
)  # fmt: skip
async def test_directives_make_the_answer(house: House, content: Any, answer: str) -> None:
    """Each directive adds its line to the output."""
    worker = await house.worker()
    room = await house.rent(worker)
    await _answered(house, worker, room, content)
    assert house.outputs(room) == [answer]
    assert house.payloads(room, "actor:output")[0]["text"] == answer


async def test_deltas_come_in_order_and_add_up_to_the_answer(house: House) -> None:
    """Each delta begins where the last one ended, in characters, under the turn's epoch."""
    worker = await house.worker()
    room = await house.rent(worker)
    await _answered(house, worker, room, "!stream 80 größe 🙂 und mehr")
    deltas: list[Any] = house.signals.deltas
    assert [delta["text"] for delta in deltas] == ["größe", " 🙂", " und", " mehr"]
    assert [delta["offset"] for delta in deltas] == [0, 5, 7, 11]
    turn_id = house.payloads(room, "actor:turn_start")[0]["turn_id"]
    assert {(d["turn_id"], d["epoch"], d["actor_key"]) for d in deltas} == {
        (turn_id, 1, "assistant-1")
    }
    assert worker.pauses.asked == [0.08] * 4
    assert "".join(delta["text"] for delta in deltas) == house.outputs(room)[0]


async def test_usage_is_counted_over_turns(house: House) -> None:
    """Each good turn adds its words, itself and its tool calls to the room's usage."""
    worker = await house.worker()
    room = await house.rent(worker)
    await _answered(house, worker, room, "!say one two")
    await _answered(house, worker, room, "!tool echo {}")
    usage = house.log(room)[-1]["state"]["usage"]
    assert usage == {
        "input_tokens": 6,
        "output_tokens": 3,
        "total_tokens": 9,
        "cost": 0,
        "turns": 2,
        "tool_calls": 1,
    }


async def test_tool_call_is_two_steps_in_the_log(house: House) -> None:
    """Start and end have the same id, the arguments and the result, and stand in the turn."""
    worker = await house.worker()
    room = await house.rent(worker)
    await _answered(house, worker, room, '!tool echo {"a": 1}')
    (start,), (end,) = house.payloads(room, "tool:start"), house.payloads(room, "tool:end")
    assert start == {"call_id": start["call_id"], "name": "echo", "arguments": {"a": 1}}
    assert end == {
        "call_id": start["call_id"],
        "name": "echo",
        "status": "completed",
        "result": {"a": 1},
        "duration_ms": 0,
    }
    turns = [turn for entry in house.log(room) for turn in entry.get("turns", ())]
    assert turns[-1]["steps"] == [
        {"kind": "tool", "call_id": start["call_id"], "name": "echo", "status": "completed"}
    ]


@pytest.mark.parametrize(
    ("policy", "directive", "code"),
    [
        (ToolPolicy(mode="deny", tools=["echo"]), "!tool echo {}", "TOOL_DENIED"),
        (ToolPolicy(mode="allow", tools=["fail"]), "!tool echo {}", "TOOL_DENIED"),
        (ToolPolicy(mode="deny", tools=["fail"]), "!tool echo {}", None),
        (ToolPolicy(mode="allow", tools=["echo"]), "!tool echo {}", None),
        (ToolPolicy(), "!tool nothing {}", "TOOL_FAILED"),
        (ToolPolicy(), '!tool fail {"message": "no"}', "TOOL_FAILED"),
        (ToolPolicy(), '!tool wait {"ms": 1}', None),
        (ToolPolicy(), '!tool wait {"ms": "1"}', "TOOL_FAILED"),
    ],
)
async def test_policy_decides_before_each_call(
    house: House, policy: ToolPolicy, directive: str, code: str | None
) -> None:
    """A call that is refused, unknown or fails ends with its error, and the turn goes on."""
    worker = await house.worker()
    room = await house.rent(worker, tool_policy=policy)
    await _answered(house, worker, room, f"{directive}\n!say after")
    (end,) = house.payloads(room, "tool:end")
    assert end["status"] == ("completed" if code is None else "failed")
    assert (end["error"]["code"] if code is not None else None) == code
    assert house.payloads(room, "actor:turn_end")[0]["status"] == "completed"
    assert house.outputs(room)[0].endswith("\nafter")


async def test_failed_turn_keeps_the_queue_and_a_message_revives_the_room(house: House) -> None:
    """The room fails with its error, what waits still waits, and goes on with the next message."""
    worker = await house.worker()
    room = await house.rent(worker)
    worker.pauses.hold()
    await worker.ask(house.message(room, "!wait 1\n!fail BOOM it broke"))
    await worker.ask(house.message(room, "!say second"))
    worker.pauses.go()
    await worker.rested()
    assert house.status(room) == "failed"
    assert house.payloads(room, "error")[0]["code"] == "BOOM"
    state = house.log(room)[-1]["state"]
    assert len(state["queue"]) == 1
    assert state["last_error"] is not None
    assert (state["last_error"]["code"], state["last_error"]["message"]) == ("BOOM", "it broke")
    await _answered(house, worker, room, "!say third")
    assert house.outputs(room) == ["second", "third"]
    assert house.log(room)[-1]["state"]["last_error"] is None
    assert house.types(room).count("actor:turn_start") == 3


@pytest.mark.parametrize(
    ("content", "code"),
    [("!sing", "SCRIPT_INVALID"), ("!fail ANY", "ANY"), ("!wait soon", "SCRIPT_INVALID")],
)
async def test_turn_fails_with_its_code(house: House, content: str, code: str) -> None:
    """The code that the executor gives is the one in the room and in the event."""
    worker = await house.worker()
    room = await house.rent(worker)
    await _answered(house, worker, room, content)
    assert house.payloads(room, "error")[0]["code"] == code
    assert house.payloads(room, "actor:turn_end")[0]["status"] == "failed"


async def test_failed_turn_keeps_what_it_had_said(house: House) -> None:
    """Text that followers saw is not taken back by the failure after it."""
    worker = await house.worker()
    room = await house.rent(worker)
    await _answered(house, worker, room, "!stream 1 half an answer\n!fail BOOM no")
    assert house.outputs(room) == ["half an answer"]


async def test_provider_that_is_not_configured_fails_closed(house: House) -> None:
    """The turn ends with the provider's own code; nobody else answers in its place."""
    worker = await house.worker()
    room = await house.rent(worker, actors=[Actor(provider="elsewhere")])
    await _answered(house, worker, room, "hello")
    assert house.payloads(room, "error")[0]["code"] == "PROVIDER_NOT_CONFIGURED"
    assert house.outputs(room) == []


class _Broken:
    """An executor with a bug."""

    async def run(self, turn: TurnInput, emit: Emit) -> TurnAnswer:
        """Say something and break."""
        await emit.text(f"about to break {turn.content}")
        raise ZeroDivisionError


async def test_executor_that_breaks_fails_the_turn_only(house: House) -> None:
    """A bug in an adapter is a failed turn with a code, and the worker goes on."""
    worker = await house.worker()
    worker.executors["broken"] = _Broken()
    room = await house.rent(worker, actors=[Actor(provider="broken")])
    await _answered(house, worker, room, "hello")
    assert house.payloads(room, "error")[0]["code"] == "EXECUTOR_FAILED"
    assert "ZeroDivisionError" in house.payloads(room, "error")[0]["message"]


async def test_turn_that_passes_its_deadline_fails(house: House) -> None:
    """The holder ends its own turn at the deadline, with what it had said."""
    worker = await house.worker(turn_timeout_ms=1)
    room = await house.rent(worker)
    worker.pauses.hold()
    await _answered(house, worker, room, "!wait 5")
    assert house.payloads(room, "error")[0]["code"] == "TURN_TIMEOUT"
    assert house.status(room) == "failed"

"""Commands that come again: the first outcome is the outcome, and nothing is done twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from abbotik_contracts.policies import Actor
from abbotik_contracts.room_commands import RoomCommand
from abbotik_contracts.room_log import Record
from abbotik_kernel.outcome import Done, Retry
from tests.fakes.room_worker.room_log import Weather
from tests.service.room_worker.house import House, Worker


async def _room_after_a_turn(house: House, worker: Worker) -> str:
    room = await house.rent(worker)
    await worker.ask(house.message(room, "!say first"))
    await worker.rested()
    return room


KINDS: list[Callable[[House, str], RoomCommand]] = [
    lambda house, room: house.message(room, "!say again"),
    lambda house, room: house.wake(room, reason="r"),
    lambda house, room: house.wake(room, content="!say again"),
    lambda house, room: house.patch(room, purpose="new"),
    lambda house, room: house.patch(room, purpose=""),
    lambda house, room: house.interrupt(room),
    lambda house, room: house.release(room, result=1),
    lambda house, room: house.message(room, "late", delivery="reject"),
]


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_redelivered_command_commits_nothing(
    house: House, make: Callable[[House, str], RoomCommand], elsewhere: bool
) -> None:
    """The same worker or another one: the same answer, and the log stays as it is."""
    first, second = await house.worker("w1"), await house.worker("w2")
    room = await _room_after_a_turn(house, first)
    command = make(house, room)
    outcome = await first.ask(command)
    await first.rested()
    before = house.log(room)
    again = await (second if elsewhere else first).ask(command)
    assert again == outcome
    assert house.log(room) == before


async def _later(house: House, worker: Worker, room: str) -> None:
    """Change everything about the room that an answer could show."""
    await worker.ask(house.message(room, "!say later"))
    await worker.rested()
    await worker.ask(house.patch(room, purpose="later", actors=[{"agent_id": "other"}]))
    await worker.ask(house.release(room, result="later"))
    await worker.rested()


@pytest.mark.parametrize("make", KINDS)
async def test_redelivered_command_answers_as_it_did_then(
    house: House, make: Callable[[House, str], RoomCommand]
) -> None:
    """However far the room has moved on, the answer is the first one, to the last member."""
    worker = await house.worker()
    room = await _room_after_a_turn(house, worker)
    command = make(house, room)
    outcome = await worker.ask(command)
    await worker.rested()
    released = house.status(room) == "released"
    if not released:
        await _later(house, worker, room)
    assert await worker.ask(command) == outcome


async def test_redelivered_rent_is_the_same_room(house: House) -> None:
    """A rent that comes twice rents once."""
    worker = await house.worker()
    command = house.rent_command(purpose="p", actors=[Actor(provider="elsewhere")])
    outcome = await worker.ask(command)
    assert await worker.ask(command) == outcome
    assert len(house.log(command.room)) == 1


async def test_refusal_stays_one(house: House) -> None:
    """A message that was refused because the room was busy is refused when it is idle again."""
    worker = await house.worker()
    room = await house.rent(worker)
    worker.pauses.hold()
    await worker.ask(house.message(room, "!wait 5\n!say busy"))
    late = house.message(room, "!say late", delivery="reject")
    refused = await worker.ask(late)
    assert (refused["ok"], refused["code"], refused["status"]) == (False, "ROOM_BUSY", 409)
    worker.pauses.go()
    await worker.rested()
    assert house.status(room) == "idle"
    assert await worker.ask(late) == refused
    await worker.rested()
    assert house.outputs(room) == ["busy"]


async def test_interrupt_that_came_too_early_stays_refused(house: House) -> None:
    """Nothing ran when it was asked for; when it comes again it stops no turn that runs by then."""
    worker = await house.worker()
    room = await house.rent(worker)
    early = house.interrupt(room)
    refused = await worker.ask(early)
    assert (refused["code"], refused["status"]) == ("ROOM_NOT_RUNNING", 409)
    worker.pauses.hold()
    await worker.ask(house.message(room, "!wait 5\n!say whole"))
    await worker.pauses.reached.wait()
    assert await worker.ask(early) == refused
    worker.pauses.go()
    await worker.rested()
    assert house.outputs(room) == ["whole"]


async def test_queue_full_stays_refused(house: House) -> None:
    """The message that found no place gets none later either; a new one does."""
    worker = await house.worker()
    room = await house.rent(worker)
    worker.pauses.hold()
    await worker.ask(house.message(room, "!wait 5"))
    for _ in range(8):
        assert (await worker.ask(house.message(room, "!say x")))["ok"]
    ninth = house.message(room, "!say too many")
    refused = await worker.ask(ninth)
    assert (refused["code"], refused["status"]) == ("ROOM_QUEUE_FULL", 429)
    worker.pauses.go()
    await worker.rested()
    assert await worker.ask(ninth) == refused
    assert house.outputs(room)[1:] == ["x"] * 8


async def test_room_that_does_not_exist_is_answered_without_a_log(house: House) -> None:
    """Nothing is written for a room that nobody rented."""
    worker = await house.worker()
    room = house.rent_command().room
    outcome = await worker.ask(house.message(room, "hello"))
    assert (outcome["code"], outcome["status"]) == ("ROOM_NOT_FOUND", 404)
    assert house.log(room) == []


async def test_rent_that_is_refused_leaves_nothing(house: House) -> None:
    """Twins in the roster are a refusal that the renter is told, not a dead letter."""
    worker = await house.worker()
    command = house.rent_command(actors=[Actor(agent_id="twin"), Actor(agent_id="twin")])
    outcome = await worker.ask(command)
    assert (outcome["code"], outcome["status"]) == ("VALIDATION_FAILED", 422)
    assert house.log(command.room) == []


@pytest.mark.parametrize("weather", ["unwritten", "unheard"])
@pytest.mark.parametrize("make", KINDS)
async def test_unknown_outcome_is_tried_again_and_applied_once(
    house: House, weather: Weather, make: Callable[[House, str], RoomCommand]
) -> None:
    """Nothing is answered while nothing is known; the redelivery finds out and answers."""
    first, second = await house.worker("w1"), await house.worker("w2")
    room = await _room_after_a_turn(house, first)
    command = make(house, room)
    first.room_log.weather.append(weather)
    before = len(first.outcomes)
    assert isinstance(await first.handle(command), Retry)
    assert len(first.outcomes) == before
    outcome = await second.ask(command)
    await second.rested()
    await first.rested()
    keys = [key for entry in house.log(room) for key in entry.get("keys", ())]
    assert keys.count(command.id) == 1
    assert await first.ask(command) == outcome


async def test_claim_that_nobody_heard_of_is_run_by_its_holder(house: House) -> None:
    """A message whose claim was written unheard has its turn here: redelivery finds the lease."""
    worker = await house.worker()
    room = await house.rent(worker)
    worker.room_log.weather.append("unheard")
    message = house.message(room, "!say once")
    assert isinstance(await worker.handle(message), Retry)
    assert (await worker.ask(message))["ok"]
    await worker.rested()
    assert house.outputs(room) == ["once"]


async def test_store_that_is_away_answers_nobody(house: House) -> None:
    """Every command waits, none is answered, none is lost."""
    worker = await house.worker()
    room = await house.rent(worker)
    worker.room_log.away = True
    commands = [make(house, room) for make in KINDS]
    before = len(worker.outcomes)
    for command in commands:
        outcome = await worker.handle(command)
        assert isinstance(outcome, Retry | Done), command
    answered: list[Record] = worker.outcomes[before:]
    worker.room_log.away = False
    for command in commands:
        answered.append(await worker.ask(command))
        await worker.rested()
    assert len(answered) == len(commands)


async def test_rented_room_is_in_lists_before_its_renter_knows(house: House) -> None:
    """The answer to a rent waits for the projection, in bad weather too."""
    worker = await house.worker()
    worker.projections.refusals = 1
    command = house.rent_command()
    listed: list[bool] = []

    async def reply(_inbox: str, _command: str, outcome: Record) -> None:
        assert outcome["ok"]
        listed.append(command.room in house.store.rooms)

    worker.commands._reply = reply
    assert isinstance(await worker.handle(command), Done)
    assert listed == [True]


async def test_message_is_answered_before_its_projection_and_acked_after(house: House) -> None:
    """Nobody waits for a list to show what a message did, but the ack does."""
    worker = await house.worker()
    room = await house.rent(worker)
    worker.projections.gate.clear()
    told = len(worker.outcomes)
    handling = asyncio.ensure_future(worker.handle(house.message(room, "hello")))
    await house.until(room, "actor:turn_end")
    assert len(worker.outcomes) == told + 1
    assert not handling.done()
    worker.projections.gate.set()
    assert isinstance(await handling, Done)
    assert house.store.rooms[room]["rev"] >= 2

"""What becomes of a message from the bus: done, tried again, or refused for good."""

from __future__ import annotations

import itertools
from typing import NoReturn

import pytest

from abbotik_contracts.room_commands import encode
from abbotik_contracts.subjects import HEADER_BLOB, room_command
from abbotik_kernel.outcome import Done, Reject, Retry
from abbotik_room_worker import answers, keeper
from abbotik_room_worker.ports import UnavailableError
from tests.service.room_worker.house import TENANT, House


@pytest.mark.parametrize(
    "data", [b"", b"not json", b"[]", b"{}", b'{"name":"room.message.v9"}', b"\xff\x00"]
)
async def test_what_cannot_be_decoded_is_refused_for_good(house: House, data: bytes) -> None:
    """It would never become a command, so it goes to the dead letters with its cause."""
    worker = await house.worker()
    outcome = await worker.commands.handle("cmd.room.acme.x.message", data, {})
    assert isinstance(outcome, Reject)
    assert outcome.code == "UNDECODABLE"
    assert outcome.cause
    assert worker.outcomes == []


async def test_command_for_another_room_than_its_subject_is_refused(house: House) -> None:
    """Order is kept per subject, so a command must not name another room or tenant."""
    worker = await house.worker()
    room = await house.rent(worker)
    command = house.message(room, "hello")
    other = house.rent_command().room
    for subject in (
        room_command(TENANT, other, "message"),
        room_command("other", room, "message"),
        "cmd.room",
    ):
        outcome = await worker.commands.handle(subject, encode(command), {})
        assert isinstance(outcome, Reject)
        assert outcome.code == "UNDECODABLE"
    assert len(house.log(room)) == 1


async def test_room_of_another_tenant_is_not_found(house: House) -> None:
    """Whoever knows the id of a foreign room learns nothing and changes nothing."""
    worker = await house.worker()
    room = await house.rent(worker)
    foreign = house.message(room, "hello").model_copy(update={"tenant": "other"})
    assert (await worker.ask(foreign))["code"] == "ROOM_NOT_FOUND"
    assert len(house.log(room)) == 1


async def test_large_command_is_read_from_where_it_was_stored(house: House) -> None:
    """The body of a large command is a blob; the message only names it."""
    worker = await house.worker()
    room = await house.rent(worker)
    command = house.message(room, "!say stored")
    digest = await worker.contents.put(TENANT, encode(command))
    headers = {HEADER_BLOB: digest}
    subject = room_command(TENANT, room, "message")
    assert isinstance(await worker.commands.handle(subject, b"", headers), Done)
    await worker.rested()
    assert house.outputs(room) == ["stored"]


async def test_large_command_that_is_not_stored_is_refused(house: House) -> None:
    """A digest that the tenant does not have will not turn up later."""
    worker = await house.worker()
    digest = await worker.contents.put("other", b"{}")
    headers = {HEADER_BLOB: digest}
    outcome = await worker.commands.handle("cmd.room.acme.x.message", b"", headers)
    assert isinstance(outcome, Reject)
    assert "is not stored" in outcome.cause


async def test_contents_that_are_away_are_bad_weather(house: House) -> None:
    """A blob that cannot be read or written now is tried again, never refused."""
    worker = await house.worker()
    room = await house.rent(worker)
    worker.contents.away = True
    headers = {HEADER_BLOB: "d" * 64}
    subject = room_command(TENANT, room, "message")
    assert isinstance(await worker.commands.handle(subject, b"", headers), Retry)
    large = house.message(room, "x" * 100_000)
    assert isinstance(await worker.handle(large), Retry)
    worker.contents.away = False
    assert (await worker.ask(large))["ok"]


async def test_three_exceptions_refuse_a_command_for_good(house: House) -> None:
    """A command that breaks the code is tried three times, then kept with its cause."""
    worker = await house.worker()
    room = await house.rent(worker)
    worker.room_log.broken = ZeroDivisionError("a bug")
    command = house.message(room, "hello")
    assert isinstance(await worker.handle(command), Retry)
    assert isinstance(await worker.handle(command), Retry)
    outcome = await worker.handle(command)
    assert isinstance(outcome, Reject)
    assert (outcome.code, outcome.cause) == ("COMMAND_BROKE", "ZeroDivisionError: a bug")
    assert isinstance(await worker.handle(command), Retry), "sent again by a person it begins anew"
    worker.room_log.broken = None
    assert len(house.log(room)) == 1


async def test_all_workers_count_exceptions_together(house: House) -> None:
    """Whichever has it, also one that was started since: three are enough."""
    room = await house.rent(await house.worker())
    command = house.message(room, "hello")
    outcomes = []
    for name in ("w2", "w3", "w4"):
        worker = await house.worker(name)
        worker.room_log.broken = ZeroDivisionError("a bug")
        outcomes.append(await worker.handle(command))
    assert [type(outcome) for outcome in outcomes] == [Retry, Retry, Reject]


async def test_exception_that_cannot_be_counted_makes_no_dead_letter(house: House) -> None:
    """It is tried again until the store says how often it broke."""
    worker = await house.worker()
    room = await house.rent(worker)
    command = house.message(room, "hello")
    worker.room_log.broken = ZeroDivisionError("a bug")
    worker.exceptions.away = True
    for _ in range(4):
        assert isinstance(await worker.handle(command), Retry)
    worker.exceptions.away = False
    outcomes = [await worker.handle(command) for _ in range(3)]
    assert isinstance(outcomes[-1], Reject)


async def test_room_tells_of_a_command_that_broke(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its followers see an error of no turn; sent again after a repair it is carried out."""
    worker = await house.worker()
    room = await house.rent(worker)
    command = house.message(room, "!say mended")

    with monkeypatch.context() as bug:
        bug.setattr(keeper, "decide", _buggy)
        outcomes = [await worker.handle(command) for _ in range(3)]
    assert isinstance(outcomes[-1], Reject)
    assert house.payloads(room, "error") == [
        {
            "code": "COMMAND_BROKE",
            "message": "a command could not be carried out and is kept for the operators",
            "turn_id": None,
            "room_status": "rented",
            "command_id": command.id,
        }
    ]
    assert (await worker.ask(command))["ok"]
    await worker.rested()
    assert house.outputs(room) == ["mended"]


async def test_room_is_told_once_of_a_command_that_broke(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the store is away in between."""
    worker = await house.worker()
    room = await house.rent(worker)
    command = house.message(room, "hello")
    forget = worker.exceptions.forget

    async def away_twice(tenant: str, command_id: str) -> None:
        if next(tries) < 2:
            raise UnavailableError("the store is away")
        await forget(tenant, command_id)

    tries = itertools.count()
    monkeypatch.setattr(worker.exceptions, "forget", away_twice)
    monkeypatch.setattr(keeper, "decide", _buggy)
    outcomes = [await worker.handle(command) for _ in range(5)]
    assert [type(outcome) for outcome in outcomes] == [*[Retry] * 4, Reject]
    assert len(house.payloads(room, "error")) == 1


async def test_command_that_was_carried_out_and_not_answered_is_no_error(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What broke is the answer: followers are not told that nothing was done."""
    worker = await house.worker()
    room = await house.rent(worker)

    monkeypatch.setattr(answers, "of_entry", _buggy)
    command = house.message(room, "!say done")
    outcomes = [await worker.handle(command) for _ in range(3)]
    assert isinstance(outcomes[-1], Reject)
    await worker.rested()
    assert house.outputs(room) == ["done"]
    assert house.payloads(room, "error") == []


async def test_exceptions_are_counted_apart_from_bad_weather(house: House) -> None:
    """However often the store is away in between, only exceptions count."""
    worker = await house.worker()
    room = await house.rent(worker)
    command = house.message(room, "!say fine")
    for _ in range(2):
        worker.room_log.broken = ZeroDivisionError()
        assert isinstance(await worker.handle(command), Retry)
        worker.room_log.broken = None
        worker.room_log.away = True
        for _ in range(5):
            assert isinstance(await worker.handle(command), Retry)
        worker.room_log.away = False
    assert (await worker.ask(command))["ok"]
    await worker.rested()
    assert house.outputs(room) == ["fine"]


async def test_command_without_an_inbox_is_carried_out(house: House) -> None:
    """Whoever does not wait for the outcome gets the work done all the same."""
    worker = await house.worker()
    room = await house.rent(worker)
    command = house.message(room, "!say quiet")
    subject = room_command(TENANT, room, "message")
    assert isinstance(await worker.commands.handle(subject, encode(command), {}), Done)
    await worker.rested()
    assert house.outputs(room) == ["quiet"]
    assert len(worker.outcomes) == 1


async def test_drain_takes_no_new_turn(house: House) -> None:
    """A worker that was told to stop accepts messages and leaves their turns to others."""
    worker = await house.worker()
    room = await house.rent(worker)
    worker.runner.draining = True
    assert (await worker.ask(house.message(room, "hello")))["ok"]
    await house.signals.until(lambda: bool(house.signals.triggers))
    assert isinstance(await worker.take((TENANT, room)), Retry)
    assert "actor:turn_start" not in house.types(room)


async def test_worker_out_of_touch_takes_no_new_turn(house: House) -> None:
    """Without a live session nobody may hold a room."""
    worker = await house.worker()
    room = await house.rent(worker)
    house.clock.advance(60_000)
    assert (await worker.ask(house.message(room, "hello")))["ok"]
    assert isinstance(await worker.take((TENANT, room)), Retry)
    assert house.log(room)[-1]["state"]["lease"] is None


def _buggy(*_: object) -> NoReturn:
    raise ZeroDivisionError

"""One command's wait: what ends it, and what does not."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any, cast

import pytest
from nats.aio.msg import Msg

from abbotik_gateway.adapters.asked import Asked
from abbotik_gateway.domain.outcome import Outcome
from abbotik_runtime.confirmations import Unconfirmed

DONE = Outcome(ok=True)


def ack(data: bytes = b'{"stream":"COMMANDS","seq":1}') -> Msg:
    """Return the stream's word."""
    return Msg(_client=cast("Any", None), data=data)


def asked(deadline_s: float = 5.0, stored: list[float] | None = None) -> Asked:
    """Return a wait."""
    return Asked(monotonic() + deadline_s, ([] if stored is None else stored).append)


async def test_an_outcome_needs_no_ack() -> None:
    """It says more: the command is stored, which is counted once."""
    stored = list[float]()
    waiting = asked(stored=stored)
    waiting.on_outcome(DONE)
    assert await waiting.answer(2.0) == DONE
    waiting.on_ack(ack())
    waiting.on_ack(ack())
    assert len(stored) == 1


async def test_an_ack_alone_ends_nothing() -> None:
    """Stored is not decided: the wait goes on until its deadline."""
    waiting = asked(0.1)
    waiting.on_ack(ack())
    began = monotonic()
    with pytest.raises(Unconfirmed):
        await waiting.answer(2.0)
    assert monotonic() - began >= 0.09


async def test_a_stored_command_waits_past_the_patience_for_one_publish() -> None:
    """Only one without an ack is published again."""
    silent, stored = asked(), asked()
    stored.on_ack(ack())
    asyncio.get_running_loop().call_later(0.15, stored.on_outcome, DONE)
    assert await stored.answer(0.05) == DONE
    with pytest.raises(Unconfirmed):
        await silent.answer(0.05)


async def test_an_outcome_between_two_tries_counts() -> None:
    """The stream refused for now, and the try before it was carried out all the same."""
    waiting = asked()
    waiting.on_ack(ack(b'{"error":{"code":503,"description":"later"}}'))
    with pytest.raises(Unconfirmed):
        await waiting.answer(2.0)
    waiting.on_outcome(DONE)
    assert await waiting.answer(2.0) == DONE


@pytest.mark.parametrize("word", [None, b'{"error":{"code":400,"description":"never"}}'])
async def test_an_outcome_at_the_moment_of_a_failure_counts(word: bytes | None) -> None:
    """Time was up, or the stream refused, and who waits has not been told yet."""
    waiting = asked()
    answer = asyncio.create_task(waiting.answer(2.0))
    await asyncio.sleep(0)
    if word is None:
        waiting._ring()
    else:
        waiting.on_ack(ack(word))
    waiting.ask_again()
    waiting.on_outcome(DONE)
    assert await answer == DONE


async def test_a_reconnect_at_the_moment_of_a_failure_counts() -> None:
    """The outcome may be lost with the connection: it is asked for again."""
    waiting = asked()
    answer = asyncio.create_task(waiting.answer(2.0))
    await asyncio.sleep(0)
    waiting._ring()
    waiting.ask_again()
    assert await answer is None

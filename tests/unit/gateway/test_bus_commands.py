"""Commands over the bus: what may be said of one whose outcome nobody heard."""

from __future__ import annotations

from typing import Any, cast

import pytest

from abbotik_contracts.room_bodies import MessageBody
from abbotik_contracts.room_commands import PostMessage
from abbotik_gateway.adapters.commands import BusCommands
from abbotik_gateway.domain.outcome import Outcome
from abbotik_gateway.ports import UnavailableError, UnconfirmedError
from abbotik_runtime.ids import uuid7


@pytest.mark.parametrize("sent_before", [False, True])
async def test_only_a_command_that_was_never_sent_is_unavailable(
    sent_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a lost connection it is asked for again, and NATS may be away for that."""
    commands = BusCommands(cast("Any", None), cast("Any", None))
    commands._inbox = "inbox"
    answers = iter([None] if sent_before else [])

    async def ask(*_: object) -> Outcome | None:
        for answer in answers:
            return answer
        raise UnavailableError("NATS is away")

    monkeypatch.setattr(commands, "_ask", ask)
    body = MessageBody(content="hello")
    command = PostMessage(id=uuid7(), tenant="acme", room=uuid7(), caller="ada", body=body)
    with pytest.raises(UnconfirmedError if sent_before else UnavailableError):
        await commands.send(command, None, 1.0)

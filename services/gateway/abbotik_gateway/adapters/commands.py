"""Commands over NATS: published to the stream, their outcomes received on one inbox."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from itertools import chain, count, repeat
from time import monotonic

import structlog
from nats.aio.msg import Msg
from nats.js.errors import APIError

from abbotik_contracts.room_commands import RoomCommand, encode, verb
from abbotik_contracts.subjects import (
    HEADER_BLOB,
    HEADER_MESSAGE_ID,
    HEADER_REPLY,
    HEADER_REQUEST_ID,
    HEADER_TRACE,
    room_command,
)
from abbotik_gateway.adapters.asked import Asked
from abbotik_gateway.domain.outcome import Outcome, UnreadableOutcomeError, read_outcome
from abbotik_gateway.ports import Contents, UnavailableError, UnconfirmedError
from abbotik_runtime.bus import Bus, BusUnavailable
from abbotik_runtime.connection import REQUEST_S
from abbotik_runtime.hearing import hear

log = structlog.get_logger(__name__)

# The largest command that travels as it is; the bus takes 1 MiB with headers, and a larger
# publish would reset the connection under everybody.
MAX_INLINE_BYTES = 64 * 1024

# An outcome says so too, and mostly comes within this time: only then is the stream asked, whose
# word would cost each command one message more.
_UNASKED_S = 0.5


class BusCommands:
    """Sends commands. One inbox serves the whole process: an outcome names its command."""

    def __init__(self, bus: Bus, contents: Contents) -> None:
        self._bus = bus
        self._contents = contents
        self._inbox = ""
        self._askings = count()
        # By the command's id; it can be asked for twice at once.
        self._waiting: defaultdict[str, list[Asked]] = defaultdict(list)

    @property
    def ready(self) -> bool:
        """Whether outcomes can arrive."""
        return bool(self._inbox)

    async def start(self) -> None:
        """Subscribe the inbox; the bus must have been connected. nats-py keeps it over reconnects.

        Nothing is waited for: the server reads the subscription before any command that follows it
        on the same connection.
        """
        inbox = self._bus.client.new_inbox()
        await hear(self._bus.client, inbox, self._on_outcomes)
        await hear(self._bus.client, f"{inbox}.*", self._on_ack)
        self._bus.on_reconnect(self._ask_again)
        self._inbox = inbox

    async def send(self, command: RoomCommand, trace: str | None, deadline_s: float) -> Outcome:
        """Return what the worker decided; UnavailableError or UnconfirmedError if nobody knows.

        After a reconnect the command is published again under its own id, because its outcome may
        have been lost with the connection: the worker then gives the stored one.
        """
        if not self.ready:
            raise UnavailableError("NATS has not been reached yet")
        until = monotonic() + deadline_s
        data, headers = encode(command), {HEADER_REQUEST_ID: command.request_id}
        if trace is not None:
            headers[HEADER_TRACE] = trace
        if len(data) > MAX_INLINE_BYTES:
            headers[HEADER_BLOB] = await self._contents.put(command.tenant, data)
            data = b""
        subject = room_command(command.tenant, command.room, verb(command))
        answer = await self._ask(subject, data, headers, command.id, until)
        while answer is None:
            try:
                answer = await self._ask(subject, data, headers, command.id, until)
            except UnavailableError as error:
                raise UnconfirmedError("it was sent, and NATS went away again") from error
        return answer

    async def _ask(
        self, subject: str, data: bytes, headers: dict[str, str], command_id: str, until: float
    ) -> Outcome | None:
        """Publish and wait; None where the connection was lost meanwhile."""
        # One id per asking: a repeated request is for the worker to recognise, by the command's
        # id, and to answer; the stream would only swallow it.
        asking = f"{command_id}:{self._inbox}.{next(self._askings)}"
        sent = {**headers, HEADER_REPLY: self._inbox, HEADER_MESSAGE_ID: asking}
        asked = Asked(until, partial(self._bus.metrics.published_stored, subject))
        self._waiting[command_id].append(asked)
        epoch, connected = self._bus.epoch, self._bus.connected
        tries = chain([("", _UNASKED_S)], repeat((f"{self._inbox}.{command_id}", REQUEST_S)))

        async def once() -> Outcome | None:
            word_to, patience_s = next(tries)
            await self._bus.publish_once(subject, data, sent, word_to, until)
            return await asked.answer(patience_s)

        try:
            outcome = await self._bus.insist(subject, once, until)
        except BusUnavailable as error:
            if not connected and not self._bus.connected and epoch == self._bus.epoch:
                raise UnavailableError("NATS is away") from error
            raise UnconfirmedError("no outcome in time") from error
        except APIError as error:
            log.error("command.refused", subject=subject, cause=str(error))  # noqa: TRY400  the server's answer says it all
            # An earlier try, of which the stream was not asked, may have been stored.
            raise UnconfirmedError("the stream refused the command") from error
        finally:
            self._waiting[command_id].remove(asked)
            if not self._waiting[command_id]:
                del self._waiting[command_id]
        return outcome

    def _on_outcomes(self, message: Msg) -> None:
        for line in message.data.splitlines():
            try:
                outcome = read_outcome(line)
            except UnreadableOutcomeError as error:
                log.error("outcome.unreadable", cause=str(error), data=line[:200])  # noqa: TRY400  the cause is the data
                continue
            if not outcome.command:
                log.error("outcome.unreadable", cause="it names no command", data=line[:200])
            for asked in self._waiting.get(outcome.command, ()):
                asked.on_outcome(outcome)

    def _on_ack(self, message: Msg) -> None:
        command_id = message.subject.rpartition(".")[2]
        for asked in self._waiting.get(command_id, ()):
            asked.on_ack(message)

    async def _ask_again(self) -> None:
        for asked in chain.from_iterable(self._waiting.values()):
            asked.ask_again()

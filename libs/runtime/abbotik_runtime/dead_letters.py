"""Dead letters: what was refused for good, kept with its cause until a person decides."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from abbotik_contracts.subjects import (
    ALL_DEAD_LETTERS,
    HEADER_CAUSE,
    HEADER_MESSAGE_ID,
    HEADER_REPLY,
    HEADER_SUBJECT,
    dead_letters,
)
from abbotik_runtime.bus import Bus

STREAM = "DLQ"

# What a dead letter says about the message it was, beside its cause.
HEADER_CODE = "Abbotik-Code"
HEADER_ATTEMPTS = "Abbotik-Attempts"
HEADER_TRUNCATED = "Abbotik-Truncated"

_CAUSE_BYTES = 1024
# What a dead letter's headers may take beside the original ones; bytes.
_HEADER_ROOM = 4096
_OWN = (HEADER_CODE, HEADER_CAUSE, HEADER_SUBJECT, HEADER_ATTEMPTS, HEADER_TRUNCATED)


class TruncatedError(Exception):
    """The message was larger than a dead letter may be; what is left of it is no message."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter. ``seq`` is its number in the stream; ``attempts`` counts deliveries."""

    seq: int
    at: datetime
    service: str
    code: str
    cause: str
    subject: str
    attempts: int
    headers: dict[str, str]
    data: bytes

    @property
    def truncated(self) -> bool:
        """Whether a part of the message is missing."""
        return HEADER_TRUNCATED in self.headers

    @classmethod
    def of(cls, message: RawStreamMsg) -> DeadLetter:
        """Read one from the stream."""
        headers = dict(message.headers or {})
        return cls(
            seq=message.seq or 0,
            at=message.time or datetime.fromtimestamp(0, UTC),
            service=(message.subject or "").partition(".")[2],
            code=headers.get(HEADER_CODE, ""),
            cause=headers.get(HEADER_CAUSE, ""),
            subject=headers.get(HEADER_SUBJECT, ""),
            attempts=int(headers.get(HEADER_ATTEMPTS, "0")),
            headers=headers,
            data=message.data or b"",
        )


def letter_of(
    message: Msg, code: str, cause: str, max_payload: int
) -> tuple[dict[str, str], bytes]:
    """Return headers and data of the dead letter that a message becomes."""
    headers = {
        **(message.headers or {}),
        HEADER_SUBJECT: message.subject,
        HEADER_CODE: code,
        HEADER_CAUSE: cause.encode()[:_CAUSE_BYTES].decode(errors="ignore"),
        HEADER_ATTEMPTS: str(message.metadata.num_delivered or 0),
    }
    headers.pop(HEADER_MESSAGE_ID, None)
    # The limit counts headers too, and passing it makes the server drop the whole connection.
    taken = sum(len(name) + len(value.encode()) + 4 for name, value in headers.items())
    room = max(0, max_payload - taken - _HEADER_ROOM)
    if len(message.data) > room:
        headers[HEADER_TRUNCATED] = str(len(message.data))
    return headers, message.data[:room]


class DeadLetters:
    """The stream of dead letters, oldest first."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def all(self, service: str | None = None) -> AsyncIterator[DeadLetter]:
        """Yield the dead letters, of one service where it is named."""
        subject = dead_letters(service) if service else ALL_DEAD_LETTERS
        seq = 1
        while True:
            try:
                found = await self._js.get_msg(STREAM, seq=seq, subject=subject, next=True)
            except NotFoundError:
                return
            letter = DeadLetter.of(found)
            yield letter
            seq = letter.seq + 1

    async def get(self, seq: int) -> DeadLetter | None:
        """Return the one of that number."""
        try:
            return DeadLetter.of(await self._js.get_msg(STREAM, seq=seq))
        except NotFoundError:
            return None

    async def redrive(self, letter: DeadLetter) -> None:
        """Publish the message again to where it came from, then forget the dead letter.

        Nobody waits for its outcome any more, so its inbox is left out. A crash in between leaves
        the dead letter; a command that is then sent twice is carried out once, by its own id.
        Raises TruncatedError, and BusUnavailable when the stream did not confirm.
        """
        if letter.truncated or not letter.subject:
            raise TruncatedError(f"dead letter {letter.seq} is not a whole message")
        headers = {
            name: value
            for name, value in letter.headers.items()
            if name not in _OWN and name != HEADER_REPLY
        }
        await self._bus.publish_stored(
            letter.subject, letter.data, message_id=f"redrive:{letter.seq}", headers=headers
        )
        await self.drop(letter.seq)

    async def drop(self, seq: int) -> bool:
        """Forget one for ever; False where there is none of that number."""
        try:
            return await self._js.delete_msg(STREAM, seq)
        except NotFoundError:
            return False

    @property
    def _js(self) -> JetStreamContext:
        return self._bus.js

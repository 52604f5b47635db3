"""What a pull needs to know about its inbox and about the messages that arrive there."""

from __future__ import annotations

import asyncio

import nats.errors
from nats.aio.subscription import Subscription

_ACK_TOKENS = 9
_DRAIN_S = 2.0


def is_last(reply: str) -> bool:
    """Say whether a message, by its acknowledgement subject, had none waiting behind it."""
    # ...<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>; behind a domain
    # there are two tokens more in front, and one at the end.
    tokens = reply.split(".")
    return tokens[8 if len(tokens) == _ACK_TOKENS else 10] == "0"


def is_redelivered(reply: str) -> bool:
    """Say whether a message, by its acknowledgement subject, was delivered before."""
    tokens = reply.split(".")
    return tokens[4 if len(tokens) == _ACK_TOKENS else 6] != "1"


async def drain(subscription: Subscription) -> None:
    """Let go of an inbox once what is under way to it has arrived."""
    try:
        async with asyncio.timeout(_DRAIN_S):
            await subscription.drain()  # type: ignore[no-untyped-call] # nats-py has no types here
    except (nats.errors.Error, TimeoutError):
        # nats-py keeps a subscription whose drain failed, and makes it again at each reconnect.
        subscription._stop_processing()  # noqa: SLF001 - it has no public way out of that state
        subscription._conn._remove_sub(subscription._id)  # noqa: SLF001 - the same

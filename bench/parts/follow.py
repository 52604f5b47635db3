"""What the gateway's own code takes to pass a turn on: `python -m bench.parts.follow`.

From the bytes of its two messages on the bus to the bytes that its follower reads.
"""

from itertools import count

from abbotik_contracts.room_log import Record
from abbotik_contracts.room_views import wire_event
from abbotik_contracts.subjects import room_events
from abbotik_gateway.adapters.bounded_connection import BoundedConnection
from abbotik_runtime import logs
from abbotik_runtime.canonical import hashed
from abbotik_runtime.ids import uuid7
from bench.parts.post import Written, connection
from bench.parts.rounds import ROUNDS, cost_us, run, until
from bench.wire import Target
from tests.fakes.gateway_api import USER_TOKEN, gateway_api

TURNS = 2_000
Told = tuple[tuple[str, Record], ...]
# What the two commits of a turn tell: type, payload.
BEGIN: Told = (
    ("message:queued", {"message_id": uuid7(), "seq": 1, "author": "user", "kind": "task"}),
    ("room:active", {"trigger_message_id": uuid7()}),
    ("actor:turn_start", {"message_id": uuid7(), "agent_id": "assistant"}),
)
END: Told = (
    ("actor:output", {"message_id": uuid7(), "text": "echo: one small message of a person"}),
    ("actor:turn_end", {"message_id": uuid7(), "status": "completed"}),
    ("room:idle", {"reason": "completed"}),
)


def messages(room: str, turns: int) -> list[bytes]:
    """Return what a worker would publish of so many turns, after a room's first event."""
    seqs = count(2)
    return [
        b"\n".join(
            hashed(
                wire_event(
                    room=room,
                    seq=next(seqs),
                    epoch=1,
                    policy_version=1,
                    created_at="2026-11-28T08:00:00.000Z",
                    prev_hash="0" * 64,
                    event_id=uuid7(),
                    event_type=event_type,
                    actor="assistant",
                    payload=payload,
                    turn=uuid7(),
                )
            )[1]
            for event_type, payload in commit
        )
        for _ in range(turns)
        for commit in (BEGIN, END)
    ]


async def measure() -> None:
    """Print it."""
    logs.configure("bench", "warning", "json")
    api = gateway_api()
    room = await api.rent()
    written = Written(b"event: ")
    served = connection(api.app, BoundedConnection, written)
    subject = room_events("dev", room)
    served.data_received(Target(1, USER_TOKEN).get(f"/llm/room/{room}/events"))
    # The room's rent, which is replayed.
    await until(lambda: written.found == 1)
    told = iter(messages(room, TURNS * ROUNDS))

    async def passed(message: bytes, events: int) -> None:
        wanted = written.found + events
        api.signals.publish(subject, message)
        await until(lambda: written.found == wanted)

    async def turn() -> None:
        for commit in (BEGIN, END):
            await passed(next(told), len(commit))

    print(f"the gateway: {await cost_us(turn, TURNS):.1f} us a turn")
    served.connection_lost(None)
    await until(lambda: not served.tasks)


if __name__ == "__main__":
    run(measure())

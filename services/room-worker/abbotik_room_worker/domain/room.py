"""A room's small state: what decisions read and what every log entry ends with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from operator import attrgetter
from typing import NamedTuple, Self, cast
from uuid import UUID

from pydantic import JsonValue

from abbotik_contracts.room_config import RoomConfig
from abbotik_contracts.room_log import LogEntry, Record, StoredState
from abbotik_kernel.chain import GENESIS_HASH
from abbotik_room_worker.domain.lifecycle import RoomStatus


class Lease(NamedTuple):
    """Who runs the room's turn: a worker's session, and the epoch it was given."""

    session: str
    epoch: int


class Trigger(NamedTuple):
    """A queued message."""

    seq: int
    id: str


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A tool call that was started and not settled; ``started_at`` in ms, by its commit."""

    call_id: str
    name: str
    idempotent: bool
    started_at: int = 0


@dataclass(frozen=True, slots=True)
class Interrupt:
    """A request to stop the turn. ``deadline_at`` in ms."""

    mode: str
    deadline_at: int


class Turn(NamedTuple):
    """The running turn. Times in ms; ``recoveries`` counts takeovers since its last step."""

    id: str
    message_id: str
    message_seq: int
    agent_id: str
    provider: str
    model: str | None
    started_at: int
    deadline_at: int
    first_event_seq: int
    recoveries: int = 0
    open_calls: tuple[OpenCall, ...] = ()
    interrupt: Interrupt | None = None

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Read what `to_record` wrote."""
        values = dict(record)
        calls = cast("list[dict[str, JsonValue]]", values.pop("open_calls"))
        interrupt = cast("dict[str, JsonValue] | None", values.pop("interrupt"))
        return cls(
            open_calls=tuple(OpenCall(**call) for call in calls),  # type: ignore[arg-type]  # as written below
            interrupt=None if interrupt is None else Interrupt(**interrupt),  # type: ignore[arg-type]  # as written below
            **values,  # type: ignore[arg-type]  # as written below
        )

    def to_record(self) -> Record:
        """Return the stored form."""
        stop = self.interrupt
        return {
            "id": self.id,
            "message_id": self.message_id,
            "message_seq": self.message_seq,
            "agent_id": self.agent_id,
            "provider": self.provider,
            "model": self.model,
            "started_at": self.started_at,
            "deadline_at": self.deadline_at,
            "first_event_seq": self.first_event_seq,
            "recoveries": self.recoveries,
            "open_calls": [
                {
                    "call_id": c.call_id,
                    "name": c.name,
                    "idempotent": c.idempotent,
                    "started_at": c.started_at,
                }
                for c in self.open_calls
            ],
            "interrupt": None
            if stop is None
            else {"mode": stop.mode, "deadline_at": stop.deadline_at},
        }


@dataclass(frozen=True, slots=True)
class Releasing:
    """A release that waits for the turn to stop. ``deadline_at`` in ms."""

    result: JsonValue
    reason: str | None
    deadline_at: int


def config_record(config: RoomConfig) -> Record:
    """Return a configuration as it is stored and shown."""
    record: Record = config.model_dump(mode="json", exclude_none=True)
    # An actor always shows its model, also where its provider is not known here and has none.
    record["actors"] = [
        {"model": None, **actor.model_dump(mode="json", exclude_none=True)}
        for actor in config.actors
    ]
    return record


def _no_usage() -> Record:
    return {
        "input_tokens": 0,
        "output_tokens": 0,
        "total_tokens": 0,
        "cost": 0,
        "turns": 0,
        "tool_calls": 0,
    }


@dataclass(slots=True)
class Room:
    """One room at one rev. A decision works on a copy; the log holds every one of them.

    ``config_record`` is ``config`` as it is stored and shown, made once for all that need it;
    ``wakes`` are the next times of its schedule, in ms.
    """

    tenant: str
    id: str
    rev: int
    status: RoomStatus
    config: RoomConfig
    config_record: Record
    rented_by: str
    rented_at: int
    last_active_at: int
    idle_since: int
    epoch: int = 0
    lease: Lease | None = None
    released_at: int | None = None
    policy_version: int = 1
    config_rev: int = 1
    queue: tuple[Trigger, ...] = ()
    withdrawn: tuple[int, ...] = ()
    woken: bool = False
    wakes: tuple[int, ...] = ()
    turn: Turn | None = None
    releasing: Releasing | None = None
    usage: Record = field(default_factory=_no_usage)
    last_error: Record | None = None
    result: JsonValue = None
    hash: str = GENESIS_HASH
    last_event_seq: int = 0
    last_message_seq: int = 0
    at: int = 0

    def copy(self) -> Room:
        """Return a copy that may be changed."""
        return Room(*_members(self))

    def holds(self, session: str, epoch: int) -> bool:
        """Say whether that session still has the lease of that epoch."""
        lease = self.lease
        return lease is not None and lease.session == session and lease.epoch == epoch

    def to_state(self) -> StoredState:
        """Return the state as an entry stores it."""
        return {
            "status": self.status.value,
            "epoch": self.epoch,
            "lease": None
            if self.lease is None
            else {"session": self.lease.session, "epoch": self.lease.epoch},
            "rented_by": self.rented_by,
            "rented_at": self.rented_at,
            "released_at": self.released_at,
            "last_active_at": self.last_active_at,
            "idle_since": self.idle_since,
            "policy_version": self.policy_version,
            "config_rev": self.config_rev,
            "queue": [{"seq": t.seq, "id": UUID(t.id).bytes} for t in self.queue],
            "withdrawn": list(self.withdrawn),
            "woken": self.woken,
            "wakes": list(self.wakes),
            "turn": None if self.turn is None else self.turn.to_record(),
            "releasing": None if self.releasing is None else asdict(self.releasing),
            "usage": self.usage,
            "last_error": self.last_error,
            "result": self.result,
            "hash": self.hash,
            "last_event_seq": self.last_event_seq,
            "last_message_seq": self.last_message_seq,
        }

    @classmethod
    def from_entry(cls, entry: LogEntry, config: Record) -> Room:
        """Read the state that an entry leads to."""
        state = entry["state"]
        lease, turn, releasing = state["lease"], state["turn"], state["releasing"]
        return cls(
            tenant=entry["tenant"],
            id=entry["room"],
            rev=entry["rev"],
            status=RoomStatus(state["status"]),
            config=RoomConfig.model_validate(config),
            config_record=config,
            rented_by=state["rented_by"],
            rented_at=state["rented_at"],
            last_active_at=state["last_active_at"],
            idle_since=state["idle_since"],
            epoch=state["epoch"],
            lease=None if lease is None else Lease(lease["session"], lease["epoch"]),
            released_at=state["released_at"],
            policy_version=state["policy_version"],
            config_rev=state["config_rev"],
            queue=tuple(Trigger(t["seq"], str(UUID(bytes=t["id"]))) for t in state["queue"]),
            withdrawn=tuple(state["withdrawn"]),
            woken=state["woken"],
            wakes=tuple(state["wakes"]),
            turn=None if turn is None else Turn.from_record(turn),
            releasing=None if releasing is None else Releasing(**releasing),  # type: ignore[arg-type]  # as written above
            usage=state["usage"],
            last_error=state["last_error"],
            result=state["result"],
            hash=state["hash"],
            last_event_seq=state["last_event_seq"],
            last_message_seq=state["last_message_seq"],
            at=entry["at"],
        )


# A third of the time of `dataclasses.replace`, at each commit.
_members = attrgetter(*(member.name for member in fields(Room)))

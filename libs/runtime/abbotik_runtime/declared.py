"""The declared streams and consumers as the server's configurations, and how found ones differ.

A member that decides what a stored message means (`retention`, `storage`, ...) is never changed by
the product: that is Drift, and a person decides. What an operator may tune (more replicas,
placement, larger limits) is left as found.
"""

from __future__ import annotations

from enum import Enum

from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    PersistMode,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from abbotik_contracts.subjects import Consumer, Stream

# Not shorter than the longest time in which a publisher may send a message again; seconds.
_DUPLICATE_WINDOW_S = 120.0

_STREAM_FIXED = (
    "retention",
    "storage",
    "discard",
    "discard_new_per_subject",
    "max_msgs_per_subject",
    "allow_msg_schedules",
)
# What may be raised but not lowered; 0 and -1 mean no limit.
_STREAM_LEAST = ("max_age", "max_bytes", "max_msgs", "duplicate_window", "num_replicas")
_CONSUMER_FIXED = ("ack_policy", "deliver_policy", "deliver_subject")
_CONSUMER_OPEN = ("ack_wait", "max_deliver", "filter_subject", "filter_subjects")
_CONSUMER_LEAST = ("max_ack_pending",)


class Drift(Exception):  # noqa: N818 - a finding
    """A stream, consumer or index that is there and is not what the product needs."""

    def __init__(self, owner: str, member: str, found: object, wanted: object) -> None:
        self.owner = owner
        self.member = member
        self.found = found
        self.wanted = wanted
        super().__init__(
            f"{owner}: {member} is {found!r} and must be {wanted!r}; it is not changed silently: "
            "set it by hand or remove it, then provision again"
        )


def stream_config(stream: Stream, replicas: int = 1) -> StreamConfig:
    """Return the configuration that a declared stream is made with.

    Its consumers have as many replicas as the stream.
    """
    # Servers refuse to write a replicated stream in the background.
    flushed_later = stream.flushed_later and replicas == 1
    return StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        retention=RetentionPolicy.WORK_QUEUE if stream.work_queue else RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW if stream.discard_new else DiscardPolicy.OLD,
        discard_new_per_subject=stream.discard_new and stream.max_per_subject > 0,
        max_msgs_per_subject=stream.max_per_subject or -1,
        max_msgs=-1,
        max_age=float(stream.max_age_s),
        max_bytes=stream.max_bytes or -1,
        storage=StorageType.FILE,
        num_replicas=replicas,
        persist_mode=PersistMode.ASYNC if flushed_later else None,
        duplicate_window=_DUPLICATE_WINDOW_S,
        allow_msg_schedules=stream.schedules,
    )


def consumer_config(consumer: Consumer) -> ConsumerConfig:
    """Return the configuration that a declared consumer is made with."""
    return ConsumerConfig(
        name=consumer.name,
        durable_name=consumer.name,
        filter_subject=consumer.subject,
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.ALL,
        ack_wait=consumer.ack_wait_s,
        max_deliver=-1,
        max_ack_pending=consumer.max_ack_pending,
    )


def stream_drift(found: StreamConfig, wanted: StreamConfig) -> list[Drift]:
    """Return what must not be changed silently. Subjects may be added, never taken away."""
    owner = f"stream {wanted.name}"
    drifts = _fixed(owner, _STREAM_FIXED, found, wanted)
    if wanted.persist_mode is None:
        # Synced where later would do only costs time: replicated streams are, and older ones.
        drifts += _fixed(owner, ("persist_mode",), found, wanted)
    have, want = set(found.subjects or []), set(wanted.subjects or [])
    if have - want:
        drifts.append(Drift(owner, "subjects", sorted(have), sorted(want)))
    return drifts


def consumer_drift(found: ConsumerConfig, wanted: ConsumerConfig) -> list[Drift]:
    """Return what must not be changed silently."""
    return _fixed(f"consumer {wanted.durable_name}", _CONSUMER_FIXED, found, wanted)


def stream_changes(found: StreamConfig, wanted: StreamConfig) -> dict[str, object]:
    """Return the members to set so that ``found`` serves; empty where it does."""
    changes = _least(_STREAM_LEAST, found, wanted)
    if set(found.subjects or []) != set(wanted.subjects or []):
        changes["subjects"] = wanted.subjects
    return changes


def consumer_changes(found: ConsumerConfig, wanted: ConsumerConfig) -> dict[str, object]:
    """Return the members to set so that ``found`` serves; empty where it does."""
    changes = _least(_CONSUMER_LEAST, found, wanted)
    for member in _CONSUMER_OPEN:
        if (value := getattr(wanted, member)) != getattr(found, member):
            changes[member] = value
    return changes


def _fixed(owner: str, members: tuple[str, ...], found: object, wanted: object) -> list[Drift]:
    pairs = [
        (name, _plain(getattr(found, name)), _plain(getattr(wanted, name))) for name in members
    ]
    return [Drift(owner, name, have, want) for name, have, want in pairs if have != want]


def _plain(value: object) -> object:
    # The server leaves out what is false or its default, and nats-py then says None.
    plain = value.value if isinstance(value, Enum) else value
    return None if plain is False or plain == PersistMode.DEFAULT.value else plain


def _least(members: tuple[str, ...], found: object, wanted: object) -> dict[str, object]:
    return {
        name: getattr(wanted, name)
        for name in members
        if _limit(getattr(found, name)) < _limit(getattr(wanted, name))
    }


def _limit(value: float | None) -> float:
    return float("inf") if value is None or value <= 0 else value

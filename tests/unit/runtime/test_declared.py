"""Declared streams and consumers: what may be changed, what is drift, what is the operator's."""

from __future__ import annotations

from typing import Any

import pytest
from nats.js.api import PersistMode, RetentionPolicy, StorageType

from abbotik_contracts.subjects import CONSUMERS, STREAMS
from abbotik_runtime.declared import (
    consumer_changes,
    consumer_config,
    consumer_drift,
    stream_changes,
    stream_config,
    stream_drift,
)

TURNS = stream_config(next(stream for stream in STREAMS if stream.name == "TURNS"))
DLQ = stream_config(next(stream for stream in STREAMS if stream.name == "DLQ"))
CONSUMER = consumer_config(CONSUMERS[0])


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_stream_as_declared_has_nothing_to_change(stream: Any) -> None:
    """A stream that was made from its declaration is neither drifted nor outdated."""
    config = stream_config(stream)
    assert stream_drift(config, stream_config(stream)) == []
    assert stream_changes(config, stream_config(stream)) == {}


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("retention", RetentionPolicy.LIMITS),
        ("storage", StorageType.MEMORY),
        ("persist_mode", PersistMode.ASYNC),
        ("discard_new_per_subject", None),
        ("max_msgs_per_subject", -1),
        ("allow_msg_schedules", True),
    ],
)
def test_a_member_that_decides_what_messages_mean_is_drift(member: str, value: object) -> None:
    """Such a difference is reported with owner, member, found and wanted, and never changed."""
    found = TURNS.evolve(**{member: value})
    (drift,) = stream_drift(found, TURNS)
    assert (drift.owner, drift.member) == ("stream TURNS", member)
    assert member in str(drift)
    assert member not in stream_changes(found, TURNS)


def test_a_stream_may_be_synced_where_later_would_do() -> None:
    """An older or replicated COMMANDS stream that syncs each message is taken as it is."""
    wanted = stream_config(next(stream for stream in STREAMS if stream.name == "COMMANDS"))
    assert wanted.persist_mode is PersistMode.ASYNC
    for found in (None, PersistMode.DEFAULT):
        assert stream_drift(wanted.evolve(persist_mode=found), wanted) == []


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_replicated_stream_serves_whoever_knows_of_no_replicas(stream: Any) -> None:
    """It is synced at each message, as servers want it, and is neither drifted nor outdated."""
    replicated = stream_config(stream, 3)
    assert (replicated.num_replicas, replicated.persist_mode) == (3, None)
    assert stream_drift(replicated, stream_config(stream)) == []
    assert stream_changes(replicated, stream_config(stream)) == {}


def test_a_stream_gets_more_replicas_but_not_fewer() -> None:
    """One that is written in the background cannot get them: that is for a person."""
    assert stream_changes(TURNS, TURNS.evolve(num_replicas=3)) == {"num_replicas": 3}
    assert stream_changes(TURNS.evolve(num_replicas=5), TURNS.evolve(num_replicas=3)) == {}
    commands = next(stream for stream in STREAMS if stream.name == "COMMANDS")
    (drift,) = stream_drift(stream_config(commands), stream_config(commands, 3))
    assert drift.member == "persist_mode"


def test_subjects_may_be_added_but_not_taken_away() -> None:
    """A subject that is missing is added; one that nobody declared is drift."""
    fewer = TURNS.evolve(subjects=[])
    assert stream_drift(fewer, TURNS) == []
    assert stream_changes(fewer, TURNS) == {"subjects": ["turn.>"]}
    (drift,) = stream_drift(TURNS.evolve(subjects=["turn.>", "other.>"]), TURNS)
    assert drift.member == "subjects"


def test_an_operator_may_raise_limits_and_replicas() -> None:
    """Larger limits, or none, and other replicas are left as found."""
    for changes in ({"max_bytes": 2**40}, {"max_bytes": -1}, {"max_age": 0.0}, {"num_replicas": 3}):
        found = DLQ.evolve(**changes)
        assert stream_drift(found, DLQ) == []
        assert stream_changes(found, DLQ) == {}


def test_a_limit_below_the_declared_one_is_raised() -> None:
    """A duplicate window shorter than publishers' retries would let messages in twice."""
    assert stream_changes(DLQ.evolve(duplicate_window=5.0), DLQ) == {"duplicate_window": 120.0}


def test_consumers_are_brought_up_to_date() -> None:
    """`ack_wait`, `max_deliver` and the filter are set as declared; `max_ack_pending` at least."""
    found = CONSUMER.evolve(ack_wait=30.0, max_deliver=5, filter_subject="x", max_ack_pending=1)
    assert consumer_drift(found, CONSUMER) == []
    assert consumer_changes(found, CONSUMER) == {
        "ack_wait": 2.0,
        "max_deliver": -1,
        "filter_subject": CONSUMER.filter_subject,
        "max_ack_pending": CONSUMER.max_ack_pending,
    }


def test_a_push_consumer_is_drift() -> None:
    """A consumer of our name that pushes cannot become one that is pulled."""
    (drift,) = consumer_drift(CONSUMER.evolve(deliver_subject="elsewhere"), CONSUMER)
    assert drift.member == "deliver_subject"

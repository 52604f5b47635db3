"""What is read of the servers, as a number that a limit is set for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bson import Timestamp
from nats.js.api import ConsumerConfig, ConsumerInfo, SequenceInfo

from abbotik_gateway.adapters.pressure import Backlog, MajorityLag

STILL_S = 2.0


def _info(delivered: int, pending: int, unsettled: int, again: int = 0) -> ConsumerInfo:
    return ConsumerInfo(
        name="c",
        stream_name="S",
        config=ConsumerConfig(),
        created=datetime.now(UTC),
        delivered=SequenceInfo(consumer_seq=delivered, stream_seq=0),
        num_pending=pending,
        num_ack_pending=unsettled,
        num_redelivered=again,
    )


def test_what_is_being_handled_does_not_wait() -> None:
    """While the server goes on to deliver, what was delivered just now is in good hands."""
    backlog = Backlog(STILL_S)
    for second in range(10):
        assert backlog.of(_info(delivered=100 * second, pending=7, unsettled=800), second) == 7


def test_what_nobody_goes_on_with_waits() -> None:
    """Nothing was delivered for as long as a worker may be silent, and much is not settled."""
    backlog, info = Backlog(STILL_S), _info(delivered=256, pending=7, unsettled=256)
    assert backlog.of(info, 50.0) == 7
    assert backlog.of(info, 50.0 + STILL_S - 0.1) == 7
    assert backlog.of(info, 50.0 + STILL_S) == 263
    assert backlog.of(_info(delivered=257, pending=6, unsettled=256), 53.0) == 6


def test_what_was_delivered_again_waits() -> None:
    """The server gives it out again and again to a worker that stands still."""
    backlog = Backlog(STILL_S)
    for second in range(0, 10, 2):
        info = _info(delivered=24 * second, pending=0, unsettled=24, again=24)
        assert backlog.of(info, second) == 24


def _last_write(written: int, confirmed: int) -> dict[str, Any]:
    return {
        "opTime": {"ts": Timestamp(written, 1), "t": 1},
        "majorityOpTime": {"ts": Timestamp(confirmed, 1), "t": 1},
    }


def test_majority_that_follows_does_not_lag() -> None:
    """It may be behind by what was written a moment ago, for ever."""
    lag = MajorityLag()
    for second in range(1, 10):
        assert lag.of(_last_write(second, second - 1), second) == 0


def test_majority_that_stands_lags_by_when_it_was_passed() -> None:
    """Until it has what was written then; what was written since counts from now on."""
    lag = MajorityLag()
    assert lag.of(_last_write(5, 5), 100.0) == 0
    assert lag.of(_last_write(6, 5), 101.0) == 0
    assert lag.of(_last_write(7, 5), 102.0) == 1
    assert lag.of(_last_write(9, 5), 104.5) == 3.5
    assert lag.of(_last_write(10, 6), 105.0) == 0

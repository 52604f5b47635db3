"""What is counted is told as Prometheus wants it."""

from __future__ import annotations

import pytest

from abbotik_runtime.metrics import Metrics
from abbotik_runtime.tally import BUCKETS


def test_a_counter_counts_by_its_labels() -> None:
    """A series for each combination that came up."""
    metrics = Metrics("sample")
    met = metrics.counter("met", "People met.", "where", "how")
    for labels in (("here", "twice"), ("there", "once"), ("here", "twice")):
        met.add(*labels)
    value = metrics.registry.get_sample_value
    assert value("abbotik_met_total", {"where": "here", "how": "twice"}) == 2
    assert value("abbotik_met_total", {"where": "there", "how": "once"}) == 1
    assert met.count("here", "twice") == 2
    assert b'abbotik_met_total{how="twice",where="here"} 2.0' in metrics.exposition()


def test_a_counter_without_labels_is_there_from_the_start() -> None:
    """A rate over what never happened is 0, not missing."""
    metrics = Metrics("sample")
    metrics.counter("met", "People met.")
    assert metrics.registry.get_sample_value("abbotik_met_total") == 0


def test_a_known_series_is_there_before_it_counts() -> None:
    """As for what has no labels; what was counted already stays."""
    metrics = Metrics("sample")
    met = metrics.counter("met", "People met.", "where")
    met.known("here")
    assert metrics.registry.get_sample_value("abbotik_met_total", {"where": "here"}) == 0
    met.add("here")
    met.known("here")
    assert met.count("here") == 1


def test_a_name_is_taken_once() -> None:
    """Two series of one name would be two families."""
    metrics = Metrics("sample")
    metrics.counter("met", "People met.")
    with pytest.raises(ValueError, match="abbotik_met"):
        metrics.counter("met", "People met again.")
    metrics.histogram("wait", "Waits.")
    with pytest.raises(ValueError, match="abbotik_wait"):
        metrics.histogram("wait", "Waits again.")


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.0011, 5.0, 10.0, 99.0])
def test_a_time_is_in_each_bucket_that_is_not_shorter(seconds: float) -> None:
    """Buckets hold what took as long as their bound or less; the last one holds all."""
    metrics = Metrics("sample")
    metrics.histogram("wait", "Waits.", "whom").observe(seconds, "godot")
    value = metrics.registry.get_sample_value
    for bound in BUCKETS:
        labels = {"whom": "godot", "le": str(bound)}
        assert value("abbotik_wait_seconds_bucket", labels) == (seconds <= bound)
    assert value("abbotik_wait_seconds_bucket", {"whom": "godot", "le": "+Inf"}) == 1
    assert value("abbotik_wait_seconds_count", {"whom": "godot"}) == 1
    assert value("abbotik_wait_seconds_sum", {"whom": "godot"}) == seconds

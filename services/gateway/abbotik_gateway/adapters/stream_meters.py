"""What the streams count, as Prometheus series."""

from __future__ import annotations

from abbotik_runtime.metrics import Metrics


class StreamMeters:
    """Implements `Meters`."""

    def __init__(self, metrics: Metrics) -> None:
        self._followers = metrics.gauge("stream_followers", "Event streams that are open.")
        self._lagged = metrics.counter(
            "stream_lagged", "Streams cut because their reader did not keep up."
        )

    def followers(self, change: int) -> None:
        """Note that so many streams were opened, or closed when negative."""
        self._followers.inc(change)

    def lagged(self) -> None:
        """Note that a stream was cut because its reader did not keep up."""
        self._lagged.add()

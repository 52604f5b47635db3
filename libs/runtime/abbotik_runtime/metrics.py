"""What a process counts; labels are patterns and names, never a concrete room or subject."""

from __future__ import annotations

import asyncio

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from abbotik_runtime.tally import Tally, Timing


class Metrics:
    """The process's registry and the series of the runtime; services add theirs to `registry`.

    Names end as Prometheus asks: `_total` counts, `_seconds` are seconds.
    """

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        Gauge("abbotik_service", "Always 1.", ["service"], registry=self.registry).labels(
            service
        ).set(1)
        self._published = self.counter("published", "Messages published.", "kind", "family")
        self._publish_seconds = self.histogram(
            "publish", "Stored publish until its ack, a command until its outcome.", "family"
        )
        self.settled = self.counter("settled", "Messages settled.", "service", "outcome")
        self.publish_retries = self.counter("publish_retries", "Stored publishes sent again.")
        self.reconnects = self.counter("bus_reconnects", "Connections to NATS made again.")
        self.delivered = self.counter("delivered", "Messages handed to a handler.", "consumer")
        self.handler_errors = self.counter("handler_errors", "Handlers that raised.", "consumer")
        self.passed_on = self.counter(
            "passed_on", "Messages passed on to another process, and those that came back.", "way"
        )
        self.handling = self.gauge("handling", "Handlers under way.", "consumer")
        self.loop_passes = self.counter("loop_passes", "Passes of loops.", "loop", "outcome")
        self.loop_seconds = self.histogram("loop", "Duration of a pass.", "loop")
        self.gauge("tasks", "Tasks of the event loop.").set_function(_tasks)
        self.check = self.gauge("check", "1 where a readiness check is green.", "check")

    def published_core(self, subject: str) -> None:
        """Count a core message."""
        self._published.add("core", family(subject))

    def published_stored(self, subject: str, seconds: float) -> None:
        """Count a stored message and the time until its ack, or the outcome that says so too."""
        name = family(subject)
        self._published.add("stored", name)
        self._publish_seconds.observe(seconds, name)

    def counter(self, name: str, text: str, *labels: str) -> Tally:
        """Make a counter `abbotik_<name>_total`."""
        tally = Tally(f"abbotik_{name}_total", text, labels)
        self.registry.register(tally)
        return tally

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """Make a gauge `abbotik_<name>`."""
        return Gauge(f"abbotik_{name}", text, labels, registry=self.registry)

    def histogram(self, name: str, text: str, *labels: str) -> Timing:
        """Make a histogram `abbotik_<name>_seconds`."""
        timing = Timing(f"abbotik_{name}_seconds", text, labels)
        self.registry.register(timing)
        return timing

    def exposition(self) -> bytes:
        """Write all series in Prometheus' text format."""
        return generate_latest(self.registry)


def family(subject: str) -> str:
    """Return a subject's first token, `cmd` or `evt` for example: the only part used as label."""
    first, dot, _ = subject.partition(".")
    return first if dot and first.isalpha() else "other"


def _tasks() -> int:
    """Return how many tasks there are; asked outside of a loop, none."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0

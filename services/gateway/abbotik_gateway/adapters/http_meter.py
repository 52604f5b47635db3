"""Counts requests, by route and status; never by path."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from abbotik_runtime.metrics import Metrics

# So many distinct series at most; routes and methods are ours, but methods come from clients too.
_METHODS = frozenset({"GET", "POST", "PATCH", "HEAD", "OPTIONS"})


class HttpMeter:
    """Implements the edge's `Meter`."""

    def __init__(self, metrics: Metrics) -> None:
        self._requests = metrics.counter(
            "http_requests", "Requests answered.", "method", "route", "status"
        )
        self._seconds = metrics.histogram("http_request", "Request until its end.", "route")
        # `labels()` costs more than the count itself, and this runs for every request.
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note one request; ``status`` is 0 where none was sent."""
        place = (method if method in _METHODS else "other", route, status)
        series = self._series.get(place)
        if series is None:
            series = (
                self._requests.labels(place[0], route, str(status)),
                self._seconds.labels(route),
            )
            self._series[place] = series
        series[0].inc()
        series[1].observe(seconds)

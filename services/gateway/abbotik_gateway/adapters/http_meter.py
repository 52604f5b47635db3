"""Counts requests, by route and status; never by path."""

from __future__ import annotations

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

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note one request; ``status`` is 0 where none was sent."""
        known = method if method in _METHODS else "other"
        self._requests.add(known, route, str(status))
        self._seconds.observe(seconds, route)

"""Seconds from `abbotik up` with embedded servers until `/health/ready` is 200, also again."""

from pathlib import Path
from tempfile import TemporaryDirectory

from bench.product.running import product
from bench.samples import Finding, report


def measure(home: Path) -> None:
    """Start, stop, and start again in the same folder; print both times."""
    with product(home) as first:
        pass
    with product(home) as second:
        pass
    report(Finding("start first", value=first.ready_s), Finding("start", value=second.ready_s))


if __name__ == "__main__":
    with TemporaryDirectory(prefix="abbotik-bench-") as folder:
        measure(Path(folder))

"""What there is to measure: each entry is a program of its own, so none disturbs the next."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from abbotik_cli import tether
from bench.children import ROOT, end
from bench.product.running import Product
from bench.samples import Finding, read
from bench.servers import Servers

LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """A module that prints findings, with its number of samples, full and quick (0: none).

    ``against`` names the floors that its findings are compared with.
    """

    name: str
    module: str
    count: int
    quick: int
    takes: str = ""
    against: tuple[str, ...] = ()


FLOORS = (
    Scenario("P", "bench.floors.http", 6_000, 1_000),
    Scenario("J", "bench.floors.jetstream", 5_000, 500, "nats"),
    Scenario("M", "bench.floors.insert", 4_000, 500, "mongo"),
    Scenario("G", "bench.floors.group_insert", 250_000, 10_000, "mongo"),
    Scenario("S", "bench.floors.sse", 1_500, 200),
)
PRODUCT = (
    Scenario("footprint", "bench.product.footprint", 0, 0, "pids"),
    Scenario("latency", "bench.product.latency", 3_000, 200, "product", ("P", "J", "M")),
    Scenario("throughput", "bench.product.throughput", 12_000, 1_000, "product", ("G",)),
    Scenario("fanout", "bench.product.fanout", 300, 20, "product", ("S",)),
)
# A minute each: only where they are asked for by name.
SLOW = (
    Scenario("idle", "bench.product.idle_rooms", 10_000, 1_000, "pids"),
    Scenario("long", "bench.product.long_room", 100_000, 2_000, "product"),
)
# These start stacks of their own kind.
ALONE = (
    Scenario("interrupts", "bench.product.interrupts", 300, 40),
    Scenario("start", "bench.product.start", 0, 0),
)
FLOOR_NAMES = tuple(scenario.name for scenario in FLOORS)
NAMES = (*FLOOR_NAMES, *(scenario.name for scenario in (*PRODUCT, *SLOW, *ALONE)))


def arguments(scenario: Scenario, servers: Servers, product: Product | None) -> list[str]:
    """Return what the scenario's module must be told."""
    if scenario.takes == "nats":
        return ["--nats", servers.nats_url]
    if scenario.takes == "mongo":
        return ["--mongo", servers.mongo_url]
    if product is None:
        return []
    given = ["--port", str(product.port), "--token", product.token]
    if scenario.takes == "pids":
        given += [
            word for name, pid in product.pids().items() for word in ("--pid", f"{name}={pid}")
        ]
    return given


def run(scenario: Scenario, given: Sequence[str], *, quick: bool) -> dict[str, Finding]:
    """Run a scenario's module and return its findings by name; RuntimeError if it fails."""
    count = scenario.quick if quick else scenario.count
    argv = [sys.executable, "-m", scenario.module, *given]
    argv += ["--count", str(count)] if count else []
    child = subprocess.Popen(
        tether.command(argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    try:
        out, errors = child.communicate(timeout=LIMIT_S)
    finally:
        end(child)
    if child.returncode:
        raise RuntimeError(f"{scenario.name} failed:\n{errors[-3000:].decode()}")
    return {finding.name: finding for finding in read(out.decode())}

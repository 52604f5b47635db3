"""What is fast enough: the columns *first* and *goal*, as ratios to the floors of the same run.

Each row's figure is compared with both limits. Of two floors, before and after, the faster one
counts: a slow floor would flatter every ratio.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.samples import Finding

Findings = Mapping[str, Finding]


@dataclass(frozen=True, slots=True)
class Floor:
    """A floor's quiet value: milliseconds (p50), or per second if `rate`."""

    name: str
    what: str
    quiet: float
    rate: bool = False

    def of(self, findings: Findings) -> float:
        """Return the measured value in the same unit, 0 if it was not measured."""
        found = findings.get(self.name)
        if found is None:
            return 0.0
        return found.per_s if self.rate else found.p50

    def faster(self, one: float, other: float) -> float:
        """Return the faster of two measured values (0: not measured)."""
        return max(one, other) if self.rate else min(one or other, other or one)

    def off(self, value: float) -> float:
        """Return how many times slower than in a quiet hour it is (below 1: faster)."""
        return self.quiet / value if self.rate else value / self.quiet

    def text(self, value: float) -> str:
        """Format a value with its unit."""
        if not value:
            return "-"
        return f"{value:,.0f} /s" if self.rate else f"{value:.3f} ms"


FLOORS = (
    Floor("P1", "P: bare Starlette POST, 1 client", 0.147),
    Floor("P64", "P: the same, 64 clients", 8_300, rate=True),
    Floor("J", "J: JetStream publish to pull consumer", 0.46),
    Floor("M", "M: insert_one, majority and journaled", 1.09),
    Floor("G", "G: inserts of 64 callers in one insert_many", 14_200, rate=True),
    Floor("S", "S: events to 500 SSE followers", 116_000, rate=True),
)


# None, as far as it can be told from what quiet processes do anyway, beyond what they have at hand
# of the rooms used last.
IDLE_PROCESSOR, IDLE_KB = (1.0, 1.0), (2.0, 2.0)
# "The same", as far as two medians of one run can be told apart.
AS_MUCH = 1.1


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `figure` is what the limits speak of (None: nothing to compare)."""

    what: str
    p50: str
    p99: str
    floor: str
    figure: float | None
    unit: str
    first: float
    goal: float
    at_least: bool = False

    def verdict(self) -> str:
        """Return which column is reached."""
        if self.figure is None:
            return "-"
        sign = -1 if self.at_least else 1
        if sign * self.figure <= sign * self.goal:
            return "goal"
        return "first" if sign * self.figure <= sign * self.first else "**missed**"

    def limit(self, value: float) -> str:
        """Format one of the two limits."""
        return f"{'≥' if self.at_least else '≤'} {value:g} {self.unit}".rstrip()


def ratio(value: float, floor: float) -> float | None:
    """Return value / floor, None if one of them was not measured."""
    return value / floor if value and floor else None


def rows(found: Findings, floors: Mapping[str, float]) -> list[Row]:
    """Return the lines for whatever was measured."""
    return [row for make in MAKERS for row in make(found, floors)]


def latency(found: Findings, floors: Mapping[str, float]) -> list[Row]:
    """Accept and visible at one client, and their tails."""
    lines = []
    for name, what, times in (("accept", "accept", 1), ("visible", "answer visible on SSE", 2)):
        if name not in found:
            continue
        one = found[name]
        parts = [floors.get("P1", 0.0), floors.get("J", 0.0), floors.get("M", 0.0) * times]
        floor = sum(parts) if all(parts) else 0.0
        formula = f"{'P+J+M' if times == 1 else 'P+J+2M'} = {floor:.2f} ms" if floor else "-"
        p50, p99 = f"{one.p50:.2f} ms", f"{one.p99:.2f} ms"
        tail = one.p99 / one.p50
        lines += [
            Row(f"{what}, 1 client", p50, p99, formula, ratio(one.p50, floor), "x", 3, 1.6),
            Row(f"{what}: p99 to its p50", "", p99, f"p50 = {p50}", tail, "x", 4, 2.5),
        ]
    return lines


def turns(found: Findings, floors: Mapping[str, float]) -> list[Row]:
    """Count turns per second, and what a client waits meanwhile."""
    if "turns" not in found:
        return []
    one, floor = found["turns"], floors.get("G", 0.0)
    text = f"G = {floor:,.0f} /s" if floor else "-"
    rate, figure = f"{one.per_s:,.0f} /s", ratio(one.per_s, floor)
    p50, p99 = f"{one.p50:.1f} ms", f"{one.p99:.1f} ms"
    return [
        Row(
            "turns, 64 in flight, 256 rooms", rate, "", text, figure, "G", 0.05, 0.12, at_least=True
        ),
        Row("visible in that test: p99", p50, p99, "", one.p99, "ms", 250, 90),
    ]


def fan_out(found: Findings, floors: Mapping[str, float]) -> list[Row]:
    """One room, 500 followers."""
    if "fan-out" not in found:
        return []
    rate, floor = found["fan-out"].per_s, floors.get("S", 0.0)
    text = f"S = {floor:,.0f} /s" if floor else "-"
    what = f"fan-out to 500 ({found['fan-out'].value:.1f} events a read)"
    lines = [
        Row(what, f"{rate:,.0f} /s", "", text, ratio(rate, floor), "S", 0.35, 0.7, at_least=True)
    ]
    for name, event in (("event", "message:queued"), ("answer", "actor:turn_end")):
        one = found[f"fan-out {name}"]
        # Too few samples for a p99.
        p50 = f"{one.p50:.1f} ms"
        lines.append(Row(f"all 500 have {event}: p50", p50, "", "", one.p50, "ms", 60, 20))
    return lines


def interrupts(found: Findings, _floors: Mapping[str, float]) -> list[Row]:
    """Stop turns, whoever runs them."""
    if "interrupt" not in found:
        return []
    one = found["interrupt"]
    p50, p99 = f"{one.p50:.1f} ms", f"{one.p99:.1f} ms"
    return [
        Row("interrupt to turn end, 40 turns stream: p95", p50, p99, "", one.value, "ms", 250, 60)
    ]


def footprint(found: Findings, _floors: Mapping[str, float]) -> list[Row]:
    """Memory and start."""
    lines = []
    for name, what, unit, first, goal in (
        ("memory idle", "memory (PSS), gateway + one worker, idle", "MB", 220, 160),
        ("memory per follower", "memory per follower, of 500", "kB", 60, 40),
        ("start", "start, second time, to ready", "s", 8, 4),
    ):
        if name in found:
            value = found[name].value
            lines.append(Row(what, f"{value:.1f} {unit}", "", "", value, unit, first, goal))
    return lines


def idle_rooms(found: Findings, _floors: Mapping[str, float]) -> list[Row]:
    """10 000 rooms in which nothing happens."""
    if "idle rooms, processor" not in found:
        return []
    before = found["idle rooms, processor before"].value
    burning, kept = found["idle rooms, processor"].value, found["idle rooms, memory"].value
    more, each = f"{burning - before:.2f} %", f"{kept:.2f} kB"
    return [
        Row(
            "idle rooms: processor more than without",
            more,
            "",
            f"{before:.2f} %",
            burning - before,
            "% of one",
            *IDLE_PROCESSOR,
        ),
        Row("idle rooms: memory each", each, "", "", kept, "kB", *IDLE_KB),
    ]


def long_room(found: Findings, _floors: Mapping[str, float]) -> list[Row]:
    """One room with many events, compared with a new one."""
    if "long room" not in found:
        return []
    read, long, new = found["last 100"], found["long room"], found["new room"]
    what = f"room with {found['long room events'].value:,.0f} events"
    times = [(f"{one.p50:.2f} ms", f"{one.p99:.2f} ms") for one in (read, long)]
    floor, figure = f"new room = {new.p50:.2f} ms", ratio(long.p50, new.p50)
    return [
        Row(f"{what}: the last 100", *times[0], "", read.p50, "ms", 10, 10),
        Row(f"{what}: a turn", *times[1], floor, figure, "x", AS_MUCH, AS_MUCH),
    ]


MAKERS = (latency, turns, fan_out, interrupts, footprint, idle_rooms, long_room)

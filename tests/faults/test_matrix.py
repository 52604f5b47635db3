"""Kill, pause and isolate a worker: no promise breaks. `make faults` runs the whole matrix."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.cell import run_cell
from tests.faults.faults import Cell
from tests.faults.faulty_stack import FaultyStack
from tests.faults.proxies import Proxies


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyStack]:
    """Yield one stack that the cells of this file break and mend in turn."""
    with Proxies() as proxies, FaultyStack(tmp_path_factory.mktemp("faults"), proxies) as running:
        yield running


@pytest.mark.parametrize(
    ("kind", "seed"),
    [
        *(("kill", seed) for seed in range(5)),
        ("pause", 0),
        ("cut-mongo", 0),
        ("cut-nats", 0),
    ],
)
async def test_a_worker_fails_and_every_promise_holds(
    stack: FaultyStack, kind: str, seed: int
) -> None:
    """The checker finds nothing in the history, and rooms of the victim went on."""
    line = await run_cell(stack, Cell("room-worker", kind), seed)
    assert line["violations"] == []
    assert line["recovery_s"], "no turn ran on the victim"

"""The page's table is made from the results of runs."""

from __future__ import annotations

import pytest

from tests.faults.history import Record
from tests.faults.page import table


def _line(cell: str, lost: int, violations: list[str], recovery_s: list[float]) -> Record:
    return {
        "cell": cell,
        "lost": lost,
        "doubled": 0,
        "out_of_order": 0,
        "violations": violations,
        "recovery_s": recovery_s,
        "counts": {"accepted": 10},
    }


@pytest.mark.parametrize("newest_first", [False, True])
def test_runs_of_a_cell_are_one_row(newest_first: bool) -> None:
    """Counts are added up, times are pooled, rows come in the matrix's order."""
    lines = [
        _line("mongod:kill", 0, [], []),
        _line("gateway:kill", 0, ["C8"], [3.0, 1.0]),
        _line("gateway:kill", 1, ["I2/C1"], [2.0]),
    ]
    rows = table(lines[::-1] if newest_first else lines).splitlines()[2:]
    assert rows == [
        "| gateway:kill | 2 | 20 | 1 | 0 | 0 | 1 | 2.00 s | 3.00 s | 3.00 s |",
        "| mongod:kill | 1 | 10 | 0 | 0 | 0 | 0 | - | - | - |",
    ]

"""The page's table is made from the results of runs."""

from __future__ import annotations

import pytest

from tests.faults.history import Record
from tests.faults.page import kills_table, table


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


def _kill(
    seed: int, load: float, held: int, takeover_s: list[float], violations: list[str]
) -> Record:
    portion = {
        "began": "2026-01-01T00:00:00.000+00:00",
        "messages": 100,
        "events": 400,
        "lost": 1 if violations else 0,
        "doubled": 0,
        "out_of_order": 0,
        "violations": violations,
        "load_average": load,
    }
    return {"seed": seed, "held": held, "takeover_s": takeover_s, "portion": portion}


def test_a_portion_counts_once_however_many_kills_it_has() -> None:
    """Takeovers are pooled over kills; what a portion came to is added up over portions.

    What ran while the machine was not crowded has a row of its own.
    """
    lines = [
        _kill(1, 9.0, 2, [3.0, 4.0], ["I1", "C8"]),
        _kill(1, 9.0, 1, [], ["I1", "C8"]),
        _kill(2, 7.9, 1, [2.0], []),
    ]
    rows = kills_table(lines).splitlines()[2:]
    assert rows == [
        "| any | 3 | 2 | 200 | 800 | 3 | 1 | 1 | 0 | 0 | 1 | 3.00 s | 4.00 s | 4.00 s |",
        "| below 8 | 1 | 1 | 100 | 400 | 1 | 0 | 0 | 0 | 0 | 0 | 2.00 s | 2.00 s | 2.00 s |",
    ]

"""The garbage collector in a process that lives long and makes much that is freed by counting."""

from __future__ import annotations

import gc

# Young objects, then generations; the defaults look through everything some times a second.
_THRESHOLDS = (20_000, 20, 50)


def calm() -> None:
    """Leave what was loaded at start alone for ever, and look at the rest less often.

    Modules, routes and models are a few hundred thousand objects that live as long as the process;
    walking through them stops everything for tens of milliseconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)

"""`Prefer: wait=N` (RFC 7240)."""

from __future__ import annotations

import re

MAX_WAIT_S = 50

_WAIT = re.compile(r"""wait\s*=\s*"?([0-9]{1,9})"?\s*(;.*)?""", re.IGNORECASE)


def read_wait(values: list[str]) -> int | None:
    """Return how many seconds the caller wants to wait, at most 50; None without a preference.

    A preference that cannot be read is no preference: RFC 7240 §2 wants it ignored. Of several the
    first counts.
    """
    for part in ",".join(values).split(","):
        found = _WAIT.fullmatch(part.strip())
        if found is not None:
            return min(int(found[1]), MAX_WAIT_S)
    return None

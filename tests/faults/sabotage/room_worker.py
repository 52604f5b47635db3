"""A room worker without one of its fixes: `python -m tests.faults.sabotage.room_worker <build>`."""

from __future__ import annotations

import sys

import pytest

from abbotik_room_worker import app
from tests.service.room_worker import broken_builds

if __name__ == "__main__":
    getattr(broken_builds, sys.argv[1])(pytest.MonkeyPatch())
    app.main()

"""`python -m abbotik_room_worker`."""

from __future__ import annotations

import uvloop

from abbotik_room_worker.app import main

if __name__ == "__main__":
    uvloop.run(main())

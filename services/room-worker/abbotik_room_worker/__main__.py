"""`python -m abbotik_room_worker`."""

from __future__ import annotations

from abbotik_room_worker.app import main

if __name__ == "__main__":
    main()

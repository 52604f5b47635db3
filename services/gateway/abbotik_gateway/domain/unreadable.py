"""What reading JSON with msgspec raises where it is none, or not what was promised."""

from __future__ import annotations

import msgspec

# For grammar and types; for UTF-8, which is a ValueError; for depth.
UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)

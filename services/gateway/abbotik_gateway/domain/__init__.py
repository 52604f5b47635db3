"""The gateway's pure part: callers, problems, bodies, cursors. No driver, no loop, no clock."""

"""HTTP itself: the edge, bodies, answers, the gate. Knows Starlette, knows no room."""

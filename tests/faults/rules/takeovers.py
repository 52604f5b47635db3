"""I6/C5: a turn is taken over only from a worker that the fault really kept from its session.

A session is renewed in MongoDB each second and lives for three; whoever calls others dead has to
have renewed its own for so long without a gap. So nobody is dead because MongoDB or NATS were away,
for however long: only whose own process was ended, stood still or was cut off from MongoDB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.faults.history import Outage, RoomLog
from tests.faults.rules.violation import Violation

# Who is back renews its session within that. Whoever found it dead just before takes over what it
# holds by then, its first claims too, and a claim of it that was on its way all the time.
BACK_S = 3.0


def takeovers(log: RoomLog, outages: Sequence[Outage]) -> Iterator[Violation]:
    """Look at whose turn each takeover took; one without a holder was handed over by its last."""
    holder = ""
    for before, entry in log.steps:
        lease = before.state["lease"]
        holder = lease["session"] if lease else holder
        at = entry.at / 1000
        dead = any(
            one.session == holder and one.since <= at <= one.until + BACK_S for one in outages
        )
        if entry.of("room:recovered") and not dead:
            what = f"entry {entry.rev} of {entry.session} takes the turn of {holder}, which lives"
            yield Violation("I6/C5", log.room, what)

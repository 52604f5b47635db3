"""`?format=json`: a room's events as one page."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from abbotik_gateway.domain.feed import Event
from abbotik_gateway.domain.follow_query import read_position, read_variant
from abbotik_gateway.domain.paging import next_link, read_limit
from abbotik_gateway.streams import RoomEvents

# A page ends with the event that reaches this many bytes: history holds as much.
MAX_BYTES = 4 * 1024 * 1024


def read_after(query: Mapping[str, str], last_event_id: str | None) -> int:
    """Return the position that the page begins behind.

    The `cursor` of the page before, else as for a stream: the header, else `after`, else 0.
    """
    if "cursor" in query:
        return read_position(query["cursor"])
    return read_position(last_event_id or query.get("after", "0"))


async def event_page(
    log: RoomEvents, tenant: str, room: str, query: Mapping[str, str], path: str, after: int
) -> Response:
    """Answer with at most `limit` events behind ``after``.

    `types` filters what is shown, not what is counted past: the cursor moves on either way. It is
    always there, so that a caller may come back for what happens later.
    """
    limit, variant = read_limit(query), read_variant(query)
    shown: list[Event] = []
    size, more = 0, True
    while more and len(shown) < limit and size < MAX_BYTES:
        page = await log.page(tenant, room, after)
        more = page.more
        for event in page.events:
            if len(shown) == limit or size >= MAX_BYTES:
                more = True
                break
            after = event.seq
            if variant.shows(event.event_type):
                shown.append(event)
                size += len(event.data)
    body = b'{"success":true,"data":[%b],"next_cursor":"%d","has_more":%b}' % (
        b",".join([event.data for event in shown]),
        after,
        b"true" if more else b"false",
    )
    headers = {"Cache-Control": "no-store"}
    if more:
        headers["Link"] = next_link(path, query, str(after))
    return Response(body, headers=headers, media_type="application/json")

"""What MongoDB keeps, in memory: the log with its unique keys, projections, and who is primary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, cast

from bson import decode
from bson.raw_bson import RawBSONDocument
from pymongo.errors import AutoReconnect

from abbotik_contracts.room_log import LogEntry
from tests.fakes.room_worker.store import MemoryStore

Document = Mapping[str, Any]
# As long as the product's own client lets a call take.
_CALL_S = 3.0
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": lambda value, bound: value is not None and value > bound,
    "$gte": lambda value, bound: value is not None and value >= bound,
    "$lt": lambda value, bound: value is not None and value < bound,
    "$lte": lambda value, bound: value is not None and value <= bound,
    "$in": lambda value, among: value in among,
    "$nin": lambda value, among: value not in among,
    "$exists": lambda value, there: (value is not None) is there,
}

_COMPUTE: dict[str, Callable[..., Any]] = {
    "$and": lambda *values: all(values),
    "$cond": lambda holds, then, otherwise: then if holds else otherwise,
    "$eq": lambda one, other: one == other,
    "$ifNull": lambda value, otherwise: otherwise if value is None else value,
    "$lt": lambda value, bound: value is None or value < bound,
}


class Primary:
    """The member of the replica set that everybody asks; between two of them nobody is answered.

    ``term`` tells one from the next.
    """

    def __init__(self) -> None:
        self.term = 1
        self._elected = asyncio.Event()
        self._elected.set()

    def fail_over(self, for_s: float) -> None:
        """Step down; so many seconds later another member is primary."""
        if self._elected.is_set():
            self._elected.clear()
            self.term += 1
            asyncio.get_running_loop().call_later(for_s, self._elected.set)

    async def elected(self) -> int:
        """Return the term as soon as there is a primary. Raises AutoReconnect."""
        if not self._elected.is_set():
            try:
                async with asyncio.timeout(_CALL_S):
                    await self._elected.wait()
            except TimeoutError:
                raise AutoReconnect("there is no primary") from None
        return self.term


class StoredLog:
    """The log that all processes share, with its unique keys; ``store.entries`` shows the same."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        # By (tenant, room), and by session.
        self._raw: dict[tuple[str, ...], dict[str, RawBSONDocument]] = {}
        self._keys: set[tuple[str, str, str]] = set()

    def insert(self, raw: RawBSONDocument) -> bool:
        """Put an entry in; no where one of its unique keys is taken."""
        entry = cast("LogEntry", decode(raw.raw))
        keys = {(entry["tenant"], entry["room"], key) for key in entry.get("keys", ())}
        if entry["_id"] in self._store.entries or keys & self._keys:
            return False
        self._keys |= keys
        self._store.entries[entry["_id"]] = entry
        for place in ((entry["tenant"], entry["room"]), (entry["session"],)):
            self._raw.setdefault(place, {})[entry["_id"]] = raw
        return True

    def find(self, asked: Document, order: str, *, newest: bool, limit: int) -> list[Any]:
        """Return what matches, of a room or of a session, as new documents."""
        rest = {name: want for name, want in asked.items() if name not in ("tenant", "room")}
        if "$or" in rest:
            asked = rest["$or"][0]
        place = (asked["session"],) if "session" in asked else (asked["tenant"], asked["room"])
        raw = self._raw.get(place, {})
        there = [cast("Document", self._store.entries[id_]) for id_ in raw]
        there.sort(key=lambda entry: entry[order], reverse=newest)
        found = (entry for entry in there if _matches(entry, rest))
        return [decode(raw[entry["_id"]].raw) for entry in islice(found, limit or None)]


def update(documents: dict[str, dict[str, Any]], raw: RawBSONDocument) -> bool:
    """Carry out an update of one document by its `_id`, which MongoDB never refuses."""
    one = decode(raw.raw)
    key = one["q"]["_id"]
    if key in documents or one["upsert"]:
        there = documents.get(key, {"_id": key})
        [stage] = one["u"]
        documents[key] = computed(stage["$replaceWith"], there)
    return True


def computed(expression: Any, document: Document) -> Any:
    """Return the value of an aggregation expression; a member that is absent is None."""
    if expression == "$$ROOT":
        return document
    if isinstance(expression, str) and expression.startswith("$"):
        return document.get(expression[1:])
    if not isinstance(expression, Mapping):
        return expression
    [(name, given)] = expression.items()
    if name == "$literal":
        return given
    return _COMPUTE[name](*(computed(one, document) for one in given))


def select(
    documents: Iterable[Document], asked: Document, order: str = "_id", limit: int = 0
) -> list[Document]:
    """Return the documents that match, in an order; 0 is no limit."""
    found = [document for document in documents if _matches(document, asked)]
    return sorted(found, key=lambda document: document[order])[: limit or None]


def _matches(document: Document, asked: Document) -> bool:
    return all(_holds(document, name, want) for name, want in asked.items())


def _holds(document: Document, name: str, want: Any) -> bool:
    if name == "$or":
        return any(_matches(document, one) for one in want)
    value = document.get(name)
    if isinstance(want, Mapping):
        return all(_COMPARE[how](value, bound) for how, bound in want.items())
    return bool(want in value if isinstance(value, list) else value == want)

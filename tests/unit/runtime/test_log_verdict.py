"""What one insert said, read from the details that MongoDB gives."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

import pytest
from bson import encode
from bson.raw_bson import RawBSONDocument

from abbotik_contracts.room_log import LogEntry
from abbotik_runtime.log_writer import _Pending, _read_reply, _Verdict

_DUPLICATE = {"code": 11000, "keyPattern": {"_id": 1}}
_CONCERN = {"code": 64, "errmsg": "waiting for replication timed out"}


@pytest.fixture
async def batch() -> list[_Pending]:
    """Return three entries that went out together."""
    loop = asyncio.get_running_loop()
    return [
        _Pending(
            cast("LogEntry", {"_id": str(number)}),
            RawBSONDocument(encode({"_id": str(number)})),
            loop.create_future(),
        )
        for number in range(3)
    ]


def _errors(**by_index: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"index": int(name[1:]), **error} for name, error in by_index.items()]


async def test_entries_that_are_not_named_are_committed(batch: list[_Pending]) -> None:
    """A pure list of write errors is an answer for all of the batch."""
    verdict = _read_reply(batch, {"writeErrors": _errors(e1=_DUPLICATE)})
    assert verdict.committed == [batch[0], batch[2]]
    assert verdict.doubled == [batch[1]]
    assert (verdict.unknown, verdict.refused) == ([], [])


async def test_success_beside_a_write_concern_error_is_unknown(batch: list[_Pending]) -> None:
    """A bulk can report success and that nobody confirmed it: then nothing is known."""
    details = {"writeErrors": [], "writeConcernError": _CONCERN}
    verdict = _read_reply(batch, details)
    assert verdict.unknown == batch
    assert verdict.committed == []


async def test_duplicate_beside_a_write_concern_error_is_unknown(batch: list[_Pending]) -> None:
    """The entry in the way may be taken back by a failover, so it is no answer yet."""
    details = {"writeErrors": _errors(e0=_DUPLICATE), "writeConcernError": _CONCERN}
    verdict = _read_reply(batch, details)
    assert verdict.unknown == batch
    assert verdict.doubled == []


@pytest.mark.parametrize("code", [2, 9, 15, 22, 121, 10334, 17280])
async def test_document_that_is_at_fault_is_refused(batch: list[_Pending], code: int) -> None:
    """The entry would be refused for ever; its mates are committed."""
    verdict = _read_reply(batch, {"writeErrors": _errors(e2={"code": code})})
    assert verdict.committed == batch[:2]
    assert verdict.refused == [(batch[2], f"MongoDB refused it with code {code}")]


@pytest.mark.parametrize("code", [189, 91, 11600, 10107, 262, 50])
async def test_any_other_error_is_unknown(batch: list[_Pending], code: int) -> None:
    """A server that steps down or stops while it writes says nothing about the entry."""
    verdict = _read_reply(batch, {"writeErrors": _errors(e0={"code": code})})
    assert verdict.unknown == [batch[0]]
    assert verdict.committed == batch[1:]


async def test_details_without_anything_are_an_answer(batch: list[_Pending]) -> None:
    """No errors of either kind: all is committed."""
    assert _read_reply(batch, {}).committed == batch


@pytest.mark.parametrize(
    "scenario",
    [
        test_success_beside_a_write_concern_error_is_unknown,
        test_duplicate_beside_a_write_concern_error_is_unknown,
    ],
)
async def test_a_build_that_reads_write_errors_only_is_found(
    monkeypatch: pytest.MonkeyPatch,
    batch: list[_Pending],
    scenario: Callable[[list[_Pending]], Awaitable[None]],
) -> None:
    """It answers what nobody confirmed."""

    def careless(batch: Sequence[_Pending], reply: Mapping[str, Any]) -> _Verdict:
        return read(batch, {key: reply[key] for key in reply if key != "writeConcernError"})

    read = _read_reply
    monkeypatch.setattr(sys.modules[__name__], "_read_reply", careless)
    with pytest.raises(AssertionError, match=r"assert \[\] == \["):
        await scenario(batch)

"""The checker sees what became of patches, and of messages with delivery `reject`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.faults.checker import violations
from tests.faults.history import Entry, History
from tests.faults.rules.violation import Kind
from tests.faults.sound_history import (
    append,
    asked,
    assert_named,
    last,
    patch_entry,
    post,
    sound,
    then,
    with_entries,
)

REJECT = {"content": "words 2", "delivery": "reject"}


def _busy(entry: Entry) -> dict[str, Any]:
    return {"state": {**entry.state, "queue": ["message-0"]}}


def _patched(history: History, told: str = "2", **members: Any) -> None:
    """Let a patch be told, and be in the log."""
    append(history, patch_entry(last(history)))
    body = {"metadata": {"patch": "patch-1"}}
    history.calls.append(asked("patch", told, **{"body": body, "if_match": 1, **members}))


def _rejected(history: History) -> None:
    """Let a message be refused by a busy room, twice, and another one be taken at rest."""
    history.calls[1:] = [replace(one, body=REJECT) for one in history.calls[1:]]
    refused = replace(post(7, 409, "ROOM_BUSY", ""), body={**REJECT, "content": "words 7"})
    history.calls += [refused, refused]
    entries = history.logs[0].entries
    refusal = replace(entries[5], events=[], answer={"kind": "refusal", "code": "ROOM_BUSY"})
    with_entries(history, [*entries[:6], refusal, *entries[6:]])


@pytest.mark.parametrize("add", [_patched, _rejected])
def test_what_is_asked_and_done_once_is_sound(add: Callable[[History], None]) -> None:
    """Each command as it should be carried out is no violation."""
    history = sound()
    add(history)
    assert violations(history) == []


def test_a_patch_of_an_older_version_is_refused() -> None:
    """Nothing of it is in the log."""
    history = sound()
    _patched(history)
    stale = asked("patch", error="PRECONDITION_FAILED", key="patch-2", if_match=1)
    history.calls.append(stale)
    assert violations(history) == []


def _patch_missing(history: History) -> None:
    history.calls.append(asked("patch", "2"))


def _patch_there_twice(history: History) -> None:
    _patched(history)
    append(history, patch_entry(last(history), version=3))


def _patch_refused_and_there(history: History) -> None:
    _patched(history, told="", status=412, error="PRECONDITION_FAILED")


def _patch_told_another_version(history: History) -> None:
    _patched(history, told="3")


def _patch_of_another_version(history: History) -> None:
    _patched(history, if_match=3)


def _patch_does_not_show(history: History) -> None:
    _patched(history, body={"purpose": "other", "metadata": {"patch": "patch-1"}})


def _patch_of_nobody(history: History) -> None:
    append(history, patch_entry(last(history), key="patch-9"))


def _patch_refused_for_nothing(history: History) -> None:
    history.calls.append(asked("patch", error="PRECONDITION_FAILED", if_match=1))


def _patch_refused_without_a_condition(history: History) -> None:
    history.calls.append(asked("patch", error="PRECONDITION_FAILED"))


def _version_without_a_patch(history: History) -> None:
    append(history, then(last(history), state={"policy_version": 2}))


def _taken_by_a_busy_room(history: History) -> None:
    _rejected(history)
    entries = list(history.logs[0].entries)
    entries[3] = replace(entries[3], **_busy(entries[3]))
    with_entries(history, entries)


def _refused_by_a_room_at_rest(history: History) -> None:
    newest = last(history)
    append(history, then(newest, answer={"kind": "refusal", "code": "ROOM_BUSY"}))


def _refused_and_then_taken(history: History) -> None:
    _rejected(history)
    history.calls.append(replace(history.calls[-1], status=202, error="", told="message-7"))


def _refused_and_in_the_log(history: History) -> None:
    history.calls[1:] = [replace(post(2, 409, "ROOM_BUSY", ""), body=REJECT)]


def _busy_without_having_asked(history: History) -> None:
    history.calls.append(post(7, 409, "ROOM_BUSY", ""))


@pytest.mark.parametrize(
    ("corrupt", "promise", "kind", "says"),
    [
        (_patch_missing, "I2/C1", Kind.LOST, "patch patch-1: in the log is missing"),
        (_patch_there_twice, "I2/C1", Kind.DOUBLED, "patch patch-1: in the log 2 times"),
        (_patch_refused_and_there, "I2/C1", Kind.OTHER, "patch-1 was refused, the log has it"),
        (_patch_told_another_version, "I3", Kind.OTHER, "was told version 3, the log has 2"),
        (_patch_of_another_version, "I2/C1", Kind.OTHER, "asked for version 3 and met 1"),
        (_patch_does_not_show, "I3", Kind.OTHER, "patch-1 does not show in version 2"),
        (_patch_of_nobody, "I2/C1", Kind.OTHER, "nobody asked for the patch patch-9"),
        (_patch_refused_for_nothing, "I2/C1", Kind.OTHER, "though no version came after 1"),
        (_patch_refused_without_a_condition, "C6", Kind.OTHER, "patch-1 was not accepted"),
        (_version_without_a_patch, "I2/C1", Kind.OTHER, "entry 8 leads from version 1 to 2"),
        (_taken_by_a_busy_room, "I2/C1", Kind.OTHER, "message-2 with delivery reject met a busy"),
        (_refused_by_a_room_at_rest, "I2/C1", Kind.OTHER, "ROOM_BUSY of a room at rest"),
        (_refused_and_then_taken, "I2/C1", Kind.OTHER, "was told ['ROOM_BUSY', 'ROOM_BUSY', 'mes"),
        (_refused_and_in_the_log, "I2/C1", Kind.OTHER, "key key-2 was refused, the log has"),
        (_busy_without_having_asked, "C6", Kind.OTHER, "post with key key-7 was not accepted"),
    ],
)
def test_each_corruption_is_named(
    corrupt: Callable[[History], None], promise: str, kind: Kind, says: str
) -> None:
    """A history with one corruption has a violation of the right promise that says what it is."""
    assert_named(corrupt, promise, kind, says)

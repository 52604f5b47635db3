"""I2/I3: a patch that was accepted changes the configuration once, by one version.

Every patch of the load puts its key into `metadata.patch`, so the log shows whose it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from tests.faults.history import Call, Entry, Record, RoomLog
from tests.faults.rules.calls import by_key, refused
from tests.faults.rules.violation import Violation, once


def patches(log: RoomLog, asked: list[Call]) -> Iterator[Violation]:
    """Compare the versions of a room's configuration with what the callers were told."""
    done: dict[str, list[Entry]] = defaultdict(list)
    for before, entry in log.steps:
        version, rise = _version(entry), _version(entry) - _version(before)
        if rise != (entry.config is not None):
            what = f"entry {entry.rev} leads from version {version - rise} to {version}"
            yield Violation("I2/C1", log.room, f"{what} of the configuration")
        if entry.config is not None:
            done[entry.config["metadata"].get("patch")].append(entry)
    tries = by_key(asked)
    for key in sorted(set(done) - set(tries), key=str):
        yield Violation("I2/C1", log.room, f"nobody asked for the patch {key}")
    for key, calls in tries.items():
        yield from _patch(log, key, calls, done[key])


def _patch(log: RoomLog, key: str, calls: list[Call], done: list[Entry]) -> Iterator[Violation]:
    first, last = calls[0], calls[-1]
    if last.accepted or len(done) > 1:
        yield from once(log.room, f"patch {key}", "in the log", len(done))
    if done and refused(calls):
        yield Violation("I2/C1", log.room, f"patch {key} was refused, the log has it")
    for entry in done:
        version = _version(entry)
        if last.accepted and last.told != str(version):
            what = f"patch {key} was told version {last.told}, the log has {version}"
            yield Violation("I3", log.room, what)
        if first.if_match not in (0, version - 1):
            what = f"patch {key} asked for version {first.if_match} and met {version - 1}"
            yield Violation("I2/C1", log.room, what)
        if not _shows(first.body, entry.config):
            yield Violation("I3", log.room, f"patch {key} does not show in version {version}")
    if last.error == "PRECONDITION_FAILED" and first.if_match >= _version(log.entries[-1]):
        what = f"patch {key} was refused, though no version came after {first.if_match}"
        yield Violation("I2/C1", log.room, what)


def _version(entry: Entry) -> int:
    version: int = entry.state["policy_version"]
    return version


def _shows(patch: Record, config: Any) -> bool:
    """Say whether a configuration has what a merge patch wants."""
    return isinstance(config, dict) and all(
        _shows(value, config.get(name)) if isinstance(value, dict) else config.get(name) == value
        for name, value in patch.items()
    )

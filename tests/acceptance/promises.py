"""What a room's log must keep, seen from outside: the promises I1, I2, I3 and I8."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import rfc8785

Record = dict[str, Any]


def broken(events: list[Record], told: list[str]) -> list[str]:
    """Return what is wrong with a room's events, given the ids of messages it was told are in."""
    return [*_order(events), *_chain(events), *_once(events, told)]


def _order(events: list[Record]) -> list[str]:
    seqs = [event["seq"] for event in events]
    found = [] if seqs == list(range(1, len(seqs) + 1)) else [f"seq is not 1..n: {seqs}"]
    epochs = [event["epoch"] for event in events]
    return found if epochs == sorted(epochs) else [*found, f"epochs fall: {epochs}"]


def _chain(events: list[Record]) -> list[str]:
    found, previous = [], "0" * 64
    for event in events:
        body = {name: value for name, value in event.items() if name != "hash"}
        if event["prev_hash"] != previous:
            found.append(f"event {event['seq']} does not follow the one before it")
        if sha256(rfc8785.dumps(body)).hexdigest() != event["hash"]:
            found.append(f"event {event['seq']} does not match its hash")
        previous = event["hash"]
    return found


def _once(events: list[Record], told: list[str]) -> list[str]:
    """Each message that somebody was told of is queued, begun, answered and ended exactly once."""
    found: list[str] = []
    for event_type in ("message:queued", "actor:turn_start", "actor:turn_end"):
        ids = [e["payload"]["message_id"] for e in events if e["event_type"] == event_type]
        if sorted(ids) != sorted(told):
            found.append(f"{event_type}: {len(ids)} of {len(told)} messages, {len(set(ids))} apart")
    outputs = sum(event["event_type"] == "actor:output" for event in events)
    if outputs != len(told):
        found.append(f"{outputs} outputs for {len(told)} messages")
    return found


def answered(events: list[Record], expected: dict[str, str]) -> list[str]:
    """Return which messages did not complete with exactly their expected text, by their ids."""
    outputs = {
        event["turn_id"]: event["payload"]["text"]
        for event in events
        if event["event_type"] == "actor:output"
    }
    ends = [event["payload"] for event in events if event["event_type"] == "actor:turn_end"]
    found = [f"a turn is {end['status']}" for end in ends if end["status"] != "completed"]
    texts = {end["message_id"]: outputs.get(end["turn_id"]) for end in ends}
    return found + [
        f"message {message}: answered {texts.get(message)!r}, not {text!r}"
        for message, text in expected.items()
        if texts.get(message) != text
    ]

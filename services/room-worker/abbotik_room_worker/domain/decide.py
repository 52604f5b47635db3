"""One pure function from a room and a command to a decision."""

from __future__ import annotations

from typing import assert_never

from abbotik_contracts.room_commands import (
    InterruptRoom,
    PatchRoom,
    PostMessage,
    ReleaseRoom,
    RentRoom,
    RoomCommand,
    WakeRoom,
)
from abbotik_room_worker.domain import broken, ending, requests, takeover, ticks, turns
from abbotik_room_worker.domain.draft import Decision, Refusal
from abbotik_room_worker.domain.requests import Circumstances
from abbotik_room_worker.domain.room import Room

HolderCommand = (
    turns.Claim
    | turns.Step
    | ending.Finish
    | takeover.Recover
    | takeover.HandOver
    | ticks.Tick
    | broken.Broken
)


def decide(room: Room | None, command: RoomCommand, now: int, around: Circumstances) -> Decision:
    """Decide a caller's command. ``room`` is None where the log has no such room; ``now`` in ms."""
    if isinstance(command, RentRoom):
        return requests.rent(command, now, around)
    if room is None:
        return Refusal("ROOM_NOT_FOUND", "there is no such room", lasting=True)
    match command:
        case PatchRoom():
            return requests.patch(room, command, now, around)
        case PostMessage():
            return requests.post(room, command, now, around)
        case WakeRoom():
            return requests.wake(room, command, now, around)
        case InterruptRoom():
            return requests.interrupt(room, command, now)
        case ReleaseRoom():
            return requests.release(room, command, now)
        case _:
            assert_never(command)


def decide_held(room: Room, command: HolderCommand, now: int) -> Decision:
    """Decide a worker's command: what a lease holder does, and what a deadline asks for."""
    match command:
        case turns.Claim():
            return turns.claim(room, command, now)
        case turns.Step():
            return turns.step(room, command, now)
        case ending.Finish():
            return ending.finish(room, command, now)
        case takeover.Recover():
            return takeover.recover(room, command, now)
        case takeover.HandOver():
            return takeover.hand_over(room, command, now)
        case ticks.Tick():
            return ticks.tick(room, command, now)
        case broken.Broken():
            return broken.broken(room, command, now)
        case _:
            assert_never(command)

"""The states of a room and what leads from one to another: the one table that says so."""

from __future__ import annotations

from enum import StrEnum

from abbotik_kernel.lifecycle import Lifecycle


class RoomStatus(StrEnum):
    """The seven states of a room."""

    RENTED = "rented"
    ACTIVE = "active"
    IDLE = "idle"
    SLEEPING = "sleeping"
    RELEASING = "releasing"
    RELEASED = "released"
    FAILED = "failed"


class RoomVerb(StrEnum):
    """What can happen to a room."""

    ACCEPT = "message"
    CONFIGURE = "patch"
    BEGIN_TURN = "begin_turn"
    DRAIN = "drain"
    FAIL = "fail"
    INTERRUPT = "interrupt"
    RECOVER = "recover"
    SLEEP = "sleep"
    WAKE = "wake"
    RELEASE = "release"
    SETTLE = "settle"


_S, _V = RoomStatus, RoomVerb

ROOM: Lifecycle[RoomStatus, RoomVerb] = Lifecycle(
    "room",
    RoomStatus,
    {
        _S.RENTED: {
            _V.ACCEPT: _S.RENTED,
            _V.CONFIGURE: _S.RENTED,
            _V.BEGIN_TURN: _S.ACTIVE,
            _V.SLEEP: _S.SLEEPING,
            _V.WAKE: _S.RENTED,
            _V.RELEASE: _S.RELEASED,
        },
        _S.ACTIVE: {
            _V.ACCEPT: _S.ACTIVE,
            _V.CONFIGURE: _S.ACTIVE,
            _V.BEGIN_TURN: _S.ACTIVE,
            _V.DRAIN: _S.IDLE,
            _V.FAIL: _S.FAILED,
            _V.INTERRUPT: _S.ACTIVE,
            _V.RECOVER: _S.ACTIVE,
            _V.WAKE: _S.ACTIVE,
            _V.RELEASE: _S.RELEASING,
        },
        _S.IDLE: {
            _V.ACCEPT: _S.IDLE,
            _V.CONFIGURE: _S.IDLE,
            _V.BEGIN_TURN: _S.ACTIVE,
            _V.SLEEP: _S.SLEEPING,
            _V.WAKE: _S.IDLE,
            _V.RELEASE: _S.RELEASED,
        },
        _S.SLEEPING: {
            _V.ACCEPT: _S.SLEEPING,
            _V.CONFIGURE: _S.SLEEPING,
            _V.BEGIN_TURN: _S.ACTIVE,
            _V.WAKE: _S.IDLE,
            _V.RELEASE: _S.RELEASED,
        },
        _S.RELEASING: {
            _V.RECOVER: _S.RELEASING,
            _V.SETTLE: _S.RELEASED,
        },
        _S.RELEASED: {},
        _S.FAILED: {
            _V.ACCEPT: _S.IDLE,
            _V.CONFIGURE: _S.FAILED,
            _V.WAKE: _S.IDLE,
            _V.RELEASE: _S.RELEASED,
        },
    },
)

"""What the room worker listens to: commands, triggers, nudges."""

from __future__ import annotations

from functools import partial

import structlog
from faststream import AckPolicy
from faststream.nats import NatsMessage
from nats.aio.msg import Msg

from abbotik_contracts.subjects import ALL_NUDGES, consumer, worker_commands
from abbotik_room_worker.handlers import Reminders, RoomCommands, WaitingRooms
from abbotik_room_worker.homes import Homes
from abbotik_room_worker.keeper import RoomKeeper
from abbotik_room_worker.runner import TurnRunner
from abbotik_runtime.acks import InProgress, confirm, settle
from abbotik_runtime.bus import Bus
from abbotik_runtime.inbox import is_redelivered
from abbotik_runtime.passing import Passing
from abbotik_runtime.pull import PullLoop

log = structlog.get_logger(__name__)

SERVICE = "room-worker"
# A command keeps its place until it is projected, half a second at most: as many as one process
# can commit in that time, else the queue waits for the projections.
_COMMANDS_UNDER_WAY = 2048
_REMINDERS_UNDER_WAY = 256


def command_pull(
    bus: Bus, marks: InProgress, commands: RoomCommands, homes: Homes
) -> tuple[PullLoop, Passing]:
    """Return the loop that takes commands, many at a time: each is a few milliseconds.

    What belongs to another worker is passed on once; what was delivered before stays here.
    """

    async def handle(message: Msg) -> None:
        with marks.holding(message):
            outcome = await commands.handle(message.subject, message.data, message.headers or {})
            await settle(message, outcome, service=SERVICE, bus=bus)

    async def to_its_home(message: Msg) -> bool:
        match message.subject.split("."):
            case [_, _, tenant, room, _]:
                key = (tenant, room)
            case _:
                return False  # whoever handles it refuses it
        home = homes.elsewhere(key)
        if home is None or is_redelivered(message.reply):
            return False
        try:
            return await passing.send(message, worker_commands(home))
        except Exception:
            log.exception("command.not_passed_on", subject=message.subject)
            return False

    pull = PullLoop(
        bus,
        consumer("room-worker"),
        handle,
        capacity=_COMMANDS_UNDER_WAY,
        pass_on=to_its_home,
    )
    passing = Passing(bus, worker_commands(homes.session), pull.take)
    return pull, passing


def trigger_pull(
    bus: Bus, marks: InProgress, waiting: WaitingRooms, runner: TurnRunner
) -> PullLoop:
    """Return the loop that takes triggers, as many as there are free slots."""

    async def handle(message: Msg) -> None:
        _, tenant, room = message.subject.split(".")
        with marks.holding(message):
            outcome = await waiting.take((tenant, room), partial(confirm, message, bus=bus))
            if outcome is not None:
                await settle(message, outcome, service=SERVICE, bus=bus)

    return PullLoop(bus, consumer("turns"), handle, capacity=lambda: runner.slots.free)


def reminder_pull(bus: Bus, marks: InProgress, reminders: Reminders) -> PullLoop:
    """Return the loop that takes reminders of schedules; the sweep keeps those that are lost."""

    async def handle(message: Msg) -> None:
        _, tenant, room = message.subject.split(".")
        with marks.holding(message):
            outcome = await reminders.take((tenant, room), message.data)
            await settle(message, outcome, service=SERVICE, bus=bus)

    return PullLoop(bus, consumer("due"), handle, capacity=_REMINDERS_UNDER_WAY)


def listen_to_nudges(bus: Bus, keeper: RoomKeeper, runner: TurnRunner) -> None:
    """Subscribe to nudges: whoever runs the room's turn looks at its log at once."""

    @bus.broker.subscriber(ALL_NUDGES, ack_policy=AckPolicy.MANUAL)
    async def nudged(message: NatsMessage) -> None:
        room = message.raw_message.subject.rpartition(".")[2]
        for key in [key for key in runner.slots.held if key[1] == room]:
            await keeper.refresh(key)

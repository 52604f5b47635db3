"""Hearing messages as they are read, from a real server."""

from __future__ import annotations

from nats.aio.msg import Msg

from abbotik_runtime.bus import Bus
from abbotik_runtime.hearing import hear
from abbotik_runtime.settings import ServiceSettings
from tests.eventually import eventually
from tests.servers import Child


async def test_messages_are_heard_in_order_until_the_end(streams: Bus) -> None:
    """All of them, and none after the subscription was given up."""
    heard = list[bytes]()
    subscription = await hear(streams.client, "live.*", lambda message: heard.append(message.data))
    for number in range(100):
        await streams.publish("live.one", b"%d" % number)
    await eventually(lambda: len(heard) == 100)
    assert heard == [b"%d" % number for number in range(100)]
    await subscription.unsubscribe()
    await streams.publish("live.one", b"late")
    await streams.barrier()
    assert len(heard) == 100


async def test_an_error_stops_nobody(streams: Bus) -> None:
    """The next message is read, by the same subscription and by others."""
    heard = list[bytes]()

    def odd(message: Msg) -> None:
        heard.append(message.data)
        raise ValueError(message.data)

    await hear(streams.client, "live.odd", odd)
    await streams.publish("live.odd", b"1")
    await streams.publish("live.odd", b"2")
    await eventually(lambda: heard == [b"1", b"2"])
    assert await streams.check() is None


async def test_a_subscription_outlives_the_connection(
    own_nats: tuple[Child, str], settings: ServiceSettings
) -> None:
    """It is made again with the connection."""
    server, url = own_nats
    bus = await Bus.open(settings.model_copy(update={"nats_url": url}), "test")
    heard = list[bytes]()
    await hear(bus.client, "live.one", lambda message: heard.append(message.data))
    server.kill()
    await eventually(lambda: not bus.connected)
    server.start()
    await eventually(lambda: bus.connected)
    await bus.publish("live.one", b"x")
    await eventually(lambda: heard == [b"x"])
    await bus.close()

"""Where consumers stand in their streams, after a power cut that took one of both."""

from __future__ import annotations

from nats.js import JetStreamContext

from abbotik_contracts.subjects import Consumer


async def put_back(js: JetStreamContext, consumer: Consumer) -> None:
    """Make a consumer anew that stands where its stream has not been yet.

    A power cut may take a stream that is flushed later and leave its consumers' places on the disk.
    The stream that is made in its stead counts from 1, and whatever it takes up to such a place
    would never be delivered.
    """
    # The stream only grows, so the one that is read first cannot be ahead by chance.
    found = await js.consumer_info(consumer.stream, consumer.name)
    stream = await js.stream_info(consumer.stream)
    if found.delivered is not None and found.delivered.stream_seq > stream.state.last_seq:
        await js.delete_consumer(consumer.stream, consumer.name)
        await js.add_consumer(consumer.stream, found.config)

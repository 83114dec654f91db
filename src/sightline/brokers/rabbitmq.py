"""RabbitMQ: quorum queues, and streams where the server has them.

A stream (``amqp+stream://``) numbers its messages and keeps them, like a file. A queue does
neither: it gives a message until it is told that it is kept, and what it was not told comes again.
So messages of a queue are known by the numbers that their sender gave them in the headers
``sightline-producer`` and ``sightline-sequence``; one reader has the queue for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from sightline.brokers.address import BrokerAddress
from sightline.brokers.link import (
    DEAD_FROM,
    PRODUCER,
    SEQUENCE,
    Arrivals,
    BrokerLost,
    BrokerRefused,
    LoopThread,
    Message,
    as_outlet_error,
    dead_headers,
    gone,
    lost,
    not_let_in,
    refused,
)
from sightline.limits import Limits

try:
    import aio_pika
    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
    from aiormq.exceptions import (
        AMQPError,
        AuthenticationError,
        ChannelAccessRefused,
        ChannelNotFoundEntity,
        ProbableAuthenticationError,
        PublishError,
    )
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("aio-pika is missing: install sightline[brokers]") from error

# A connection that breaks is told of by whoever reads; without a handler the library's own words,
# with their traces, would go to standard error.
for _name in ("aio_pika", "aiormq"):
    logging.getLogger(_name).addHandler(logging.NullHandler())

_FAILURES = (AMQPError, OSError, TimeoutError, asyncio.TimeoutError, RuntimeError)
_AHEAD = 2000
"""Messages that a queue gives before the first of them is kept; a stream, before it is read."""
_WINDOW = 256
_PIECE = 65_535
"""Most messages of one piece of a stream."""
_QUIET_S = 2.0
"""The end of a stream is where nothing has come for so long."""


class _Link:
    """One connection with one channel; calls come from other threads."""

    def __init__(self, address: BrokerAddress, limits: Limits) -> None:
        self.address = address
        self.queue = address.rest or address.name
        self._vhost = address.name if address.rest else "/"
        self.answer_s = limits.broker_answer_s
        self.loop = LoopThread(f"amqp {address.server}")
        self._connection: AbstractConnection | None = None
        self.channel: AbstractChannel | None = None
        self.had_queue = False
        """Whether the queue was there once: a server that has just begun may not know it yet."""

    def call(self, made: Any, *, timeout_s: float | None = None) -> Any:
        """Run a coroutine of the client.

        Raises:
            BrokerLost: it failed, took too long, or the server has lost sight of the queue.
            BrokerRefused: the server does not let us, or has no such queue.
        """
        try:
            return self.loop.call(made, timeout_s=timeout_s or self.answer_s)
        except (AuthenticationError, ProbableAuthenticationError):
            raise not_let_in(self.address, "RabbitMQ", "AMQP") from None
        except (ChannelNotFoundEntity, PublishError) as error:
            self.channel = None
            if self.had_queue:
                raise lost(self.address, f"no queue {self.queue}") from error
            raise refused(
                self.address,
                expected=f"a queue {self.queue}",
                got="no such queue",
                action="make it: `sightline publish … --create`",
            ) from None
        except ChannelAccessRefused as error:
            raise lost(self.address, f"somebody else has the queue: {error}") from error
        except _FAILURES as error:
            raise lost(self.address, error) from error

    def open(self) -> AbstractChannel:
        """The channel; connected where it is not."""
        if self.channel is None or self.channel.is_closed:
            self.drop()
            self.call(self._connect(), timeout_s=2 * self.answer_s)
        assert self.channel is not None
        return self.channel

    async def _connect(self) -> None:
        address = self.address
        tls = address.tls()
        user = quote(address.username or "guest", safe="")
        secret = quote(address.password or "guest", safe="")
        scheme = "amqps" if tls else "amqp"
        self._connection = await aio_pika.connect(
            f"{scheme}://{user}:{secret}@{address.server}/{quote(self._vhost, safe='')}"
            f"?heartbeat={max(round(2 * self.answer_s), 2)}",
            timeout=self.answer_s,
            ssl_context=tls,
            client_properties={"connection_name": "sightline"},
        )
        # Without this a message that no queue takes would come back as if all were well.
        self.channel = await self._connection.channel(
            publisher_confirms=True, on_return_raises=True
        )

    @property
    def is_up(self) -> bool:
        """Whether the channel is open."""
        return self.channel is not None and not self.channel.is_closed

    def drop(self) -> None:
        connection, self._connection, self.channel = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(*_FAILURES, asyncio.CancelledError):
                self.loop.call(connection.close(), timeout_s=self.answer_s)

    def close(self) -> None:
        self.drop()
        self.loop.close()


class AmqpReader:
    """Reads one queue or stream: ``amqp://HOST[/VHOST]/QUEUE``, ``amqp+stream://…/STREAM``.

    Args:
        address: of the queue or stream.
        consumer: name of who reads, for the server's own list.
        dead_letter: queue for what cannot be read; ``""``: none.
        limits: ``broker_answer_s``, ``broker_waiting_bytes``.
    """

    def __init__(
        self, address: BrokerAddress, *, consumer: str, dead_letter: str, limits: Limits
    ) -> None:
        self._address = address
        self._is_stream = "+stream" in address.scheme
        self._consumer = consumer
        self._dead_letter = dead_letter
        self._limits = limits
        self._link = _Link(address, limits)
        self._arrivals = Arrivals(limits.broker_waiting_bytes)
        self._count = 0

    def connect(self, after: int | None) -> None:
        """See :class:`.Reader`."""
        self._link.drop()
        self._link.open()
        start: int | str = "first" if after is None else after + 1
        if self._is_stream and after is not None:
            first = self._first()
            if first is not None and after + 1 < first:
                raise gone(self._address, after + 1, first)
        self._arrivals = Arrivals(self._limits.broker_waiting_bytes)
        channel = self._link.open()
        self._link.call(self._consume(channel, start, -1 if after is None else after))
        self._link.had_queue = True

    async def _consume(self, channel: AbstractChannel, start: int | str, after: int) -> None:
        arrivals = self._arrivals
        await channel.set_qos(prefetch_count=_AHEAD)
        queue = await channel.get_queue(self._link.queue, ensure=True)

        async def arrived(message: AbstractIncomingMessage) -> None:
            found = self._message(message)
            if not self._is_stream or found.sequence > after:
                arrivals.put(found)
            elif message.delivery_tag is not None:  # of a piece of the stream that began before
                await message.ack()

        def closed(_: object, why: BaseException | None = None) -> None:
            arrivals.fail(lost(self._address, why or "the connection was closed"))

        channel.close_callbacks.add(closed)
        await queue.consume(
            arrived,
            exclusive=not self._is_stream,
            arguments={"x-stream-offset": start} if self._is_stream else None,
            consumer_tag=f"{self._consumer}-{time.monotonic_ns()}",
        )

    def _message(self, message: AbstractIncomingMessage) -> Message:
        headers = message.headers
        self._count += 1
        producer, sequence = headers.get(PRODUCER), headers.get(SEQUENCE)
        is_numbered = isinstance(producer, str) and isinstance(sequence, int) and sequence >= 0
        if self._is_stream:
            origin, number = self._link.queue, int(str(headers["x-stream-offset"]))
        elif is_numbered:
            origin, number = f"{self._link.queue}/{producer!s}", int(str(sequence))
        else:
            origin, number = self._link.queue, self._count
        return Message(
            origin=origin,
            sequence=number,
            body=message.body,
            content_type=message.content_type or "",
            receipt=message,
            is_exact=self._is_stream or is_numbered,
        )

    def read(self, wait_s: float) -> Sequence[Message]:
        """See :class:`.Reader`: of a stream what is read makes room for more."""
        found = self._arrivals.take(wait_s)
        if found and self._is_stream:
            self._acknowledge(found[-1].receipt)
        if not found and not self._link.is_up:
            raise lost(self._address, "the connection was closed")
        return found

    def _acknowledge(self, message: AbstractIncomingMessage) -> None:
        if message.delivery_tag is not None:
            with contextlib.suppress(BrokerLost, BrokerRefused):  # of a channel that is closed
                self._link.call(message.ack(multiple=True))

    def _first(self) -> int | None:
        """The number of the first message of a stream; None where it has none."""
        found: tuple[int, int] | None = self._link.call(
            self._look("first", 0), timeout_s=3 * self._link.answer_s
        )
        return None if found is None else found[0]

    async def _look(self, which: str, first: int) -> tuple[int, int] | None:
        """Lowest and highest number of the first or last piece of a stream; None: it has none.

        The server tells no end: nothing comes behind it. Fewer than it has counted are no end yet,
        so that a busy machine gets the time of an answer.

        Args:
            which: ``first`` or ``last``.
            first: number of the first message, where the last is looked for.
        """
        assert self._link._connection is not None
        channel = await self._link._connection.channel()
        try:
            await channel.set_qos(prefetch_count=1 if which == "first" else _PIECE)
            queue = await channel.declare_queue(self._link.queue, passive=True)
            # Counted every few seconds: there are so many at least.
            count = queue.declaration_result.message_count or 0
            wanted = first + count - 1
            seen: list[int] = []
            news = asyncio.Event()

            async def arrived(message: AbstractIncomingMessage) -> None:
                seen.append(int(str(message.headers["x-stream-offset"])))
                news.set()

            await queue.consume(arrived, arguments={"x-stream-offset": which})
            while which == "last" or not seen:
                is_short = seen[-1] < wanted if seen else count > 0
                try:
                    wait_s = self._link.answer_s if is_short else _QUIET_S
                    await asyncio.wait_for(news.wait(), wait_s)
                except TimeoutError:
                    if not seen and count:
                        raise
                    break
                news.clear()
            return (min(seen), max(seen)) if seen else None
        finally:
            await channel.close()

    def ends(self) -> tuple[int, int] | None:
        """See :class:`.Reader`."""
        if not self._is_stream:
            return None
        self._link.open()
        first = self._first()
        if first is None:
            return 0, -1
        last = self._link.call(self._look("last", first), timeout_s=3 * self._link.answer_s)
        return first, first - 1 if last is None else int(last[1])

    def identity(self) -> Mapping[str, str]:
        """See :class:`.Reader`: RabbitMQ has nothing that tells a queue from a later one."""
        channel = self._link.open()
        self._link.call(channel.get_queue(self._link.queue, ensure=True))
        return {}

    def keep(self, receipts: Sequence[Any]) -> None:
        """See :class:`.Reader`."""
        if not self._is_stream:
            self._acknowledge(receipts[-1])

    def set_aside(self, message: Message, reason: str) -> None:
        """See :class:`.Reader`."""
        told = dead_headers(message, reason)
        self._link.call(
            _publish(
                self._link.open(),
                self._dead_letter,
                [message.body],
                content_type=message.content_type,
                headers=[told],
                keys=[f"dead:{told[DEAD_FROM]}"],
            )
        )

    def close(self) -> None:
        """See :class:`.Reader`."""
        self._link.close()


class AmqpWriter:
    """Publishes to a queue or stream, persistent; each message is confirmed by the server.

    Args:
        address: of the queue or stream.
        producer: name of the sender, in the headers of each message with the number that its key
            ends in; ``""``: messages are not numbered.
        creates: make a quorum queue, or a stream, where there is none.
        limits: ``broker_answer_s``.
    """

    def __init__(
        self, address: BrokerAddress, *, producer: str, creates: bool, limits: Limits
    ) -> None:
        self._address = address
        self._producer = producer
        self._creates = creates
        self._link = _Link(address, limits)

    def write(
        self, bodies: Sequence[bytes], *, content_type: str, keys: Sequence[str], deadline_s: float
    ) -> None:
        """See :class:`.Writer`."""
        numbers = [key.rpartition(":")[2] for key in keys]
        headers = [
            {PRODUCER: self._producer, SEQUENCE: int(n)} if self._producer else {} for n in numbers
        ]
        with as_outlet_error():
            is_new = not self._link.is_up
            channel = self._ready()
            # A queue that has no leader yet may never confirm what it was sent, so the first of a
            # connection goes alone, and has the time of an answer.
            first = slice(0, 1 if is_new else 0)
            rest = slice(first.stop, None)
            answer_s = min(self._link.answer_s, deadline_s)
            for part, timeout_s in ((first, answer_s), (rest, deadline_s)):
                publishing = _publish(
                    channel,
                    self._link.queue,
                    bodies[part],
                    content_type=content_type,
                    headers=headers[part],
                    keys=keys[part],
                )
                try:
                    self._link.call(publishing, timeout_s=timeout_s)
                except BrokerLost:
                    self._link.drop()  # the next try begins with a connection that is sound
                    raise

    def _ready(self) -> AbstractChannel:
        """A channel on whose connection the queue was seen.

        A server that comes back listens before all its queues are there. What came then would be
        sent back, and what is sent after it be taken: the order would be lost.
        """
        was_up = self._link.is_up
        channel = self._link.open()
        if self._creates:
            kind = "stream" if "+stream" in self._address.scheme else "quorum"
            arguments: dict[str, Any] = {"x-queue-type": kind}
            making = channel.declare_queue(self._link.queue, durable=True, arguments=arguments)
            self._link.call(making)
            self._creates = False
        elif not was_up:
            self._link.call(channel.get_queue(self._link.queue, ensure=True))
        self._link.had_queue = True
        return channel

    def close(self) -> None:
        """See :class:`.Writer`."""
        self._link.close()


async def _publish(
    channel: AbstractChannel,
    queue: str,
    bodies: Sequence[bytes],
    *,
    content_type: str,
    headers: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
) -> None:
    """Publish to a queue that must be there; return when the server has confirmed all."""
    messages = [
        aio_pika.Message(
            body,
            content_type=content_type or None,
            headers=dict(head),
            message_id=key,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        for body, head, key in zip(bodies, headers, keys, strict=True)
    ]
    for first in range(0, len(messages), _WINDOW):
        await asyncio.gather(
            *(
                channel.default_exchange.publish(message, routing_key=queue, mandatory=True)
                for message in messages[first : first + _WINDOW]
            )
        )

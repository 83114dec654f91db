"""NATS JetStream: positions are the stream's own sequence numbers.

A reader makes its consumer anew at each connection, behind the last message it was given. So it
never depends on what the server will deliver again: a gap in the consumer's own count, a consumer
that somebody deleted and a broken connection all end in the same way. Messages are pulled, and no
more are asked for while enough of them wait here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sightline.brokers.address import BrokerAddress
from sightline.brokers.link import (
    CONTENT_TYPE,
    DEAD_FROM,
    Arrivals,
    BrokerLost,
    BrokerOutletError,
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
    import nats
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.errors import Error as NatsError
    from nats.js import JetStreamContext
    from nats.js.api import (
        AckPolicy,
        ConsumerConfig,
        DeliverPolicy,
        RetentionPolicy,
        StreamConfig,
        StreamInfo,
    )
    from nats.js.errors import Error as JetStreamError
    from nats.js.errors import NoStreamResponseError, NotFoundError
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("nats-py is missing: install sightline[brokers]") from error

_FAILURES = (NatsError, JetStreamError, OSError, TimeoutError, asyncio.TimeoutError)
_PULL_S = 5.0
"""How long the server holds a request for messages open before it says that there are none."""
_PULL_MESSAGES, _PULL_BYTES = 1024, 16 << 20
"""Of one request. A server ends the connection of a client to which it has more to send than its
bound, 64 MiB by default."""
_FORGOTTEN_S = 3600.0
"""After so long without us the server forgets a consumer; where we were is in our log."""
_WINDOW = 256
"""Messages that are under way to the server at a time, before it has said that it has them."""


class _Link:
    """One connection, made when it is needed; calls come from other threads."""

    def __init__(self, address: BrokerAddress, *, name: str, limits: Limits) -> None:
        self.address = address
        self._name = name
        self._answer_s = limits.broker_answer_s
        self._loop = LoopThread(f"nats {address.server}")
        self.client: Client | None = None
        self.failure: Exception | None = None

    def call(self, made: Any, *, timeout_s: float | None = None) -> Any:
        """Run a coroutine of the client.

        Raises:
            BrokerLost: it failed, or took too long.
            BrokerRefused: the server does not let us.
        """
        try:
            return self._loop.call(made, timeout_s=timeout_s or self._answer_s)
        except _FAILURES as error:
            if "authorization" in str(error).lower() or "permissions" in str(error).lower():
                raise not_let_in(self.address, "NATS") from None
            raise lost(self.address, error) from error

    def open(self) -> JetStreamContext:
        """The connection's JetStream; connected where it is not."""
        if self.client is None or self.client.is_closed or self.failure is not None:
            self.drop()
            self.failure = None
            self.client = self.call(self._connect(), timeout_s=2 * self._answer_s)
        return self.client.jetstream(timeout=self._answer_s)

    async def _connect(self) -> Client:
        async def note(error: Exception) -> None:
            self.failure = self.failure or error

        async def went() -> None:
            self.failure = self.failure or ConnectionError("the connection broke")

        address = self.address
        how: dict[str, Any] = {}
        if address.username:
            how = {"user": address.username, "password": address.password or ""}
        elif address.password:
            how = {"token": address.password}
        tls = address.tls()
        return await nats.connect(
            servers=[f"{'tls' if tls else 'nats'}://{address.server}"],
            name=self._name,
            tls=tls,
            allow_reconnect=False,
            connect_timeout=self._answer_s,
            ping_interval=max(round(self._answer_s), 1),
            max_outstanding_pings=2,
            error_cb=note,
            disconnected_cb=went,
            pending_size=64 << 20,
            **how,
        )

    def soon(self, act: Any, *arguments: object) -> None:
        self._loop.soon(act, *arguments)

    def drop(self) -> None:
        client, self.client = self.client, None
        if client is not None and not client.is_closed:
            with contextlib.suppress(*_FAILURES):
                self._loop.call(client.close(), timeout_s=self._answer_s)

    def close(self) -> None:
        self.drop()
        self._loop.close()


class JetStreamReader:
    """Reads one stream, or what of it a subject lets through: ``nats://HOST/STREAM[/SUBJECT]``.

    Args:
        address: of the stream.
        consumer: how the name begins under which the server shows how far we are.
        dead_letter: subject for what cannot be read; ``""``: none.
        limits: ``broker_answer_s``, ``broker_waiting_bytes``.
    """

    def __init__(
        self, address: BrokerAddress, *, consumer: str, dead_letter: str, limits: Limits
    ) -> None:
        self._address = address
        self._stream = address.name
        self._consumer = f"{consumer}-{secrets.token_hex(4)}"
        self._dead_letter = dead_letter
        self._limits = limits
        self._link = _Link(address, name=consumer, limits=limits)
        self._arrivals = Arrivals(limits.broker_waiting_bytes)
        self._asked = 0
        self._delivered = 0
        self._heard_s = time.monotonic()

    def connect(self, after: int | None) -> None:
        """See :class:`.Reader`."""
        js = self._link.open()
        info = self._info(js)
        if after is not None and after + 1 < info.state.first_seq:
            raise gone(self._address, after + 1, info.state.first_seq)
        start = info.state.first_seq if after is None else after + 1
        self._arrivals = Arrivals(self._limits.broker_waiting_bytes)
        self._asked = self._delivered = 0
        self._heard_s = time.monotonic()
        self._link.call(self._consume(js, max(start, 1), self._arrivals))

    async def _consume(self, js: JetStreamContext, start: int, arrivals: Arrivals) -> None:
        with contextlib.suppress(NotFoundError):
            await js.delete_consumer(self._stream, self._consumer)
        await js.add_consumer(
            self._stream,
            ConsumerConfig(
                durable_name=self._consumer,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=start,
                ack_policy=AckPolicy.ALL,
                ack_wait=3600.0,
                max_ack_pending=-1,
                inactive_threshold=_FORGOTTEN_S,
                filter_subject=self._address.rest or None,
            ),
        )
        client = self._link.client
        assert client is not None
        inbox = client.new_inbox()

        async def arrived(message: Msg) -> None:
            self._take(message, arrivals)
            self._ask(inbox)

        await client.subscribe(
            inbox, cb=arrived, pending_msgs_limit=1 << 20, pending_bytes_limit=1 << 30
        )
        self._inbox = inbox
        self._ask(inbox)

    def _take(self, message: Msg, arrivals: Arrivals) -> None:
        """On the client's thread: one message, or what the server says of a request."""
        self._heard_s = time.monotonic()
        headers = message.headers or {}
        if "Status" in headers and not message.reply:
            is_full = "maxbytes" in headers.get("Description", "").lower()
            if headers["Status"] in {"404", "408"} or is_full:  # none for now, or as many as asked
                self._asked -= int(headers.get("Nats-Pending-Messages", self._asked))
            elif headers["Status"] != "100":
                why = headers.get("Description", headers["Status"])
                arrivals.fail(lost(self._address, f"the consumer ended: {why}"))
            return
        parts = message.reply.split(".")
        sequence, delivered = (parts[5], parts[6]) if len(parts) == 9 else (parts[7], parts[8])
        self._asked -= 1
        self._delivered += 1
        if int(delivered) != self._delivered:
            arrivals.fail(lost(self._address, "a message was lost on the way"))
            return
        arrivals.put(
            Message(
                origin=self._stream,
                sequence=int(sequence),
                body=message.data,
                content_type=headers.get(CONTENT_TYPE, ""),
                receipt=message.reply,
            )
        )

    def _ask(self, inbox: str) -> None:
        """On the client's thread: ask for more, unless enough waits here."""
        client = self._link.client
        if self._asked > _PULL_MESSAGES // 2 or self._arrivals.is_full or client is None:
            return
        self._asked += _PULL_MESSAGES
        self._heard_s = time.monotonic()
        request = {
            "batch": _PULL_MESSAGES,
            "max_bytes": max(_PULL_BYTES, 2 * client.max_payload),  # any message fits
            "expires": round(_PULL_S * 1e9),
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        asking = client.publish(subject, json.dumps(request).encode(), reply=inbox)
        self._asking = asyncio.ensure_future(asking)

    def read(self, wait_s: float) -> Sequence[Message]:
        """See :class:`.Reader`."""
        found = self._arrivals.take(wait_s)
        if found:
            self._link.soon(self._ask, self._inbox)
            return found
        if self._link.failure is not None:
            raise lost(self._address, self._link.failure)
        if self._asked > 0 and time.monotonic() - self._heard_s > _PULL_S + 2 * self._answer_s:
            raise lost(self._address, "no answer to a request for messages")
        self._link.soon(self._ask, self._inbox)
        return found

    @property
    def _answer_s(self) -> float:
        return self._limits.broker_answer_s

    def _info(self, js: JetStreamContext) -> StreamInfo:
        try:
            info: StreamInfo = self._link.call(_found(js.stream_info(self._stream)))
        except LookupError:
            raise refused(
                self._address,
                expected=f"a stream {self._stream}",
                got="no such stream, or no JetStream",
                action="make it: `sightline publish … --create`, or `nats stream add`",
            ) from None
        if info.config.retention not in {None, RetentionPolicy.LIMITS}:
            raise refused(
                self._address,
                expected="a stream whose retention is by limits, which can be read again",
                got=f"retention {info.config.retention}",
                action="make a stream that mirrors it, with retention by limits",
            )
        return info

    def ends(self) -> tuple[int, int]:
        """See :class:`.Reader`."""
        js = self._link.open()
        state = self._info(js).state
        last = state.last_seq
        if self._address.rest:
            try:
                found = self._link.call(_found(js.get_last_msg(self._stream, self._address.rest)))
                last = int(found.seq)
            except LookupError:
                last = state.first_seq - 1
        return state.first_seq, last

    def identity(self) -> Mapping[str, str]:
        """See :class:`.Reader`."""
        found = self._info(self._link.open())
        return {"created": str(found.created)}

    def keep(self, receipts: Sequence[str]) -> None:
        """See :class:`.Reader`: the consumer takes the last one for all before it."""
        client = self._link.client
        if client is not None and client.is_connected:
            with contextlib.suppress(BrokerLost, BrokerRefused):
                self._link.call(client.publish(receipts[-1], b"+ACK"))

    def set_aside(self, message: Message, reason: str) -> None:
        """See :class:`.Reader`."""
        told = dead_headers(message, reason)
        headers = {
            "Nats-Msg-Id": f"dead:{told[DEAD_FROM]}",
            CONTENT_TYPE: message.content_type or "application/octet-stream",
            **told,
        }
        try:
            publishing = self._link.open().publish(self._dead_letter, message.body, headers=headers)
            self._link.call(_found(publishing))
        except LookupError:
            raise refused(
                self._address,
                expected=f"a stream that takes the dead-letter subject {self._dead_letter}",
                got="none",
                action="make one, or leave the option dead_letter out",
            ) from None

    def close(self) -> None:
        """See :class:`.Reader`."""
        self._link.close()


class JetStreamWriter:
    """Publishes on a subject that a stream takes: ``nats://HOST/STREAM/SUBJECT``.

    The server has a message when it says so; whether it is on the disk then, is the server's
    setting ``sync_interval``.

    Args:
        address: of the stream, and the subject; without one the stream's name in lower case.
        creates: make the stream where there is none.
        limits: ``broker_answer_s``.
    """

    def __init__(self, address: BrokerAddress, *, creates: bool, limits: Limits) -> None:
        self._address = address
        self._subject = address.rest or address.name.lower()
        self._creates = creates
        self._link = _Link(address, name="sightline-writer", limits=limits)

    def write(
        self, bodies: Sequence[bytes], *, content_type: str, keys: Sequence[str], deadline_s: float
    ) -> None:
        """See :class:`.Writer`."""
        try:
            with as_outlet_error():
                self._write(bodies, content_type, keys, deadline_s)
        except LookupError:
            raise BrokerOutletError(
                expected=f"a stream that takes {self._subject}",
                got="none",
                where=str(self._address),
                action="make one: `sightline publish … --create`, or `nats stream add`",
            ) from None

    def _write(
        self, bodies: Sequence[bytes], content_type: str, keys: Sequence[str], deadline_s: float
    ) -> None:
        js = self._link.open()
        if self._creates:
            self._link.call(self._create(js))
            self._creates = False
        client = self._link.client
        assert client is not None
        longest = max(map(len, bodies), default=0)
        if longest > client.max_payload:
            raise BrokerOutletError(
                expected=f"messages of at most {client.max_payload} bytes",
                got=f"one of {longest}",
                where=str(self._address),
                action="give fewer rows per message, or raise the server's max_payload",
            )
        self._link.call(_found(self._publish(js, bodies, content_type, keys)), timeout_s=deadline_s)

    async def _create(self, js: JetStreamContext) -> None:
        try:
            await js.stream_info(self._address.name)
        except NotFoundError:
            await js.add_stream(StreamConfig(name=self._address.name, subjects=[self._subject]))

    async def _publish(
        self,
        js: JetStreamContext,
        bodies: Sequence[bytes],
        content_type: str,
        keys: Sequence[str],
    ) -> None:
        for first in range(0, len(bodies), _WINDOW):
            await asyncio.gather(
                *(
                    js.publish(
                        self._subject,
                        body,
                        headers={"Nats-Msg-Id": key, CONTENT_TYPE: content_type},
                    )
                    for body, key in zip(
                        bodies[first : first + _WINDOW], keys[first : first + _WINDOW], strict=True
                    )
                )
            )

    def close(self) -> None:
        """See :class:`.Writer`."""
        self._link.close()


async def _found(asked: Any) -> Any:
    """What was asked for; LookupError where the server says that there is no such thing."""
    try:
        return await asked
    except (NotFoundError, NoStreamResponseError) as error:
        raise LookupError(str(error)) from error

"""What a connection to a broker is, whichever broker it is.

A reader has one connection at a time. When it breaks, :class:`BrokerLost` says so and nothing is
remembered of it: whoever reads connects again, behind the last message it was given.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from sightline.errors import SinkError, SourceError

JSON_LINES, ARROW = "application/x-ndjson", "application/vnd.apache.arrow.stream"
"""Content types of messages: JSON objects, one a line; rows as an Arrow IPC stream."""
CONTENT_TYPE, PRODUCER, SEQUENCE = "content-type", "sightline-producer", "sightline-sequence"
"""Names of headers. The last two number the messages of one sender, from 0, where the broker has
no positions of its own (RabbitMQ queues, MQTT)."""
DEAD_REASON, DEAD_FROM = "sightline-reason", "sightline-from"
"""Headers of a message that was set aside: why, and which it was."""

_SHOWN_CHARS = 200
_T = TypeVar("_T")


class BrokerLost(SourceError):
    """The connection broke, or the broker does not answer: connecting again may help."""


class BrokerRefused(SourceError):
    """The broker answered, and does not let us: trying again cannot help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message.

    Attributes:
        origin: what its sequence counts in: a stream, a partition of a topic, a sender.
        sequence: its number in the origin, never negative; a later message has a higher one.
        body: as sent.
        content_type: as declared; ``""`` where nothing is.
        receipt: what the broker is to be told when the message is kept; the reader's own.
        is_exact: whether the number stays the same when the message is given again, to whomever.
    """

    origin: str
    sequence: int
    body: bytes
    content_type: str = ""
    receipt: Any = None
    is_exact: bool = True


class Reader(Protocol):
    """Reads one stream, partition or queue in order.

    One thread reads; another may call :meth:`keep`.
    """

    def connect(self, after: int | None) -> None:
        """Begin behind this sequence; None: at the first message that is there.

        A broker without numbers of its own begins with what it was not told is kept.

        Raises:
            BrokerLost: no answer.
            BrokerRefused: credentials, or what is to be read, are not accepted; or messages after
                ``after`` are not there any more.
        """

    def read(self, wait_s: float) -> Sequence[Message]:
        """What has come, at the latest after ``wait_s``; nothing where nothing has.

        Raises:
            BrokerLost: the connection broke. What was not returned comes again.
        """

    def ends(self) -> tuple[int, int] | None:
        """First and last sequence that are kept there; the last may be below the first.

        None where the broker does not number messages. Needs no connection.
        """

    def identity(self) -> Mapping[str, str]:
        """What tells the stream from another one of the same name."""

    def keep(self, receipts: Sequence[Any]) -> None:
        """Messages are durable here, in the order they were read: the broker may know.

        Args:
            receipts: those of the messages, at least one. Of a connection that broke they are
                worth nothing any more, and are passed over.
        """

    def set_aside(self, message: Message, reason: str) -> None:
        """Publish a message that cannot be read to where such ones are collected."""

    def close(self) -> None:
        """Let go, whatever state the connection is in."""


class Writer(Protocol):
    """Writes messages; returns when the broker has them for good, as far as it promises that."""

    def write(
        self, bodies: Sequence[bytes], *, content_type: str, keys: Sequence[str], deadline_s: float
    ) -> None:
        """Publish, in order.

        Args:
            bodies: of the messages.
            content_type: of all of them.
            keys: one each; a broker that can tell takes a message with a known key once.
            deadline_s: time from now.

        Raises:
            SinkError: not all were taken; trying again with the same keys is safe.
        """

    def close(self) -> None:
        """Let go in good order."""


class LoopThread:
    """An event loop on a thread of its own, so that heartbeats go on while nobody reads."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def call(self, made: Coroutine[Any, Any, _T], *, timeout_s: float) -> _T:
        """Run a coroutine there and wait for it.

        Raises:
            TimeoutError: it took longer, and was cancelled.
        """
        future = asyncio.run_coroutine_threadsafe(made, self._loop)
        try:
            return future.result(timeout_s)
        except FutureTimeoutError:
            future.cancel()
            raise TimeoutError(f"no answer within {timeout_s:g} s") from None

    def soon(self, act: Callable[..., object], *arguments: object) -> None:
        """Call ``act`` there, without waiting."""
        self._loop.call_soon_threadsafe(act, *arguments)

    def close(self) -> None:
        """End the loop; what still runs on it is left where it is."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2.0)
        if not self._loop.is_running():
            self._loop.close()


@dataclass(slots=True)
class Arrivals:
    """Messages between the thread that receives and the one that reads; bounded in bytes.

    The bound is kept by whoever receives: it asks for no more while :attr:`is_full`.
    """

    most_bytes: int
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _waiting: deque[Message] = field(default_factory=deque)
    _bytes: int = 0
    _failure: BrokerLost | None = None

    def put(self, message: Message) -> None:
        """Add one; never waits."""
        with self._changed:
            self._waiting.append(message)
            self._bytes += len(message.body)
            self._changed.notify_all()

    def fail(self, failure: BrokerLost) -> None:
        """The connection broke; whoever reads hears of it after what has come."""
        with self._changed:
            self._failure = failure
            self._changed.notify_all()

    def take(self, wait_s: float) -> list[Message]:
        """All that waits; raises the failure once nothing does."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._failure, wait_s)
            found = list(self._waiting)
            self._waiting.clear()
            self._bytes = 0
            if not found and self._failure is not None:
                raise self._failure
            return found

    @property
    def is_full(self) -> bool:
        """Whether no more should be asked for."""
        return self._bytes >= self.most_bytes


class BrokerOutletError(SinkError):
    """A broker answered, and did not take what was written."""


@contextlib.contextmanager
def as_outlet_error() -> Iterator[None]:
    """What a writer raises of a connection: of one that broke SinkError, so that it is tried again.

    Of a broker that answered and refused BrokerOutletError.
    """
    try:
        yield
    except (BrokerLost, BrokerRefused) as error:
        kind = SinkError if isinstance(error, BrokerLost) else BrokerOutletError
        raise kind(
            expected=error.expected, got=error.got, where=error.where, action=error.action
        ) from error


def dead_headers(message: Message, reason: str) -> dict[str, str]:
    """Headers of a message that is set aside: which it was, and why."""
    return {
        DEAD_FROM: f"{message.origin}:{message.sequence}",
        DEAD_REASON: " ".join(reason.split())[:_SHOWN_CHARS],
    }


def lost(where: object, got: object) -> BrokerLost:
    """The connection to ``where`` broke, in the words of ``got``."""
    words = " ".join(str(got).split()) if str(got) else type(got).__name__
    return BrokerLost(
        expected="a broker that answers",
        got=words[:_SHOWN_CHARS],
        where=str(where),
        action="check that it runs and can be reached from here",
    )


def refused(where: object, *, expected: str, got: str, action: str) -> BrokerRefused:
    """The broker at ``where`` does not let us."""
    return BrokerRefused(
        expected=expected,
        got=" ".join(got.split())[:_SHOWN_CHARS],
        where=str(where),
        action=action,
    )


def not_let_in(where: object, name: str, variable: str = "") -> BrokerRefused:
    """The broker called ``name`` does not accept who asks, or what that may do."""
    return refused(
        where,
        expected="to be let in",
        got=f"{name}: user, password or rights are not accepted",
        action=f"set SIGHTLINE_{variable or name.upper()}_USER and "
        f"SIGHTLINE_{variable or name.upper()}_PASSWORD",
    )


def gone(where: object, wanted: int, first: int) -> BrokerRefused:
    """Messages from ``wanted`` on were deleted; the broker begins with ``first``."""
    return refused(
        where,
        expected=f"a broker that still has message {wanted}",
        got=f"one that begins with {first}: what lies between was deleted",
        action="keep messages for longer than a run may rest, and start a new run",
    )

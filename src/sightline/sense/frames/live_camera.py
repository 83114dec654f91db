"""A camera on the network: its own thread, the newest frame wins, and it is found again."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import urllib.parse
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Self

from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.frames import Frame
from sightline.records.signals import NS_PER_S
from sightline.sense.frames.delivery import (
    NO_TIME_NS,
    CameraSource,
    Delivery,
    FrameFault,
    FrameItem,
    note_shown,
)
from sightline.sense.frames.frame_contract import FrameContract
from sightline.sense.frames.reasons import FrameReason
from sightline.sense.frames.video_file import best_reader, knows_packets
from sightline.sense.frames.video_parts import (
    Damage,
    PacketTape,
    StreamPacket,
    VideoLocation,
    VideoReader,
)
from sightline.sense.source import SourceOptions, Surroundings

_DRIFT = 200e-6
"""Most that a camera's clock runs slow against ours (s per s); quartz keeps within half of it."""
_MAX_DELAY_NS = 10 * NS_PER_S
"""A frame later than this against the fastest one means that the camera's clock was reset."""


class CaptureClock:
    """Turns presentation times of one connection into capture times on our clock.

    The fastest delivery so far tells how the two clocks lie; what takes longer was delayed on its
    way and not taken later (the clock filter of NTP, RFC 5905, clause 10). So jitter of the
    network does not become jitter of motion. The delay of that fastest delivery itself, from the
    sensor through the encoder, cannot be seen and stays in.

    >>> clock = CaptureClock()
    >>> [clock.capture_ns(pts_ns=pts, received_ns=at)
    ...  for pts, at in [(0, 1000), (100, 1150), (200, 1200), (300, 1340)]]
    [1000, 1100, 1200, 1300]
    """

    def __init__(self) -> None:
        self._offset_ns: int | None = None
        self._last_received_ns = 0

    def capture_ns(self, *, pts_ns: int | None, received_ns: int) -> int:
        """UTC ns, never after ``received_ns``; equal to it for a stream without times."""
        if pts_ns is None:
            return received_ns
        offset_ns = received_ns - pts_ns
        known_ns = self._offset_ns
        if known_ns is not None:
            known_ns += int(max(received_ns - self._last_received_ns, 0) * _DRIFT)
            if offset_ns - known_ns <= _MAX_DELAY_NS:
                offset_ns = min(offset_ns, known_ns)
        self._offset_ns, self._last_received_ns = offset_ns, received_ns
        return pts_ns + offset_ns


class SlewedClock:
    """A wall clock that never goes back: set back, it runs at half speed until caught up.

    Motion computed meanwhile looks up to twice as fast as it is, which errs on the safe side.

    Args:
        wall_ns: UTC ns.

    >>> times = iter([100, 200, 150, 170, 300])
    >>> clock = SlewedClock(lambda: next(times))
    >>> [clock.now_ns() for _ in range(5)]
    [100, 200, 200, 210, 300]
    """

    def __init__(self, wall_ns: Callable[[], int]) -> None:
        self._wall_ns = wall_ns
        self._last_wall_ns = 0
        self._now_ns = 0

    def now_ns(self) -> int:
        wall_ns = self._wall_ns()
        passed_ns = max(wall_ns - self._last_wall_ns, 0)
        self._last_wall_ns = wall_ns
        self._now_ns = max(wall_ns, self._now_ns + passed_ns // 2)
        return self._now_ns


class FrameMailbox:
    """At most ``frames`` frames and ``faults`` faults that wait, in order of arrival.

    A frame that finds no room takes the place of the oldest one, which is counted as superseded.
    A fault that finds no room is counted as untold; its frames are counted by the camera anyway.

    >>> import numpy as np
    >>> mailbox = FrameMailbox(frames=1, faults=1)
    >>> for n in range(3):
    ...     mailbox.put(Frame(stream="yard", index=n, capture_ns=n, received_ns=n,
    ...                       pixels=np.zeros((1, 1), np.uint8)))
    >>> mailbox.take(0.0).index, mailbox.superseded, mailbox.take(0.0)
    (2, 2, None)
    """

    def __init__(self, *, frames: int, faults: int) -> None:
        self._max_frames = frames
        self._max_faults = faults
        self._changed = threading.Condition()
        self._items: deque[FrameItem] = deque()
        self._frames = self._faults = 0
        self._superseded = self._untold = self._taken = 0
        self._is_closed = False
        self._failure: BaseException | None = None

    def put(self, item: FrameItem) -> None:
        """Add a frame or a fault; never waits."""
        with self._changed:
            if isinstance(item, FrameFault):
                if self._faults >= self._max_faults:
                    self._untold += 1
                    return
                self._faults += 1
            elif self._frames >= self._max_frames:
                self._items.remove(next(i for i in self._items if isinstance(i, Frame)))
                self._superseded += 1
            else:
                self._frames += 1
            self._items.append(item)
            self._changed.notify_all()

    def take(self, timeout_s: float) -> FrameItem | None:
        """The oldest that waits; None where nothing came in time or nothing comes any more.

        Raises:
            BaseException: what ended the capture thread, when everything before it was taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._is_closed, timeout_s)
            if not self._items:
                if self._failure is not None:
                    raise self._failure
                return None
            item = self._items.popleft()
            if isinstance(item, Frame):
                self._frames -= 1
                self._taken += 1
            else:
                self._faults -= 1
            return item

    def close(self, failure: BaseException | None = None) -> None:
        """Nothing more comes; ``failure`` says why if it was no ordinary end."""
        with self._changed:
            self._is_closed = True
            self._failure = failure
            self._changed.notify_all()

    @property
    def is_finished(self) -> bool:
        """Whether nothing waits and nothing more comes."""
        with self._changed:
            return self._is_closed and not self._items and self._failure is None

    @property
    def superseded(self) -> int:
        """Frames that gave way to newer ones."""
        return self._superseded

    @property
    def taken(self) -> int:
        """Frames handed out."""
        return self._taken

    @property
    def waiting(self) -> int:
        """Frames that wait."""
        return self._frames


_MAX_DOUBLINGS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnect:
    """Exponential waits between attempts, spread by a hash of the camera's name.

    Attributes:
        first_s: full wait after a connection that gave frames.
        factor: growth per further attempt that gave none, at least 1.
        cap_s: longest wait. There is no last attempt: a camera may come back after a week.

    >>> [Reconnect(first_s=1, factor=2, cap_s=5).full_wait_s(n) for n in range(4)]
    [1.0, 2.0, 4.0, 5.0]
    """

    first_s: float
    factor: float = 2.0
    cap_s: float

    def __post_init__(self) -> None:
        if not (0 < self.first_s <= self.cap_s and self.factor >= 1):
            raise UsageError(
                expected="0 < first_s <= cap_s and factor >= 1",
                got=f"first_s={self.first_s}, cap_s={self.cap_s}, factor={self.factor}",
                where="reconnection",
                action="mend the numbers",
            )

    def full_wait_s(self, failures: int) -> float:
        """Seconds after ``failures`` attempts in a row without a frame, before spreading."""
        return float(min(self.first_s * self.factor ** min(failures, _MAX_DOUBLINGS), self.cap_s))

    def wait_s(self, failures: int, *, key: str) -> float:
        """Half to all of the full wait, so that cameras lost together do not return together."""
        digest = hashlib.blake2b(f"{key}:{failures}".encode(), digest_size=2).digest()
        return self.full_wait_s(failures) * (0.5 + 0.5 * int.from_bytes(digest, "big") / 0xFFFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStatus:
    """How a live camera does. ``received = taken + waiting + superseded + refused``.

    Attributes:
        stream: name of the camera.
        is_connected: whether the present connection has given a frame.
        newest_age_s: age of the newest frame, from its capture; infinite before the first one.
            This is the health of a camera, whatever its frame rate.
        received: source frames so far.
        taken: frames handed out.
        waiting: frames that wait to be taken.
        superseded: frames that gave way to newer ones.
        refused: refused frames by reason.
        connections: connections that gave at least one frame.
        attempts: attempts to connect.
    """

    stream: str
    is_connected: bool
    newest_age_s: float
    received: int
    taken: int
    waiting: int
    superseded: int
    refused: Mapping[FrameReason, int]
    connections: int
    attempts: int


class LiveCamera(CameraSource):
    """Frames of an RTSP or HTTP (MJPEG) camera, as they come.

    A thread decodes without ever waiting for the taker. A connection that ends, or gives nothing
    for ``limits.read_timeout_s``, is a fault NO_CONNECTION and is tried again. Use it in a
    ``with`` block, and take from one thread.

    Args:
        stream: name of the camera.
        address: ``rtsp``, ``rtsps``, ``http`` or ``https`` URL. User and password in it are used
            and never shown.
        wall_ns: UTC ns; stamps the receipt. Where it is set back, see :class:`.SlewedClock`.
        channels: of the camera's contract. Where they are 3, grey pictures of a camera that has
            switched to infrared become three equal channels; None: pictures stay as they are.
        wait_s: waits that many seconds between attempts; by default it ends early on stop.
        reconnect: how long those waits are; by default as ``limits`` says.
        limits: mailbox and time-outs.
        reader: decodes; by default PyAV, or OpenCV where PyAV is not installed.

    Raises:
        UsageError: an address of another kind. It is not repeated.
    """

    schemes = ("rtsp", "rtsps", "http", "https")

    @classmethod
    def open(
        cls,
        location: str,
        *,
        name: str,
        contract: FrameContract,
        options: SourceOptions,
        surroundings: Surroundings,
    ) -> LiveCamera:
        """An address; it is first looked for when the capture starts."""
        return cls(
            name,
            location,
            wall_ns=surroundings.wall_ns,
            channels=contract.channels,
            limits=surroundings.limits,
        )

    def __init__(
        self,
        stream: str,
        address: str,
        *,
        wall_ns: Callable[[], int],
        channels: int | None = None,
        wait_s: Callable[[float], object] | None = None,
        reconnect: Reconnect | None = None,
        limits: Limits = DEFAULT_LIMITS,
        reader: VideoReader | None = None,
    ) -> None:
        self.name = stream
        self._delivery = Delivery(stream, _shown(stream, address))
        self._location = VideoLocation(address=address, is_live=True, channels=channels)
        self._clock = SlewedClock(wall_ns)
        self._stopping = threading.Event()
        self._wait_s = wait_s or self._stopping.wait
        self._reconnect = reconnect or Reconnect(
            first_s=limits.reconnect_first_s, cap_s=limits.reconnect_cap_s
        )
        self._limits = limits
        self._reader = reader or best_reader()
        self._mailbox = FrameMailbox(frames=limits.mailbox_frames, faults=limits.waiting_faults)
        self._lock = threading.Lock()  # guards what follows and the delivery
        self._newest_ns = NO_TIME_NS
        self._is_connected = False
        self._connections = self._attempts = 0
        self._tape: PacketTape | None = None
        # A daemon: a read that never returns must not keep the interpreter from ending.
        self._thread = threading.Thread(target=self._capture, name=f"camera {stream}", daemon=True)

    def __repr__(self) -> str:
        return f"LiveCamera({self.stream!r}, {self._delivery.origin!r})"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def gives_packets(self) -> bool:
        return knows_packets(self._reader)

    def record_packets(self, tape: PacketTape) -> None:
        self._tape = tape
        self._location = replace(self._location, gives_packets=True)

    def start(self) -> None:
        """Begin to capture; once."""
        self._thread.start()

    def stop(self) -> bool:
        """Capture no more; what waits can still be taken.

        Returns:
            False where the thread hangs in a read and was left behind.
        """
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(self._limits.reader_join_s)
        self._mailbox.close()
        return not self._thread.is_alive()

    def take(self, timeout_s: float) -> FrameItem | None:
        """The oldest frame or fault that waits; None where none came within ``timeout_s``."""
        return self._mailbox.take(timeout_s)

    def __iter__(self) -> Iterator[FrameItem]:
        """What comes, until the camera is stopped."""
        while not self._mailbox.is_finished:
            item = self._mailbox.take(self._limits.stop_check_s)
            if item is not None:
                yield item

    def status(self, now_ns: int) -> LiveStatus:
        """How the camera does at ``now_ns`` (UTC ns)."""
        with self._lock:
            age_s = (now_ns - self._newest_ns) / NS_PER_S
            return LiveStatus(
                stream=self.stream,
                is_connected=self._is_connected,
                newest_age_s=age_s if self._newest_ns != NO_TIME_NS else float("inf"),
                received=self._delivery.received,
                taken=self._mailbox.taken,
                waiting=self._mailbox.waiting,
                superseded=self._mailbox.superseded,
                refused=MappingProxyType(dict(self._delivery.refused)),
                connections=self._connections,
                attempts=self._attempts,
            )

    # --- the capture thread -------------------------------------------------------------------

    def _capture(self) -> None:
        failures = 0
        try:
            while not self._stopping.is_set():
                failures = 0 if self._read_one_connection() else failures + 1
                if not self._stopping.is_set():
                    self._wait_s(self._reconnect.wait_s(failures, key=self.stream))
        except BaseException as error:  # noqa: BLE001 - handed to the taker, which raises it
            self._mailbox.close(error)

    def _read_one_connection(self) -> bool:
        """Read until the connection ends; whether it gave a frame."""
        clock = CaptureClock()
        with self._lock:
            self._attempts += 1
        parts = self._reader(self._location, self._limits)
        with contextlib.closing(parts):
            for part in parts:
                if self._stopping.is_set():
                    break
                if isinstance(part, StreamPacket):
                    if self._tape is not None:
                        self._tape.add(part)
                    continue
                received_ns = self._clock.now_ns()
                with self._lock:
                    if isinstance(part, Damage):
                        items = [self._fault(part)]
                    else:
                        capture_ns = clock.capture_ns(pts_ns=part.pts_ns, received_ns=received_ns)
                        items = self._delivery.frame(
                            part.pixels, capture_ns=capture_ns, received_ns=received_ns
                        )
                        if self._tape is not None:
                            note_shown(self._tape, part, items)
                    for item in items:
                        self._note(item)
        if self._tape is not None:
            self._tape.end()
        with self._lock:
            had_frames, self._is_connected = self._is_connected, False
        return had_frames

    def _fault(self, part: Damage) -> FrameItem:
        if part.frames:
            return self._delivery.refuse(part.reason, part.detail, frames=part.frames)
        return self._delivery.note(part.reason, part.detail)

    def _note(self, item: FrameItem) -> None:
        if isinstance(item, Frame):
            self._newest_ns = item.capture_ns
            if not self._is_connected:
                self._is_connected = True
                self._connections += 1
        self._mailbox.put(item)


def _shown(stream: str, address: str) -> str:
    """The address without user, password, path and query: each of them may be a secret."""
    try:
        parts = urllib.parse.urlsplit(address)
        port = parts.port
    except ValueError:
        parts, port = urllib.parse.urlsplit(""), None
    if parts.scheme not in LiveCamera.schemes or not parts.hostname:
        raise UsageError(
            expected=f"an address that begins with {', '.join(LiveCamera.schemes)}",
            got="something else",
            where=f"stream {stream}",
            action="mend the camera's address",
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")

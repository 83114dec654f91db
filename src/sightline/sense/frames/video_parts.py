"""What a video reader gives: pictures, damage, and the compressed packets for a log."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.frames import Image
from sightline.sense.frames.reasons import FrameReason

NO_PACKET = -1
PACKET_FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "h264": "h264",
        "hevc": "h265",
        "vp9": "vp9",
        "libdav1d": "av1",
        "mjpeg": "jpeg",
        # Not among the formats of Foxglove: it lists such a stream and does not show it.
        "vp8": "vp8",
        "mpeg4": "mpeg4",
        "ffv1": "ffv1",
    }
)
"""Decoders whose packets can be kept, by their name in libavcodec, and the format in the log."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamCoding:
    """What a decoder must know besides the packets, and which one it was.

    Attributes:
        decoder: name in libavcodec, a key of :data:`PACKET_FORMATS`.
        extradata: global headers; empty where each key packet carries them (H.264, H.265).
        settings: numbers and names that the container gave: size, pixel format, colours, tag.
        versions: of all that has a part in the pixels: PyAV, libraries, threads, conversion,
            machine.
    """

    decoder: str
    extradata: bytes
    settings: Mapping[str, int | str]
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamPacket:
    """One packet of a video stream, in the order of decoding.

    Attributes:
        number: place in what was read of this stream since it was opened, from 0.
        data: H.264 and H.265 in Annex B form, parameter sets in each key packet; others as read.
        is_key: whether decoding can begin here.
        pts, dts: presentation and decoding time in units of ``time_base``; None where unknown.
        time_base: numerator and denominator of seconds.
        coding: of the stream.
    """

    number: int
    data: bytes
    is_key: bool
    pts: int | None
    dts: int | None
    time_base: tuple[int, int]
    coding: StreamCoding


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TapedPacket:
    """A packet and what came of it.

    Attributes:
        packet: itself.
        pictures: (frame index, capture time in UTC ns) of the frames whose data it holds; empty
            where they were refused.
        capture_ns: of its first picture; without one of the packet before, UTC ns.
        lost: packets lost before this one.
    """

    packet: StreamPacket
    pictures: tuple[tuple[int, int], ...]
    capture_ns: int
    lost: int


@dataclass(slots=True)
class _Waiting:
    packet: StreamPacket
    lost: int
    pictures: list[tuple[int, int]] = field(default_factory=list)


class PacketTape:
    """The packets of one camera between the thread that reads and the one that logs.

    A packet is given out in its order, once its picture has come out of the decoder (which may
    hold back ``2 * reorder_frames`` of them), or will not come any more. What is superseded in a
    mailbox has passed here before: later packets depend on it. At the bound of packets or bytes
    new ones are lost up to the next key packet that finds room, and counted.

    Args:
        limits: ``tape_packets``, ``tape_bytes``, ``reorder_frames``.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._by_number: dict[int, _Waiting] = {}  # of the open stream
        self._bytes = 0
        self._ended = 0  # so many at the head belong to streams that have ended
        self._newest = NO_PACKET
        self._needs_key = False
        self._untold = self._lost = 0
        self._capture_ns = 0
        self._is_declined = False

    @property
    def lost(self) -> int:
        """Packets lost at the bound, or because of a lost one before them."""
        return self._lost

    @property
    def is_declined(self) -> bool:
        """Whether the newest picture came of a stream whose packets cannot be kept."""
        return self._is_declined

    def add(self, packet: StreamPacket) -> None:
        """The next packet, before it is decoded; number 0 begins a new stream. Never waits."""
        with self._lock:
            if packet.number == 0:
                self._end()
            missed = packet.number - self._newest - 1
            self._newest = packet.number
            if missed:
                self._count_lost(missed)
            if self._needs_key and not packet.is_key and packet.number:
                self._count_lost(1)
                return
            if (
                len(self._waiting) >= self._limits.tape_packets
                or self._bytes + len(packet.data) > self._limits.tape_bytes
            ):
                self._count_lost(1)
                return
            self._needs_key = False
            one = _Waiting(packet, self._untold)
            self._untold = 0
            self._waiting.append(one)
            self._by_number[packet.number] = one
            self._bytes += len(packet.data)

    def shown(self, number: int, *, index: int, capture_ns: int) -> None:
        """A packet's picture has become this frame; ``NO_PACKET`` where it came of none."""
        with self._lock:
            self._is_declined = number == NO_PACKET
            one = self._by_number.get(number)
            if one is not None:
                one.pictures.append((index, capture_ns))

    def end(self) -> None:
        """The stream has ended: no picture comes any more."""
        with self._lock:
            self._end()

    def take(self, *, through_index: int) -> list[TapedPacket]:
        """What is complete, in order; once.

        Args:
            through_index: packets of later frames stay, and all behind them: so that in a log
                packets come after the frames they hold.
        """
        found = []
        with self._lock:
            while self._waiting and self._is_complete(self._waiting[0], through_index):
                one = self._waiting.popleft()
                self._bytes -= len(one.packet.data)
                if self._ended:
                    self._ended -= 1
                else:
                    del self._by_number[one.packet.number]
                if one.pictures:
                    self._capture_ns = one.pictures[0][1]
                found.append(
                    TapedPacket(
                        packet=one.packet,
                        pictures=tuple(one.pictures),
                        capture_ns=self._capture_ns,
                        lost=one.lost,
                    )
                )
        return found

    def _is_complete(self, one: _Waiting, through_index: int) -> bool:
        if any(index > through_index for index, _ in one.pictures):
            return False
        if self._ended:
            return True
        behind = self._newest - one.packet.number
        # More pictures of one packet come with it, hence before the next packet.
        return behind > 2 * self._limits.reorder_frames or (bool(one.pictures) and behind > 0)

    def _end(self) -> None:
        self._ended = len(self._waiting)
        self._by_number.clear()
        self._newest = NO_PACKET

    def _count_lost(self, packets: int) -> None:
        self._needs_key = True
        self._untold += packets
        self._lost += packets


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """One decoded picture.

    Attributes:
        pixels: uint8[height, width, 3] (blue, green, red) or uint8[height, width].
        pts_ns: presentation time, ns from the stream's own zero; None where the stream has none.
        packet: number of the packet that holds it; -1 where packets are not given.
    """

    pixels: Image
    pts_ns: int | None
    packet: int = NO_PACKET


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Something that could not be read.

    Attributes:
        reason: why.
        detail: for a person, without the address that was read.
        frames: source frames lost by it.
    """

    reason: FrameReason
    detail: str
    frames: int


VideoPart = Picture | Damage | StreamPacket
"""A packet comes before what it is decoded to; only where the location asks for packets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoLocation:
    """What to open.

    Attributes:
        address: a path, or a URL with its user and password; never shown.
        is_live: a camera on the network rather than a file: bounded waits, no buffering.
        period_ns: time between frames, for streams that carry no times; None: they have to.
        gives_packets: whether to give the compressed packets too; OpenCV cannot.
        channels: of the pictures that are wanted. A camera on the network that has switched to
            infrared sends grey ones: where 3 are wanted these become three equal channels. A file
            that is grey throughout stays so.
        video_stream: which of several video streams to read, from 0; None: the first that is no
            cover picture. OpenCV cannot choose.
    """

    address: str
    is_live: bool
    period_ns: int | None = None
    gives_packets: bool = False
    channels: int | None = None
    video_stream: int | None = None

    def __repr__(self) -> str:
        return f"VideoLocation(is_live={self.is_live})"


class VideoReader(Protocol):
    """Reads a video. It ends when the video does and raises nothing for bad content."""

    def __call__(self, location: VideoLocation, limits: Limits) -> Generator[VideoPart]: ...

"""What a video reader gives: pictures with their presentation times, damage, and packets."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

from sightline.limits import Limits
from sightline.records.frames import Image
from sightline.sense.frames.packets import NO_PACKET, StreamPacket
from sightline.sense.frames.reasons import FrameReason


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
    """

    address: str
    is_live: bool
    period_ns: int | None = None
    gives_packets: bool = False

    def __repr__(self) -> str:
        return f"VideoLocation(is_live={self.is_live})"


class VideoReader(Protocol):
    """Reads a video. It ends when the video does and raises nothing for bad content."""

    def __call__(self, location: VideoLocation, limits: Limits) -> Generator[VideoPart]: ...


def best_reader() -> VideoReader:
    """PyAV where it is installed (extra ``video``), else OpenCV.

    OpenCV hides which packets were corrupt and shows damaged pictures as if they were whole;
    PyAV is what a trustworthy camera needs.
    """
    if find_spec("av") is not None:
        from sightline.sense.frames.av_reader import read_with_av  # noqa: PLC0415 - an extra

        return read_with_av
    from sightline.sense.frames.opencv_reader import read_with_opencv  # noqa: PLC0415 - fallback

    return read_with_opencv


def knows_packets(reader: VideoReader) -> bool:
    """Whether a reader can give the compressed packets: PyAV can."""
    if find_spec("av") is None:
        return False
    from sightline.sense.frames.av_reader import read_with_av  # noqa: PLC0415 - an extra

    return reader is read_with_av

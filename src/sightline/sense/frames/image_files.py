"""The image files of a directory as the frames of one camera: names, times, pixels."""

from __future__ import annotations

import datetime as dt
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, get_args

import cv2
import numpy as np
import polars as pl

from sightline.errors import SourceError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.frames import Image
from sightline.records.signals import NS_PER_S
from sightline.records.windows import IntArray
from sightline.sense.contract import TimeForm, utc_ns
from sightline.sense.field_values import parse_times
from sightline.sense.frames.delivery import (
    NO_TIME_NS,
    CameraSource,
    Delivery,
    FrameFault,
    FrameItem,
)
from sightline.sense.frames.reasons import FrameReason
from sightline.sense.frames.video_parts import Damage
from sightline.sense.source import file_identity

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")

_PNG, _BMP, _JPEG = b"\x89PNG\r\n\x1a\n", b"BM", b"\xff\xd8"
_PNG_SIZE = struct.Struct(">II")  # IHDR is the first chunk; its data begins at byte 16
_BMP_SIZE = struct.Struct("<ii")  # BITMAPINFOHEADER; a negative height means top-down
_JPEG_LENGTH = struct.Struct(">H")
_JPEG_FRAME = struct.Struct(">xHH")  # precision, height, width (T.81, B.2.2)
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # past stuffed bytes and restarts
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END = 0xDA, 0xD9


def decode_image(data: bytes, *, max_frame_px: int) -> Image | Damage:
    """Pixels of a JPEG, PNG or BMP file.

    A JPEG must be whole: libjpeg paints the missing rest grey and calls that success. Flipped
    bits inside a JPEG's compressed data are mostly beyond finding.

    Args:
        data: the whole file.
        max_frame_px: largest picture that is decoded.

    Returns:
        uint8[height, width, 3] (blue, green, red), or uint8[height, width] for grey, turned as its
        EXIF asks. Damage where it is damaged, of another format, or too large.
    """
    size = _size_px(data)
    if size is None:
        return Damage(
            frames=1, reason=FrameReason.UNREADABLE, detail="damaged, or no JPEG, PNG or BMP"
        )
    if not 0 < size[0] * size[1] <= max_frame_px:
        detail = f"{size[0]} x {size[1]} px, at most {max_frame_px} px in all"
        return Damage(frames=1, reason=FrameReason.TOO_LARGE, detail=detail)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYCOLOR)
    except cv2.error:
        pixels = None
    if pixels is None:
        return Damage(frames=1, reason=FrameReason.UNREADABLE, detail="damaged image data")
    return np.asarray(pixels, np.uint8)


def _size_px(data: bytes) -> tuple[int, int] | None:
    """(width, height) by the file's header; None where it is damaged."""
    try:
        if data.startswith(_PNG):
            width, height = _PNG_SIZE.unpack_from(data, 16)
            return width, height
        if data.startswith(_BMP):
            width, height = _BMP_SIZE.unpack_from(data, 18)
            return abs(width), abs(height)
        return _jpeg_size_px(data) if data.startswith(_JPEG) else None
    except (struct.error, IndexError):
        return None


def _jpeg_size_px(data: bytes) -> tuple[int, int] | None:
    """Walk the segments from the first to the end-of-image marker (ITU-T T.81, annex B)."""
    size: tuple[int, int] | None = None
    at = 2
    while True:
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == _END:
            return size
        if marker in _FRAME_HEADERS:
            height, width = _JPEG_FRAME.unpack_from(data, at + 4)
            size = (width, height)
        at += 2 + _JPEG_LENGTH.unpack_from(data, at + 2)[0]
        if marker == _SCAN:
            following = _NEXT_MARKER.search(data, at)
            if following is None:
                return None
            at = following.start()


class ImageTimes(Protocol):
    """Gives images their capture times."""

    def capture_ns(self, names: Sequence[str]) -> IntArray:
        """int64[n], UTC ns of the images ``names`` (in order); -1 where no time is known."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RateTimes:
    """Image n is taken at ``start_ns + n / rate_hz``, unreadable images counted.

    Attributes:
        start_ns: of the first image, UTC ns.
        rate_hz: images per second.

    >>> RateTimes(start_ns=5, rate_hz=4.0).capture_ns(["a.png", "b.png"]).tolist()
    [5, 250000005]
    """

    start_ns: int
    rate_hz: float

    def __post_init__(self) -> None:
        if self.start_ns < 0 or not 0 < self.rate_hz < np.inf:
            raise _unusable("start_ns >= 0 and a finite rate_hz > 0", f"{self.rate_hz} Hz")

    def capture_ns(self, names: Sequence[str]) -> IntArray:
        offset_ns = np.rint(np.arange(len(names)) * (NS_PER_S / self.rate_hz))
        return np.asarray(offset_ns, np.int64) + self.start_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class NameTimes:
    """The time stands in the file name.

    Attributes:
        pattern: regular expression searched for in the name, with a group ``time``.
        time_format: as in a contract's event time, or a form of ``strptime`` (UTC without ``%z``).

    >>> times = NameTimes(pattern=r"_(?P<time>[0-9T]+)", time_format="%Y%m%dT%H%M%S")
    >>> times.capture_ns(["yard_19700101T000002.jpg", "yard.jpg"]).tolist()
    [2000000000, -1]
    """

    pattern: str
    time_format: str

    def __post_init__(self) -> None:
        try:
            has_time = "time" in re.compile(self.pattern).groupindex
        except re.error as error:
            raise _unusable("a regular expression", str(error)) from error
        if not has_time:
            raise _unusable("a group (?P<time>…) in the pattern", repr(self.pattern))
        _check_format(self.time_format)

    def capture_ns(self, names: Sequence[str]) -> IntArray:
        found = [re.search(self.pattern, name) for name in names]
        return _parsed([None if f is None else f["time"] for f in found], self.time_format)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTimes:
    """Times from a text file: lines ``name,time``, or one time a line in the order of the images.

    Blank lines and lines that begin with ``#`` say nothing.

    Attributes:
        path: the file, UTF-8.
        time_format: as in :class:`NameTimes`.
        limits: ``max_times_bytes``.
    """

    path: Path
    time_format: str
    limits: Limits = DEFAULT_LIMITS

    def __post_init__(self) -> None:
        _check_format(self.time_format)

    def capture_ns(self, names: Sequence[str]) -> IntArray:
        """See :class:`ImageTimes`.

        Raises:
            SourceError: the file cannot be read, is too large, or mixes the two kinds of line.
        """
        pairs = self._pairs()
        named = [len(pair) == 2 for pair in pairs]
        if all(named):
            by_name = {pair[0].strip(): pair[1].strip() for pair in pairs}
            return _parsed([by_name.get(name) for name in names], self.time_format)
        if any(named):
            raise self._unreadable("`name,time` in every line or in none", "both")
        texts = [pair[0].strip() for pair in pairs[: len(names)]]
        return _parsed([*texts, *[None] * (len(names) - len(texts))], self.time_format)

    def _pairs(self) -> list[list[str]]:
        try:
            size = self.path.stat().st_size
            if size > self.limits.max_times_bytes:
                raise self._unreadable(f"at most {self.limits.max_times_bytes} bytes", f"{size}")
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise self._unreadable("a readable UTF-8 file", type(error).__name__) from error
        told = (line for line in lines if line.strip() and not line.startswith("#"))
        return [line.rsplit(",", 1) for line in told]

    def _unreadable(self, expected: str, got: str) -> SourceError:
        return SourceError(
            expected=expected, got=got, where=str(self.path), action="mend the list of times"
        )


def _parsed(texts: Sequence[str | None], time_format: str) -> IntArray:
    if "%" in time_format:
        return np.array([_strptime_ns(text, time_format) for text in texts], np.int64)
    column = pl.Series(texts, dtype=pl.String)
    ns = parse_times(column, time_format).ns
    return ns.fill_null(NO_TIME_NS).clip(lower_bound=NO_TIME_NS).to_numpy()


def _check_format(time_format: str) -> None:
    known = get_args(TimeForm)
    if "%" not in time_format and time_format not in known:
        raise _unusable(f"{', '.join(known)} or a form with %", repr(time_format))


def _strptime_ns(text: str | None, form: str) -> int:
    if text is None:
        return NO_TIME_NS
    try:
        at = dt.datetime.strptime(text, form)
    except ValueError:
        return NO_TIME_NS
    at = at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at
    return max(utc_ns(at.isoformat()), NO_TIME_NS)


def _unusable(expected: str, got: str) -> UsageError:
    return UsageError(expected=expected, got=got, where="image times", action="mend it")


_NUMBER = re.compile(r"(\d+)")


class ImageDirectory(CameraSource):
    """The images of one directory in natural order (``2.jpg`` before ``10.jpg``).

    Durable: it can be iterated any number of times. One image is held at a time. A camera that
    switches to infrared at night writes grey images among those in colour: where the camera is one
    of colour, and any of its images is, they become three equal channels.

    Args:
        stream: name of the camera.
        folder: holds ``.jpg``, ``.jpeg``, ``.png`` and ``.bmp`` files; deeper folders are not
            read, nor hidden files (other systems put some beside the images: ``._1.jpg``).
        times: gives the capture times.
        channels: of the camera's contract; None: images stay as they are.
        limits: ``max_images``, ``max_image_bytes``, ``max_frame_px``.

    Attributes:
        names: of the images, in order.
        ignored: names of the other files that lie there; named when a run starts.

    Raises:
        SourceError: no such directory, no image in it, or too many.
    """

    durable = True

    def __init__(
        self,
        stream: str,
        folder: Path,
        *,
        times: ImageTimes,
        channels: int | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.name = stream
        self._channels = channels
        self._folder = folder
        self._times = times
        self._limits = limits
        self.names, self.ignored = self._found()

    def fingerprint(self) -> Sequence[Mapping[str, str | int]]:
        return [file_identity(name, self._folder / name) for name in self.names]

    def __iter__(self) -> Iterator[FrameItem]:
        """Raises SourceError where the list of times cannot be read."""
        delivery = Delivery(self.stream, self._folder.name)
        capture_ns = self._times.capture_ns(self.names).tolist()
        for name, at_ns in zip(self.names, capture_ns, strict=True):
            yield from self._items(delivery, name, at_ns)

    def _items(self, delivery: Delivery, name: str, at_ns: int) -> list[FrameItem]:
        def refused(reason: FrameReason, detail: str) -> list[FrameItem]:
            fault: FrameFault = delivery.refuse(reason, detail, capture_ns=at_ns, origin=name)
            return [fault]

        if at_ns < 0:
            return refused(FrameReason.TIME_MISSING, "no time is given for it")
        try:
            with (self._folder / name).open("rb") as file:
                data = file.read(self._limits.max_image_bytes + 1)
        except OSError as error:
            return refused(FrameReason.UNREADABLE, error.strerror or type(error).__name__)
        if len(data) > self._limits.max_image_bytes:
            return refused(FrameReason.TOO_LARGE, f"more than {self._limits.max_image_bytes} bytes")
        pixels = decode_image(data, max_frame_px=self._limits.max_frame_px)
        if isinstance(pixels, Damage):
            return refused(pixels.reason, pixels.detail)
        if pixels.ndim == 2 and self._channels == 3 and self._has_colour:
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        return delivery.frame(pixels, capture_ns=at_ns)

    @cached_property
    def _has_colour(self) -> bool:
        """Whether any image is in colour; looked for where the first grey one comes."""
        for name in self.names:
            try:
                with (self._folder / name).open("rb") as file:
                    data = file.read(self._limits.max_image_bytes)
            except OSError:
                continue
            pixels = decode_image(data, max_frame_px=self._limits.max_frame_px)
            if not isinstance(pixels, Damage) and pixels.ndim == 3:
                return True
        return False

    def _found(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(images in natural order, other files)."""
        where = f"stream {self.stream}, {self._folder}"
        try:
            names = [path.name for path in self._folder.iterdir() if path.is_file()]
        except OSError as error:
            raise SourceError(
                expected="a directory of images",
                got=error.strerror or type(error).__name__,
                where=where,
                action="check the path",
            ) from error
        images = [
            name
            for name in names
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
        ]
        if not 0 < len(images) <= self._limits.max_images:
            raise SourceError(
                expected=f"1 to {self._limits.max_images} files in {', '.join(IMAGE_SUFFIXES)}",
                got=str(len(images)),
                where=where,
                action="name another directory, or split it",
            )
        others = set(names) - set(images)
        return tuple(sorted(images, key=_natural)), tuple(sorted(others))


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    # Numbers by value, texts as they are; the name itself decides between 1.png and 01.png.
    parts = _NUMBER.split(name)
    return [(int(p), "") if i % 2 else (0, p) for i, p in enumerate(parts)], name

"""Videos: which reader decodes them, the one by OpenCV, and the file as a camera."""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, BinaryIO, Self

import cv2
import numpy as np
from pydantic import BeforeValidator, Field, TypeAdapter, model_validator

from sightline.errors import SourceError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.signals import NS_PER_S
from sightline.sense.contract import Instant, Seconds, to_ns, utc_ns
from sightline.sense.frames.delivery import CameraSource, Delivery, FrameItem, note_shown
from sightline.sense.frames.frame_contract import FrameContract
from sightline.sense.frames.image_files import (
    ImageDirectory,
    ImageTimes,
    ListedTimes,
    NameTimes,
    RateTimes,
)
from sightline.sense.frames.reasons import FrameReason
from sightline.sense.frames.video_parts import (
    Damage,
    PacketTape,
    Picture,
    StreamPacket,
    VideoLocation,
    VideoPart,
    VideoReader,
)
from sightline.sense.source import SourceOptions, Surroundings, file_identity, path_of

_NS_PER_MS = NS_PER_S // 1000
_MOST_COUNTED = 1e9
"""Frames of a file; a number beyond is none."""
_CONSTANT_RATE = ".avi"  # has no presentation times, and OpenCV gives those of decoding


def read_with_opencv(location: VideoLocation, limits: Limits) -> Generator[VideoPart]:
    """Pictures of the first video stream, in presentation order, turned by quarter turns.

    OpenCV knows nothing of mirrored pictures and of further streams. It skips packets it cannot
    decode without saying so, and shows what the decoder made up for damaged ones: such frames are
    not refused here, and a file that gives fewer frames than it announces is TRUNCATED, whatever
    the cause. Times are rounded to its microseconds.
    """
    reason = FrameReason.NO_CONNECTION if location.is_live else FrameReason.UNREADABLE
    lost = 0 if location.is_live else 1
    settings = []
    if location.is_live:
        settings = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(limits.open_timeout_s * 1000)),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(limits.read_timeout_s * 1000)),
        ]
    capture = cv2.VideoCapture(location.address, cv2.CAP_FFMPEG, settings)
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    try:
        if location.video_stream is not None:
            detail = "to choose a video stream, install the extra `video`"
            yield Damage(reason=reason, detail=detail, frames=lost)
            return
        if not capture.isOpened():
            yield Damage(reason=reason, detail="OpenCV cannot open it", frames=lost)
            return
        width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > limits.max_frame_px:
            detail = f"{width} x {height} px"
            yield Damage(reason=FrameReason.TOO_LARGE, detail=detail, frames=1)
            return
        period_ns = location.period_ns
        if location.address.lower().endswith(_CONSTANT_RATE):
            period_ns = round(NS_PER_S / capture.get(cv2.CAP_PROP_FPS))
        count = 0
        while True:
            is_read, pixels = capture.read()
            if not is_read:
                break
            at_ns = round(capture.get(cv2.CAP_PROP_POS_MSEC) * _NS_PER_MS)
            if period_ns is not None:
                pts_ns: int | None = count * period_ns
            elif location.is_live or (at_ns <= 0 and count):
                pts_ns = None
            else:
                pts_ns = at_ns
            yield Picture(pixels=np.asarray(pixels, np.uint8), pts_ns=pts_ns)
            count += 1
        announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    finally:
        capture.release()
    if location.is_live:
        yield Damage(reason=reason, detail="the stream ended", frames=0)
    elif announced > count:
        detail = f"{count} of {announced} announced frames"
        yield Damage(reason=FrameReason.TRUNCATED, detail=detail, frames=1)


def best_reader() -> VideoReader:
    """PyAV where it is installed (extra ``video``), else OpenCV.

    OpenCV hides which packets were corrupt and shows damaged pictures as if they were whole;
    PyAV is what a trustworthy camera needs.
    """
    if find_spec("av") is not None:
        from sightline.sense.frames.av_video import read_with_av  # noqa: PLC0415 - an extra

        return read_with_av
    return read_with_opencv


def knows_packets(reader: VideoReader) -> bool:
    """Whether a reader can give the compressed packets: PyAV can."""
    if find_spec("av") is None:
        return False
    from sightline.sense.frames.av_video import read_with_av  # noqa: PLC0415 - an extra

    return reader is read_with_av


CREATION = "creation"
"""For a time: what the file says of itself."""


def _start(value: object) -> object:
    return value if value == CREATION else TypeAdapter(Instant).validate_python(value)


Start = Annotated[str, BeforeValidator(_start)]


class RecordingOptions(SourceOptions):
    """Options of a video file and of a directory of images."""

    start: Start = "1970-01-01T00:00:00Z"
    """When the first frame was taken; ``creation``: as the video itself says."""
    start_s: Seconds = 0.0
    """Seconds after ``start`` at which the recording began. Where several recordings have only to
    be laid beside each other: what each began later than the first."""
    rate_hz: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Frames per second where the recording carries no times; by default the contract's."""
    time_in_name: str | None = None
    """Images: regular expression with a group ``time``, searched for in the file's name."""
    times_file: Path | None = None
    """Images: text file with lines ``name,time``, or one time a line in the order of the images."""
    time_format: str = "iso8601"
    """Of those times: as in a contract's event time, or a form of ``strptime``."""
    video_stream: Annotated[int, Field(ge=0)] | None = None
    """Videos: which of several video streams is read, from 0; by default the first."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.time_in_name is not None and self.times_file is not None:
            raise ValueError("`time_in_name` or `times_file`, not both")
        return self

    def image_times(self, rate_hz: float, limits: Limits) -> ImageTimes:
        """When the images of a directory were taken."""
        if self.time_in_name is not None:
            return NameTimes(pattern=self.time_in_name, time_format=self.time_format)
        if self.times_file is not None:
            return ListedTimes(path=self.times_file, time_format=self.time_format, limits=limits)
        return RateTimes(start_ns=self.start_ns(None), rate_hz=rate_hz)

    def start_ns(self, creation_ns: int | None) -> int:
        """When the first frame was taken, UTC ns.

        Args:
            creation_ns: by the word of the file, UTC ns; None where it says nothing.

        Raises:
            UsageError: the file was to say it, and does not.
        """
        if self.start != CREATION:
            return utc_ns(self.start) + to_ns(self.start_s)
        if creation_ns is None:
            raise UsageError(
                expected="a video that says when it was made",
                got="none",
                where="start: creation",
                action="give the time: start: 2026-05-01T10:00:00Z",
            )
        return creation_ns + to_ns(self.start_s)


class VideoFile(CameraSource):
    """Every frame of a video file, in order, taken at ``start_ns`` plus its presentation time.

    Durable: it can be iterated any number of times and gives the same frames. One decoded
    picture is held at a time.

    Args:
        stream: name of the camera.
        path: the file, in any container and codec that FFmpeg reads.
        start_ns: capture time of the file's first frame, UTC ns, at least 0.
        rate_hz: frame rate to assume where the file carries no times (raw H.264); None: such
            frames are refused TIME_MISSING.
        video_stream: which of several video streams is read, from 0; None: the first.
        limits: of pictures and of recovery after damage.
        reader: decodes; by default PyAV, or OpenCV where PyAV is not installed.

    Raises:
        SourceError: there is no such file.
        UsageError: a start or a rate that cannot be.
    """

    schemes = ("file",)
    Options = RecordingOptions
    durable = True

    @classmethod
    def open(
        cls,
        location: str,
        *,
        name: str,
        contract: FrameContract,
        options: RecordingOptions,
        surroundings: Surroundings,
    ) -> CameraSource:
        """A video file, or the images of a directory."""
        path = path_of(location)
        rate_hz = options.rate_hz or contract.rate_hz
        if path.is_dir():
            return ImageDirectory(
                name,
                path,
                times=options.image_times(rate_hz, surroundings.limits),
                channels=contract.channels,
                limits=surroundings.limits,
            )
        made = cls(
            name,
            path,
            rate_hz=rate_hz,
            video_stream=options.video_stream,
            limits=surroundings.limits,
        )
        made._start_ns = options.start_ns(made.creation_ns if options.start == CREATION else None)
        return made

    def __init__(
        self,
        stream: str,
        path: Path,
        *,
        start_ns: int = 0,
        rate_hz: float | None = None,
        video_stream: int | None = None,
        limits: Limits = DEFAULT_LIMITS,
        reader: VideoReader | None = None,
    ) -> None:
        if not path.is_file():
            raise SourceError(
                expected="a video file",
                got="a directory" if path.is_dir() else "nothing",
                where=f"stream {stream}, {path}",
                action="check the path",
            )
        if start_ns < 0 or (rate_hz is not None and not rate_hz > 0):
            raise UsageError(
                expected="start_ns >= 0 and rate_hz > 0",
                got=f"start_ns={start_ns}, rate_hz={rate_hz}",
                where=f"stream {stream}, {path}",
                action="mend the numbers",
            )
        self.name = stream
        self._path = path
        self._start_ns = start_ns
        self._video_stream = video_stream
        self._period_ns = None if rate_hz is None else round(NS_PER_S / rate_hz)
        self._limits = limits
        self._reader = reader or best_reader()
        self._tape: PacketTape | None = None

    @property
    def gives_packets(self) -> bool:
        return knows_packets(self._reader)

    def record_packets(self, tape: PacketTape) -> None:
        self._tape = tape

    @property
    def start_ns(self) -> int:
        """Capture time of its first frame, UTC ns."""
        return self._start_ns

    @property
    def frame_count(self) -> int | None:
        """How many frames the file says it has; None where it does not."""
        capture = cv2.VideoCapture(str(self._path.absolute()), cv2.CAP_FFMPEG)
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        capture.release()
        return round(count) if 0 < count < _MOST_COUNTED else None

    @property
    def creation_ns(self) -> int | None:
        """When the recording began by its own word, UTC ns; None where it says nothing.

        Nothing without PyAV, as OpenCV does not tell.
        """
        if find_spec("av") is None:
            return None
        from sightline.sense.frames.av_video import creation_ns  # noqa: PLC0415 - an extra

        return creation_ns(self._path)

    def fingerprint(self) -> Sequence[Mapping[str, str | int]]:
        return [file_identity(self._path.name, self._path)]

    def __iter__(self) -> Iterator[FrameItem]:
        tape = self._tape
        location = VideoLocation(
            address=str(self._path.absolute()),
            is_live=False,
            period_ns=self._period_ns,
            gives_packets=tape is not None,
            video_stream=self._video_stream,
        )
        delivery = Delivery(self.stream, self._path.name, period_ns=self._period_ns)
        for part in self._reader(location, self._limits):
            if isinstance(part, StreamPacket):
                if tape is not None:
                    tape.add(part)
            elif isinstance(part, Damage):
                detail = part.detail
                if part.reason is FrameReason.UNREADABLE:
                    detail = why_unreadable(self._path, detail)
                yield delivery.refuse(part.reason, detail, frames=part.frames)
            elif part.pts_ns is None:
                yield delivery.refuse(FrameReason.TIME_MISSING, "give the video's frame rate")
            else:
                items = delivery.frame(part.pixels, capture_ns=self._start_ns + part.pts_ns)
                if tape is not None:
                    note_shown(tape, part, items)
                yield from items
        if tape is not None:
            tape.end()


# --- files of which nothing can be read -----------------------------------------------------------

_HEAD_BYTES = 4096
_MOST_BOXES = 4096
_BOX = struct.Struct(">I4s")  # ISO/IEC 14496-12, 4.2
_LARGE_SIZE = struct.Struct(">Q")
_FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})


def why_unreadable(path: Path, said: str) -> str:
    """What is wrong with a file that no video reader opens.

    Args:
        path: the file.
        said: what the reader said, which is taken where nothing better is known.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            if not size:
                return "the file is empty"
            if head[4:8] in _FIRST_BOXES and not _has_movie_box(file, size):
                return "moov atom not found: the recording was cut off before its end"
    except OSError as error:
        return error.strerror or said
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        return "a web page or XML, no video: was a login page saved?"
    if not head.strip(b"\x00"):
        return "nothing but zeros: the recording was never written"
    return said


def _has_movie_box(file: BinaryIO, size: int) -> bool:
    """Whether one of the boxes at the top is ``moov``, without which nothing can be decoded."""
    at = 0
    for _ in range(_MOST_BOXES):
        if at + _BOX.size > size:
            return False
        file.seek(at)
        length, kind = _BOX.unpack(file.read(_BOX.size))
        if kind == b"moov":
            return bool(at + length <= size)
        if length == 1:
            large = file.read(_LARGE_SIZE.size)
            if len(large) < _LARGE_SIZE.size:
                return False
            (length,) = _LARGE_SIZE.unpack(large)
        if length < _BOX.size:
            return False  # 0: the last one, to the end of the file
        at += length
    return False

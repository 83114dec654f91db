"""The frames of a video file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from sightline.errors import SourceError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.signals import NS_PER_S
from sightline.sense.contract_form import Instant, utc_ns
from sightline.sense.frames.delivery import CameraSource, Delivery, FrameItem, note_shown
from sightline.sense.frames.frame_contract import FrameContract
from sightline.sense.frames.image_directory import ImageDirectory
from sightline.sense.frames.image_times import RateTimes
from sightline.sense.frames.packets import PacketTape, StreamPacket
from sightline.sense.frames.reasons import FrameReason
from sightline.sense.frames.video_parts import (
    Damage,
    VideoLocation,
    VideoReader,
    best_reader,
    knows_packets,
)
from sightline.sense.source import SourceOptions, Surroundings, file_identity, path_of


class RecordingOptions(SourceOptions):
    """Options of a video file and of a directory of images."""

    start: Instant = "1970-01-01T00:00:00Z"
    """When the first frame was taken."""
    rate_hz: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Frames per second where the recording carries no times; by default the contract's."""


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
        path, start_ns = path_of(location), utc_ns(options.start)
        rate_hz = options.rate_hz or contract.rate_hz
        if path.is_dir():
            times = RateTimes(start_ns=start_ns, rate_hz=rate_hz)
            return ImageDirectory(name, path, times=times, limits=surroundings.limits)
        return cls(name, path, start_ns=start_ns, rate_hz=rate_hz, limits=surroundings.limits)

    def __init__(
        self,
        stream: str,
        path: Path,
        *,
        start_ns: int = 0,
        rate_hz: float | None = None,
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
        self._period_ns = None if rate_hz is None else round(NS_PER_S / rate_hz)
        self._limits = limits
        self._reader = reader or best_reader()
        self._tape: PacketTape | None = None

    @property
    def gives_packets(self) -> bool:
        """Whether :meth:`record_packets` can be called: the reader is PyAV."""
        return knows_packets(self._reader)

    def record_packets(self, tape: PacketTape) -> None:
        """Put the packets of what is read from now on onto ``tape``."""
        self._tape = tape

    def fingerprint(self) -> Sequence[Mapping[str, str | int]]:
        return [file_identity(self._path.name, self._path)]

    def __iter__(self) -> Iterator[FrameItem]:
        tape = self._tape
        location = VideoLocation(
            address=str(self._path.absolute()),
            is_live=False,
            period_ns=self._period_ns,
            gives_packets=tape is not None,
        )
        delivery = Delivery(self.stream, self._path.name)
        for part in self._reader(location, self._limits):
            if isinstance(part, StreamPacket):
                if tape is not None:
                    tape.add(part)
            elif isinstance(part, Damage):
                yield delivery.refuse(part.reason, part.detail, frames=part.frames)
            elif part.pts_ns is None:
                yield delivery.refuse(FrameReason.TIME_MISSING, "give the video's frame rate")
            else:
                items = delivery.frame(part.pixels, capture_ns=self._start_ns + part.pts_ns)
                if tape is not None:
                    note_shown(tape, part, items)
                yield from items
        if tape is not None:
            tape.end()

"""Pictures to a video file, each shown at its own time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from sightline.errors import StorageError, UsageError, writing
from sightline.records.frames import Image

_TICKS_PER_S = 90_000  # the clock of MPEG
_H264 = "libx264"
_QUALITY = {"crf": "20", "preset": "veryfast"}
_MPEG4_BITS_PER_S = 6_000_000


class Movie(Protocol):
    """A video that is being written."""

    def add(self, picture: Image, at_s: float) -> None:
        """The next picture, uint8[height, width, 3]; later than the one before, in s."""
        ...


@contextmanager
def movie(path: Path, *, size_px: tuple[int, int], rate_hz: float) -> Iterator[Movie]:
    """Write a video; it takes its name when it is whole, so a broken one never stands there.

    With PyAV (extra ``video``) H.264 where that is built in, else MPEG-4, and each picture has its
    time. Without PyAV OpenCV writes MPEG-4 at the fixed rate ``rate_hz``: times that are not on
    its grid are lost.

    Args:
        path: ends in ``.mp4``; an existing file is replaced.
        size_px: (width, height), even.
        rate_hz: nominal.

    Raises:
        UsageError: another ending.
        StorageError: it cannot be written.
    """
    if path.suffix.lower() != ".mp4":
        raise UsageError(
            expected="a name that ends in .mp4, or .png for a still",
            got=path.name,
            where="-o",
            action="choose another name",
        )
    unfinished = path.with_name(f"{path.stem}.unfinished.mp4")
    try:
        with writing(path):
            with _writer(unfinished, size_px, rate_hz) as writer:
                yield writer
            unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _writer(
    path: Path, size_px: tuple[int, int], rate_hz: float
) -> AbstractContextManager[TimedMovie | FixedRateMovie]:
    try:
        import av  # noqa: F401, PLC0415 - an extra
    except ImportError:
        return closing(FixedRateMovie(path, size_px, rate_hz))
    return closing(TimedMovie(path, size_px, rate_hz))


class TimedMovie:
    """Written by PyAV.

    Args:
        path: of the file.
        size_px: (width, height), even.
        rate_hz: nominal; the times of the pictures count.
    """

    def __init__(self, path: Path, size_px: tuple[int, int], rate_hz: float) -> None:
        import av  # noqa: PLC0415 - an extra

        is_h264 = _H264 in av.codecs_available
        self._frame = av.VideoFrame.from_ndarray
        self._container = av.open(str(path), "w", format="mp4")
        rate = Fraction(rate_hz).limit_denominator(1000)
        stream = self._container.add_stream(_H264 if is_h264 else "mpeg4", rate=rate)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size_px
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, _TICKS_PER_S)
        if is_h264:
            stream.options = dict(_QUALITY)
        else:
            stream.codec_context.bit_rate = _MPEG4_BITS_PER_S
        self._stream = stream
        self._pts = -1

    def add(self, picture: Image, at_s: float) -> None:
        """See :class:`Movie`."""
        frame = self._frame(picture, format="bgr24")
        # Two pictures less than a tick apart keep their order.
        self._pts = max(round(at_s * _TICKS_PER_S), self._pts + 1)
        frame.pts, frame.time_base = self._pts, Fraction(1, _TICKS_PER_S)
        with _as_os_error():
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what is left."""
        with _as_os_error():
            if self._pts >= 0:
                self._container.mux(self._stream.encode(None))
            self._container.close()


@contextmanager
def _as_os_error() -> Iterator[None]:
    """What FFmpeg fails at, as any file that cannot be written: not all its errors are OSError."""
    import av  # noqa: PLC0415 - an extra

    try:
        yield
    except av.FFmpegError as error:
        raise OSError(error.errno, error.strerror) from error


class FixedRateMovie:
    """Written by OpenCV.

    Args:
        path: of the file.
        size_px: (width, height), even.
        rate_hz: of the file.

    Raises:
        StorageError: OpenCV cannot write there.
    """

    def __init__(self, path: Path, size_px: tuple[int, int], rate_hz: float) -> None:
        code = cv2.VideoWriter.fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(str(path), code, rate_hz, size_px)
        if not self._writer.isOpened():
            raise StorageError(
                expected="a video file that OpenCV can write",
                got="nothing",
                where=str(path),
                action="check the folder, or install sightline[video]",
            )

    def add(self, picture: Image, at_s: float) -> None:
        """See :class:`Movie`; ``at_s`` is not heeded."""
        self._writer.write(np.ascontiguousarray(picture))

    def close(self) -> None:
        """Write what is left."""
        self._writer.release()

"""The images of a directory as the frames of one camera."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sightline.errors import SourceError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.sense.frames.delivery import CameraSource, Delivery, FrameFault, FrameItem
from sightline.sense.frames.image_decoding import IMAGE_SUFFIXES, decode_image
from sightline.sense.frames.image_times import ImageTimes
from sightline.sense.frames.reasons import FrameReason
from sightline.sense.frames.video_parts import Damage
from sightline.sense.source import file_identity

_NUMBER = re.compile(r"(\d+)")


class ImageDirectory(CameraSource):
    """The images of one directory in natural order (``2.jpg`` before ``10.jpg``).

    Durable: it can be iterated any number of times. One image is held at a time.

    Args:
        stream: name of the camera.
        folder: holds ``.jpg``, ``.jpeg``, ``.png`` and ``.bmp`` files; deeper folders are not
            read.
        times: gives the capture times.
        limits: ``max_images``, ``max_image_bytes``, ``max_frame_px``.

    Attributes:
        ignored: names of the other files that lie there, for the run's report.

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
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.name = stream
        self._folder = folder
        self._times = times
        self._limits = limits
        self._names, self.ignored = self._found()

    def fingerprint(self) -> Sequence[Mapping[str, str | int]]:
        return [file_identity(name, self._folder / name) for name in self._names]

    def __iter__(self) -> Iterator[FrameItem]:
        """Raises SourceError where the list of times cannot be read."""
        delivery = Delivery(self.stream, self._folder.name)
        capture_ns = self._times.capture_ns(self._names).tolist()
        for name, at_ns in zip(self._names, capture_ns, strict=True):
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
        return delivery.frame(pixels, capture_ns=at_ns)

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
        images = [name for name in names if name.lower().endswith(IMAGE_SUFFIXES)]
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

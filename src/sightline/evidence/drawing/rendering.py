"""A run as a video, or one moment of it as a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from sightline.errors import SourceError, StorageError, UsageError, writing
from sightline.evidence.drawing.composition import SiteLayout, draw_site
from sightline.evidence.drawing.scenes import NOT_KEPT, CameraScene, SiteScene, run_scenes
from sightline.evidence.log_replay import check_has_cameras
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries
from sightline.records import Frame
from sightline.records.frames import Image
from sightline.runtime import RunDirectory
from sightline.runtime.engine.frame_shell import pixel_digest
from sightline.runtime.pictures.logged_pictures import (
    PICTURE_KINDS,
    LoggedPicture,
    LoggedPictures,
)
from sightline.sense.frames.delivery import FrameItem, FrameSource

LONGEST_PAUSE_S = 10.0
"""A time without a picture is shown at most that long: nobody watches a night in which nothing
came, and MP4 holds a picture for 6.6 h at most."""
_PNG_SMALL = [cv2.IMWRITE_PNG_COMPRESSION, 9]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What was drawn.

    Attributes:
        path: of the file.
        pictures: how many it has.
        with_picture, without: pictures of cameras that were found, or drawn as a grey ground.
        at_s: time of the last of them, from the first frame of the run.
        size_px: (width, height).
        gaps: times without a picture that were longer than ``LONGEST_PAUSE_S`` and are shown as
            long as that; each picture has its own time written on it.
    """

    path: Path
    pictures: int
    with_picture: int
    without: int
    at_s: float
    size_px: tuple[int, int]
    gaps: int = 0


def render_video(
    run: RunDirectory,
    out: Path,
    *,
    sources: Mapping[str, FrameSource] | None = None,
    on_progress: Callable[[int], None] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Rendered:
    """Draw a whole run. Memory is bounded by one picture per camera.

    Args:
        run: of a site.
        out: ``.mp4``.
        sources: recordings for pictures that the log lacks, by camera.
        on_progress: called with the number of pictures drawn so far.
        limits: bounds.

    Raises:
        UsageError: a run of rows, without a frame, another ending, or a camera it does not have.
        SourceError: a recording has other pictures.
        LogError: the log is damaged, or does not replay.
        StorageError: the file cannot be written.
    """
    pictures = RunPictures(run, sources or {}, limits=limits)
    layout = SiteLayout.of(run.plan)
    rate_hz = max(camera.contract.rate_hz for camera in run.plan.cameras.values())
    count, found, missing, at_s, gaps, cut_s = 0, 0, 0, 0.0, 0, 0.0
    with movie(out, size_px=layout.size_px, rate_hz=rate_hz) as file:
        for scene in run_scenes(run, limits=limits):
            shown = pictures.shown(scene)
            if count and shown.at_s - at_s > LONGEST_PAUSE_S:
                gaps, cut_s = gaps + 1, cut_s + shown.at_s - at_s - LONGEST_PAUSE_S
            file.add(draw_site(shown, layout), shown.at_s - cut_s)
            kept = sum(camera.picture is not None for camera in shown.cameras)
            count, found, at_s = count + 1, found + kept, shown.at_s
            missing += len(shown.cameras) - kept
            if on_progress is not None:
                on_progress(count)
        if not count:
            raise nothing_to_draw(run)
    return Rendered(
        path=out,
        pictures=count,
        with_picture=found,
        without=missing,
        at_s=at_s,
        size_px=layout.size_px,
        gaps=gaps,
    )


def render_still(
    run: RunDirectory,
    out: Path,
    *,
    at_s: float,
    sources: Mapping[str, FrameSource] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Rendered:
    """Draw the last picture at or before ``at_s`` seconds after the first frame into a PNG.

    Args:
        run: of a site.
        out: ``.png``; an existing file is replaced.
        at_s: at least 0, not after the last picture.
        sources: recordings for pictures that the log lacks, by camera.
        limits: bounds.

    Raises:
        UsageError, SourceError, LogError, StorageError: as :func:`render_video`; a time outside
            the run.
    """
    if out.suffix.lower() != ".png":
        raise UsageError(
            expected="a name that ends in .png, for a still",
            got=out.name,
            where="-o",
            action="choose another name",
        )
    scene = RunPictures(run, sources or {}, limits=limits).shown(scene_at(run, at_s, limits=limits))
    layout = SiteLayout.of(run.plan)
    write_png(out, draw_site(scene, layout))
    found = sum(camera.picture is not None for camera in scene.cameras)
    return Rendered(
        path=out,
        pictures=1,
        with_picture=found,
        without=len(scene.cameras) - found,
        at_s=scene.at_s,
        size_px=layout.size_px,
    )


def scene_at(run: RunDirectory, at_s: float, *, limits: Limits = DEFAULT_LIMITS) -> SiteScene:
    """The last scene at or before ``at_s``, without pictures.

    Raises:
        UsageError: a time outside the run.
        LogError: the log is damaged, or does not replay.
    """
    if not at_s >= 0:  # also NaN
        raise _outside(run, at_s, "the end of the run")
    last: SiteScene | None = None
    for scene in run_scenes(run, limits=limits):
        if last is not None and scene.at_s > at_s:
            break
        last = scene
    else:
        if last is not None and at_s > last.at_s:
            raise _outside(run, at_s, f"the end of the run, {last.at_s:.2f} s")
    if last is None:
        raise nothing_to_draw(run)
    return last


def write_png(path: Path, image: Image) -> None:
    """Write a drawing; an existing file is replaced.

    Raises:
        StorageError: it cannot be written.
    """
    is_done, data = cv2.imencode(".png", image, _PNG_SMALL)
    assert is_done
    with writing(path):
        path.write_bytes(data.tobytes())


def _outside(run: RunDirectory, at_s: float, end: str) -> UsageError:
    return UsageError(
        expected=f"a time from 0 s to {end}",
        got=f"{at_s:g} s",
        where=f"--at, {run.path}",
        action="give seconds from the first frame",
    )


def nothing_to_draw(run: RunDirectory) -> UsageError:
    """The error of a run without a frame."""
    return UsageError(
        expected="a run with at least one frame",
        got="none",
        where=str(run.path),
        action="check that its cameras gave anything, with `sightline verify`",
    )


class RunPictures:
    """Finds the pictures of scenes, which must come in the order of the run.

    Holds one picture per camera. The log is read once per camera.

    Args:
        run: of a site.
        sources: by camera, recordings of what the run saw, for pictures that the log lacks.
        limits: bounds.

    Raises:
        UsageError: a source for a camera that the run does not have.
    """

    def __init__(
        self,
        run: RunDirectory,
        sources: Mapping[str, FrameSource],
        *,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        check_has_cameras(run)
        unknown = set(sources) - set(run.plan.cameras)
        if unknown:
            raise UsageError(
                expected=f"sources of cameras {', '.join(sorted(run.plan.cameras))}",
                got=", ".join(sorted(unknown)),
                where=str(run.path),
                action="give cameras of the run",
            )
        keeps = run.plan.pipeline.images.keep != "digest"
        self._cameras = {
            name: _CameraPictures(run, name, sources.get(name), keeps=keeps, limits=limits)
            for name in run.plan.cameras
        }

    def shown(self, scene: SiteScene) -> SiteScene:
        """The scene with the pictures that can be found.

        Raises:
            SourceError: a recording has another picture in the place of a frame, or none.
            LogError: the log, or a picture in it, is damaged; or packets are decoded here to
                another picture than in the run.
            UsageError: packets, and no decoder for them is installed.
        """
        cameras = [self._cameras[camera.name].shown(camera) for camera in scene.cameras]
        return replace(scene, cameras=tuple(cameras))


class _CameraPictures:
    def __init__(
        self,
        run: RunDirectory,
        name: str,
        source: FrameSource | None,
        *,
        keeps: bool,
        limits: Limits,
    ) -> None:
        self._where = f"camera {name} of {run.path}"
        self._images = _logged(run, name, limits) if keeps else iter(())
        self._image = next(self._images, None)
        self._items: Iterator[FrameItem] | None = None if source is None else iter(source)
        self._index = -1
        self._picture: Image | None = None

    def shown(self, camera: CameraScene) -> CameraScene:
        if camera.index < 0:
            return camera
        if camera.index != self._index:
            self._picture = self._from_log(camera)
            if self._picture is None and self._items is not None:
                self._picture = self._from_source(camera, self._items)
            self._index = camera.index
        return replace(camera, picture=self._picture, note=NOT_KEPT)

    def _from_log(self, camera: CameraScene) -> Image | None:
        while self._image is not None and self._image.capture_ns < camera.capture_ns:
            self._image = next(self._images, None)
        image = self._image
        if image is None or image.capture_ns != camera.capture_ns:
            return None
        if image.logged is None:  # a file: JPEG is not bit by bit what was looked at
            return image.pixels()
        return image.frame(index=camera.index, received_ns=0, digest=camera.digest).pixels

    def _from_source(self, camera: CameraScene, items: Iterator[FrameItem]) -> Image:
        """The frame of the same number; another picture is no evidence and is refused."""
        for item in items:
            if not isinstance(item, Frame) or item.index < camera.index:
                continue
            digest = pixel_digest(item) if item.index == camera.index else "none"
            if digest == camera.digest:
                return item.pixels
            self._refuse(camera, f"frame {item.index} with digest {pixel_digest(item)}")
        self._refuse(camera, "the end of the recording")
        raise AssertionError

    def _refuse(self, camera: CameraScene, got: str) -> None:
        raise SourceError(
            expected=f"frame {camera.index} with pixel digest {camera.digest}, as logged",
            got=got,
            where=self._where,
            action="give the recording that the run was made from, unchanged, read with the "
            "same decoder; or leave --source out",
        )


def _logged(run: RunDirectory, camera: str, limits: Limits) -> Iterator[LoggedPicture]:
    """Each picture of a camera that the log kept, ascending; some twice where it was resumed."""
    pictures = LoggedPictures()
    entries = read_entries(
        run.storage,
        run.partitions[0],
        kinds=PICTURE_KINDS,
        skip_pruned=True,
        limits=limits,
    )
    for entry in entries:
        if entry.name == camera:
            yield from pictures.take(entry)
    yield from pictures.rest()


# --- the file of a video --------------------------------------------------------------------------
# Pictures to a video file, each shown at its own time.

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

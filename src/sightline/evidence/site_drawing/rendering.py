"""A run as a video, or one moment of it as a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2

from sightline.errors import StorageError, UsageError
from sightline.evidence.site_drawing.composition import SiteLayout, draw_site
from sightline.evidence.site_drawing.movie import movie
from sightline.evidence.site_drawing.pictures import RunPictures
from sightline.evidence.site_drawing.run_scenes import run_scenes
from sightline.evidence.site_drawing.scene import SiteScene
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.frames import Image
from sightline.runtime import RunDirectory
from sightline.sense.frames.delivery import FrameSource

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
    """

    path: Path
    pictures: int
    with_picture: int
    without: int
    at_s: float
    size_px: tuple[int, int]


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
    layout = SiteLayout.of(run.site)
    rate_hz = max(camera.contract.rate_hz for camera in run.site.cameras.values())
    count, found, missing, at_s = 0, 0, 0, 0.0
    with movie(out, size_px=layout.size_px, rate_hz=rate_hz) as file:
        for scene in run_scenes(run, limits=limits):
            shown = pictures.shown(scene)
            file.add(draw_site(shown, layout), shown.at_s)
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
    layout = SiteLayout.of(run.site)
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
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise StorageError(
            expected="a file that can be written",
            got=error.strerror or type(error).__name__,
            where=str(path),
            action="check the folder and the free space",
        ) from error


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

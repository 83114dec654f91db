"""What ``sightline init`` writes of a video or a camera: a site with one zone, to run at once."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sightline.cli.init_model import SeenModel, model_lines, said_of_model
from sightline.errors import SourceError
from sightline.limits import DEFAULT_LIMITS
from sightline.records.signals import NS_PER_S
from sightline.sense.frames.image_files import ImageDirectory, RateTimes
from sightline.sense.frames.part_pictures import Refused, read_picture
from sightline.sense.frames.usual_view import view_print
from sightline.sense.frames.video_file import best_reader, why_unreadable
from sightline.sense.frames.video_parts import Damage, Picture, VideoLocation

VIDEOS = (".mp4", ".mkv", ".avi", ".mov", ".webm", ".ts", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv")
LIVE = ("rtsp", "rtsps", "http", "https")
_FRAMES_SEEN = 60
_MOST_PARTS = 5_000
"""Of a stream that are looked at until there are enough pictures; damage counts too."""
_ASSUMED_RATE_HZ = 25.0
_MAX_AGE_S = 1.0
_BGR_ORANGE = (0, 140, 255)
DESK = (
    "# What a person is told: repeats are counted, one cause is one message, `sightline alert`",
    "# acknowledges and shelves. The settings: docs/alerting.md",
    "alerting: {tell_ends: true}",
)
"""The alert desk, for the end of a pipeline."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeenCamera:
    """What the first pictures of a camera show.

    Attributes:
        first: uint8[height, width] or uint8[height, width, 3] (blue, green, red), turned as the
            recording asks.
        rate_hz: frames per second; 25 where the pictures carry no times.
        frames: how many were looked at.
    """

    first: npt.NDArray[np.uint8]
    rate_hz: float
    frames: int

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height."""
        return self.first.shape[1], self.first.shape[0]

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return 1 if self.first.ndim == 2 else self.first.shape[2]


def look(location: str, *, is_live: bool, shown: str, rate_hz: float | None = None) -> SeenCamera:
    """The first pictures at ``location``.

    Args:
        location: a path, or an address, which may hold a password.
        is_live: whether it is a camera on the network.
        shown: names it in errors, without a password.
        rate_hz: of the pictures of a folder; None: it is no folder.

    Raises:
        SourceError: there is no picture, with the reason.
    """
    if rate_hz is not None:
        return _look_at_folder(Path(location), rate_hz)
    if not is_live and not Path(location).is_file():
        raise SourceError(expected="a file", got="nothing", where=shown, action="check the path")
    address = location if is_live else str(Path(location).absolute())
    first, pts_ns, why = None, [], "no picture"
    parts = best_reader()(VideoLocation(address=address, is_live=is_live), DEFAULT_LIMITS)
    for count, part in enumerate(parts):
        if isinstance(part, Damage):
            why = part.detail if is_live else why_unreadable(Path(location), part.detail)
        elif isinstance(part, Picture):
            first = part.pixels if first is None else first
            pts_ns.append(part.pts_ns)
        if len(pts_ns) >= _FRAMES_SEEN or count >= _MOST_PARTS:
            break
    parts.close()
    if first is None:
        raise SourceError(
            expected="a video or a camera with pictures",
            got=why,
            where=shown,
            action="check the address and its password" if is_live else "give another file",
        )
    steps = np.diff(np.array([at for at in pts_ns if at is not None], np.int64))
    steps = steps[steps > 0]
    rate_hz = NS_PER_S / float(np.median(steps)) if len(steps) else _ASSUMED_RATE_HZ
    return SeenCamera(first=np.array(first), rate_hz=rate_hz, frames=len(pts_ns))


def _look_at_folder(folder: Path, rate_hz: float) -> SeenCamera:
    names = ImageDirectory("camera", folder, times=RateTimes(start_ns=0, rate_hz=rate_hz)).names
    first = read_picture(folder / names[0])
    if isinstance(first, Refused):
        raise SourceError(
            expected="a folder whose first picture can be read",
            got=f"{names[0]}: {first.code}, {first.detail}",
            where=str(folder),
            action="take that picture away, or give another folder",
        )
    return SeenCamera(first=first, rate_hz=rate_hz, frames=len(names))


def site_lines(
    seen: SeenCamera, title: str, shown: str, *, model: SeenModel | None, folder: Path
) -> Iterator[str]:
    """The pipeline: one camera, what moves or is seen in it, one zone that nothing may enter."""
    width_px, height_px = seen.size_px
    what = "moves" if model is None else "is seen to move"
    yield f"# One camera, {shown}: tells what {what} into the zone. Change what is not so."
    yield "use: site"
    yield f"pipeline: {title}"
    yield "detectors:"
    if model is not None:
        yield from model_lines(model, folder)
    else:
        yield "  # what moves. It tells people when it knows how tall they are, in px, at the top"
        yield "  # and the bottom of the picture: person_px: [30, 80]. A model: --model FILE.onnx"
        yield "  moves: {use: motion}"
    yield "cameras:"
    yield f"  {title}:"
    yield "    contract:"
    yield f"      width_px: {width_px}"
    yield f"      height_px: {height_px}"
    if seen.channels == 1:
        yield "      channels: 1"
    yield f"      rate_hz: {seen.rate_hz:.4g}"
    yield f"      max_age_s: {_MAX_AGE_S:g}  # live: an older picture is no sight"
    view = view_print(seen.first)
    if view is not None:
        yield "    # what it shows, so that a run says when it is given another camera's pictures"
        yield f'    view: "{view}"'
    yield f"    detector: {'moves' if model is None else 'sees'}"
    yield "    # Who stood in the first picture is unknown to it. If that one shows nobody, say so:"
    yield "    # starts_empty: true"
    yield "zones:"
    yield f"  # corners as x, y in px from the top left; {title}.png shows it"
    corners = ", ".join(f"[{x}, {y}]" for x, y in _zone_px(seen))
    yield "  zone:"
    yield f"    camera: {title}"
    yield f"    polygon_px: [{corners}]"
    if model is None:
        yield "    classes: [moving]  # person, once the detector tells people"
    else:
        yield f"    classes: {json.dumps(model.zone_classes, ensure_ascii=False)}"
    yield "    is_forbidden: true"
    yield from DESK


def draw_zone(seen: SeenCamera, path: Path) -> None:
    """The first picture with the zone in it, as a PNG."""
    picture = seen.first.copy()
    if seen.channels == 1:
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), np.uint8)
    thickness_px = max(2, min(seen.size_px) // 200)
    corners = np.array(_zone_px(seen), np.int32).reshape(-1, 1, 2)
    cv2.polylines(picture, [corners], True, _BGR_ORANGE, thickness_px)
    written, data = cv2.imencode(".png", picture)
    assert written
    path.write_bytes(data.tobytes())


def said_of_camera(
    seen: SeenCamera,
    model: SeenModel | None,
    pipeline_file: Path,
    picture: Path,
    title: str,
    shown: str,
) -> Iterator[str]:
    """What was found, and what to type next."""
    width_px, height_px = seen.size_px
    colour = "grey" if seen.channels == 1 else "colour"
    yield f"picture   {width_px} x {height_px} px, {colour}, {seen.rate_hz:.4g} frames per second"
    if model is not None:
        yield from said_of_model(model)
    yield "zone      the middle of the picture: move its corners to where nobody may be"
    yield ""
    yield f"wrote     {pipeline_file}"
    yield f"wrote     {picture}"
    source = shlex.quote(f"{title}={shown}")
    yield f"next      sightline run {shlex.quote(str(pipeline_file))} --source {source} --out RUN"


def _zone_px(seen: SeenCamera) -> list[tuple[int, int]]:
    """The middle of the lower part, where the ground is."""
    width_px, height_px = seen.size_px
    left, right = round(width_px / 3), round(2 * width_px / 3)
    top, bottom = round(height_px / 2), height_px - 1
    return [(left, top), (right, top), (right, bottom), (left, bottom)]

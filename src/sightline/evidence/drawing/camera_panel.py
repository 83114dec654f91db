"""One camera's picture with what was decided on it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from sightline.evidence.drawing import palette
from sightline.evidence.drawing.ground import ZoneOutline, track_colour
from sightline.evidence.drawing.marks import (
    blank,
    fill_rect,
    fitted_text,
    put_dashes,
    put_line,
    put_text,
    text_width_px,
    tint,
)
from sightline.evidence.drawing.scenes import CameraScene
from sightline.records import Detections
from sightline.records.command import CommandLevel
from sightline.records.decision import Mode
from sightline.records.frames import Image
from sightline.records.windows import FloatArray

_LABEL_PX = 19  # height of a line of a box's label
_PAD_PX = 5
_BAR_PX = 64  # of the step against the budget
_Box = tuple[int, int, int, int]


def draw_camera(
    scene: CameraScene,
    zones: Sequence[ZoneOutline],
    *,
    size_px: tuple[int, int],
    scale: float,
    budget_s: float,
    machine_classes: frozenset[str] = frozenset(),
) -> Image:
    """A strip with the state of the camera, and its picture below.

    Args:
        scene: of the camera.
        zones: as seen at this scale.
        size_px: (width, height) of the picture as drawn, without the strip.
        scale: drawn px / camera px.
        budget_s: of the pipeline, from capture to command.
        machine_classes: classes of tracks that are machines.

    Returns:
        uint8[height + HEADER_PX, width, 3].
    """
    width, height = size_px
    panel = blank((width, height + palette.HEADER_PX), palette.CARD)
    _draw_header(panel[: palette.HEADER_PX], scene, budget_s)
    view = panel[palette.HEADER_PX :]
    _draw_picture(view, scene, scale)
    _draw_zones(view, scene, zones)
    _draw_trails(view, scene, scale, machine_classes)
    boxes = scene.tracks.box_px * scale
    rows = _rows(scene, boxes)
    colours = {row: track_colour(scene, row, machine_classes) for row in rows}
    for row in rows:
        _draw_box(view, boxes[row].tolist(), colours[row], is_seen=scene.tracks.unseen_s[row] == 0)
    taken = _draw_zone_names(view, scene, zones)
    for row in reversed(rows):
        box = boxes[row].tolist()
        _draw_label(view, scene, row, box=box, taken=taken, colour=colours[row])
    _draw_notes(view, scene)
    return panel


def draw_boxes(panel: Image, seen: Detections, *, scale: float) -> None:
    """Boxes of a detector's answer, with class and score, onto what :func:`draw_camera` gave.

    Args:
        panel: uint8[height + HEADER_PX, width, 3].
        seen: what the detector answered, in px of the camera's picture.
        scale: drawn px / camera px.
    """
    view = panel[palette.HEADER_PX :]
    taken: list[_Box] = []
    for row in np.argsort(-seen.score).tolist():
        box = (seen.box_px[row] * scale).tolist()
        if not np.isfinite(box).all():
            continue
        _draw_box(view, box, palette.CALM, is_seen=True)
        text = f"{seen.class_names[seen.class_id[row]]} {seen.score[row]:.2f}"
        for place in _places([text], box, (view.shape[0], view.shape[1])):
            if not any(_overlap(place, other) for other in taken):
                _write_label(view, [text], place, palette.CALM)
                taken.append(place)
                break


def _draw_picture(view: Image, scene: CameraScene, scale: float) -> None:
    if scene.picture is None:
        fill_rect(view, (0, 0, view.shape[1], view.shape[0]), palette.NO_PICTURE)
        return
    picture = scene.picture
    if picture.ndim == 2:
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), np.uint8)
    # A frame of another size than its contract's is shown whole, and nothing else is drawn on it.
    height, width = view.shape[:2]
    factor = min(width / picture.shape[1], height / picture.shape[0], scale)
    size = (max(round(picture.shape[1] * factor), 1), max(round(picture.shape[0] * factor), 1))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    shown = cv2.resize(picture, size, interpolation=way)
    if shown.shape != view.shape:
        view[:] = palette.CARD
    view[: shown.shape[0], : shown.shape[1]] = shown


def _draw_zones(view: Image, scene: CameraScene, zones: Sequence[ZoneOutline]) -> None:
    for index, zone in enumerate(zones):
        is_at_risk = index in scene.zones_at_risk
        colour = palette.RISK if is_at_risk else palette.ZONE
        tint(view, zone.mask, zone.corner_px, colour, share=0.28 if is_at_risk else 0.10)
        put_line(view, zone.border_px, colour, thickness_px=2)


def _draw_zone_names(view: Image, scene: CameraScene, zones: Sequence[ZoneOutline]) -> list[_Box]:
    """Write them at the zones; where they stand."""
    taken: list[_Box] = []
    height, width = view.shape[:2]
    for index, zone in enumerate(zones):
        place = zone.label_px
        if place is None:
            continue
        text = f"{zone.name}  {scene.zones_at_risk.get(index, '')}".rstrip()
        text = fitted_text(text, width // 2, size_px=palette.SMALL_PX)
        wide = text_width_px(text, size_px=palette.SMALL_PX)
        x = int(np.clip(place[0] - wide // 2, 4, width - wide - 4))
        y = int(np.clip(place[1] + 16, 16, height - 8))
        colour = palette.RISK if index in scene.zones_at_risk else palette.INK
        box = (x - _PAD_PX, y - 14, x + wide + _PAD_PX, y + 5)
        fill_rect(view, box, palette.ZONE if colour is palette.INK else colour)
        ink = palette.TEXT if index in scene.zones_at_risk else palette.INK
        put_text(view, text, (x, y), ink, size_px=palette.SMALL_PX)
        taken.append(box)
    return taken


def _draw_trails(
    view: Image, scene: CameraScene, scale: float, machine_classes: frozenset[str]
) -> None:
    for row, track_id in enumerate(scene.tracks.track_id.tolist()):
        trail = scene.trail_px.get(track_id)
        if trail is not None and len(trail) > 1:
            colour = track_colour(scene, row, machine_classes)
            half = len(trail) // 2  # the older half is thinner
            put_line(view, trail[: half + 1] * scale, colour)
            put_line(view, trail[half:] * scale, colour, thickness_px=2)


def _rows(scene: CameraScene, boxes: FloatArray) -> list[int]:
    """Tracks that can be drawn: who is at risk last, so that nobody covers them; their labels are
    written the other way round, so that they get the best places.
    """
    rows = np.flatnonzero(np.isfinite(boxes).all(axis=1)).tolist()
    rows.sort(key=lambda row: (int(scene.tracks.track_id[row]) in scene.risk, row))
    return list(rows)


def _draw_box(view: Image, box: Sequence[float], colour: palette.Colour, *, is_seen: bool) -> None:
    """Dashed while it is carried on unseen."""
    left, top, right, bottom = box
    ring = np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]])
    if is_seen:
        put_line(view, ring, colour, thickness_px=2)
    else:
        put_dashes(view, ring, colour)


def _draw_label(
    view: Image,
    scene: CameraScene,
    row: int,
    *,
    box: Sequence[float],
    taken: list[_Box],
    colour: palette.Colour,
) -> None:
    """Write id, speed and reason where there is room; only the id in a crowd."""
    tracks = scene.tracks
    track_id = int(tracks.track_id[row])
    code = scene.risk.get(track_id)
    speed = float(np.linalg.norm(tracks.velocity_m_s[row]))
    full = f"{track_id}" if math.isnan(speed) else f"{track_id}   {speed:.1f} m/s"
    options = [[full, code] if code else [full], [code or str(track_id)]]
    for lines in options:
        for place in _places(lines, box, view.shape[:2]):
            if not any(_overlap(place, other) for other in taken):
                _write_label(view, lines, place, colour)
                taken.append(place)
                return
    if code:  # it must be said, over whatever is there
        place = _places(options[0], box, view.shape[:2])[0]
        _write_label(view, options[0], place, colour)
        taken.append(place)


def _places(lines: Sequence[str], box: Sequence[float], shape: tuple[int, int]) -> list[_Box]:
    """Above the box, below it, at its sides: each within the picture."""
    wide = max(text_width_px(line, size_px=palette.SMALL_PX, weight=600) for line in lines)
    wide, high = wide + 2 * _PAD_PX, _LABEL_PX * len(lines)
    left, top, right, bottom = (round(edge) for edge in box)
    found = []
    for x, y in (
        (left - 1, top - high),
        (left - 1, bottom),
        (right, top),
        (left - wide, top),
        (right, bottom - high),
    ):
        x_in = max(min(x, shape[1] - wide), 0)
        y_in = max(min(y, shape[0] - high), 0)
        found.append((x_in, y_in, x_in + wide, y_in + high))
    return found


def _overlap(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _write_label(view: Image, lines: Sequence[str], place: _Box, colour: palette.Colour) -> None:
    fill_rect(view, place, colour)
    ink = palette.TEXT if colour == palette.RISK else palette.INK
    for number, line in enumerate(lines):
        at = (place[0] + _PAD_PX, place[1] + 14 + number * _LABEL_PX)
        put_text(view, line, at, ink, size_px=palette.SMALL_PX, weight=600)


def _draw_notes(view: Image, scene: CameraScene) -> None:
    """Why there is no picture, and what is wrong with the one that is there."""
    height, width = view.shape[:2]
    if scene.picture is None:
        wide = text_width_px(scene.note)
        left, right = (width - wide) // 2 - 8, (width + wide) // 2 + 8
        fill_rect(view, (left, height - 36, right, height - 8), palette.NO_PICTURE)
        put_text(view, scene.note, ((width - wide) // 2, height - 16), palette.TEXT)
    notes = [*scene.signs]
    if scene.is_stale and scene.index >= 0:
        notes.insert(0, f"NO FRAME FOR {scene.age_s:.1f} s")
    if not scene.is_usable:
        notes.insert(0, "FRAME REFUSED")
    y = 8
    for note in notes:
        wide = text_width_px(note, weight=600) + 2 * _PAD_PX
        fill_rect(view, (8, y, 8 + wide, y + 24), palette.CAUTION)
        put_text(view, note, (8 + _PAD_PX, y + 17), palette.INK, weight=600)
        y += 28


def _draw_header(strip: Image, scene: CameraScene, budget_s: float) -> None:
    baseline = palette.HEADER_PX - 12
    width = strip.shape[1]
    used = put_text(
        strip, fitted_text(scene.name, width // 3), (10, baseline), palette.TEXT, weight=600
    )
    x = 10 + used + 14
    if scene.mode is Mode.PRIMARY:
        x += put_text(strip, "primary", (x, baseline), palette.QUIET, size_px=palette.SMALL_PX)
    else:
        wide = text_width_px(str(scene.mode), size_px=palette.SMALL_PX, weight=600)
        fill_rect(strip, (x - 5, 8, x + wide + 5, 27), palette.CAUTION)
        put_text(
            strip,
            str(scene.mode),
            (x, baseline),
            palette.INK,
            size_px=palette.SMALL_PX,
            weight=600,
        )
    if scene.index < 0:
        return
    right = width - 10
    if math.isfinite(scene.step_s):
        is_late = scene.step_s > budget_s
        share = min(scene.step_s / budget_s, 1.0)
        colour = palette.RISK if is_late else palette.LEVELS[CommandLevel.NONE]
        fill_rect(strip, (right - _BAR_PX, 14, right, 20), palette.RULE)
        fill_rect(
            strip, (right - _BAR_PX, 14, right - _BAR_PX + round(_BAR_PX * share), 20), colour
        )
        right -= _BAR_PX + 8
        text = f"{scene.step_s * 1e3:.0f} of {budget_s * 1e3:.0f} ms"
        colour = palette.RISK if is_late else palette.QUIET
        right -= 16 + put_text(
            strip, text, (right, baseline), colour, size_px=palette.SMALL_PX, is_right=True
        )
    put_text(
        strip,
        f"frame {scene.index}",
        (right, baseline),
        palette.QUIET,
        size_px=palette.SMALL_PX,
        is_right=True,
    )

"""The account of a decision as a picture: its rows, or the frame that led to it."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sightline.errors import UsageError, writing
from sightline.evidence.account import Facts, RowsFacts
from sightline.evidence.account_drawing import draw_rows_svg
from sightline.evidence.account_text import headline
from sightline.evidence.camera_account import CameraFacts
from sightline.evidence.counterfactual import Counterfactual
from sightline.evidence.drawing import SiteLayout, SiteScene, draw_site, palette, run_scenes
from sightline.evidence.drawing.composition import TITLE_HEIGHT_PX, draw_machines, draw_title
from sightline.evidence.drawing.ground import draw_ground_plan, plan_view
from sightline.evidence.drawing.marks import blank
from sightline.evidence.drawing.rendering import RunPictures, nothing_to_draw, write_png
from sightline.evidence.figures import (
    GOOD,
    INK,
    MARK,
    PALE,
    axis_time,
    name_times,
    new_figure,
    save,
    tidy,
)
from sightline.evidence.pages import svg_start
from sightline.evidence.part_account import draw_part
from sightline.evidence.site_subjects import SitePlan
from sightline.evidence.words import figure, moment
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.frames import Image
from sightline.records.windows import FloatArray
from sightline.runtime import RunDirectory

_GROUND_PX = (760, 560)
ENDINGS = (".svg", ".png", ".html")
"""How the name of a picture, or of a page, may end."""


_SMALL = [cv2.IMWRITE_JPEG_QUALITY, 80]
_GAP = 5.0  # steps: further apart, two rows are not joined


def draw_svg(facts: Facts) -> str:
    """A self-contained SVG picture of a decision on rows, 900 by 372.

    Raises:
        UsageError: it is of pictures, which are in the run: see :func:`draw_account`.
    """
    if facts.rows is None:
        raise UsageError(
            expected="a decision on rows",
            got="one on pictures",
            where="draw_svg",
            action="use draw_account(run, facts, path), which reads the pictures of the run",
        )
    return draw_rows_svg(facts)


def draw_account(
    run: RunDirectory, facts: Facts, out: Path, *, limits: Limits = DEFAULT_LIMITS
) -> DrawnAccount:
    """Draw a decision into a file: of rows its rows, of pictures the frame that led to it.

    Args:
        run: it was made in.
        facts: of the decision.
        out: ``.svg`` or ``.png``; an existing file is replaced.
        limits: bounds for reading the log.

    Raises:
        UsageError: the extra ``report`` is not installed, for rows in a PNG; nothing to draw.
        LogError, StorageError: the log is damaged; the file cannot be written.
    """
    is_svg = out.suffix.lower() == ".svg"
    if facts.rows is not None:
        if is_svg:
            write_text(out, draw_rows_svg(facts))
        else:
            draw_rows_png(out, facts)
        return DrawnAccount(path=out, at_s=0.0, has_picture=True)
    if facts.cameras is None:
        raise UsageError(
            expected="a decision on rows or pictures",
            got=f"{facts.decision.kind}, which shows nothing",
            where=str(out),
            action="read what explain prints",
        )
    if not is_svg:
        return draw_cameras(run, facts, out, limits=limits)
    with tempfile.TemporaryDirectory() as folder:
        drawn = draw_cameras(run, facts, Path(folder) / "frame.png", limits=limits)
        data = drawn.path.read_bytes()
    width, height = (int.from_bytes(data[at : at + 4]) for at in (16, 20))
    encoded = base64.b64encode(data).decode()
    write_text(
        out,
        f"{svg_start(width, height, title=headline(facts))}"
        f'<image width="{width}" height="{height}" href="data:image/png;base64,{encoded}"/>'
        "</svg>\n",
    )
    return DrawnAccount(path=out, at_s=drawn.at_s, has_picture=drawn.has_picture)


def write_text(out: Path, text: str) -> None:
    """Write a file; an existing one is replaced.

    Raises:
        StorageError: it cannot be written.
    """
    with writing(out):
        out.write_text(text, encoding="utf-8")


def draw_rows_png(path: Path, facts: Facts) -> None:
    """Draw a decision into a PNG, 960 by 560 pixels.

    Above: the rows of the deciding field, the decided window shaded, in blue the bound within
    which it would not have been raised, neighbours' decisions as marks. Below: the deciding
    measure of each window against its thresholds.

    Raises:
        UsageError: the extra ``report`` is not installed.
        StorageError: the file cannot be written.
    """
    drawn = new_figure(height_px=560)
    above, below = drawn.subplots(2, 1, sharex=True, height_ratios=(2, 1.2))
    _draw_rows(above, facts)
    _draw_measure(below, facts)
    decision = facts.decision
    name_times(below, start_ns=decision.window_start_ns)
    reason = decision.reasons[0]
    save(
        drawn,
        path,
        title=f"{decision.kind} {decision.transition}: {decision.subject}, "
        f"{moment(decision.event_ns)}; {reason.measure} {figure(reason.value, reason.unit)}",
    )


def _rows(facts: Facts) -> RowsFacts:
    assert facts.rows is not None
    return facts.rows


def _draw_rows(axis: Any, facts: Facts) -> None:
    decision, rows = facts.decision, _rows(facts)
    about, shown, tried = rows.about, rows.shown, rows.tried
    zero_ns = decision.window_start_ns
    window = np.array([decision.window_start_ns, decision.window_end_ns])
    edges = axis_time(window, start_ns=zero_ns)
    axis.axvspan(*edges, color=MARK, alpha=0.13, linewidth=0)
    x = axis_time(shown.time_ns, start_ns=zero_ns)
    if about.shown:
        axis.plot(*_broken(x, shown.value), color=INK, linewidth=0.9)
        label = f"{about.shown} [{about.shown_unit}]"
    else:
        axis.plot(x, np.zeros(len(x)), "|", color=INK, markersize=30)
        axis.set_yticks([])
        label = "rows received"
    if tried.counterfactual.is_found and about.shown == about.field:
        _draw_bounds(axis, tried.counterfactual, zero_ns, "would not have been raised")
        if tried.whole is not None and tried.whole.is_found:
            _draw_bounds(axis, tried.whole, zero_ns, "nor later,")
        axis.legend(fontsize=7, loc="best", frameon=False)
    near = facts.circumstances.neighbours
    if near:
        at = axis_time(np.array([d.event_ns for d in near]), start_ns=zero_ns)
        axis.plot(at, np.zeros(len(at)), "^", color=PALE, markersize=6, clip_on=False,
                  transform=axis.get_xaxis_transform())  # fmt: skip
        label += "; ▲ others of its group"
    tidy(axis, label)


def _draw_bounds(axis: Any, found: Counterfactual, zero_ns: int, label: str) -> None:
    assert found.start_ns is not None
    assert found.end_ns is not None
    edges = axis_time(np.array([found.start_ns, found.end_ns]), start_ns=zero_ns)
    style = "-" if label.startswith("would") else ":"
    for side, bound in (("at least", found.low), ("at most", found.high)):
        if np.isfinite(bound):
            axis.plot(edges, (bound, bound), color=GOOD, linewidth=1.8, linestyle=style,
                      label=f"{label} at {side[3:]} {figure(bound, found.unit)}")  # fmt: skip


def _draw_measure(axis: Any, facts: Facts) -> None:
    rows, decision = _rows(facts), facts.decision
    history, rule = rows.tried.history, rows.about.rule
    reason = decision.reasons[0]
    zero_ns = decision.window_start_ns
    if history is not None and history.start_ns:
        start = np.array(history.start_ns, np.int64)
        end = axis_time(start + rows.about.width_ns, start_ns=zero_ns)
        axis.plot(end, np.array(history.value), "o-", color=INK, markersize=3, linewidth=0.8)
        if history.since_ns >= 0:
            since = float(axis_time(np.array([history.since_ns]), start_ns=zero_ns)[0])
            axis.axvline(since, color=PALE, linewidth=0.9)
    else:
        end = axis_time(np.array([decision.window_end_ns]), start_ns=zero_ns)
        axis.plot(end, [reason.value], "o", color=INK, markersize=4)
    if rule is not None:
        for level, style in ((rule.raise_at, "--"), (rule.clear_at, ":")):
            axis.axhline(level, color=MARK, linewidth=0.9, linestyle=style)
    found = rows.tried.counterfactual
    if found.is_found and np.isfinite(found.reached):
        at = axis_time(np.array([decision.window_end_ns]), start_ns=zero_ns)
        axis.plot(at, [found.reached], "o", color=GOOD, markersize=5)
    unit = "" if reason.unit == "1" else f" [{reason.unit}]"
    tidy(axis, f"{reason.measure}{unit}")


def _broken(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The line with a NaN in each gap of several steps, so that nothing is drawn across it."""
    if len(x) < 3:
        return x, y
    steps = np.diff(x)
    gaps = np.flatnonzero(steps > _GAP * float(np.median(steps))) + 1
    return np.insert(x, gaps, x[gaps]), np.insert(y, gaps, np.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnAccount:
    """What was drawn.

    Attributes:
        path: of the file.
        at_s: of the scene, since the first frame of the log.
        has_picture: whether the log had a picture of any camera.
    """

    path: Path
    at_s: float
    has_picture: bool


def draw_cameras(
    run: RunDirectory, facts: Facts, out: Path, *, limits: Limits = DEFAULT_LIMITS
) -> DrawnAccount:
    """Draw the frame of a decision into a PNG: boxes, tracks, zones, commands, the ground.

    Without any picture in the log it is the ground alone; where nothing is known in metres, the
    tracks on grey.

    Raises:
        UsageError, LogError, StorageError: as ``drawing.render_still``.
    """
    part = None if facts.part is None else draw_part(facts.part)
    if part is not None:
        write_png(out, part)
        return DrawnAccount(path=out, at_s=_cameras(facts).run_s, has_picture=True)
    scene = RunPictures(run, {}, limits=limits).shown(_scene(run, facts, limits))
    has_picture = any(camera.picture is not None for camera in scene.cameras)
    image = None if has_picture else _ground(run, scene, _camera(facts))
    write_png(out, draw_site(scene, SiteLayout.of(run.plan)) if image is None else image)
    return DrawnAccount(path=out, at_s=scene.at_s, has_picture=has_picture)


def draw_moments(
    run: RunDirectory, times_ns: Sequence[int], *, limits: Limits = DEFAULT_LIMITS
) -> list[bytes | None]:
    """The first scene at or after each time as a JPEG, in one pass over the log.

    Args:
        run: of cameras.
        times_ns: event times, UTC ns, in any order.
        limits: bounds for reading the log.

    Returns:
        By place in ``times_ns``; None after the last scene.

    Raises:
        LogError: the log is damaged, or does not replay.
    """
    found: list[bytes | None] = [None] * len(times_ns)
    waiting = sorted(range(len(times_ns)), key=lambda place: -times_ns[place])
    if not waiting:
        return found
    layout, pictures = SiteLayout.of(run.plan), RunPictures(run, {}, limits=limits)
    for scene in run_scenes(run, limits=limits):
        newest_ns = max(camera.capture_ns for camera in scene.cameras)
        if newest_ns < times_ns[waiting[-1]]:
            continue
        is_done, data = cv2.imencode(".jpg", draw_site(pictures.shown(scene), layout), _SMALL)
        assert is_done
        while waiting and times_ns[waiting[-1]] <= newest_ns:
            found[waiting.pop()] = data.tobytes()
        if not waiting:
            break
    return found


def _cameras(facts: Facts) -> CameraFacts:
    assert facts.cameras is not None
    return facts.cameras


def _camera(facts: Facts) -> str:
    frames = _cameras(facts).frames
    return frames[0].header.camera if frames else ""


def _scene(run: RunDirectory, facts: Facts, limits: Limits) -> SiteScene:
    """With the frame that led to it; where a tick did, the first from then on."""
    camera, _, index = _cameras(facts).frame.rpartition(":")
    last: SiteScene | None = None
    for scene in run_scenes(run, limits=limits):
        last = scene
        if not camera and scene.at_ns >= facts.said.at_ns:
            break
        if any(c.name == camera and c.index == int(index) for c in scene.cameras):
            break
    if last is None:  # nothing but ticks: machines are all there is
        raise nothing_to_draw(run)
    return last


def _ground(run: RunDirectory, scene: SiteScene, first: str) -> Image | None:
    """The ground of one camera, with title and commands; None without geometry."""
    site = SitePlan(run.plan)
    plans = run.plan.cameras
    located = [c for c in scene.cameras if plans[c.name].geometry is not None]
    chosen = next((c for c in located if c.name == first), located[0] if located else None)
    if chosen is None:
        return None
    plan = plans[chosen.name]
    assert plan.geometry is not None
    ground = draw_ground_plan(
        plan_view(plan.geometry, site.zones[plan.name], size_px=_GROUND_PX),
        chosen,
        site.zones[plan.name],
        machine_classes=site.machine_classes,
    )
    gap = palette.MARGIN_PX
    width = _GROUND_PX[0] + palette.SIDE_PX + 3 * gap
    image = blank((width, _GROUND_PX[1] + 2 * gap), palette.CANVAS)
    image[gap : gap + _GROUND_PX[1], gap : gap + _GROUND_PX[0]] = ground
    column = np.ascontiguousarray(image[gap:, width - gap - palette.SIDE_PX : width - gap])
    form = run.plan.pipeline
    draw_title(column, scene, pipeline=form.pipeline, budget_s=form.latency_budget_s)
    draw_machines(column[TITLE_HEIGHT_PX:], scene.machines, room=len(scene.machines))
    image[gap:, width - gap - palette.SIDE_PX : width - gap] = column
    return image

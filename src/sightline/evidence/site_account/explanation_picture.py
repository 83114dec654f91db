"""The picture of an explanation: the frame of the decision, or the ground alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline.evidence.camera_account import SiteExplanation
from sightline.evidence.site_drawing import SiteLayout, SiteScene, draw_site, palette, run_scenes
from sightline.evidence.drawing.ground import draw_ground_plan, plan_view
from sightline.evidence.drawing.marks import blank
from sightline.evidence.drawing.rendering import RunPictures
from sightline.evidence.drawing.rendering import nothing_to_draw, write_png
from sightline.evidence.drawing.composition import TITLE_HEIGHT_PX, draw_machines, draw_title
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.frames import Image
from sightline.runtime import RunDirectory

_GROUND_PX = (760, 560)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnExplanation:
    """What was drawn.

    Attributes:
        path: of the file.
        at_s: of the scene, since the first frame of the log.
        has_picture: whether the log had a picture of any camera.
    """

    path: Path
    at_s: float
    has_picture: bool


def draw_explanation(
    run: RunDirectory, found: SiteExplanation, out: Path, *, limits: Limits = DEFAULT_LIMITS
) -> DrawnExplanation:
    """Draw the frame of a decision into a PNG: boxes, tracks, zones, commands, the ground.

    Without any picture in the log it is the ground alone; where nothing is known in metres, the
    tracks on grey.

    Raises:
        UsageError, LogError, StorageError: as ``site_drawing.render_still``.
    """
    scene = RunPictures(run, {}, limits=limits).shown(_scene(run, found, limits))
    has_picture = any(camera.picture is not None for camera in scene.cameras)
    image = None if has_picture else _ground(run, scene, _camera(found))
    write_png(out, draw_site(scene, SiteLayout.of(run.site)) if image is None else image)
    return DrawnExplanation(path=out, at_s=scene.at_s, has_picture=has_picture)


def _camera(found: SiteExplanation) -> str:
    return found.frames[0].header.camera if found.frames else ""


def _scene(run: RunDirectory, found: SiteExplanation, limits: Limits) -> SiteScene:
    """With the frame that led to it; where a tick did, the first from then on."""
    camera, _, index = found.frame.rpartition(":")
    last: SiteScene | None = None
    for scene in run_scenes(run, limits=limits):
        last = scene
        if not camera and scene.at_ns >= found.said.at_ns:
            break
        if any(c.name == camera and c.index == int(index) for c in scene.cameras):
            break
    if last is None:  # nothing but ticks: machines are all there is
        raise nothing_to_draw(run)
    return last


def _ground(run: RunDirectory, scene: SiteScene, first: str) -> Image | None:
    """The ground of one camera, with title and commands; None without geometry."""
    plans = run.site.cameras
    located = [c for c in scene.cameras if plans[c.name].geometry is not None]
    chosen = next((c for c in located if c.name == first), located[0] if located else None)
    if chosen is None:
        return None
    plan = plans[chosen.name]
    assert plan.geometry is not None
    moving = [machine.moving for machine in run.site.machines.values()]
    ground = draw_ground_plan(
        plan_view(plan.geometry, plan.zones, size_px=_GROUND_PX),
        chosen,
        plan.zones,
        machine_classes=frozenset(rule.machine_class for rule in moving if rule is not None),
    )
    gap = palette.MARGIN_PX
    width = _GROUND_PX[0] + palette.SIDE_PX + 3 * gap
    image = blank((width, _GROUND_PX[1] + 2 * gap), palette.CANVAS)
    image[gap : gap + _GROUND_PX[1], gap : gap + _GROUND_PX[0]] = ground
    column = np.ascontiguousarray(image[gap:, width - gap - palette.SIDE_PX : width - gap])
    form = run.site.pipeline
    draw_title(column, scene, pipeline=form.pipeline, budget_s=form.latency_budget_s)
    draw_machines(column[TITLE_HEIGHT_PX:], scene.machines, room=len(scene.machines))
    image[gap:, width - gap - palette.SIDE_PX : width - gap] = column
    return image

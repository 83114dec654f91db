"""The whole picture: cameras in a grid, beside them time, machines and the ground from above."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from sightline.evidence.drawing import palette
from sightline.evidence.drawing.camera_panel import draw_camera
from sightline.evidence.drawing.ground import (
    PlanView,
    ZoneOutline,
    draw_ground_plan,
    plan_view,
    zone_outline,
)
from sightline.evidence.drawing.marks import blank, fill_rect, fitted_text, put_text
from sightline.evidence.drawing.scenes import MachineScene, SiteScene
from sightline.evidence.site_subjects import SitePlan
from sightline.records.command import CommandLevel
from sightline.records.decision import Mode, Reason
from sightline.records.frames import Image
from sightline.records.signals import NS_PER_S
from sightline.runtime import Plan
from sightline.runtime.item_stage import CameraPlan

_CELL_WIDTH_PX = {1: 880, 2: 620, 3: 480}
"""Width of a camera's picture, by cameras in a row."""
_MOST_ABREAST = 4
_NARROW_PX = 400
_LEAST_HEIGHT_PX = 560
_PLAN_LABEL_PX = 26
_LEAST_PLAN_PX = 150
_MORE_PX = 20  # the line that says how many machines found no room


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SiteLayout:
    """Where everything is in the picture; the same for all pictures of a run.

    Attributes:
        site: what the pipeline knows of its cameras.
        size_px: (width, height) of the picture, both even, as video codecs want them.
        cells: by camera, (left, top) of its panel.
        cell_px: (width, height) of the part of a panel that the camera's picture may fill.
        scales: by camera, drawn px / camera px.
        outlines: by camera, its zones as drawn.
        plans: by camera with geometry that finds room, (top of its ground plan, the view).
        cards: machines that find room.
        machine_classes: classes of tracks that are machines.
    """

    site: SitePlan
    size_px: tuple[int, int]
    cells: Mapping[str, tuple[int, int]]
    cell_px: tuple[int, int]
    scales: Mapping[str, float]
    outlines: Mapping[str, tuple[ZoneOutline, ...]]
    plans: Mapping[str, tuple[int, PlanView]]
    cards: int
    machine_classes: frozenset[str]

    @classmethod
    def of(cls, plan: Plan) -> SiteLayout:
        """The layout for a pipeline."""
        site = SitePlan(plan)
        cameras = list(plan.cameras.values())
        abreast = min(int(np.ceil(np.sqrt(len(cameras)))), _MOST_ABREAST)
        rows = -(-len(cameras) // abreast)
        width = _CELL_WIDTH_PX.get(abreast, _NARROW_PX)
        shape = max(c.contract.height_px / c.contract.width_px for c in cameras)
        height = min(round(width * shape), 2 * width)
        gap = palette.MARGIN_PX
        step_x, step_y = width + gap, height + palette.HEADER_PX + gap
        cells = {
            camera.name: (gap + n % abreast * step_x, gap + n // abreast * step_y)
            for n, camera in enumerate(cameras)
        }
        scales = {
            c.name: min(width / c.contract.width_px, height / c.contract.height_px) for c in cameras
        }
        total_width = gap + abreast * step_x + palette.SIDE_PX + gap
        total_height = max(gap + rows * step_y, _LEAST_HEIGHT_PX)
        total_width, total_height = total_width + total_width % 2, total_height + total_height % 2
        outlines = {
            c.name: tuple(
                zone_outline(zone, c.geometry, size_px=_drawn(c, scales), scale=scales[c.name])
                for zone in site.zones[c.name]
            )
            for c in cameras
        }
        cards, plans = _side(site, total_height)
        return cls(
            site=site,
            size_px=(total_width, total_height),
            cells=cells,
            cell_px=(width, height),
            scales=scales,
            outlines=outlines,
            plans=plans,
            cards=cards,
            machine_classes=site.machine_classes,
        )


def draw_site(scene: SiteScene, layout: SiteLayout) -> Image:
    """The picture of a site at one time: a pure function.

    Args:
        scene: what is shown, of the pipeline of the layout.
        layout: where.

    Returns:
        uint8[height, width, 3], blue, green, red.
    """
    width, height = layout.size_px
    image = blank((width, height), palette.CANVAS)
    plan, gap = layout.site.plan, palette.MARGIN_PX
    budget_s = plan.pipeline.latency_budget_s
    for camera in scene.cameras:
        x, y = layout.cells[camera.name]
        panel = draw_camera(
            camera,
            layout.outlines[camera.name],
            size_px=_drawn(plan.cameras[camera.name], layout.scales),
            scale=layout.scales[camera.name],
            budget_s=budget_s,
            machine_classes=layout.machine_classes,
        )
        image[y : y + panel.shape[0], x : x + panel.shape[1]] = panel
    left = width - gap - palette.SIDE_PX
    column = image[gap:, left : width - gap]
    draw_title(column, scene, pipeline=plan.pipeline.pipeline, budget_s=budget_s)
    draw_machines(column[TITLE_HEIGHT_PX:], scene.machines, room=layout.cards)
    for camera in scene.cameras:
        if camera.name not in layout.plans:
            continue
        top, view = layout.plans[camera.name]
        label = "ground" if len(scene.cameras) == 1 else f"ground, {camera.name}"
        put_text(column, label, (0, top + 17), palette.QUIET, size_px=palette.SMALL_PX)
        drawn = draw_ground_plan(
            view,
            camera,
            layout.site.zones[camera.name],
            machine_classes=layout.machine_classes,
        )
        at = top + _PLAN_LABEL_PX
        column[at : at + drawn.shape[0]] = drawn
    return image


def _drawn(camera: CameraPlan, scales: Mapping[str, float]) -> tuple[int, int]:
    """(width, height) of a camera's picture as drawn."""
    scale = scales[camera.name]
    return round(camera.contract.width_px * scale), round(camera.contract.height_px * scale)


def _side(site: SitePlan, height: int) -> tuple[int, Mapping[str, tuple[int, PlanView]]]:
    """(cards, plans) of the column: machines come first, the ground gets what is left."""
    room = height - 2 * palette.MARGIN_PX - TITLE_HEIGHT_PX
    located = [c for c in site.plan.cameras.values() if c.geometry is not None]
    for_plans = _LEAST_PLAN_PX + _PLAN_LABEL_PX if located else 0
    cards = min(len(site.machines), max((room - for_plans - _MORE_PX) // CARD_HEIGHT_PX, 1))
    used = cards * CARD_HEIGHT_PX + (_MORE_PX if cards < len(site.machines) else 0)
    top, left = TITLE_HEIGHT_PX + used, room - used
    count = min(len(located), max(left // (_LEAST_PLAN_PX + _PLAN_LABEL_PX), 0))
    plans: dict[str, tuple[int, PlanView]] = {}
    for number, camera in enumerate(located[:count]):
        assert camera.geometry is not None
        each = left // count
        size = (palette.SIDE_PX, each - _PLAN_LABEL_PX)
        view = plan_view(camera.geometry, site.zones[camera.name], size_px=size)
        plans[camera.name] = (top + number * each, view)
    return cards, plans


TITLE_HEIGHT_PX = 58
CARD_HEIGHT_PX = 62
"""A machine: its bar and the line with its reason."""
_BAR_PX = 32


def draw_title(column: Image, scene: SiteScene, *, pipeline: str, budget_s: float) -> None:
    """Name of the pipeline, time in the run and its budget, at the top of the column.

    Args:
        column: uint8[height, width, 3], changed in place.
        scene: the site.
        pipeline: name.
        budget_s: from capture to command.
    """
    width = column.shape[1]
    name = fitted_text(pipeline, width - 110, size_px=palette.TITLE_PX)
    put_text(column, name, (0, 22), palette.TEXT, size_px=palette.TITLE_PX, weight=600)
    put_text(
        column,
        f"{scene.at_s:.1f} s",
        (width, 22),
        palette.TEXT,
        size_px=palette.TITLE_PX,
        is_right=True,
    )
    budget = f"budget {budget_s * 1e3:.0f} ms"
    put_text(column, budget, (0, 45), palette.QUIET, size_px=palette.SMALL_PX)
    put_text(
        column,
        _clock(scene.at_ns),
        (width, 45),
        palette.QUIET,
        size_px=palette.SMALL_PX,
        is_right=True,
    )


def draw_machines(column: Image, machines: Sequence[MachineScene], *, room: int) -> None:
    """One bar per machine from the top of ``column`` on; the most restricted ones if room is short.

    Args:
        column: uint8[height, width, 3], changed in place.
        machines: in the order of the pipeline.
        room: cards that fit in.
    """
    shown = list(machines)
    if len(machines) > room:
        shown = sorted(machines, key=lambda m: -m.level.rank)[: max(room, 0)]
    for number, machine in enumerate(shown):
        top = number * CARD_HEIGHT_PX
        _draw_machine(column[top : top + CARD_HEIGHT_PX], machine)
    if len(machines) > len(shown):
        left = len(machines) - len(shown)
        text = f"and {left} more, none more restricted"
        at = (0, len(shown) * CARD_HEIGHT_PX + 12)
        put_text(column, text, at, palette.QUIET, size_px=palette.SMALL_PX)


def _draw_machine(card: Image, machine: MachineScene) -> None:
    width = card.shape[1]
    fill_rect(card, (0, 0, width, _BAR_PX), palette.LEVELS[machine.level])
    # White on red, dark on the others: each is legible.
    ink = palette.TEXT if machine.level is CommandLevel.STOP else palette.INK
    name = fitted_text(machine.name, width - 100)
    put_text(card, name, (12, 22), ink, weight=600)
    level = machine.level.name
    put_text(card, level, (width - 12, 22), ink, weight=600, size_px=17, is_right=True)
    more = f"  +{machine.others}" if machine.others else ""
    text = "nothing is asked for" if machine.reason is None else reason_text(machine.reason)
    mode = "" if machine.mode is Mode.PRIMARY else f"  {machine.mode}"
    line = fitted_text(text, width - 24 - 9 * len(more + mode), size_px=palette.SMALL_PX)
    put_text(card, line + more + mode, (12, 49), palette.QUIET, size_px=palette.SMALL_PX)


def reason_text(reason: Reason) -> str:
    """Code, value and threshold on one line.

    >>> reason_text(Reason(code="DWELL", measure="dwell", value=9.04, threshold=5.0, unit="s",
    ...                    version="1"))
    'DWELL  9.04 s (5)'
    """
    if not math.isfinite(reason.value):
        return reason.code
    unit = "" if reason.unit == "1" else f" {reason.unit}"
    threshold = f" ({reason.threshold:.3g})" if math.isfinite(reason.threshold) else ""
    return f"{reason.code}  {reason.value:.3g}{unit}{threshold}"


def _clock(at_ns: int) -> str:
    """Time of day, UTC; recordings that begin at 0 have none that means anything."""
    try:
        when = datetime.fromtimestamp(at_ns // NS_PER_S, UTC)
    except (OverflowError, ValueError, OSError):
        return ""
    return "" if when.year == 1970 else when.strftime("%Y-%m-%d %H:%M:%S UTC")

"""One moment of a trial as a picture: the truth, what was thought of it, and what was commanded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.safety.scene import Scene
from benchmarks.safety.sensor import PERSON, VEHICLE
from benchmarks.safety.trial import Moment
from sightline.assess.site import RiskCode
from sightline.assess.site.machines import MachineRule
from sightline.evidence.drawing import palette
from sightline.evidence.drawing.composition import reason_text
from sightline.evidence.drawing.ground import ARROW_S, ELLIPSE_SCALE
from sightline.evidence.drawing.marks import (
    blank,
    ellipse_points,
    fill_polygon,
    fill_rect,
    put_arrow,
    put_dashes,
    put_dot,
    put_line,
    put_text,
    tint,
)
from sightline.records.command import CommandLevel
from sightline.records.frames import Image
from sightline.records.windows import FloatArray

SIZE_PX = (1200, 720)
_PLAN_PX = (1200, 520)
_PX_PER_M = 22.0
_BEHIND = 0.3  # share of the plan that lies behind the middle of the vehicle
_GRID_M = 5.0
_SHOWN_AHEAD_S = 0.5  # of the strip of time, before the first moment
_REASONS = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Story:
    """What all pictures of one trial share.

    Attributes:
        title: one line.
        scene: the truth.
        rule: what is declared of the vehicle.
        moments: all from the moment the people become visible.
        stops_s: scene times of the STOP commands.
        latest_stop_s: the latest good one; inf if none is needed.
    """

    title: str
    scene: Scene
    rule: MachineRule
    moments: Sequence[Moment]
    stops_s: tuple[float, ...]
    latest_stop_s: float


def draw_moment(story: Story, index: int) -> Image:
    """uint8[720, 1200, 3], blue, green, red: the moment of that index.

    Above, the ground as the vehicle drives over it: white outlines are the truth, colours what the
    tracker thinks (with ellipses of 95 % and one second of way), the tinted strip is the way the
    vehicle needs to stop at its estimated speed. Below, the command with its reasons, and the
    highest probability of a conflict over time, with the STOPs and the latest good one.
    """
    moment = story.moments[index]
    image = blank(SIZE_PX, palette.CANVAS)
    plan = image[: _PLAN_PX[1]]
    fill_rect(image, (0, 0, *_PLAN_PX), palette.CARD)
    _draw_ground(plan, moment)
    _draw_way(plan, story, moment)
    _draw_truth(plan, story, moment)
    _draw_tracks(plan, moment)
    _draw_legend(plan)
    _draw_command(image, story, moment)
    _draw_strip(image, story, index)
    return image


def highest_probability(moment: Moment) -> float:
    """Of a conflict that is said, or of being in the stopping path; 0 where nothing is said."""
    risk = moment.risk
    counts = risk.has(RiskCode.COLLISION_COURSE, RiskCode.IN_STOPPING_PATH)
    near = risk.has(RiskCode.TOO_CLOSE)
    return 1.0 if near.any() else float(risk.value[counts].max(initial=0.0))


def _pixels(moment: Moment, xy_m: FloatArray) -> FloatArray:
    width, height = _PLAN_PX
    at = np.asarray(xy_m, np.float64)
    x = width * _BEHIND + (at[..., 0] - moment.vehicle_x_m) * _PX_PER_M
    found: FloatArray = np.stack([x, height / 2 - at[..., 1] * _PX_PER_M], axis=-1)
    return found


def _draw_ground(plan: Image, moment: Moment) -> None:
    width, height = _PLAN_PX
    first = moment.vehicle_x_m - width * _BEHIND / _PX_PER_M
    for x in np.arange(
        math.ceil(first / _GRID_M) * _GRID_M, first + width / _PX_PER_M, _GRID_M
    ).tolist():
        at = float(_pixels(moment, np.array([x, 0.0]))[0])
        put_line(plan, np.array([[at, 0.0], [at, height]]), palette.GRID)
        put_text(
            plan, f"{x:g} m", (round(at) + 3, height - 6), palette.QUIET, size_px=palette.SMALL_PX
        )
    half = math.floor(height / 2 / _PX_PER_M / _GRID_M) * _GRID_M
    for y in np.arange(-half, half + 1, _GRID_M).tolist():
        at = float(_pixels(moment, np.array([0.0, y]))[1])
        put_line(plan, np.array([[0.0, at], [width, at]]), palette.GRID)


def _draw_way(plan: Image, story: Story, moment: Moment) -> None:
    """The stopping way ahead of each tracked vehicle, with the clearance around it."""
    tracks, headings = moment.tracks, moment.headings
    if tracks is None or headings is None:
        return
    rule, at_risk = story.rule, len(moment.risk) > 0
    for row in np.flatnonzero(tracks.class_id == VEHICLE).tolist():
        angle = float(headings.heading_rad[row])
        if math.isnan(angle):
            continue
        speed = np.array([max(np.hypot(*tracks.velocity_m_s[row]), rule.restart_speed_m_s)])
        way_m = rule.braking.stopping_distance_m(speed, sensing_latency_s=rule.decision_step_s)
        half_x, half_y = rule.length_m / 2, rule.width_m / 2
        box = _turned(_box(-half_x, half_x + float(way_m[0]), half_y), angle, tracks.ground_m[row])
        corners = _pixels(moment, box)
        mask = np.zeros(plan.shape[:2], np.uint8)
        fill_polygon(mask, corners, 255)
        colour = palette.RISK if at_risk else palette.MACHINE
        tint(plan, mask, (0, 0), colour, share=0.3 if at_risk else 0.18)
        wide = rule.clearance_m
        around = _box(-half_x - wide, half_x + float(way_m[0]) + wide, half_y + wide)
        ring = _pixels(moment, _turned(around, angle, tracks.ground_m[row]))
        put_dashes(plan, np.vstack([ring, ring[:1]]), colour)


def _draw_truth(plan: Image, story: Story, moment: Moment) -> None:
    vehicle = story.scene.vehicle
    box = _box(-vehicle.length_m / 2, vehicle.length_m / 2, vehicle.width_m / 2)
    corners = _pixels(moment, box + np.array([moment.vehicle_x_m, 0.0]))
    put_line(plan, corners, palette.TEXT, thickness_px=2, is_closed=True)
    circle = ellipse_points(np.eye(2), scale=story.scene.person_radius_m)
    for at_m in moment.people_m:
        put_line(plan, _pixels(moment, at_m + circle), palette.TEXT, thickness_px=2)


def _draw_tracks(plan: Image, moment: Moment) -> None:
    tracks = moment.tracks
    if tracks is None:
        return
    at_risk = set(moment.risk.only(~moment.risk.has(RiskCode.APPROACHING)).subject.tolist())
    soon = set(moment.risk.subject.tolist())
    for row, track_id in enumerate(tracks.track_id.tolist()):
        is_person = tracks.class_id[row] == PERSON
        colour = palette.CALM if is_person else palette.MACHINE
        if track_id in soon:
            colour = palette.RISK if track_id in at_risk else palette.CAUTION
        at_px = _pixels(moment, tracks.ground_m[row])
        tip_px = _pixels(moment, tracks.ground_m[row] + ARROW_S * tracks.velocity_m_s[row])
        border = ellipse_points(tracks.ground_covariance[row, :2, :2], scale=ELLIPSE_SCALE)
        put_line(plan, at_px + border * [_PX_PER_M, -_PX_PER_M], colour)
        put_arrow(plan, at_px, tip_px, colour)
        put_dot(plan, at_px, colour, radius_px=4.0)
        if np.isfinite(at_px).all() and (np.abs(at_px) < 2 * max(_PLAN_PX)).all():
            x, y = at_px.round().astype(int).tolist()
            text = f"{track_id}  {np.hypot(*tracks.velocity_m_s[row]):.1f} m/s"
            put_text(plan, text, (x + 9, y - 8), colour, size_px=palette.SMALL_PX)


def _draw_legend(plan: Image) -> None:
    text = (
        "white: truth now    colour: tracks of the newest picture, 95 %, 1 s of way    "
        "tinted: stopping way, and clearance"
    )
    put_text(plan, text, (12, 20), palette.QUIET, size_px=palette.SMALL_PX)


def _draw_command(image: Image, story: Story, moment: Moment) -> None:
    top = _PLAN_PX[1] + 8
    fill_rect(image, (12, top, 152, top + 34), palette.LEVELS[moment.level])
    ink = palette.TEXT if moment.level is CommandLevel.STOP else palette.INK
    put_text(image, moment.level.name, (24, top + 24), ink, weight=600, size_px=palette.TITLE_PX)
    put_text(image, story.title, (168, top + 15), palette.TEXT, weight=600)
    state = f"{moment.time_s:.2f} s    vehicle {moment.speed_m_s:.1f} m/s"
    put_text(image, state, (168, top + 34), palette.QUIET)
    for number, reason in enumerate(moment.reasons[:_REASONS]):
        at = (620, top + 15 + 19 * number)
        put_text(image, reason_text(reason), at, palette.QUIET, size_px=palette.SMALL_PX)


def _draw_strip(image: Image, story: Story, index: int) -> None:
    """The highest probability said over time; a bar for each STOP, for the latest, and for now."""
    left, right = 60, SIZE_PX[0] - 20
    top, bottom = _PLAN_PX[1] + 74, SIZE_PX[1] - 34
    begin_s = story.moments[0].time_s
    end_s = max(story.moments[-1].time_s, begin_s + _SHOWN_AHEAD_S)

    def x_px(time_s: float) -> float:
        return left + (time_s - begin_s) / (end_s - begin_s) * (right - left)

    def y_px(share: float) -> float:
        return bottom - share * (bottom - top)

    for share in (0.0, story.rule.probability, 1.0):
        y = y_px(share)
        put_line(image, np.array([[left, y], [right, y]]), palette.RULE)
        put_text(
            image,
            f"{share:g}",
            (left - 8, round(y) + 5),
            palette.QUIET,
            size_px=palette.SMALL_PX,
            is_right=True,
        )
    curve = [(x_px(m.time_s), y_px(highest_probability(m))) for m in story.moments]
    put_line(image, np.array(curve), palette.CAUTION, thickness_px=2)
    stops = [time_s for time_s in story.stops_s if time_s >= begin_s]
    bars = [(time_s, palette.RISK) for time_s in stops]
    labels = [(stops[0], f"STOP {stops[0]:.2f} s", bottom + 17, palette.RISK)] if stops else []
    if math.isfinite(story.latest_stop_s):
        bars.append((story.latest_stop_s, palette.TEXT))
        text = f"latest good {story.latest_stop_s:.2f} s"
        labels.append((story.latest_stop_s, text, bottom + 29, palette.TEXT))
    for time_s, colour in bars:
        x = x_px(time_s)
        put_line(image, np.array([[x, top - 4], [x, bottom]]), colour, thickness_px=2)
    for time_s, text, y, colour in labels:
        put_text(image, text, (round(x_px(time_s)) + 4, y), colour, size_px=palette.SMALL_PX)
    now = x_px(story.moments[index].time_s)
    put_line(image, np.array([[now, top], [now, bottom]]), palette.CALM)
    put_text(
        image,
        "probability said",
        (SIZE_PX[0] - 130, top - 8),
        palette.QUIET,
        size_px=palette.SMALL_PX,
    )


def _box(back_m: float, front_m: float, half_width_m: float) -> FloatArray:
    return np.array(
        [
            [back_m, -half_width_m],
            [front_m, -half_width_m],
            [front_m, half_width_m],
            [back_m, half_width_m],
        ]
    )


def _turned(points_m: FloatArray, angle_rad: float, at_m: FloatArray) -> FloatArray:
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    found: FloatArray = points_m @ np.array([[cos, sin], [-sin, cos]]) + at_m
    return found

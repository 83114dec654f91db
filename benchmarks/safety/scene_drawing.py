"""Scenes drawn from seeds: a person walks in front of the vehicle, or several keep clear of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import TypeVar

import numpy as np

from benchmarks.safety.scene import Declared, Person, Scene
from benchmarks.safety.vehicle import VehicleModel
from sightline.errors import UsageError

DrawnT = TypeVar("DrawnT")

MAX_DRAWS = 10_000
"""Draws of one scene, or of one bystander, before giving up with a UsageError."""
_AFTERMATH_S = 2.0
_CONFLICT, _CLEAR = 1, 2  # kinds of scenes draw from different random numbers


class Bystander(StrEnum):
    """What somebody does who keeps clear."""

    BEHIND = "behind"
    """Crosses the way of the vehicle behind it."""
    AHEAD = "ahead"
    """Crosses it well ahead."""
    HALTS = "halts"
    """Walks towards it, and stops before it."""
    PARALLEL = "parallel"
    """Walks along it, with the vehicle or against it."""
    STANDS = "stands"
    """Stands beside it and lets the vehicle pass."""
    STROLLS = "strolls"
    """Walks anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneConfig:
    """What scenes are drawn from. Ranges are uniform.

    Attributes:
        cruise_m_s: range of the vehicle's speed.
        walk_m_s: range of the people's speed.
        vehicle_length_m: of the box.
        vehicle_width_m: of the box.
        person_radius_m: of the disc.
        declared: worst case. The true response time is 0.5 to 1 times that, the true
            deceleration 1 to 1.3 times.
        lead_s: the person in conflict becomes visible when the vehicle is as far from the place
            of contact as it needs to stop (by the declared values) and to drive on for this
            time, and from the person at least as far: nobody begins beside it.
        halting: share of conflicts in which the person gets to the way early and stands there.
        bystanders: range of their number, inclusive.
        clear_m: how clear bystanders keep of the vehicle and of the way it needs to stop, and
            would keep if at any time they walked on: see ``Scene.is_in_conflict``.
        grace_s: see there.
        near_m: every bystander comes nearer than this to the vehicle, or the way it needs to
            stop, at some time, so that there is something to judge.
        sway_m: amplitude of the gait, at about one step per second.
        duration_s: length of a scene at most.
        view_m: way of the vehicle after time 0 that the camera looks at; scenes end where it does.
        run_up_m: way before, that it looks at as well.
        camera_height_m: range, of its mast.
        camera_away_m: range, from the mast's foot to the middle of the way, on either side.
        camera_turn_rad: largest angle between that line and the perpendicular of the way.
    """

    cruise_m_s: tuple[float, float] = (1.0, 8.0)
    walk_m_s: tuple[float, float] = (0.5, 3.0)
    vehicle_length_m: float = 4.0
    vehicle_width_m: float = 2.0
    person_radius_m: float = 0.3
    declared: Declared = field(default_factory=Declared)
    lead_s: float = 2.0
    halting: float = 0.3
    bystanders: tuple[int, int] = (2, 4)
    clear_m: float = 2.0
    grace_s: float = 0.5
    near_m: float = 6.0
    sway_m: float = 0.04
    duration_s: float = 12.0
    view_m: float = 60.0
    run_up_m: float = 30.0
    camera_height_m: tuple[float, float] = (18.0, 25.0)
    camera_away_m: tuple[float, float] = (25.0, 35.0)
    camera_turn_rad: float = 0.4


def draw_conflict(config: SceneConfig, seed: int) -> Scene:
    """A person in front of the vehicle: if it drives on, it hits the person with its front.

    Raises:
        UsageError: if MAX_DRAWS draws held no such scene.

    >>> scene = draw_conflict(SceneConfig(), 0)
    >>> scene == draw_conflict(SceneConfig(), 0)
    True
    >>> 0 < scene.latest_stop_s() < scene.contact_s
    True
    """
    random = np.random.default_rng([seed, _CONFLICT])
    return _first(partial(_drawn_conflict, config, seed, random), f"conflict, seed {seed}")


def draw_clear(config: SceneConfig, seed: int) -> Scene:
    """A vehicle that needs to stop for nobody, and bystanders around it.

    Raises:
        UsageError: if MAX_DRAWS draws held no bystander who keeps clear.

    >>> scene = draw_clear(SceneConfig(), 0)
    >>> 2 <= len(scene.people) <= 4, scene.latest_stop_s()
    (True, inf)
    """
    random = np.random.default_rng([seed, _CLEAR])
    empty = _empty_scene(config, seed, random)
    count = int(random.integers(config.bystanders[0], config.bystanders[1] + 1))
    kinds = random.choice(np.array(list(Bystander)), size=count)
    people = tuple(
        _first(
            partial(_drawn_bystander, config, empty, Bystander(kind), random),
            f"bystander who {kind}, seed {seed}",
        )
        for kind in kinds
    )
    return replace(empty, people=people)


def _first(draw: Callable[[], DrawnT | None], what: str) -> DrawnT:
    for _ in range(MAX_DRAWS):
        found = draw()
        if found is not None:
            return found
    raise UsageError(
        expected=f"one within {MAX_DRAWS} draws",
        got="none",
        where=f"site safety scene, {what}",
        action="widen the ranges of the configuration",
    )


def _empty_scene(config: SceneConfig, seed: int, random: np.random.Generator) -> Scene:
    """A vehicle and a camera, and nobody there."""
    vehicle = VehicleModel(
        length_m=config.vehicle_length_m,
        width_m=config.vehicle_width_m,
        cruise_m_s=random.uniform(*config.cruise_m_s),
        response_s=config.declared.response_s * random.uniform(0.5, 1.0),
        deceleration_m_s2=config.declared.deceleration_m_s2 * random.uniform(1.0, 1.3),
    )
    duration_s = min(config.duration_s, config.view_m / vehicle.cruise_m_s)
    middle_m = (vehicle.cruise_m_s * duration_s - config.run_up_m) / 2
    away_m = random.uniform(*config.camera_away_m)
    turn = random.choice([-1, 1]) * math.pi / 2
    turn += random.uniform(-config.camera_turn_rad, config.camera_turn_rad)
    return Scene(
        seed=seed,
        vehicle=vehicle,
        declared=config.declared,
        people=(),
        person_radius_m=config.person_radius_m,
        contact_s=math.inf,
        duration_s=duration_s,
        camera_m=(
            middle_m + away_m * math.cos(turn),
            away_m * math.sin(turn),
            random.uniform(*config.camera_height_m),
        ),
        looks_at_m=(middle_m, 0.0),
    )


def _drawn_conflict(config: SceneConfig, seed: int, random: np.random.Generator) -> Scene | None:
    scene = _empty_scene(config, seed, random)
    v = scene.vehicle.cruise_m_s
    velocity = _velocity(random.uniform(-math.pi, math.pi), random.uniform(*config.walk_m_s))
    halts = random.random() < config.halting
    early_s = random.uniform(0.1, 1.5) if halts else 0.0
    lead_m = config.declared.stopping_m(v) + config.lead_s * v
    # Of who walks on before the vehicle, the distance between them counts as well.
    closing_m_s = v if halts else min(v, v - velocity[0])
    if closing_m_s * (scene.duration_s - _AFTERMATH_S) <= lead_m:
        return None
    contact_s = lead_m / closing_m_s
    half_width = scene.vehicle.width_m / 2
    at_m = (v * contact_s + config.person_radius_m, random.uniform(-half_width, half_width))
    walked_s = contact_s - early_s
    if at_m[0] - velocity[0] * walked_s < lead_m:
        return None  # who halts on the way may have come along from beside the vehicle
    person = Person(
        start_m=(at_m[0] - velocity[0] * walked_s, at_m[1] - velocity[1] * walked_s),
        velocity_m_s=velocity,
        halts_s=walked_s if halts else math.inf,
        sway_m=config.sway_m,
        sway_hz=random.uniform(0.8, 1.2),
    )
    drawn = replace(scene, people=(person,), contact_s=contact_s)
    # Who would be there only inside the vehicle, or walk into it before, is no such conflict.
    return drawn if drawn.latest_stop_s() > -math.inf else None


def _drawn_bystander(
    config: SceneConfig, scene: Scene, kind: Bystander, random: np.random.Generator
) -> Person | None:
    person = _proposed(config, scene, kind, random)
    keeps_clear = scene.nearest_m(person) <= config.near_m and not scene.is_in_conflict(
        person,
        clear_m=config.clear_m,
        grace_s=config.grace_s,
    )
    return person if keeps_clear else None


def _proposed(
    config: SceneConfig, scene: Scene, kind: Bystander, random: np.random.Generator
) -> Person:
    """A bystander who may or may not keep clear."""
    v, half_width = scene.vehicle.cruise_m_s, scene.vehicle.width_m / 2
    speed = random.uniform(*config.walk_m_s)
    side = float(random.choice([-1, 1]))
    at_s = random.uniform(0.0, scene.duration_s)
    beside_m = side * (half_width + config.person_radius_m + config.clear_m)
    beside_m += side * random.uniform(0.0, config.near_m / 2)
    across = -side * math.pi / 2 + random.uniform(-0.5, 0.5)
    match kind:
        case Bystander.BEHIND:
            gap_m = scene.vehicle.length_m + random.uniform(0.0, config.near_m)
            through, direction = (v * at_s - gap_m, 0.0), across
        case Bystander.AHEAD:
            gap_m = config.declared.longest_stopping(v)[0] + random.uniform(0.0, 2 * config.near_m)
            through, direction = (v * at_s + gap_m, 0.0), across
        case Bystander.HALTS:
            through, direction = (v * at_s + random.uniform(-2.0, v), beside_m), across
        case Bystander.PARALLEL:
            through = (v * at_s, beside_m)
            direction = float(random.choice([0.0, math.pi])) + random.uniform(-0.1, 0.1)
        case Bystander.STANDS:
            through, direction, speed = (v * at_s, beside_m), 0.0, 0.0
        case Bystander.STROLLS:
            through = (v * at_s, side * random.uniform(0.0, 3 * config.near_m))
            direction = random.uniform(-math.pi, math.pi)
    velocity = _velocity(direction, speed)
    return Person(
        start_m=(through[0] - velocity[0] * at_s, through[1] - velocity[1] * at_s),
        velocity_m_s=velocity,
        halts_s=at_s if kind is Bystander.HALTS else math.inf,
        sway_m=config.sway_m if speed else 0.0,
        sway_hz=random.uniform(0.8, 1.2),
    )


def _velocity(direction_rad: float, speed_m_s: float) -> tuple[float, float]:
    return speed_m_s * math.cos(direction_rad), speed_m_s * math.sin(direction_rad)

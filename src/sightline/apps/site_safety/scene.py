"""A simulated yard: a vehicle drives straight on, a person walks; who meets is drawn from a seed.

Scene coordinates: the vehicle drives along +x on y = 0. At time 0 its front is at x = 0, it
drives at cruise speed, and the person becomes visible. ``Scene.on_site`` turns and shifts all
that, so that nothing downstream can lean on the axes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sightline.apps.site_safety.vehicle import VehicleModel
from sightline.errors import UsageError
from sightline.records.windows import FloatArray

MAX_DRAWS = 10_000
"""Draws of a scene without conflict before giving up with a UsageError."""
_STEP_S = 0.02
_AFTERMATH_S = 2.0


class Walk(StrEnum):
    """What the person does."""

    INTO_THE_FRONT = "into_the_front"
    """Walks so that the vehicle, if it drives on, hits it with its front."""
    HALTS_IN_THE_WAY = "halts_in_the_way"
    """The same place, but gets there early and stands there."""
    CLEAR = "clear"
    """Walks so that there is no conflict, even if the vehicle drives on."""
    HALTS_CLEAR = "halts_clear"
    """The same, and halts somewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneConfig:
    """What scenes are drawn from. Ranges are uniform.

    Attributes:
        walk: what the person does.
        cruise_m_s: range of the vehicle's speed.
        walk_m_s: range of the person's speed.
        vehicle_length_m: of the box.
        vehicle_width_m: of the box.
        person_radius_m: of the disc.
        declared_response_s: longest response time; the true one is 0.5 to 1 times that.
        declared_deceleration_m_s2: least deceleration; the true one is 1 to 1.3 times that.
        declared_latency_s: longest time from what a picture shows to a command.
        lead_s: the person becomes visible when the vehicle is as far from the place of contact
            as it needs to stop (by the declared values) and to drive on for this time; and, of a
            person who walks on before it, also as far from the person.
        clear_m: without conflict the person stays this far from the vehicle's box and from the
            way it needs to stop, at every time, if the vehicle drives on.
        far_m: and comes nearer than this at some time, so that there is something to see.
        sway_m: amplitude of the person's gait across its way, at about one step per second.
        duration_s: length of a scene after the person has become visible.
    """

    walk: Walk = Walk.INTO_THE_FRONT
    cruise_m_s: tuple[float, float] = (1.0, 8.0)
    walk_m_s: tuple[float, float] = (0.5, 3.0)
    vehicle_length_m: float = 4.0
    vehicle_width_m: float = 2.0
    person_radius_m: float = 0.3
    declared_response_s: float = 0.3
    declared_deceleration_m_s2: float = 3.0
    declared_latency_s: float = 0.3
    lead_s: float = 2.0
    clear_m: float = 2.0
    far_m: float = 12.0
    sway_m: float = 0.04
    duration_s: float = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One drawn scene. Equal seeds and configurations give equal scenes.

    Attributes:
        seed: it was drawn from.
        vehicle: true vehicle.
        person_radius_m: of the disc.
        start_m: (x, y) of the person at time 0.
        velocity_m_s: (vx, vy) while it walks.
        halts_s: when it halts for good; inf for never.
        sway_m: amplitude of its gait.
        sway_hz: frequency of its gait.
        contact_s: when the front hits it if the vehicle drives on; inf without conflict.
        turn_rad: from scene to site coordinates.
        shift_m: from scene to site coordinates.
        duration_s: length after time 0.
    """

    seed: int
    vehicle: VehicleModel
    person_radius_m: float
    start_m: tuple[float, float]
    velocity_m_s: tuple[float, float]
    halts_s: float
    sway_m: float
    sway_hz: float
    contact_s: float
    turn_rad: float
    shift_m: tuple[float, float]
    duration_s: float

    def person_m(self, time_s: FloatArray) -> FloatArray:
        """float64[n, 2]: where the person is, in scene coordinates."""
        walked_s = np.minimum(time_s, self.halts_s)
        speed = math.hypot(*self.velocity_m_s)
        velocity = np.array(self.velocity_m_s)
        across = np.array([-velocity[1], velocity[0]]) / max(speed, 1e-9)
        sway = self.sway_m * np.sin(2 * np.pi * self.sway_hz * walked_s)
        found: FloatArray = (
            np.array(self.start_m) + walked_s[:, None] * velocity + sway[:, None] * across
        )
        return found

    def separation_m(self, vehicle_x_m: FloatArray, time_s: FloatArray) -> FloatArray:
        """float64[n]: true distance between the footprints; negative when they overlap."""
        person = self.person_m(time_s)
        beyond_x = np.abs(person[:, 0] - vehicle_x_m) - self.vehicle.length_m / 2
        beyond_y = np.abs(person[:, 1]) - self.vehicle.width_m / 2
        outside = np.hypot(np.maximum(beyond_x, 0), np.maximum(beyond_y, 0))
        inside = np.minimum(np.maximum(beyond_x, beyond_y), 0)
        found: FloatArray = outside + inside - self.person_radius_m
        return found

    def on_site(self, points_m: FloatArray) -> FloatArray:
        """float64[n, 2]: scene points in site coordinates."""
        cos, sin = math.cos(self.turn_rad), math.sin(self.turn_rad)
        found: FloatArray = points_m @ np.array([[cos, sin], [-sin, cos]]) + self.shift_m
        return found


def draw_scene(config: SceneConfig, seed: int) -> Scene:
    """A scene from a seed.

    Raises:
        UsageError: if MAX_DRAWS draws held no scene without conflict.

    >>> scene = draw_scene(SceneConfig(), 0)
    >>> scene == draw_scene(SceneConfig(), 0)
    True
    >>> bool(scene.separation_m(np.array([-2 + scene.vehicle.cruise_m_s * scene.contact_s]),
    ...                         np.array([scene.contact_s]))[0] < 0.1)
    True
    """
    random = np.random.default_rng([seed, list(Walk).index(config.walk)])
    for _ in range(MAX_DRAWS):
        if config.walk in (Walk.INTO_THE_FRONT, Walk.HALTS_IN_THE_WAY):
            scene = _drawn_conflict(config, seed, random)
        else:
            scene = _drawn_walk(config, seed, random)
        if scene is not None:
            return scene
    raise UsageError(
        expected=f"a scene of kind {config.walk} within {MAX_DRAWS} draws",
        got="none",
        where=f"site safety scene, seed {seed}",
        action="widen the ranges of the configuration",
    )


def stopping_m(config: SceneConfig, cruise_m_s: float) -> float:
    """What the vehicle needs to stop by its declared values, from what a picture shows."""
    reaction_s = config.declared_latency_s + config.declared_response_s
    return cruise_m_s * reaction_s + cruise_m_s**2 / (2 * config.declared_deceleration_m_s2)


def _vehicle(config: SceneConfig, random: np.random.Generator) -> VehicleModel:
    return VehicleModel(
        length_m=config.vehicle_length_m,
        width_m=config.vehicle_width_m,
        cruise_m_s=random.uniform(*config.cruise_m_s),
        response_s=config.declared_response_s * random.uniform(0.5, 1.0),
        deceleration_m_s2=config.declared_deceleration_m_s2 * random.uniform(1.0, 1.3),
    )


def _drawn_conflict(config: SceneConfig, seed: int, random: np.random.Generator) -> Scene | None:
    vehicle = _vehicle(config, random)
    speed = random.uniform(*config.walk_m_s)
    direction = random.uniform(-np.pi, np.pi)
    velocity = np.array([math.cos(direction), math.sin(direction)]) * speed
    early_s = random.uniform(0.0, 1.5) if config.walk is Walk.HALTS_IN_THE_WAY else 0.0
    lead_m = stopping_m(config, vehicle.cruise_m_s) + config.lead_s * vehicle.cruise_m_s
    contact_s = lead_m / vehicle.cruise_m_s
    closing_m_s = vehicle.cruise_m_s - velocity[0]
    if early_s == 0 and velocity[0] > 0:
        # It walks on before the vehicle: the distance between them counts as well.
        contact_s = lead_m / closing_m_s if closing_m_s > 0 else math.inf
    if contact_s > config.duration_s - _AFTERMATH_S:
        return None
    travel_m = vehicle.cruise_m_s * contact_s
    half_width = vehicle.width_m / 2
    contact_m = np.array(
        [travel_m + config.person_radius_m, random.uniform(-half_width, half_width)]
    )
    start_m = contact_m - velocity * (contact_s - early_s)
    return _scene(
        config,
        seed,
        random,
        vehicle=vehicle,
        start_m=start_m,
        velocity=velocity,
        halts_s=contact_s - early_s if early_s else math.inf,
        contact_s=contact_s,
    )


def _drawn_walk(config: SceneConfig, seed: int, random: np.random.Generator) -> Scene | None:
    vehicle = _vehicle(config, random)
    speed = random.uniform(*config.walk_m_s)
    direction = random.uniform(-np.pi, np.pi)
    way_m = vehicle.cruise_m_s * config.duration_s
    start_m = np.array(
        [
            random.uniform(-config.far_m, way_m),
            random.uniform(-2 * config.far_m, 2 * config.far_m),
        ]
    )
    halts = config.walk is Walk.HALTS_CLEAR
    scene = _scene(
        config,
        seed,
        random,
        vehicle=vehicle,
        start_m=start_m,
        velocity=np.array([math.cos(direction), math.sin(direction)]) * speed,
        halts_s=random.uniform(1.0, config.duration_s) if halts else math.inf,
        contact_s=math.inf,
    )
    return scene if _is_without_conflict(config, scene) else None


def _is_without_conflict(config: SceneConfig, scene: Scene) -> bool:
    """Whether the person keeps off the vehicle and its stopping way, if the vehicle drives on."""
    time_s = np.arange(0.0, config.duration_s, _STEP_S)
    vehicle = scene.vehicle
    centre_m = vehicle.cruise_m_s * time_s - vehicle.length_m / 2
    person = scene.person_m(time_s)
    needed_m = stopping_m(config, vehicle.cruise_m_s)
    # The box and the way it needs ahead, as one longer box.
    beyond_x = np.abs(person[:, 0] - centre_m - needed_m / 2) - (vehicle.length_m + needed_m) / 2
    beyond_y = np.abs(person[:, 1]) - vehicle.width_m / 2
    outside = np.hypot(np.maximum(beyond_x, 0), np.maximum(beyond_y, 0))
    least_m = float(outside.min()) - config.person_radius_m
    nearest_m = float(scene.separation_m(centre_m, time_s).min())
    return least_m >= config.clear_m and nearest_m <= config.far_m


def _scene(
    config: SceneConfig,
    seed: int,
    random: np.random.Generator,
    *,
    vehicle: VehicleModel,
    start_m: FloatArray,
    velocity: FloatArray,
    halts_s: float,
    contact_s: float,
) -> Scene:
    return Scene(
        seed=seed,
        vehicle=vehicle,
        person_radius_m=config.person_radius_m,
        start_m=(float(start_m[0]), float(start_m[1])),
        velocity_m_s=(float(velocity[0]), float(velocity[1])),
        halts_s=halts_s,
        sway_m=config.sway_m,
        sway_hz=random.uniform(0.8, 1.2),
        contact_s=contact_s,
        turn_rad=random.uniform(-np.pi, np.pi),
        shift_m=(random.uniform(-50, 50), random.uniform(-50, 50)),
        duration_s=config.duration_s,
    )

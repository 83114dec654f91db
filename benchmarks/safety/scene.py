"""A simulated yard at one time: a vehicle that drives straight on, and people who walk.

Scene coordinates: the vehicle drives along +x on y = 0. At time 0 its front is at x = 0, it
drives at cruise speed, and the people become visible.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from benchmarks.safety.vehicle import VehicleModel
from sightline.records.windows import FloatArray

_STEP_S = 0.05
_LOOK_AHEAD_STEPS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What is declared of the vehicle and the camera: the worst case that all must keep to.

    Attributes:
        response_s: from a command to the first effect of the brake.
        deceleration_m_s2: least, on the worst ground.
        latency_s: from what a picture shows to a command.
        acceleration_m_s2: most, of the vehicle when it speeds up.
        top_speed_m_s: of any vehicle on the site.
    """

    response_s: float = 0.3
    deceleration_m_s2: float = 3.0
    latency_s: float = 0.3
    acceleration_m_s2: float = 2.0
    top_speed_m_s: float = 8.0

    def stopping_m(self, speed_m_s: float) -> float:
        """Way from what a picture shows to standstill.

        >>> Declared().stopping_m(6.0)
        9.6
        """
        reaction_s = self.latency_s + self.response_s
        return speed_m_s * reaction_s + speed_m_s**2 / (2 * self.deceleration_m_s2)

    def longest_stopping(self, speed_m_s: float) -> tuple[float, float]:
        """The same way, and the time for it, of a vehicle that speeds up while it may.

        >>> Declared().longest_stopping(8.0) == (Declared().stopping_m(8.0), 0.6 + 8.0 / 3.0)
        True
        """
        reaction_s = self.latency_s + self.response_s
        braked_m_s = min(speed_m_s + self.acceleration_m_s2 * reaction_s, self.top_speed_m_s)
        way_m = (speed_m_s + braked_m_s) / 2 * reaction_s
        way_m += braked_m_s**2 / (2 * self.deceleration_m_s2)
        return way_m, reaction_s + braked_m_s / self.deceleration_m_s2


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person: walks straight on, with a gait, and may halt for good.

    Attributes:
        start_m: (x, y) at time 0.
        velocity_m_s: (vx, vy) while walking.
        halts_s: when it halts; inf for never.
        sway_m: amplitude of the gait, across the way.
        sway_hz: its frequency.
    """

    start_m: tuple[float, float]
    velocity_m_s: tuple[float, float]
    halts_s: float = math.inf
    sway_m: float = 0.0
    sway_hz: float = 1.0

    def at(self, time_s: FloatArray) -> FloatArray:
        """float64[n, 2]: where at float64[n] times.

        >>> Person(start_m=(1.0, 0.0), velocity_m_s=(0.0, 2.0), halts_s=3.0).at(
        ...     np.array([1.0, 4.0])).tolist()
        [[1.0, 2.0], [1.0, 6.0]]
        """
        walked_s = np.minimum(time_s, self.halts_s)
        velocity = np.array(self.velocity_m_s)
        across = np.array([-velocity[1], velocity[0]]) / max(math.hypot(*velocity), 1e-9)
        sway = self.sway_m * np.sin(2 * np.pi * self.sway_hz * walked_s)
        found: FloatArray = (
            np.array(self.start_m) + walked_s[:, None] * velocity + sway[:, None] * across
        )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One scene. Equal seeds and configurations give equal scenes.

    Attributes:
        seed: it was drawn from.
        vehicle: true vehicle.
        declared: of it.
        people: all persons.
        person_radius_m: of their discs.
        contact_s: when the front meets the first person if the vehicle drives on; inf without
            conflict.
        duration_s: length after time 0.
        camera_m: (x, y, height) of the camera.
        looks_at_m: (x, y) in the middle of its picture.
    """

    seed: int
    vehicle: VehicleModel
    declared: Declared
    people: tuple[Person, ...]
    person_radius_m: float
    contact_s: float
    duration_s: float
    camera_m: tuple[float, float, float]
    looks_at_m: tuple[float, float]

    def people_m(self, time_s: FloatArray) -> FloatArray:
        """float64[n, p, 2]: where the p persons are at float64[n] times."""
        return np.stack([person.at(time_s) for person in self.people], axis=1)

    def separation_m(self, person_m: FloatArray, vehicle_x_m: FloatArray) -> FloatArray:
        """float64[n]: distance between footprints for float64[n, 2] and centres float64[n].

        Negative when they overlap.
        """
        vehicle = self.vehicle
        found: FloatArray = (
            distance_to_box_m(
                person_m, vehicle_x_m, length_m=vehicle.length_m, width_m=vehicle.width_m
            )
            - self.person_radius_m
        )
        return found

    def latest_stop_s(self) -> float:
        """The latest time at which a STOP, with the declared brakes, spares every person.

        Of a vehicle at cruise speed; -inf if there is none, inf if no stop is needed.
        """
        commands_s = np.arange(0.0, self.duration_s, _STEP_S)
        time_s = np.arange(0.0, self.duration_s + 10.0, _STEP_S)
        vehicle, declared = self.vehicle, self.declared
        braking_s = np.clip(
            time_s[None, :] - commands_s[:, None] - declared.response_s,
            0.0,
            vehicle.cruise_m_s / declared.deceleration_m_s2,
        )
        is_moving = braking_s < vehicle.cruise_m_s / declared.deceleration_m_s2
        driving_s = np.minimum(time_s[None, :], commands_s[:, None] + declared.response_s)
        centre_m = (
            vehicle.cruise_m_s * (driving_s + braking_s)
            - declared.deceleration_m_s2 * braking_s**2 / 2
            - vehicle.length_m / 2
        )
        hits = np.zeros(len(commands_s), np.bool_)
        for person in self.people:
            at = np.broadcast_to(person.at(time_s), (*centre_m.shape, 2)).reshape(-1, 2)
            apart = self.separation_m(at, centre_m.ravel()).reshape(centre_m.shape)
            hits |= ((apart <= 0) & is_moving).any(axis=1)
        if not hits.any():
            return math.inf
        first = int(np.argmax(hits))
        return float(commands_s[first - 1]) if first else -math.inf

    def nearest_m(self, person: Person) -> float:
        """Least distance of a person to the vehicle and the way it needs to stop, if it drives on.

        That way is the longest by the declared values.
        """
        v, vehicle = self.vehicle.cruise_m_s, self.vehicle
        needed_m, _ = self.declared.longest_stopping(v)
        time_s = np.arange(0.0, self.duration_s, _STEP_S)
        apart = distance_to_box_m(
            person.at(time_s),
            v * time_s + (needed_m - vehicle.length_m) / 2,
            length_m=vehicle.length_m + needed_m,
            width_m=vehicle.width_m,
        )
        return float(apart.min()) - self.person_radius_m

    def is_in_conflict(self, person: Person, *, clear_m: float, grace_s: float) -> bool:
        """Whether at some time the vehicle has a reason to stop for a person, if it drives on.

        It has when the person is nearer than ``clear_m`` to it or to the way it needs to stop,
        or would come nearer than ``clear_m`` to it, walking on as at that time, before the
        two have used up that way and ``grace_s`` more (see ``assess.site.machines.pair_risk``).
        So who runs towards the way and halts in front of it at the last moment is in conflict:
        nobody can tell that from running on.
        """
        v, vehicle = self.vehicle.cruise_m_s, self.vehicle
        if self.nearest_m(person) < clear_m:
            return True
        needed_m, needed_s = self.declared.longest_stopping(v)
        time_s = np.arange(0.0, self.duration_s, _STEP_S)
        at = person.at(time_s)
        centre_m = v * time_s - vehicle.length_m / 2
        is_walking = time_s < person.halts_s
        velocity = is_walking[:, None] * np.array(person.velocity_m_s)
        towards_m_s = np.maximum(-velocity[:, 0], 0.0)
        horizon_s = (needed_m + towards_m_s * needed_s) / (v + towards_m_s) + grace_s
        for share in np.linspace(0.0, 1.0, _LOOK_AHEAD_STEPS):
            ahead_s = share * horizon_s
            then = at + ahead_s[:, None] * velocity
            if self.separation_m(then, centre_m + v * ahead_s).min() < clear_m:
                return True
        return False


def distance_to_box_m(
    points_m: FloatArray, centre_x_m: FloatArray, *, length_m: float, width_m: float
) -> FloatArray:
    """float64[n]: distance of points to boxes along x with centres on y = 0; inside negative."""
    beyond_x = np.abs(points_m[:, 0] - centre_x_m) - length_m / 2
    beyond_y = np.abs(points_m[:, 1]) - width_m / 2
    outside = np.hypot(np.maximum(beyond_x, 0), np.maximum(beyond_y, 0))
    found: FloatArray = outside + np.minimum(np.maximum(beyond_x, beyond_y), 0)
    return found

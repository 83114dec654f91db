"""One closed loop: scene, camera, tracker, risk, command, brake; and what came of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sightline.apps.site_safety.scene import Scene
from sightline.apps.site_safety.sensor import SensorModel
from sightline.apps.site_safety.vehicle import Vehicle
from sightline.assess.site import SiteAssessment
from sightline.assess.site.machines import (
    Headings,
    MachineRule,
    PairsAtRisk,
    TowedPoints,
    follow_headings,
    pair_risk,
    watch_pairs,
)
from sightline.decide.actuation import ActuationRule, ActuationState, Situation, advance
from sightline.records import Tracks
from sightline.records.command import CommandLevel
from sightline.records.decision import Reason
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

STEP_S = 0.02
"""Step of the physics."""
RUN_UP_M = 10.0
"""Way at cruise speed before the person becomes visible: the machine is in service."""
CLASSES = ("person", "vehicle")
PERSON, VEHICLE = 0, 1


class Tracker(Protocol):
    """Follows what is seen; one per trial."""

    def update(
        self, stream: str, capture_ns: int, ground_m: FloatArray, class_id: IntArray
    ) -> Tracks:
        """Take the positions of one picture: float64[n, 2] in metres, classes int[n]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of one scene. Times are scene times in s: 0 when the person becomes visible.

    Attributes:
        seed: of the scene.
        first_stop_s: first STOP after the vehicle was let go; inf if there was none.
        first_reasons: reason codes of that command.
        least_moving_m: least true distance between the footprints while the vehicle moved and
            the person was there.
        hit_m_s: speed of the vehicle at the first contact; 0 if there was none while it moved.
    """

    seed: int
    first_stop_s: float
    first_reasons: tuple[str, ...]
    least_moving_m: float
    hit_m_s: float

    @property
    def is_hit(self) -> bool:
        """The vehicle moved into the person."""
        return self.hit_m_s > 0

    @property
    def has_stopped(self) -> bool:
        """A STOP was said."""
        return math.isfinite(self.first_stop_s)


class _Loop:
    """The deciding side: what a deployment runs, fed by the simulated camera."""

    def __init__(
        self, machine: MachineRule, actuation: ActuationRule, tracker: Tracker, timeout_s: float
    ) -> None:
        self.machine, self.actuation, self.tracker = machine, actuation, tracker
        self.lost_timeout_s = timeout_s
        self.state = ActuationState()
        self.pairs = PairsAtRisk.start()
        self.tracks: Tracks | None = None
        self.lost = SiteAssessment.none("yard", 0)
        self.towed = TowedPoints.start()
        self.headings: Headings | None = None
        self.is_new = False

    def take(self, capture_ns: int, measured: FloatArray) -> None:
        """Take the positions of one picture."""
        is_seen = ~np.isnan(measured[:, 0])
        classes = np.array([PERSON, VEHICLE])[is_seen]
        self.tracks = self.tracker.update("yard", capture_ns, measured[is_seen], classes)
        self.towed, self.headings = follow_headings(
            self.towed, self.tracks, rope_m=self.machine.length_m
        )
        self.is_new = True

    def situation(self, event_ns: int) -> Situation:
        if self.tracks is None:
            return Situation(event_ns=event_ns, newest_capture_ns=None)
        # Between two pictures the last tracks are carried on.
        risk = pair_risk(self.tracks, self.machine, event_ns=event_ns, headings=self.headings)
        if self.is_new:
            self.pairs, self.lost = watch_pairs(
                self.pairs, self.tracks, risk, lost_timeout_s=self.lost_timeout_s
            )
            self.is_new = False
        reasons: tuple[Reason, ...] = risk.reasons("pair_risk@1") + self.lost.reasons("lost@1")
        is_vehicle = self.tracks.class_id == VEHICLE
        is_located = bool((self.tracks.unseen_s[is_vehicle] <= self.actuation.max_age_s).any())
        return Situation(
            event_ns=event_ns,
            newest_capture_ns=self.tracks.capture_ns,
            reasons=reasons,
            has_answer=is_located,
        )


def run_trial(
    scene: Scene,
    *,
    sensor: SensorModel,
    tracker: Tracker,
    machine: MachineRule,
    actuation: ActuationRule,
    lost_timeout_s: float = 10.0,
) -> Trial:
    """Run one scene to its end.

    The vehicle stands, is let go, speeds up and reaches x = 0 at cruise speed; then the person
    becomes visible, and the scene runs for its duration. Steps of the decision come at the
    period of the camera, with or without a picture.

    Args:
        scene: what happens.
        sensor: how it is seen; draws from the seed of the scene.
        tracker: a new one.
        machine: what is declared of the vehicle.
        actuation: how commands follow.
        lost_timeout_s: see ``watch_pairs``.
    """
    random = np.random.default_rng([scene.seed, 0x5EE])
    cruise_m_s = scene.vehicle.cruise_m_s
    run_up_m = cruise_m_s**2 / (2 * scene.vehicle.acceleration_m_s2) + RUN_UP_M
    vehicle = Vehicle(model=scene.vehicle, x_m=-scene.vehicle.length_m / 2 - run_up_m)
    loop = _Loop(machine, actuation, tracker, lost_timeout_s)

    steps_per_picture = round(sensor.period_s / STEP_S)
    pictures: list[tuple[int, FloatArray]] = []
    visible_ns: int | None = None
    was_let_go = False
    first_stop_s = math.inf
    first_reasons: tuple[str, ...] = ()
    least_m, hit_m_s = math.inf, 0.0
    for step in range(round((60.0 + scene.duration_s) / STEP_S)):
        now_ns = round(step * STEP_S * NS_PER_S)
        # The last step before the front is at x = 0: never later, so the lead is never shorter.
        front_m = vehicle.x_m + scene.vehicle.length_m / 2
        if visible_ns is None and front_m + vehicle.speed_m_s * STEP_S > 0:
            visible_ns = now_ns
        time_s = math.inf if visible_ns is None else (now_ns - visible_ns) / NS_PER_S
        if visible_ns is not None and time_s > scene.duration_s:
            break
        if step % steps_per_picture == 0:
            person = scene.person_m(np.array([0.0 if visible_ns is None else time_s]))
            truth = scene.on_site(np.array([person[0], [vehicle.x_m, 0.0]]))
            measured = sensor.see(truth, np.array([visible_ns is not None, 1.0]), random)
            if measured is not None:
                pictures.append((now_ns, measured))
            while pictures and pictures[0][0] + round(sensor.latency_s * NS_PER_S) <= now_ns:
                loop.take(*pictures.pop(0))
            loop.state, command = advance(actuation, loop.state, loop.situation(now_ns))
            if command is not None:
                vehicle.receive(command)
                was_let_go |= command.level is not CommandLevel.STOP
                is_stop = command.level is CommandLevel.STOP and was_let_go
                if is_stop and not math.isfinite(first_stop_s):
                    first_stop_s = time_s if visible_ns is not None else -1.0
                    first_reasons = tuple(reason.code for reason in command.reasons)
        if visible_ns is not None and vehicle.speed_m_s > 0:
            separation = scene.separation_m(np.array([vehicle.x_m]), np.array([time_s]))[0]
            least_m = min(least_m, float(separation))
            if separation <= 0 and hit_m_s == 0:
                hit_m_s = vehicle.speed_m_s
        vehicle.drive(now_ns, STEP_S)
    return Trial(
        seed=scene.seed,
        first_stop_s=first_stop_s,
        first_reasons=first_reasons,
        least_moving_m=least_m,
        hit_m_s=hit_m_s,
    )

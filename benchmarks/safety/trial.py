"""One closed loop: scene, camera, tracker, risk, command, brake; and what came of it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from benchmarks.safety.scene import Scene
from benchmarks.safety.sensor import (
    CLASSES,
    PERSON,
    VEHICLE,
    SensorModel,
    mast_camera,
)
from benchmarks.safety.vehicle import Vehicle
from sightline.assess.site import RiskCode, SiteAssessment
from sightline.assess.site.machines import (
    Braking,
    Headings,
    MachineRule,
    PairsAtRisk,
    SuspectedPairs,
    TowedPoints,
    follow_headings,
    look_at_pairs,
    pair_risk,
    unconfirmed_risk,
    watch_pairs,
)
from sightline.decide.actuation import ActuationRule, ActuationState, Situation, advance
from sightline.perceive.tracking import Tracker, TrackerSettings
from sightline.records import Detections, Tracks
from sightline.records.camera import CameraModel
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.decision import Reason
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray

STREAM = "yard"
STEPS_PER_PICTURE = 4
"""Steps of the physics from one picture to the next."""
RUN_UP_S, RUN_UP_M = 2.0, 6.0
"""Time and way at cruise speed, at least, before the people become visible: it is in service."""
MAX_RUN_UP_S = 60.0
"""A vehicle that has not come so far by then has failed, and so has the run."""

LEVELS: Mapping[str, CommandLevel] = MappingProxyType(
    {
        **dict.fromkeys(RiskCode, CommandLevel.STOP),
        # To be slow beforehand would help; here a STOP alone must do.
        RiskCode.APPROACHING: CommandLevel.WARN,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What a deployment sets: how it sees, follows, judges and commands.

    The longest time without sight, 1 s, is what 30 % of dropped pictures ask for: half of it is
    reached about once a minute by chance alone. Tracks are reported for as long.

    Attributes:
        sensor: camera and detector.
        tracker: settings of the tracker.
        clearance_m: see ``MachineRule``.
        probability: see there.
        rope_lengths: rope of ``follow_headings``, in lengths of the vehicle.
        actuation: from reasons to commands.
        lost_timeout_s: see ``watch_pairs``.
    """

    sensor: SensorModel = field(default_factory=SensorModel)
    tracker: TrackerSettings = field(default_factory=lambda: TrackerSettings(report_unseen_s=1.0))
    clearance_m: float = 0.5
    probability: float = 0.5
    rope_lengths: float = 1.0
    actuation: ActuationRule = field(
        default_factory=lambda: ActuationRule(
            pipeline="site-safety-trial",
            machine="vehicle",
            level_of=LEVELS,
            max_age_s=1.0,
        )
    )
    lost_timeout_s: float | None = None

    def machine_rule(self, scene: Scene) -> MachineRule:
        """What is declared of the vehicle of a scene."""
        declared = scene.declared
        return MachineRule(
            machine_class=CLASSES[VEHICLE],
            length_m=scene.vehicle.length_m,
            width_m=scene.vehicle.width_m,
            braking=Braking(
                response_s=declared.response_s,
                least_deceleration_m_s2=declared.deceleration_m_s2,
                acceleration_m_s2=declared.acceleration_m_s2,
                top_speed_m_s=declared.top_speed_m_s,
            ),
            person_radius_m=scene.person_radius_m,
            clearance_m=self.clearance_m,
            probability=self.probability,
            decision_step_s=self.sensor.period_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A STOP that was commanded to a vehicle in service.

    Attributes:
        time_s: scene time; below 0 before anybody was visible.
        reasons: its reason codes, most important first.
    """

    time_s: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of one scene. Times are scene times in s: 0 when the people become visible.

    Attributes:
        seed: of the scene.
        stops: all STOP commands after the vehicle was let go, without their repetitions.
        latest_stop_s: see ``Scene.latest_stop_s``.
        hit_m_s: speed of the vehicle at the first contact; 0 if there was none while it moved.
        least_moving_m: least true distance between footprints while the vehicle moved and the
            people were there.
        free_s: time without a STOP in force.
        doubt_s: of it, that in which what is no track yet would make it slow. It is not told to be:
            here a STOP alone must do.
        is_complete: whether the vehicle came so far that the people became visible.
    """

    seed: int
    stops: tuple[Stop, ...]
    latest_stop_s: float
    hit_m_s: float
    least_moving_m: float
    free_s: float
    doubt_s: float
    is_complete: bool

    @property
    def spare_s(self) -> float:
        """Time from the first STOP for the people to the latest good one; -inf without a STOP."""
        times = [stop.time_s for stop in self.stops if stop.time_s >= 0]
        return self.latest_stop_s - times[0] if times else -math.inf

    @property
    def is_in_time(self) -> bool:
        """A STOP came while the declared brakes sufficed, and the vehicle hit nobody."""
        return self.is_complete and self.spare_s >= 0 and self.hit_m_s == 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moment:
    """One step of the decision, for whoever looks on.

    Attributes:
        time_s: scene time; -inf before anybody is visible.
        vehicle_x_m: true middle of the vehicle.
        speed_m_s: its true speed.
        people_m: float64[p, 2], where the people truly are.
        tracks: of the newest picture that was answered; None before the first.
        headings: of these tracks.
        risk: of the pairs, as of this step.
        level: of the command in force.
        reasons: of that command.
    """

    time_s: float
    vehicle_x_m: float
    speed_m_s: float
    people_m: FloatArray
    tracks: Tracks | None
    headings: Headings | None
    risk: SiteAssessment
    level: CommandLevel
    reasons: tuple[Reason, ...]


class Loop:
    """The deciding side: what a deployment runs, fed by the simulated camera.

    Args:
        deployment: its settings.
        machine: what is declared of the vehicle.
        camera: where the camera stands.

    Attributes:
        tracks: of the newest picture that was answered; None before the first.
        headings: of these tracks.
        risk: of the pairs, as of the newest step.
        free_steps: those without a STOP in force.
        doubted_steps: of them, those in which something that is no track yet is where the vehicle
            would have to stop for somebody.
    """

    def __init__(self, deployment: Deployment, machine: MachineRule, camera: CameraModel) -> None:
        self._rule = deployment.actuation
        self._lost_timeout_s = deployment.lost_timeout_s
        self._machine = machine
        self._rope_m = deployment.rope_lengths * machine.length_m
        self._tracker = Tracker(STREAM, camera, deployment.tracker)
        self._state = ActuationState()
        self._pairs = PairsAtRisk.start()
        self._suspected = SuspectedPairs.start()
        self._towed = TowedPoints.start()
        self._lost = SiteAssessment.none(STREAM, 0)
        self.tracks: Tracks | None = None
        self.headings: Headings | None = None
        self.risk = self._lost
        self._is_doubted = False
        self.free_steps = self.doubted_steps = 0

    def step(self, event_ns: int, seen: Detections | None) -> ActuatorCommand | None:
        """Take one step, with the detections that have just arrived, if any."""
        if seen is not None:
            self.tracks = self._tracker.update(seen)
            self._towed, self.headings = follow_headings(
                self._towed, self.tracks, rope_m=self._rope_m
            )
        situation = Situation(event_ns=event_ns, newest_capture_ns=None)
        if self.tracks is not None:
            situation = self._situation(self.tracks, event_ns, is_new=seen is not None)
        self._state, command = advance(self._rule, self._state, situation)
        is_free = self._state.level is not CommandLevel.STOP
        self.free_steps += is_free
        self.doubted_steps += is_free and self._is_doubted
        return command

    def _situation(self, tracks: Tracks, event_ns: int, *, is_new: bool) -> Situation:
        machine, headings = self._machine, self.headings
        if is_new:
            self._suspected, self.risk = look_at_pairs(
                self._suspected, tracks, machine, event_ns=event_ns, headings=headings
            )
            self._pairs, self._lost = watch_pairs(
                self._pairs, tracks, self.risk, machine, lost_timeout_s=self._lost_timeout_s
            )
            doubt = unconfirmed_risk(
                self._tracker.unconfirmed, tracks, machine, event_ns=event_ns, headings=headings
            )
            self._is_doubted = len(doubt) > 0
        else:
            # Between two pictures the last tracks are carried on.
            self.risk = pair_risk(
                tracks, machine, event_ns=event_ns, headings=headings, suspected=self._suspected
            )
        unseen_s = tracks.unseen_s[tracks.class_id == VEHICLE]
        return Situation(
            event_ns=event_ns,
            newest_capture_ns=tracks.capture_ns,
            reasons=self.risk.reasons("pair_risk@1") + self._lost.reasons("lost@1"),
            has_answer=bool((unseen_s <= self._rule.max_age_s).any()),
        )


def run_trial(
    scene: Scene, deployment: Deployment, *, watch: Callable[[Moment], None] | None = None
) -> Trial:
    """Run one scene to its end.

    The vehicle stands, is let go, speeds up and reaches x = 0 at cruise speed; then the people
    become visible, and the scene runs for its duration. Steps of the decision come at the period
    of the camera, with or without a picture. The noise is drawn from the seed of the scene.

    Args:
        scene: what happens.
        deployment: what decides.
        watch: is shown every step of the decision; it changes nothing.
    """
    sensor, model = deployment.sensor, scene.vehicle
    random = np.random.default_rng([scene.seed, 0x5EE])
    run_up_m = model.cruise_m_s**2 / (2 * model.acceleration_m_s2)
    run_up_m += max(RUN_UP_S * model.cruise_m_s, RUN_UP_M)
    vehicle = Vehicle(model=model, x_m=-model.length_m / 2 - run_up_m)
    camera = mast_camera(scene.camera_m, scene.looks_at_m)
    loop = Loop(deployment, deployment.machine_rule(scene), camera)
    class_id = np.array([PERSON] * len(scene.people) + [VEHICLE], np.int32)

    step_s = sensor.period_s / STEPS_PER_PICTURE
    walks_m = scene.people_m(np.arange(0.0, scene.duration_s + 2 * step_s, step_s))
    latency_ns = round(sensor.latency_s * NS_PER_S)
    on_the_way: deque[Detections] = deque()
    visible_step: int | None = None
    is_stopped = True
    in_force: ActuatorCommand | None = None
    stops: list[Stop] = []
    least_m, hit_m_s = math.inf, 0.0
    for step in range(round((MAX_RUN_UP_S + scene.duration_s) / step_s)):
        now_ns = round(step * step_s * NS_PER_S)
        # The last step before the front is at x = 0: never later, so the lead is never shorter.
        front_m = vehicle.x_m + model.length_m / 2
        if visible_step is None and front_m + vehicle.speed_m_s * step_s > 0:
            visible_step = step
        steps_on = 0 if visible_step is None else step - visible_step
        time_s = steps_on * step_s
        if time_s > scene.duration_s:
            break
        people_m = walks_m[steps_on]
        if step % STEPS_PER_PICTURE == 0:
            seen = sensor.detect(
                STREAM,
                now_ns,
                camera=camera,
                ground_m=np.concatenate([people_m, [[vehicle.x_m, 0.0]]]),
                class_id=class_id,
                is_visible=(class_id == VEHICLE) | (visible_step is not None),
                random=random,
            )
            if seen is not None:
                on_the_way.append(seen)
            has_arrived = on_the_way and on_the_way[0].capture_ns + latency_ns <= now_ns
            command = loop.step(now_ns, on_the_way.popleft() if has_arrived else None)
            if command is not None:
                vehicle.receive(command)
                in_force = command
                stops_now = command.level is CommandLevel.STOP
                if stops_now and not is_stopped:
                    codes = tuple(reason.code for reason in command.reasons)
                    at_s = -1.0 if visible_step is None else time_s
                    stops.append(Stop(time_s=at_s, reasons=codes))
                is_stopped = stops_now
            if watch is not None:
                watch(
                    Moment(
                        time_s=time_s if visible_step is not None else -math.inf,
                        vehicle_x_m=vehicle.x_m,
                        speed_m_s=vehicle.speed_m_s,
                        people_m=people_m,
                        tracks=loop.tracks,
                        headings=loop.headings,
                        risk=loop.risk,
                        level=CommandLevel.STOP if in_force is None else in_force.level,
                        reasons=() if in_force is None else in_force.reasons,
                    )
                )
        if visible_step is not None and vehicle.speed_m_s > 0:
            apart_m = scene.separation_m(people_m, np.full(len(people_m), vehicle.x_m))
            least_m = min(least_m, float(apart_m.min()))
            if least_m <= 0 and hit_m_s == 0:
                hit_m_s = vehicle.speed_m_s
        vehicle.drive(now_ns, step_s)
    return Trial(
        seed=scene.seed,
        stops=tuple(stops),
        latest_stop_s=scene.latest_stop_s(),
        hit_m_s=hit_m_s,
        least_moving_m=least_m,
        free_s=loop.free_steps * sensor.period_s,
        doubt_s=loop.doubted_steps * sensor.period_s,
        is_complete=visible_step is not None,
    )

"""``machine``: what one machine is told, by what its cameras see of those around it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from sightline.assess.site import RiskCode, SiteAssessment, from_snapshot, snapshot
from sightline.assess.site.assessment import NOBODY
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
from sightline.decide.actuation import (
    COMMAND_EXPIRED,
    FALLBACKS_FAILED,
    NO_SIGHT,
    STALE_SIGHT,
    ActuationRule,
    ActuationState,
    Situation,
    advance,
)
from sightline.decide.standing import Condition, condition_decision
from sightline.errors import UsageError
from sightline.recorder.checkpoint import StateParts
from sightline.records import Decision, Tracks
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.decision import Mode, Reason, Transition
from sightline.records.detections import DoubtCode
from sightline.runtime.engine.headers import CLOCK_SKEW
from sightline.runtime.item_stage import ItemPlan, ItemPlanning, ItemStage, ItemState, Turn
from sightline.runtime.settings import Form, ItemSettings, Name
from sightline.runtime.stages.camera_health import CameraHealthStage
from sightline.runtime.stages.detect import VIEW_IS_EMPTY, doubt_reason
from sightline.runtime.stages.meanings import CALM, DEFAULT_LEVELS, SEVERITY, meaning
from sightline.runtime.stages.zones import (
    CameraView,
    ZonesStage,
    assessment_bytes,
    risk_conditions,
)
from sightline.sense.frames import FrameReason

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(gt=0, lt=1)]

RESET = "reset"
"""The operator input that says whether a machine's reset button is down."""
_KNOWN_CODES = frozenset(
    {
        *RiskCode,
        *FrameReason,
        *DoubtCode,
        CLOCK_SKEW,
        NO_SIGHT,
        STALE_SIGHT,
        FALLBACKS_FAILED,
        COMMAND_EXPIRED,
    }
)
_BRAKING = (
    "response_s",
    "least_deceleration_m_s2",
    "margin_m",
    "acceleration_m_s2",
    "top_speed_m_s",
)


class MovingForm(Form):
    """A machine that moves and is itself tracked."""

    machine_class: str
    """Class name of its tracks."""
    length_m: Positive
    """Its length, in metres."""
    width_m: Positive
    """Its width, in metres."""
    response_s: NotNegative
    """From the command to the first effect of the brake, as its maker guarantees, in seconds."""
    least_deceleration_m_s2: Positive
    """What its brake reaches at least, in m/s²."""
    margin_m: NotNegative = 0.0
    """Added to its stopping path, in metres."""
    acceleration_m_s2: NotNegative = 0.0
    """How fast it may gain speed: a tracker sees it late. 0: it drives as it is seen to drive."""
    top_speed_m_s: Positive | None = None
    """What it never exceeds, in m/s; null: unknown."""
    person_classes: tuple[str, ...] = ("person",)
    """Whom it must not hit."""
    person_radius_m: NotNegative = 0.3
    """Half the width of a person, in metres."""
    clearance_m: NotNegative = 0.5
    """How near somebody may come while it stands, in metres."""
    probability: Probability = 0.5
    """Probability of a conflict from which it counts."""
    warn_ahead_s: NotNegative = 2.0
    """How far ahead a course is looked at, in seconds."""
    restart_speed_m_s: Positive = 2.0
    """Speed it may start with, in m/s."""
    lost_timeout_s: NotNegative | None = None
    """How long somebody who was lost near it counts as still there, in seconds; null: until they
    are found again and seen to be safe, or somebody who has looked says that the view is empty."""

    def rule(self, tick_s: float) -> MachineRule:
        """Distances to keep.

        Raises:
            UsageError: numbers that do not fit together.
        """
        plain = self.model_dump(exclude={"lost_timeout_s"})
        brakes = {name: plain.pop(name) for name in _BRAKING}
        if brakes["top_speed_m_s"] is None:
            brakes["top_speed_m_s"] = math.inf
        return MachineRule(braking=Braking(**brakes), decision_step_s=tick_s, **plain)


class MachineSettings(ItemSettings):
    """What one machine is told, and how long commands hold.

    ``input`` names the ``zones`` and ``camera_health`` stages of its cameras. All of them are
    needed: without sight of one the machine stops.
    """

    zones: tuple[Name, ...] = ()
    """Zones whose risks count for this machine, by name."""
    moving: MovingForm | None = None
    """Size and brakes of a machine that moves; null: it stays where it is."""
    level_of: dict[str, CommandLevel] = {}
    """Level that a reason code asks for, where it differs from the default
    (docs/site-safety.md)."""
    max_age_s: Positive = 0.5
    """How old the newest answer of a detector may be before the machine is stopped, in seconds."""
    hold_s: NotNegative = 2.0
    """How long the level of a command is held after its reason has gone, in seconds."""
    valid_s: Positive = 1.0
    """How long a command is valid, in seconds; without a newer one the machine stops by itself."""
    heartbeat_s: Positive = 0.4
    """Longest time between two commands, in seconds."""
    restarts_at: CommandLevel = CommandLevel.NONE
    """Level of the first command after a stop."""
    needs_reset: bool = False
    """Whether somebody must press its reset button before it goes on."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MachinePlan:
    """One machine.

    Attributes:
        name: of the machine.
        cameras: that must see.
        zones: names of the zones whose risks count for it.
        moving: distances to keep, if it moves.
        lost_timeout_s: see ``assess.site.machines.watch_pairs``.
        rule: from reasons to commands.
    """

    name: str
    cameras: tuple[str, ...]
    zones: frozenset[str]
    moving: MachineRule | None
    lost_timeout_s: float | None
    rule: ActuationRule


class MachineStage(ItemStage):
    """The command of a machine: the highest level that a camera, zone or pair asks for."""

    use = "machine"
    Settings = MachineSettings
    reads = ("sights", "health")
    writes = "commands"
    controls = (RESET,)
    hears = (VIEW_IS_EMPTY,)
    version = 6  # is slow for what is no track yet, where it would have to stop for somebody

    def plan(self, planning: ItemPlanning) -> None:
        form: MachineSettings = self.settings
        self._check_inputs(planning)
        if not form.zones and form.moving is None:
            planning.fail(
                "zones, or moving: else nobody who is seen could ever stop it",
                "neither",
                action="name the zones around it or, if it drives, say its size and brakes",
            )
        known = [
            zone
            for name in form.inputs
            if isinstance(stage := planning.stages[name], ZonesStage)
            for zone in stage.settings.zones
        ]
        for zone in form.zones:
            if zone not in known:
                planning.fail(
                    "zones of the stages it reads, so that the loss of their camera stops it",
                    zone,
                    near=known,
                )
        unknown = sorted(set(form.level_of) - _KNOWN_CODES)
        if unknown:
            planning.fail(
                f"level_of: reason codes, such as {', '.join(sorted(RiskCode)[:3])}",
                ", ".join(unknown),
                near=sorted(str(code) for code in _KNOWN_CODES),
            )
        # A frame goes through when everybody who looks at it has answered; a tick, when every
        # guarded stage on windows has.
        budgets_s = [detector.budget_s for detector in planning.detectors.values()]
        for stage in planning.stages.values():
            guard = getattr(stage, "guard", None)
            if guard is not None and not hasattr(stage.settings, "detector"):
                budgets_s.append(guard.budget_s)
        slowest_s = max(budgets_s, default=0.0)
        apart_s = form.heartbeat_s + planning.tick_s + planning.batch_wait_s + slowest_s
        if apart_s >= form.valid_s:
            planning.fail(
                f"valid_s above {apart_s:g}: heartbeat_s + tick_s + batch_wait_s + the slowest "
                "budget_s of detectors and guarded stages, else commands run out while all is well",
                f"{form.valid_s:g}",
            )
        if form.heartbeat_s < planning.tick_s or form.max_age_s < planning.tick_s:
            planning.fail(
                f"heartbeat_s and max_age_s of at least tick_s, {planning.tick_s:g}: nobody looks "
                "more often than that",
                f"{form.heartbeat_s:g} and {form.max_age_s:g}",
            )
        try:
            self._rule("planned")
            if form.moving is not None:
                form.moving.rule(planning.tick_s)
        except UsageError as error:
            planning.fail(f"{error.where}: {error.expected}", error.got)

    def _check_inputs(self, planning: ItemPlanning) -> None:
        """Each camera is seen by one zones stage, and its health is known by one stage."""
        inputs = self.settings.inputs
        for kind in (ZonesStage, CameraHealthStage):
            cameras = [
                camera
                for name in inputs
                if isinstance(planning.stages[name], kind)
                for camera in planning.cameras_of(name)
            ]
            for camera in planning.cameras:
                if cameras.count(camera) != 1:
                    planning.fail(
                        f"one `{kind.use}` stage of camera {camera} among the inputs: a machine "
                        "must not run blind, nor believe only one of two",
                        f"{cameras.count(camera)} in {', '.join(inputs)}",
                    )
        for name in inputs:
            if not isinstance(planning.stages[name], ZonesStage | CameraHealthStage):
                planning.fail("`zones` and `camera_health` stages as inputs", name)

    def wanted_classes(self) -> Mapping[str, set[str]]:
        moving = self.settings.moving
        if moving is None:
            return {}
        return {"moving": {moving.machine_class, *moving.person_classes}}

    def check_control(self, control: Mapping[str, Any]) -> str | None:
        if control.get("machine") != self.name:
            return f"no machine {control.get('machine')!r}"
        return None if isinstance(control.get("is_down"), bool) else "is_down: true or false"

    def machine_plan(self, plan: ItemPlan) -> MachinePlan:
        """The machine, as its interlock needs it."""
        form: MachineSettings = self.settings
        moving = form.moving
        return MachinePlan(
            name=self.name,
            cameras=tuple(plan.cameras),
            zones=frozenset(form.zones),
            moving=None if moving is None else moving.rule(plan.tick_s),
            lost_timeout_s=None if moving is None else moving.lost_timeout_s,
            rule=self._rule(plan.pipeline),
        )

    def _rule(self, pipeline: str) -> ActuationRule:
        form: MachineSettings = self.settings
        return ActuationRule(
            pipeline=pipeline,
            machine=self.name,
            level_of={**DEFAULT_LEVELS, **form.level_of},
            max_age_s=form.max_age_s,
            hold_s=form.hold_s,
            valid_s=form.valid_s,
            heartbeat_s=form.heartbeat_s,
            restarts_at=form.restarts_at,
            needs_reset=form.needs_reset,
            version=f"{self.name}@{pipeline}",
        )

    def explain(self, reason: Reason) -> str:
        return meaning(reason.code) or super().explain(reason)

    def begin(self, plan: ItemPlan) -> MachineState:
        return MachineState(self, plan)


@dataclass(slots=True)
class _Surroundings:
    """What a moving machine remembers of one camera."""

    towed: TowedPoints
    pairs: PairsAtRisk
    suspected: SuspectedPairs
    headings: Headings | None
    stays: SiteAssessment | None
    """Who was lost, and what is no track yet: said until the next frame."""


class MachineState(ItemState):
    """One machine: the risks of those around it, and its interlock.

    ``value`` is the last command.
    """

    def __init__(self, stage: MachineStage, plan: ItemPlan) -> None:
        self.plan = stage.machine_plan(plan)
        self._pipeline = plan.pipeline
        self._is_reset_pressed = False
        self._state = ActuationState()
        self._sights: dict[str, str] = {}
        """By camera, the stage that sees it."""
        self._health: dict[str, str] = {}
        """By camera, the stage that knows what is wrong with it."""
        self._names: dict[str, list[str]] = {}
        """By camera, the names of its zones."""
        for one in plan.items:
            if one.name in stage.settings.inputs:
                (camera,) = one.cameras
                if isinstance(one.stage, ZonesStage):
                    self._sights[camera] = one.name
                    self._names[camera] = list(one.stage.settings.zones)
                else:
                    self._health[camera] = one.name
        self._around = {
            camera: _Surroundings(
                TowedPoints.start(), PairsAtRisk.start(), SuspectedPairs.start(), None, None
            )
            for camera in self.plan.cameras
        }

    def on_item(self, turn: Turn) -> None:
        camera = turn.camera
        view: CameraView = turn.value(self._sights[camera])
        fresh = self._look(camera, view, turn.at_ns)
        # That something may be there is for the machine; people are told of what they can look for.
        sure = fresh.only(~fresh.has(RiskCode.UNCONFIRMED_NEAR_MACHINE))
        conditions = risk_conditions(
            sure, f"site@{self._pipeline}", camera=camera, names=self._names[camera],
            levels=self.plan.rule.level_of, machine=self.plan.name,
        )  # fmt: skip
        turn.say(f"{camera}/risk", conditions, mode=view.mode)
        turn.wrote(*assessment_bytes(fresh))
        self._command(turn, {camera: fresh})

    def on_tick(self, turn: Turn) -> None:
        self._command(turn, {})

    def on_control(self, control: Mapping[str, Any], turn: Turn) -> None:
        """The state of its reset button from now on; or nobody is in a view who is not seen."""
        if control["control"] == VIEW_IS_EMPTY:
            around = self._around.get(control["camera"])
            if around is not None:
                around.pairs, around.stays = around.pairs.emptied(), None
        elif control.get("machine") == self.plan.name:
            self._is_reset_pressed = bool(control.get("is_down"))

    # --- risks of pairs ---------------------------------------------------------------------------

    def _look(self, camera: str, view: CameraView, at_ns: int) -> SiteAssessment:
        """Take in the newest view of one of its cameras; the risks of pairs in it."""
        tracks, rule = view.tracks, self.plan.moving
        if rule is None:
            return SiteAssessment.none(tracks.stream, tracks.capture_ns)
        around = self._around[camera]
        around.towed, around.headings = follow_headings(around.towed, tracks, rope_m=rule.length_m)
        around.suspected, risk = look_at_pairs(
            around.suspected, tracks, rule, event_ns=at_ns, headings=around.headings
        )
        around.pairs, lost = watch_pairs(
            around.pairs, tracks, risk, rule, lost_timeout_s=self.plan.lost_timeout_s
        )
        unconfirmed = unconfirmed_risk(
            view.unconfirmed, tracks, rule, event_ns=at_ns, headings=around.headings
        )
        around.stays = SiteAssessment.joined(tracks.stream, tracks.capture_ns, [lost, unconfirmed])
        return SiteAssessment.joined(tracks.stream, tracks.capture_ns, [risk, around.stays])

    def _again(self, camera: str, view: CameraView, at_ns: int) -> SiteAssessment:
        """The pairs of the newest view as they are by now: between frames tracks are carried on."""
        tracks, rule = view.tracks, self.plan.moving
        if rule is None:
            return SiteAssessment.none(tracks.stream, tracks.capture_ns)
        around = self._around[camera]
        risk = pair_risk(
            tracks, rule, event_ns=at_ns, headings=around.headings, suspected=around.suspected
        )
        stays = [] if around.stays is None else [around.stays]
        return SiteAssessment.joined(tracks.stream, tracks.capture_ns, [risk, *stays])

    # --- interlock --------------------------------------------------------------------------------

    def _command(self, turn: Turn, fresh: Mapping[str, SiteAssessment]) -> None:
        """Step the interlock; a change of its level is a decision."""
        before = self._state.last_command
        command = self._step(turn, fresh)
        if command is None:
            return
        turn.command(command)
        if before is None or before.level is not command.level:
            turn.decide(self._change(command, turn.at_ns))

    def _step(self, turn: Turn, fresh: Mapping[str, SiteAssessment]) -> ActuatorCommand | None:
        reasons: list[Reason] = []
        version = self.plan.rule.version
        sighted_ns: int | None = None
        modes: list[Mode] = []
        is_located = self.plan.moving is None
        has_sight, has_sign = True, False
        for name in self.plan.cameras:
            signs: Sequence[Reason] = turn.value(self._health[name]) if name in self._health else ()
            has_sign = has_sign or bool(signs)
            reasons += signs
            view: CameraView | None = turn.value(self._sights[name])
            if view is None or view.sighted_ns is None:
                has_sight = False
                continue
            at_ns = view.sighted_ns
            sighted_ns = at_ns if sighted_ns is None else min(sighted_ns, at_ns)
            modes.append(view.mode)
            reasons += self._doubts(name, view)
            reasons += self._zone_risk(name, view).reasons(version)
            risk = fresh.get(name)
            again = self._again(name, view, turn.at_ns) if risk is None else risk
            reasons += again.reasons(version)
            is_located = is_located or self._is_located(view.tracks)
        mode = Mode.FALLBACK if Mode.FALLBACK in modes else Mode.PRIMARY
        self._state, command = advance(
            self.plan.rule,
            self._state,
            Situation(
                event_ns=turn.at_ns,
                newest_capture_ns=sighted_ns if has_sight else None,
                reasons=tuple(reasons),
                has_answer=is_located,
                is_reset_pressed=self._is_reset_pressed,
                mode=Mode.DEGRADED if mode is Mode.PRIMARY and has_sign else mode,
            ),
        )
        return command

    def _doubts(self, camera: str, view: CameraView) -> list[Reason]:
        """What the detector doubts about its answer."""
        if view.doubt is None:
            return []
        reason = doubt_reason(
            view.doubt,
            at_ns=view.tracks.capture_ns,
            blind_s=self.plan.rule.max_age_s,
            version=f"{camera}@{self._pipeline}",
        )
        return [] if reason is None else [reason]

    def _zone_risk(self, camera: str, view: CameraView) -> SiteAssessment:
        """What was found in the zones that count for this machine, and where none can be seen.

        One that moves may meet somebody anywhere in the picture.
        """
        found, zones = view.zone_risk, [NOBODY] if self.plan.moving is not None else []
        zones += [i for i, z in enumerate(self._names[camera]) if z in self.plan.zones]
        unseen = view.unseen(zones, least_s=self.plan.rule.max_age_s)
        # One place more, for what is in no zone: NOBODY is -1.
        counts = np.array([z in self.plan.zones for z in self._names[camera]] + [False])
        kept = found.only(counts[found.zone])
        return SiteAssessment.joined(kept.stream, kept.capture_ns, [kept, unseen])

    def _is_located(self, tracks: Tracks) -> bool:
        """Whether the machine itself has been seen lately: else nobody knows where it is."""
        rule = self.plan.moving
        if rule is None or rule.machine_class not in tracks.class_names:
            return False
        is_it = tracks.class_id == tracks.class_names.index(rule.machine_class)
        return bool((tracks.unseen_s[is_it] <= self.plan.rule.max_age_s).any())

    def _change(self, command: ActuatorCommand, at_ns: int) -> Decision:
        calm = Reason(
            code=CALM,
            measure="demands",
            value=0.0,
            threshold=1.0,
            unit="1",
            version=self.plan.rule.version,
        )
        condition = Condition(
            kind=f"command_{command.level}",
            subject=command.machine,
            group="",
            severity=SEVERITY[command.level],
            reason=command.reasons[0] if command.reasons else calm,
        )
        is_none = command.level is CommandLevel.NONE
        return condition_decision(
            condition,
            self._pipeline,
            at_ns,
            Transition.CLEARED if is_none else Transition.RAISED,
            command.mode,
            reasons=command.reasons,
        )

    # --- checkpoint -------------------------------------------------------------------------------

    def snapshot(self) -> StateParts:
        return StateParts(
            meta={
                "interlock": self._state.as_mapping(),
                "reset": self._is_reset_pressed,
                "around": {
                    name: {
                        "towed": snapshot(around.towed),
                        "pairs": snapshot(around.pairs),
                        "suspected": snapshot(around.suspected),
                        "headings": None if around.headings is None else snapshot(around.headings),
                        "stays": None if around.stays is None else snapshot(around.stays),
                    }
                    for name, around in self._around.items()
                },
            }
        )

    def restore(self, parts: StateParts) -> None:
        self._state = ActuationState.from_mapping(parts.meta["interlock"])
        self._is_reset_pressed = parts.meta["reset"]
        for name, one in parts.meta["around"].items():
            headings, stays = one["headings"], one["stays"]
            self._around[name] = _Surroundings(
                towed=from_snapshot(TowedPoints, one["towed"]),
                pairs=from_snapshot(PairsAtRisk, one["pairs"]),
                suspected=from_snapshot(SuspectedPairs, one["suspected"]),
                headings=None if headings is None else from_snapshot(Headings, headings),
                stays=None if stays is None else from_snapshot(SiteAssessment, stays),
            )

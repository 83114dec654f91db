"""One machine inside the core: the risks of those around it, and its interlock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline.assess.site import SiteAssessment, from_snapshot, snapshot
from sightline.assess.site.machines import (
    Headings,
    PairsAtRisk,
    SuspectedPairs,
    TowedPoints,
    follow_headings,
    look_at_pairs,
    pair_risk,
    watch_pairs,
)
from sightline.decide.actuation import ActuationState, Situation, advance
from sightline.recorder.checkpoint import StateParts
from sightline.records import Tracks
from sightline.records.command import ActuatorCommand
from sightline.records.decision import Mode, Reason
from sightline.runtime.frames.camera_watch import CameraWatch
from sightline.runtime.frames.site_plan import MachinePlan


@dataclass(slots=True)
class _Surroundings:
    """What a moving machine remembers of one camera."""

    towed: TowedPoints
    pairs: PairsAtRisk
    suspected: SuspectedPairs
    headings: Headings | None
    lost: SiteAssessment | None


class MachineWatch:
    """Follows one machine; a function of what its cameras see and of event time.

    Args:
        plan: of the machine.

    Attributes:
        state: of its interlock.
    """

    def __init__(self, plan: MachinePlan) -> None:
        self.plan = plan
        self.state = ActuationState()
        self._around = {
            camera: _Surroundings(
                TowedPoints.start(), PairsAtRisk.start(), SuspectedPairs.start(), None, None
            )
            for camera in plan.cameras
        }
        self._is_reset_pressed = False

    def press_reset(self, is_down: bool) -> None:
        """The state of the machine's reset button from now on."""
        self._is_reset_pressed = is_down

    def look(self, camera: CameraWatch, event_ns: int) -> SiteAssessment:
        """Take in the newest view of one of its cameras; the risks of pairs in it."""
        assert camera.view is not None
        tracks = camera.view.tracks
        rule = self.plan.moving
        if rule is None:
            return SiteAssessment.none(tracks.stream, tracks.capture_ns)
        around = self._around[camera.plan.name]
        around.towed, around.headings = follow_headings(around.towed, tracks, rope_m=rule.length_m)
        around.suspected, risk = look_at_pairs(
            around.suspected, tracks, rule, event_ns=event_ns, headings=around.headings
        )
        around.pairs, around.lost = watch_pairs(
            around.pairs, tracks, risk, lost_timeout_s=self.plan.lost_timeout_s
        )
        return SiteAssessment.joined(tracks.stream, tracks.capture_ns, [risk, around.lost])

    def step(
        self,
        cameras: Mapping[str, CameraWatch],
        signs: Mapping[str, Sequence[Reason]],
        *,
        event_ns: int,
        fresh: Mapping[str, SiteAssessment],
    ) -> ActuatorCommand | None:
        """One step of the interlock.

        Args:
            cameras: by name, those of the machine among them.
            signs: by camera, what is wrong with its picture.
            event_ns: time of the step, after that of the step before.
            fresh: by camera, what :meth:`look` has just found; the others are looked at again as
                of now: between two frames tracks are carried on.
        """
        reasons: list[Reason] = []
        version = self.plan.rule.version
        sighted_ns: int | None = None
        modes: list[Mode] = []
        is_located = self.plan.moving is None
        has_sight = True
        for name in self.plan.cameras:
            camera = cameras[name]
            reasons += signs.get(name, ())
            if camera.view is None or camera.sighted_ns is None:
                has_sight = False
                continue
            at_ns = camera.sighted_ns
            sighted_ns = at_ns if sighted_ns is None else min(sighted_ns, at_ns)
            modes.append(camera.view.mode)
            reasons += self._zone_risk(camera).reasons(version)
            risk = fresh.get(name)
            reasons += (self._again(camera, event_ns) if risk is None else risk).reasons(version)
            is_located = is_located or self._is_located(camera.view.tracks)
        mode = Mode.FALLBACK if Mode.FALLBACK in modes else Mode.PRIMARY
        has_sign = any(signs.get(name) for name in self.plan.cameras)
        self.state, command = advance(
            self.plan.rule,
            self.state,
            Situation(
                event_ns=event_ns,
                newest_capture_ns=sighted_ns if has_sight else None,
                reasons=tuple(reasons),
                has_answer=is_located,
                is_reset_pressed=self._is_reset_pressed,
                mode=Mode.DEGRADED if mode is Mode.PRIMARY and has_sign else mode,
            ),
        )
        return command

    def _again(self, camera: CameraWatch, event_ns: int) -> SiteAssessment:
        """The pairs of the newest view, as they are by now."""
        assert camera.view is not None
        tracks, rule = camera.view.tracks, self.plan.moving
        if rule is None:
            return SiteAssessment.none(tracks.stream, tracks.capture_ns)
        around = self._around[camera.plan.name]
        risk = pair_risk(
            tracks,
            rule,
            event_ns=event_ns,
            headings=around.headings,
            suspected=around.suspected,
        )
        lost = [] if around.lost is None else [around.lost]
        return SiteAssessment.joined(tracks.stream, tracks.capture_ns, [risk, *lost])

    def _zone_risk(self, camera: CameraWatch) -> SiteAssessment:
        """What was found in the zones that count for this machine."""
        assert camera.view is not None
        found = camera.view.zone_risk
        # One place more, for what is in no zone: NOBODY is -1.
        counts = np.array([z.name in self.plan.zones for z in camera.plan.zones] + [False])
        return found.only(counts[found.zone])

    def _is_located(self, tracks: Tracks) -> bool:
        """Whether the machine itself has been seen lately: else nobody knows where it is."""
        rule = self.plan.moving
        if rule is None or rule.machine_class not in tracks.class_names:
            return False
        is_it = tracks.class_id == tracks.class_names.index(rule.machine_class)
        return bool((tracks.unseen_s[is_it] <= self.plan.rule.max_age_s).any())

    # --- checkpoint ---------------------------------------------------------------------------

    def snapshot(self, parts: StateParts) -> None:
        """The state between two steps."""
        parts.meta[f"machine.{self.plan.name}"] = {
            "interlock": self.state.as_mapping(),
            "reset": self._is_reset_pressed,
            "around": {
                name: {
                    "towed": snapshot(around.towed),
                    "pairs": snapshot(around.pairs),
                    "suspected": snapshot(around.suspected),
                    "headings": None if around.headings is None else snapshot(around.headings),
                    "lost": None if around.lost is None else snapshot(around.lost),
                }
                for name, around in self._around.items()
            },
        }

    def restore(self, parts: StateParts) -> None:
        """Inverse of :meth:`snapshot`."""
        plain: Mapping[str, Any] = parts.meta[f"machine.{self.plan.name}"]
        self.state = ActuationState.from_mapping(plain["interlock"])
        self._is_reset_pressed = plain["reset"]
        for name, one in plain["around"].items():
            headings, lost = one["headings"], one["lost"]
            self._around[name] = _Surroundings(
                towed=from_snapshot(TowedPoints, one["towed"]),
                pairs=from_snapshot(PairsAtRisk, one["pairs"]),
                suspected=from_snapshot(SuspectedPairs, one["suspected"]),
                headings=None if headings is None else from_snapshot(Headings, headings),
                lost=None if lost is None else from_snapshot(SiteAssessment, lost),
            )

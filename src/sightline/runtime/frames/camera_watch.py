"""One camera inside the core: its tracker, its zones, and how far its answers can be relied on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sightline.assess.site import SiteAssessment, from_snapshot, snapshot
from sightline.assess.site.zones import ZoneState, watch_zones, zone_risk
from sightline.perceive.tracking import Tracker, TrackerSettings
from sightline.recorder.checkpoint import StateParts
from sightline.records import Detections, Tracks
from sightline.records.decision import Mode
from sightline.runtime.frames.entries import DetectionOutcome, DetectionStatus, FrameHeader
from sightline.runtime.frames.site_plan import CameraPlan
from sightline.runtime.guard import BreakerState
from sightline.runtime.pipeline import Breaker
from sightline.runtime.stage_timer import StageTimer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CameraView:
    """What is known of a camera after a frame.

    Attributes:
        tracks: at the frame.
        zone_risk: what was found in its zones.
        mode: primary, or fallback where the detector did not answer itself.
    """

    tracks: Tracks
    zone_risk: SiteAssessment
    mode: Mode


class CameraWatch:
    """Follows one camera; a function of its headers and outcomes.

    Args:
        plan: of the camera.
        breaker: rule of the detector's circuit breaker.
        timer: told what tracking and zones take.

    Attributes:
        waiting: the header whose detections were asked for; None between frames.
        newest: the header of the newest frame; None before the first.
        looked_ns: receipt of the newest frame that kept its contract, UTC ns; None before it.
        sighted_ns: capture time of the newest frame that a detector has answered, UTC ns; None
            before the first. Tracks that are only carried on are no sight.
        view: after the newest frame; None before the first.
        breaker: of its detector.
        last_index: place of the newest frame, or lost frame, in its counter; -1 before the first.
    """

    def __init__(self, plan: CameraPlan, breaker: Breaker, timer: StageTimer) -> None:
        self.plan = plan
        self._rule = breaker
        self._timer = timer
        settings = TrackerSettings(report_unseen_s=plan.carried_on_s)
        self._tracker = Tracker(plan.name, plan.geometry, settings)
        self._zones = ZoneState.start(len(plan.zones))
        self.waiting: FrameHeader | None = None
        self.newest: FrameHeader | None = None
        self.sighted_ns: int | None = None
        self.looked_ns: int | None = None
        self.view: CameraView | None = None
        self.breaker = BreakerState()
        self.last_index = -1
        self._class_names: tuple[str, ...] = ()

    def take(self, header: FrameHeader) -> None:
        """Take a frame that a detector shall look at."""
        self.waiting = self.newest = header
        self.looked_ns = header.received_ns

    def refuse(self, header: FrameHeader) -> None:
        """Take a frame that broke its contract: nothing is seen by it."""
        self.newest = header

    def answer(self, outcome: DetectionOutcome) -> CameraView:
        """Follow what was detected, or carry the tracks on where nobody has answered."""
        header, self.waiting = self.waiting, None
        assert header is not None
        if outcome.status is not DetectionStatus.SKIPPED:
            self.breaker = self.breaker.after(outcome.status is DetectionStatus.OK, self._rule)
        found = outcome.detections
        with self._timer.span("track"):
            if found is None and self.sighted_ns is None:
                tracks = Tracks.none(self.plan.name, header.capture_ns)
            elif found is None:
                tracks = self._tracker.predict_to(header.capture_ns)
            else:
                tracks = self._tracker.update(self._in_one_vocabulary(found))
                self.sighted_ns = header.capture_ns
        with self._timer.span("zones"):
            risk = self._assess(tracks)
        self.view = CameraView(tracks=tracks, zone_risk=risk, mode=outcome.mode)
        return self.view

    def tick(self) -> None:
        """Time has gone on."""
        self.breaker = self.breaker.ticked(self._rule)

    def _in_one_vocabulary(self, found: Detections) -> Detections:
        """The same with class ids that mean the same whichever detector answers."""
        new = tuple(name for name in found.class_names if name not in self._class_names)
        self._class_names += new
        if found.class_names == self._class_names:
            return found
        places = [self._class_names.index(name) for name in found.class_names]
        return replace(
            found,
            class_names=self._class_names,
            class_id=np.array(places, np.int32)[found.class_id],
        )

    def _assess(self, tracks: Tracks) -> SiteAssessment:
        zones = self.plan.zones
        if not zones:
            return SiteAssessment.none(tracks.stream, tracks.capture_ns)
        self._zones, presence = watch_zones(zones, self._zones, tracks)
        return zone_risk(zones, presence, tracks)

    # --- checkpoint ---------------------------------------------------------------------------

    def snapshot(self, parts: StateParts) -> None:
        """The state between two frames."""
        key = f"camera.{self.plan.name}"
        plain, arrays = self._tracker.snapshot()
        parts.meta[key] = {
            "tracker": plain,
            "zones": snapshot(self._zones),
            "breaker": self.breaker.as_mapping(),
            "newest": None if self.newest is None else self.newest.to_bytes().decode(),
            "sighted_ns": self.sighted_ns,
            "last_index": self.last_index,
            "looked_ns": self.looked_ns,
            "class_names": list(self._class_names),
            "view": None if self.view is None else _view_mapping(self.view),
        }
        for name, array in arrays.items():
            parts.arrays[f"{key}.{name}"] = array

    def restore(self, parts: StateParts) -> None:
        """Inverse of :meth:`snapshot`."""
        key = f"camera.{self.plan.name}"
        plain: Mapping[str, Any] = parts.meta[key]
        arrays: dict[str, npt.NDArray[Any]] = {
            name.removeprefix(f"{key}."): array
            for name, array in parts.arrays.items()
            if name.startswith(f"{key}.")
        }
        self._tracker.restore(plain["tracker"], arrays)
        self._zones = from_snapshot(ZoneState, plain["zones"])
        self.breaker = BreakerState.from_mapping(plain["breaker"])
        newest = plain["newest"]
        self.newest = None if newest is None else FrameHeader.from_bytes(newest.encode())
        self.sighted_ns = plain["sighted_ns"]
        self.last_index = plain["last_index"]
        self.looked_ns = plain["looked_ns"]
        self._class_names = tuple(plain["class_names"])
        self.view = None if plain["view"] is None else _view(plain["view"])


def _view_mapping(view: CameraView) -> dict[str, Any]:
    tracks = snapshot(view.tracks)
    tracks["class_names"] = list(view.tracks.class_names)
    return {"tracks": tracks, "zone_risk": snapshot(view.zone_risk), "mode": str(view.mode)}


def _view(plain: Mapping[str, Any]) -> CameraView:
    tracks = dict(plain["tracks"])
    tracks["class_names"] = tuple(tracks["class_names"])
    return CameraView(
        tracks=from_snapshot(Tracks, tracks),
        zone_risk=from_snapshot(SiteAssessment, plain["zone_risk"]),
        mode=Mode(plain["mode"]),
    )


def tracks_digest(tracks: Tracks) -> bytes:
    """The bytes of all arrays, in a fixed order: equal tracks, equal bytes."""
    return b"".join(
        np.ascontiguousarray(array).tobytes()
        for array in (
            tracks.track_id,
            tracks.box_px,
            tracks.score,
            tracks.class_id,
            tracks.unseen_s,
            tracks.ground_m,
            tracks.velocity_m_s,
        )
    )

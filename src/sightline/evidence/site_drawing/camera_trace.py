"""What is remembered of one camera between two pictures: its trails, and who is at risk."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from sightline.assess.site import RiskCode
from sightline.assess.site.assessment import NOBODY
from sightline.evidence.site_drawing.scene import CameraScene
from sightline.evidence.site_subjects import subject_of
from sightline.records import Decision, Tracks
from sightline.records.command import CommandLevel
from sightline.records.decision import Mode, Transition
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray
from sightline.runtime.engine.headers import FrameHeader
from sightline.runtime.frames.site_plan import DEFAULT_LEVELS, CameraPlan
from sightline.runtime.stages.zones import CameraView

TRAIL_S = 2.0
TRAIL_POINTS = 64
"""Points of one trail; at the bound the oldest go. Tracks that have ended have none."""
_CODES = tuple(RiskCode)
_NO_TIME_NS = -1


class CameraTrace:
    """Follows what the core says of one camera.

    Risks in zones are those of the newest frame. Risks of pairs are the decisions that stand: the
    core hands out nothing else about them, and they are cleared a little later (``clear_s``).

    Args:
        plan: of the camera.
    """

    def __init__(self, plan: CameraPlan) -> None:
        self._plan = plan
        self._header: FrameHeader | None = None
        self._view: CameraView | None = None
        self._trails: dict[int, deque[tuple[int, FloatArray]]] = {}
        self._pairs: dict[tuple[str, str], int] = {}
        self._step_s = math.nan

    def take(self, header: FrameHeader) -> None:
        """A new frame; what was known of the one before stays until its detections come."""
        self._header = header
        self._step_s = math.nan

    def see(self, view: CameraView) -> None:
        """What the core found in the frame."""
        self._view = view
        tracks = view.tracks
        box = tracks.box_px
        foot_px = np.stack([(box[:, 0] + box[:, 2]) / 2, box[:, 3]], axis=1)
        points = np.hstack([foot_px, tracks.ground_m])
        ids = tracks.track_id.tolist()
        for gone in set(self._trails) - set(ids):
            del self._trails[gone]
        oldest_ns = tracks.capture_ns - round(TRAIL_S * NS_PER_S)
        for track_id, point in zip(ids, points, strict=True):
            trail = self._trails.setdefault(track_id, deque(maxlen=TRAIL_POINTS))
            trail.append((tracks.capture_ns, point))
            while trail[0][0] < oldest_ns:
                trail.popleft()

    def heed(self, decision: Decision) -> None:
        """A decision about this camera; those about pairs are kept while they stand."""
        about = subject_of(decision)
        if not about.is_pair:
            return
        key = (decision.kind, decision.subject)
        if decision.transition is Transition.CLEARED:
            self._pairs.pop(key, None)
        elif about.tracks:
            self._pairs[key] = about.tracks[0]

    def took(self, step_s: float) -> None:
        """What the newest frame took."""
        self._step_s = step_s

    def was_late(self, index: int, took_s: float) -> None:
        """A frame took longer than the budget allows, all in all."""
        if self._header is not None and self._header.index == index:
            self._step_s = took_s

    def scene(self, at_ns: int) -> CameraScene:
        """The camera at ``at_ns``."""
        header, view, name = self._header, self._view, self._plan.name
        contract = self._plan.contract
        if header is None:
            return CameraScene(
                name=name,
                index=-1,
                capture_ns=_NO_TIME_NS,
                digest="",
                tracks=Tracks.none(name, 0),
                note="no frame yet",
            )
        age_s = (at_ns - header.received_ns) / NS_PER_S
        # A refused frame has no tracks of its own, and those of another do not belong on it.
        is_seen = view is not None and view.tracks.capture_ns == header.capture_ns
        tracks = view.tracks if view and is_seen else Tracks.none(name, header.capture_ns)
        trails = {
            track_id: np.array([point for _, point in trail])
            for track_id, trail in self._trails.items()
        }
        return CameraScene(
            name=name,
            index=header.index,
            capture_ns=header.capture_ns,
            digest=header.digest,
            tracks=tracks,
            trail_px={track_id: trail[:, :2] for track_id, trail in trails.items()},
            trail_m={
                track_id: trail[:, 2:]
                for track_id, trail in trails.items()
                if self._plan.geometry is not None
            },
            risk=self._risk(view) if view and is_seen else {},
            zones_at_risk=_zones(view) if view and is_seen else {},
            mode=Mode.PRIMARY if view is None else view.mode,
            signs=tuple(sign.code for sign in header.signs),
            is_usable=header.is_usable,
            step_s=self._step_s,
            age_s=age_s,
            is_stale=age_s > contract.max_age_s,
        )

    def _risk(self, view: CameraView) -> dict[int, str]:
        """By track id the code that asks for the most, of equal ones the first."""
        risk = view.zone_risk
        found = [
            (subject, str(_CODES[code]))
            for subject, code in zip(risk.subject.tolist(), risk.code.tolist(), strict=True)
            if subject != NOBODY
        ]
        found += [(track_id, kind.upper()) for (kind, _), track_id in self._pairs.items()]
        found.sort(key=lambda one: (-_rank(one[1]), _CODES.index(RiskCode(one[1]))))
        worst: dict[int, str] = {}
        for subject, code in found:
            worst.setdefault(subject, code)
        return worst


def _rank(code: str) -> int:
    return DEFAULT_LEVELS.get(code, CommandLevel.STOP).rank


def _zones(view: CameraView) -> dict[int, str]:
    risk, seen = view.zone_risk, set(view.tracks.track_id.tolist())
    rows = zip(risk.zone.tolist(), risk.subject.tolist(), risk.code.tolist(), strict=True)
    found: dict[int, str] = {}
    for zone, subject, code in rows:
        if zone != NOBODY and not found.get(zone):
            found[zone] = "" if subject in seen else str(_CODES[code])
    return found

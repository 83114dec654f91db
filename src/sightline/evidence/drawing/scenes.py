"""What one picture of a run shows, and a run replayed as such pictures, frame by frame."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from sightline.assess.site import RiskCode
from sightline.assess.site.assessment import NOBODY
from sightline.evidence.log_replay import SAID, LogReplay
from sightline.evidence.site_subjects import subject_of
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import Decision, Entry, EntryKind, Tracks
from sightline.records.command import CommandLevel
from sightline.records.decision import Mode, Reason, Transition
from sightline.records.frames import Image
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray
from sightline.runtime import RunDirectory
from sightline.runtime.engine.headers import FrameHeader
from sightline.runtime.engine.loop import CAPTURE_TO_COMMAND
from sightline.runtime.item_stage import CameraPlan
from sightline.runtime.stages.meanings import DEFAULT_LEVELS
from sightline.runtime.stages.zones import CameraView

NOT_KEPT = "picture not kept"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CameraScene:
    """One camera at one time.

    Attributes:
        name: of the camera.
        index: of its newest frame; -1 before the first.
        capture_ns: of that frame, UTC ns.
        digest: of its pixels, as logged.
        tracks: after that frame.
        trail_px: by track id, float64[k, 2], middle of the box's lower edge of the last moments,
            oldest first, in px of the camera's picture.
        trail_m: the same on the ground; empty without geometry.
        risk: by track id, the reason code of who is at risk.
        zones_at_risk: by index of the camera's zones in which a risk is: the reason code that no
            track in the picture shows (somebody lost, a zone too full); ``""`` where tracks do.
        mode: who answered for its detections.
        signs: reason codes of what is wrong with its picture.
        is_usable: whether the frame kept its contract, so that a detector looked at it.
        step_s: what the frame took in the run; NaN where it was not measured.
        age_s: of the frame at the time of the picture.
        is_stale: whether that is more than the camera's contract allows.
        picture: uint8[height, width, 3] or [height, width]; None where there is none.
        note: why there is no picture.
    """

    name: str
    index: int
    capture_ns: int
    digest: str
    tracks: Tracks
    trail_px: Mapping[int, FloatArray] = field(default_factory=dict)
    trail_m: Mapping[int, FloatArray] = field(default_factory=dict)
    risk: Mapping[int, str] = field(default_factory=dict)
    zones_at_risk: Mapping[int, str] = field(default_factory=dict)
    mode: Mode = Mode.PRIMARY
    signs: tuple[str, ...] = ()
    is_usable: bool = True
    step_s: float = math.nan
    age_s: float = 0.0
    is_stale: bool = False
    picture: Image | None = None
    note: str = NOT_KEPT


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineScene:
    """One machine at one time.

    Attributes:
        name: of the machine.
        level: of the command in force.
        reason: the most important of its reasons; None where there is none.
        others: how many more there are.
        mode: how the answer came about.
    """

    name: str
    level: CommandLevel
    reason: Reason | None = None
    others: int = 0
    mode: Mode = Mode.PRIMARY


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SiteScene:
    """A whole site at one time.

    Attributes:
        at_s: seconds of event time since the first frame of the run.
        at_ns: the same in UTC ns.
        cameras: in the order of the pipeline.
        machines: in the order of the pipeline.
    """

    at_s: float
    at_ns: int
    cameras: tuple[CameraScene, ...]
    machines: tuple[MachineScene, ...]


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


_MEASURED = (EntryKind.MEASUREMENT, EntryKind.DEADLINE_MISSED)
_SILENT_PERIODS = 2.0
"""Periods of the fastest camera without any frame, after which a command gets its own picture."""


def run_scenes(run: RunDirectory, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[SiteScene]:
    """Replay a site's run: a scene per frame, frames of different cameras that belong together in
    one.

    Frames belong together that come within half a period of the fastest camera. A command that
    changes while no camera gives anything has a scene of its own, or nobody would see the machine
    stop. Each camera's pictures, trails and risks are of its newest frame, commands as of the
    newest frame of all. One scene is held at a time.

    Raises:
        UsageError: it is a run of rows.
        LogError: the log is damaged, or the core of this version decides otherwise.
    """
    return _Replay(run, limits).scenes()


class _Replay:
    def __init__(self, run: RunDirectory, limits: Limits) -> None:
        self._run = run
        self._replay = LogReplay(run, observe=self._see, limits=limits)
        cameras = run.plan.cameras
        self._traces = {name: CameraTrace(plan) for name, plan in cameras.items()}
        self._shown: tuple[MachineScene, ...] = self._machines()
        self._group: dict[str, int] = {}  # cameras with a new frame, and when it came
        self._first_ns: int | None = None
        self._newest_ns = 0
        self._period_ns = round(NS_PER_S / max(c.contract.rate_hz for c in cameras.values()))

    def scenes(self) -> Iterator[SiteScene]:
        self._begin()
        for entry in self._replay.entries(*_MEASURED):
            if entry.kind in SAID:
                self._replay.compare(entry)
            elif entry.kind in _MEASURED:
                self._measure(entry)
            elif entry.kind is EntryKind.FRAME:
                header = FrameHeader.from_bytes(entry.payload)
                if self._is_another(header):
                    yield self._scene(self._newest_ns)
                self._take(header)
                self._step(entry)
                self._shown = self._machines()
            elif entry.kind is EntryKind.TICK:
                yield from self._tick(entry)
            else:
                self._step(entry)
                if entry.kind is EntryKind.OUTCOME:
                    self._shown = self._machines()
        if self._group:
            yield self._scene(self._newest_ns)

    def _begin(self) -> None:
        """What stands where the log begins; of a pruned one that is its oldest checkpoint."""
        for decision in self._replay.standing.values():
            self._heed(decision)
        self._shown = self._machines()

    # --- entries --------------------------------------------------------------------------------

    def _step(self, entry: Entry) -> None:
        for decision in self._replay.step(entry).decisions:
            self._heed(decision)

    def _heed(self, decision: Decision) -> None:
        trace = self._traces.get(subject_of(decision).camera)
        if trace is not None:
            trace.heed(decision)

    def _see(self, header: FrameHeader, view: CameraView) -> None:
        self._traces[header.camera].see(view)

    def _take(self, header: FrameHeader) -> None:
        self._traces[header.camera].take(header)
        self._newest_ns = max(self._newest_ns, header.received_ns)
        self._group.setdefault(header.camera, header.received_ns)
        if self._first_ns is None:
            self._first_ns = header.received_ns

    def _is_another(self, header: FrameHeader) -> bool:
        """Whether a frame belongs to a new scene."""
        if not self._group or self._replay.core.items.waiting:
            return False
        began_ns = min(self._group.values())
        return header.camera in self._group or header.received_ns - began_ns > self._period_ns // 2

    def _tick(self, entry: Entry) -> Iterator[SiteScene]:
        tick_ns = int(json.loads(entry.payload)["tick_ns"])
        before = self._levels()
        is_silent = tick_ns - self._newest_ns > _SILENT_PERIODS * self._period_ns
        if is_silent and self._group:
            yield self._scene(self._newest_ns)
        self._step(entry)
        if is_silent and self._first_ns is not None and self._levels() != before:
            self._shown = self._machines()
            yield self._scene(tick_ns)

    def _measure(self, entry: Entry) -> None:
        plain = json.loads(entry.payload)
        if entry.kind is EntryKind.MEASUREMENT and plain["step_s"]:
            for camera in self._group:
                self._traces[camera].took(float(plain["step_s"][-1]))
        elif entry.name == CAPTURE_TO_COMMAND:
            camera, _, index = plain["frame"].rpartition(":")
            if camera in self._traces:
                self._traces[camera].was_late(int(index), float(plain["took_s"]))

    # --- scenes ---------------------------------------------------------------------------------

    def _levels(self) -> list[CommandLevel]:
        return [machine.level for machine in self._machines()]

    def _machines(self) -> tuple[MachineScene, ...]:
        """Commands in force; a machine begins stopped."""
        found = []
        for name in self._replay.site.machines:
            command = self._replay.commands.get(name)
            if command is None:
                found.append(MachineScene(name=name, level=CommandLevel.STOP))
                continue
            reasons = command.reasons
            found.append(
                MachineScene(
                    name=name,
                    level=command.level,
                    reason=reasons[0] if reasons else None,
                    others=max(len(reasons) - 1, 0),
                    mode=command.mode,
                )
            )
        return tuple(found)

    def _scene(self, at_ns: int) -> SiteScene:
        self._group.clear()
        assert self._first_ns is not None
        return SiteScene(
            at_s=(at_ns - self._first_ns) / NS_PER_S,
            at_ns=at_ns,
            cameras=tuple(trace.scene(at_ns) for trace in self._traces.values()),
            machines=self._shown,
        )

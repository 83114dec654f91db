"""Why cameras and machines decided something: the log replayed up to it, what was known then."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sightline.assess.site import RiskCode
from sightline.assess.site.assessment import NOBODY
from sightline.assess.site.zones import Polygon
from sightline.errors import LogError
from sightline.evidence.log_replay import SAID, LogReplay
from sightline.evidence.said import Said, SaidLog
from sightline.evidence.site_subjects import PAIR_KINDS, SiteSubject, subject_of
from sightline.evidence.track_paths import TrackMemory, TrackPath
from sightline.evidence.words import number
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.perceive.tracking.tracker import FORMAT as TRACKER_FORMAT
from sightline.records import Decision, Detections, Entry, EntryKind
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.entry import CORE_INPUTS
from sightline.records.plain_json import plain_fields
from sightline.records.readings import Readings
from sightline.records.signals import NS_PER_S
from sightline.runtime import Plan, RunDirectory
from sightline.runtime.engine.guard import Outcome
from sightline.runtime.engine.headers import FrameHeader
from sightline.runtime.stages.zones import CameraView


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSeen:
    """A camera's newest frame at the decision.

    Attributes:
        header: of the frame.
        offset_s: capture time since the camera's first frame in the log: the place in a recording.
        age_s: at the decision, since it was taken.
        outcomes: what those who looked at it said; none where nobody did.
    """

    header: FrameHeader
    offset_s: float
    age_s: float
    outcomes: tuple[Outcome, ...]

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        header = self.header
        return {
            "camera": header.camera,
            "index": header.index,
            "capture_ns": header.capture_ns,
            "received_ns": header.received_ns,
            "offset_s": self.offset_s,
            "age_s": self.age_s,
            "size_px": [header.width_px, header.height_px],
            "digest": header.digest,
            "usable": header.is_usable,
            "signs": [
                {
                    "code": s.code,
                    "measure": s.measure,
                    "value": number(s.value),
                    "threshold": number(s.threshold),
                    "unit": s.unit,
                }
                for s in header.signs
            ],
            "outcomes": [_outcome_mapping(outcome) for outcome in self.outcomes],
        }


def _outcome_mapping(outcome: Outcome) -> dict[str, Any]:
    found = outcome.answer
    plain: dict[str, Any] = {
        "stage": outcome.stage,
        "status": str(outcome.status),
        "mode": str(outcome.mode),
        "detail": outcome.detail,
        "batch": list(outcome.batch),
        "boxes": None,
    }
    if isinstance(found, Detections):
        plain["boxes"] = [
            {"class": found.class_names[c], "score": s, "box_px": b}
            for c, s, b in zip(
                found.class_id.tolist(), found.score.tolist(), found.box_px.tolist(), strict=True
            )
        ]
    elif isinstance(found, Readings):
        plain["readings"] = {name: number(value) for name, value in found.values.items()}
    return plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """Whom a reason is about.

    Attributes:
        code: of the reason.
        camera: that sees it.
        track_id: of the camera; None for a zone as a whole.
        zone: ``""`` for none.
        machine_track: track of the machine of a pair; None for none.
        value: of the reason; None where it is about what has been said before.
        is_named: False where the log names nobody: a tick measures pairs anew and says only the
            most restrictive values. Then it is one of those in sight, the nearest first.
    """

    code: str
    camera: str
    track_id: int | None
    zone: str = ""
    machine_track: int | None = None
    value: float | None = None
    is_named: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineMoment:
    """What a machine was told around the decision.

    Attributes:
        name: of the machine.
        before: in force before it; None at the start, when a machine stands still.
        after: in force after it.
        later: the commands that changed its level after that, to the first that lets it go; at
            most ``MAX_LATER``.
    """

    name: str
    before: ActuatorCommand | None
    after: ActuatorCommand | None
    later: tuple[ActuatorCommand, ...]

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "machine": self.name,
            "before": None if self.before is None else self.before.as_mapping(),
            "after": None if self.after is None else self.after.as_mapping(),
            "later": [command.as_mapping() for command in self.later],
        }


MAX_LATER = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the frames that were fed together took, as logged beside the decision.

    Attributes:
        frames: how many.
        step_s: in all, from having them to what was said about them.
        stage_s: by stage. ``pictures`` is not among them: it is done after the command is out.
        budget_s: of the pipeline, from capture to command.
        missed: the overruns that were logged: ``stage``, ``took_s``, ``budget_s``.
    """

    frames: int
    step_s: float
    stage_s: Mapping[str, float]
    budget_s: float
    missed: tuple[Mapping[str, Any], ...]

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return plain_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraFacts:
    """What cameras and machines knew when something was decided.

    Attributes:
        run_s: when, since the first frame of the log; as ``sightline render --at``.
        frame: ``camera:index`` of the frame that led to it; ``""`` where a tick did.
        frames: newest frame of each camera concerned, the one that led to it first.
        concerns: whom the reasons are about.
        paths: their tracks.
        machines: that heed it.
        standing: other decisions that had been raised and not cleared.
        measured: None where a tick led to it: ticks are not measured in the log.
        compared: decisions and commands that a replay of the log gave again, byte by byte, this
            one among them.
        began_after: log sequence of the checkpoint the replay began at; -1 for the whole log.
        versions: of those who looked at pictures, by name.
    """

    run_s: float
    frame: str
    frames: tuple[FrameSeen, ...]
    concerns: tuple[Concern, ...]
    paths: tuple[TrackPath, ...]
    machines: tuple[MachineMoment, ...]
    standing: tuple[Decision, ...]
    measured: Measured | None
    compared: int
    began_after: int
    versions: Mapping[str, str]

    def as_mapping(self, at_ns: int) -> dict[str, Any]:
        """JSON-ready: all that the text says, paths whole.

        Args:
            at_ns: event time of the decision.
        """
        return {
            "run_s": self.run_s,
            "led_to_by": self.frame or "tick",
            "concerns": [
                {
                    "code": c.code,
                    "camera": c.camera,
                    "track_id": c.track_id,
                    "zone": c.zone,
                    "machine_track": c.machine_track,
                    "named": c.is_named,
                }
                for c in self.concerns
            ],
            "frames": [frame.as_mapping() for frame in self.frames],
            "paths": [path.as_mapping(until_ns=at_ns) for path in self.paths],
            "machines": [machine.as_mapping() for machine in self.machines],
            "standing": [decision.as_mapping() for decision in self.standing],
            "measured": None if self.measured is None else self.measured.as_mapping(),
            "replay": {
                "verdict": "same bytes",
                "compared": self.compared,
                "began_after": self.began_after,
            },
        }


MAX_PATHS = 8
"""Tracks whose way is told; the reasons name all of them."""
_CODES = tuple(RiskCode)
PICTURES = "pictures"
"""Stage of what is done after the commands are out; logged with the frame after."""


class CameraMoment:
    """The cameras of a run as they were when something was said.

    Takes the log of their partition entry by entry; what the core says on the way must be what
    the log says.

    Args:
        run: of a pipeline with cameras.
        said: what is explained.
        limits: bounds for reading the log.

    Raises:
        UsageError: a run without cameras.
        LogError: the log is damaged.
    """

    def __init__(self, run: RunDirectory, said: Said, limits: Limits = DEFAULT_LIMITS) -> None:
        self._run = run
        self._plan = run.plan
        self._said = said
        self._memory = TrackMemory()
        self._views: dict[str, CameraView] = {}
        self._headers: dict[str, FrameHeader] = {}
        self._outcomes: dict[str, dict[str, Outcome]] = {}
        self._first_ns: dict[str, int] = {}
        self._run_ns: int | None = None
        self._fed = 0
        self._configuration: dict[str, Any] = {}
        self._trigger: Entry | None = None
        self._measured_plain: dict[str, Any] | None = None
        self._missed: list[dict[str, Any]] = []
        self._is_there = False
        self._replay = LogReplay(run, observe=self._see, limits=limits)
        self._site = self._replay.site
        self._before = dict(self._replay.commands)
        self.is_done = False
        """Whether later entries say nothing more about it."""

    @property
    def partition(self) -> str:
        """Whose log it takes."""
        return self._replay.partition

    @property
    def began_after(self) -> int:
        """The log is taken from the entry after this one."""
        return self._replay.began_after

    def take(self, entry: Entry) -> None:
        """The next entry.

        Raises:
            LogError: the log does not replay.
        """
        if self.is_done or entry.sequence <= self.began_after:
            return
        if self._is_there:
            self._after(entry)
        elif entry.kind is EntryKind.MEASUREMENT:
            self._fed = 0
        elif entry.kind in SAID:
            self._replay.compare(entry)
            self._is_there = entry.sequence == self._said.sequence
        elif entry.kind in CORE_INPUTS:
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        self._trigger, self._before = entry, dict(self._replay.commands)
        if entry.kind is EntryKind.FRAME:
            header = FrameHeader.from_bytes(entry.payload)
            self._headers[header.camera] = header
            self._first_ns.setdefault(header.camera, header.capture_ns)
            self._run_ns = header.received_ns if self._run_ns is None else self._run_ns
            self._fed += 1
        elif entry.kind is EntryKind.OUTCOME:
            outcome = Outcome.from_bytes(entry.payload)
            camera = _camera_of(outcome, self._plan)
            if camera:
                self._outcomes.setdefault(camera, {})[outcome.stage] = outcome
        elif entry.kind is EntryKind.CONFIGURATION:
            self._configuration = json.loads(entry.payload)
        self._replay.step(entry)

    def _after(self, entry: Entry) -> None:
        """What is logged after the decision, up to the next frame or tick: what it took."""
        if entry.kind is EntryKind.MEASUREMENT:
            self.is_done = self._measured_plain is not None
            self._measured_plain = self._measured_plain or json.loads(entry.payload)
        elif entry.kind is EntryKind.DEADLINE_MISSED:
            self._missed.append(json.loads(entry.payload))
        elif entry.kind is EntryKind.TICK:
            self.is_done = True
        elif entry.kind is EntryKind.FRAME:
            self.is_done = self._measured_plain is not None
            self._fed += 1  # a frame of another camera that was fed together with this one

    def _see(self, header: FrameHeader, view: CameraView) -> None:
        self._views[header.camera] = view
        self._memory.see(view.tracks)

    # --- what is told ---------------------------------------------------------------------------

    def found(self, everything: SaidLog) -> CameraFacts:
        """What was known, after the log has gone by.

        Raises:
            LogError: it has not come by.
        """
        if not self._is_there:
            raise LogError(
                expected=f"entry {self._said.sequence}, of {self._said.said_id}",
                got="the end of what can be replayed",
                where=str(self._run.path),
                action="run `sightline verify` on the run",
            )
        said, what = self._said, self._said.what
        about = (
            subject_of(what) if isinstance(what, Decision) else SiteSubject(machine=what.machine)
        )
        if about.camera not in self._plan.cameras:
            about = replace(about, camera="")
        if about.machine not in self._site.machines:
            about = replace(about, machine="")
        concerns = tuple(self._concerns(about))
        machines = self._machines(about)
        frame = self._frame()
        start_ns = said.at_ns if self._run_ns is None else self._run_ns
        return CameraFacts(
            run_s=(said.at_ns - start_ns) / NS_PER_S,
            frame=frame,
            frames=tuple(self._frames(frame.rpartition(":")[0], about, machines)),
            concerns=concerns,
            paths=tuple(self._paths(concerns)),
            machines=tuple(self._machine(name, everything) for name in machines),
            standing=tuple(
                d for d in self._replay.standing.values() if d.decision_id != said.said_id
            ),
            measured=self._measured() if frame else None,
            compared=self._replay.compared,
            began_after=self._replay.began_after,
            versions=self._versions(),
        )

    def _frame(self) -> str:
        """The frame that led to it."""
        entry = self._trigger
        if entry is not None and entry.kind is EntryKind.OUTCOME:
            _, _, frame = Outcome.from_bytes(entry.payload).request_id.partition(":")
            return frame
        if entry is not None and entry.kind is EntryKind.FRAME:
            header = FrameHeader.from_bytes(entry.payload)
            return f"{header.camera}:{header.index}"
        return ""

    def _frames(
        self, first: str, about: SiteSubject, machines: tuple[str, ...]
    ) -> Iterator[FrameSeen]:
        cameras = {first, about.camera}
        if about.machine:
            cameras |= {c for name in machines for c in self._site.machines[name].cameras}
        # The order of the pipeline, the one that led to it before the others.
        order = [first, *(c for c in self._plan.cameras if c in cameras and c != first)]
        for camera in order:
            header = self._headers.get(camera)
            if header is None:
                continue
            outcomes = tuple(
                outcome
                for outcome in self._outcomes.get(camera, {}).values()
                if outcome.request_id == f"{outcome.stage}:{camera}:{header.index}"
            )
            yield FrameSeen(
                header=header,
                offset_s=(header.capture_ns - self._first_ns[camera]) / NS_PER_S,
                age_s=(self._said.at_ns - header.capture_ns) / NS_PER_S,
                outcomes=outcomes,
            )

    def _machines(self, about: SiteSubject) -> tuple[str, ...]:
        """That heed what it is about, in the order of the pipeline."""
        if about.machine:
            return (about.machine,)
        return tuple(
            name
            for name, plan in self._site.machines.items()
            if (about.zone in plan.zones if about.zone else about.camera in plan.cameras)
        )

    def _machine(self, name: str, everything: SaidLog) -> MachineMoment:
        after = self._replay.commands.get(name)
        # The episode to its end; of a machine at work only what came next.
        most = 1 if after is not None and after.level is CommandLevel.NONE else MAX_LATER
        later: list[ActuatorCommand] = []
        for command in everything.changes(name):
            if command.issued_ns > self._said.at_ns and len(later) < most:
                later.append(command)
                if command.level is CommandLevel.NONE:
                    break
        return MachineMoment(
            name=name, before=self._before.get(name), after=after, later=tuple(later)
        )

    def _versions(self) -> dict[str, str]:
        found = {f"model {role}": v for role, v in sorted(self._replay.core.models.items())}
        found["tracker state"] = f"format {TRACKER_FORMAT}"
        return found | dict(self._configuration.get("versions", {}))

    # --- whom it is about -----------------------------------------------------------------------

    def _concerns(self, about: SiteSubject) -> Iterator[Concern]:
        code = self._said.what.reasons[0].code if self._said.what.reasons else ""
        if about.camera:
            yield from self._of_subject(code, about)
            return
        if not about.machine:
            return
        codes: set[str] = set()
        for concern in self._in_zones(about.machine):
            codes.add(concern.code)
            yield concern
        # Pairs, and what was asked for earlier and is held: what has been said and stands.
        wanted = {reason.code for reason in self._said.what.reasons} - codes
        for decision in self._replay.standing.values():
            other = subject_of(decision)
            is_its = other.machine == about.machine or other.zone in self._zones(about.machine)
            if is_its and decision.reasons[0].code in wanted:
                codes.add(decision.reasons[0].code)
                yield from self._of_subject(decision.reasons[0].code, other)
        for missing in sorted(wanted - codes):
            if missing.lower() in PAIR_KINDS:
                yield from self._around(about.machine, missing)

    def _around(self, machine: str, code: str) -> Iterator[Concern]:
        """People in sight of a machine that moves, each with its nearest track of the machine."""
        rule = self._site.machines[machine].moving
        for camera in self._site.machines[machine].cameras:
            view = self._views.get(camera)
            if view is None or rule is None:
                continue
            tracks = view.tracks
            names = np.array(tracks.class_names)[tracks.class_id]
            people = np.flatnonzero(np.isin(names, rule.person_classes))
            machines = np.flatnonzero(names == rule.machine_class)
            if not len(people) or not len(machines):
                continue
            between = tracks.ground_m[people][:, None] - tracks.ground_m[machines][None]
            apart = np.nan_to_num(np.hypot(between[..., 0], between[..., 1]), nan=np.inf)
            for row in np.argsort(apart.min(axis=1), kind="stable").tolist():
                yield Concern(
                    code=code,
                    camera=camera,
                    track_id=int(tracks.track_id[people[row]]),
                    machine_track=int(tracks.track_id[machines[apart[row].argmin()]]),
                    is_named=False,
                )

    def _zones(self, machine: str) -> frozenset[str]:
        return self._site.machines[machine].zones

    def _of_subject(
        self, code: str, about: SiteSubject, value: float | None = None
    ) -> Iterator[Concern]:
        if about.tracks:
            pair = about.tracks[1:]
            yield Concern(
                code=code,
                camera=about.camera,
                track_id=about.tracks[0],
                zone=about.zone,
                machine_track=pair[0] if pair else None,
                value=value,
            )
            return
        inside = self._inside(about.camera, about.zone) if about.zone else []
        for track_id in inside or [None]:
            yield Concern(
                code=code, camera=about.camera, track_id=track_id, zone=about.zone, value=value
            )

    def _inside(self, camera: str, zone: str) -> list[int | None]:
        """Tracks that stand in a zone, where a reason is about all of them."""
        view, found = self._views.get(camera), self._polygon(camera, zone)
        if view is None or found is None:
            return []
        box = view.tracks.box_px
        foot = np.stack([(box[:, 0] + box[:, 2]) / 2, box[:, 3]], axis=1)
        points = view.tracks.ground_m if found[1].unit == "m" else foot
        ids: list[int | None] = view.tracks.track_id[found[1].contains(points)].tolist()
        return ids

    def _in_zones(self, machine: str) -> Iterator[Concern]:
        """The risks in zones that are among the reasons, value for value."""
        reasons = {(r.code, r.value, r.threshold) for r in self._said.what.reasons}
        for camera in self._site.machines[machine].cameras:
            view, zones = self._views.get(camera), self._site.zones[camera]
            if view is None:
                continue
            risk = view.zone_risk
            rows = zip(
                risk.code.tolist(),
                risk.value.tolist(),
                risk.threshold.tolist(),
                risk.subject.tolist(),
                risk.zone.tolist(),
                strict=True,
            )
            for code, value, threshold, subject, zone in rows:
                name = zones[zone].name if zone != NOBODY else ""
                reason = str(_CODES[code])
                if (reason, value, threshold) in reasons and name in self._zones(machine):
                    tracks = () if subject == NOBODY else (subject,)
                    about = SiteSubject(camera=camera, tracks=tracks, zone=name)
                    yield from self._of_subject(reason, about, value)

    def _polygon(self, camera: str, zone: str) -> tuple[str, Polygon] | None:
        for one in self._site.zones[camera]:
            if one.name == zone:
                return f"edge of {zone}", one.polygon
        return None

    def _paths(self, concerns: tuple[Concern, ...]) -> Iterator[TrackPath]:
        seen: set[tuple[str, int]] = set()
        for concern in concerns:
            for track_id, other in (
                (concern.track_id, concern.machine_track),
                (concern.machine_track, None),
            ):
                key = (concern.camera, -1 if track_id is None else track_id)
                if track_id is None or key in seen or len(seen) >= MAX_PATHS:
                    continue
                seen.add(key)
                zone = self._polygon(concern.camera, concern.zone)
                yield self._memory.path(concern.camera, track_id, zone=zone, machine=other)

    # --- what it took ---------------------------------------------------------------------------

    def _measured(self) -> Measured | None:
        measured = self._measured_plain
        if measured is None or not measured["step_s"]:
            return None
        return Measured(
            frames=self._fed,
            step_s=float(measured["step_s"][-1]),
            stage_s={s: float(t) for s, t in measured["stage_s"] if s != PICTURES},
            budget_s=self._plan.pipeline.latency_budget_s,
            missed=tuple(self._missed),
        )


def _camera_of(outcome: Outcome, plan: Plan) -> str:
    """Whose frame an outcome is about; ``""`` where it is about windows."""
    stage, _, frame = outcome.request_id.partition(":")
    camera, _, _ = frame.rpartition(":")
    return camera if stage == outcome.stage and camera in plan.cameras else ""

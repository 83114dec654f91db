"""Explaining: the log is replayed up to the decision, and what the core then knew is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from sightline.assess.site import RiskCode
from sightline.assess.site.assessment import NOBODY
from sightline.assess.site.zones import Polygon
from sightline.errors import LogError
from sightline.evidence.site_account.explanation import (
    MAX_LATER,
    Checks,
    Concern,
    FrameSeen,
    MachineMoment,
    Measured,
    SiteExplanation,
)
from sightline.evidence.site_account.paths import TrackMemory, TrackPath
from sightline.evidence.site_account.said import Said, SaidLog, ledger_has
from sightline.evidence.site_replay import SAID, SiteReplay
from sightline.evidence.site_subjects import PAIR_KINDS, SiteSubject, subject_of
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.perceive.tracking.tracker import FORMAT as TRACKER_FORMAT
from sightline.recorder import read_entries
from sightline.records import Decision, Entry, EntryKind
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory
from sightline.runtime.engine.headers import DetectionOutcome, FrameHeader
from sightline.runtime.frames.frame_host import SITE_PARTITION
from sightline.runtime.stages.zones import CameraView

MAX_PATHS = 8
"""Tracks whose way is told; the reasons name all of them."""
_CODES = tuple(RiskCode)
PICTURES = "pictures"
"""Stage of what is done after the commands are out; logged with the frame after."""


def explain_site(
    run: RunDirectory, said_id: str, *, limits: Limits = DEFAULT_LIMITS
) -> SiteExplanation:
    """Explain a decision or a command of a site's run, from its log alone.

    The log is replayed up to it; every decision and command on the way must come out the same.

    Args:
        run: of a site.
        said_id: id of a decision or command, or a unique beginning of one; ``id:revision`` for a
            command other than the first of its id.
        limits: bounds for reading the log.

    Raises:
        UsageError: an unknown or ambiguous id, or a run of rows.
        LogError: the log is damaged, or does not replay.
    """
    everything = SaidLog.of(run, limits=limits)
    said = everything.find(said_id, run)
    return _Moment(run, said, limits).explanation(everything)


class _Moment:
    """The run as it was when something was said."""

    def __init__(self, run: RunDirectory, said: Said, limits: Limits) -> None:
        self._run = run
        self._plan = run.site
        self._said = said
        self._limits = limits
        self._memory = TrackMemory()
        self._views: dict[str, CameraView] = {}
        self._headers: dict[str, FrameHeader] = {}
        self._outcomes: dict[str, DetectionOutcome] = {}
        self._first_ns: dict[str, int] = {}
        self._run_ns: int | None = None
        self._fed = 0
        self._configuration: dict[str, Any] = {}
        self._trigger: Entry | None = None
        self._replay = SiteReplay(run, observe=self._see, limits=limits)
        self._before = dict(self._replay.commands)
        self._go()

    def _go(self) -> None:
        for entry in self._replay.entries(EntryKind.MEASUREMENT):
            if entry.kind is EntryKind.MEASUREMENT:
                self._fed = 0
            elif entry.kind in SAID:
                self._replay.compare(entry)
                if entry.sequence == self._said.sequence:
                    return
            else:
                self._take(entry)
        raise LogError(
            expected=f"entry {self._said.sequence}, of {self._said.said_id}, where it was found",
            got="the end of what can be replayed",
            where=str(self._run.path),
            action="run `sightline verify` on the run",
        )

    def _take(self, entry: Entry) -> None:
        self._trigger, self._before = entry, dict(self._replay.commands)
        if entry.kind is EntryKind.FRAME:
            header = FrameHeader.from_bytes(entry.payload)
            self._headers[header.camera] = header
            self._first_ns.setdefault(header.camera, header.capture_ns)
            self._run_ns = header.received_ns if self._run_ns is None else self._run_ns
            self._fed += 1
        elif entry.kind is EntryKind.OUTCOME:
            outcome = DetectionOutcome.from_bytes(entry.payload)
            self._outcomes[outcome.request_id.rpartition(":")[0]] = outcome
        elif entry.kind is EntryKind.CONFIGURATION:
            self._configuration = json.loads(entry.payload)
        self._replay.step(entry)

    def _see(self, header: FrameHeader, view: CameraView) -> None:
        self._views[header.camera] = view
        self._memory.see(view.tracks)

    # --- what is told ---------------------------------------------------------------------------

    def explanation(self, everything: SaidLog) -> SiteExplanation:
        said, what = self._said, self._said.what
        about = (
            subject_of(what) if isinstance(what, Decision) else SiteSubject(machine=what.machine)
        )
        concerns = tuple(self._concerns(about))
        machines = self._machines(about)
        frame = self._frame()
        start_ns = said.at_ns if self._run_ns is None else self._run_ns
        return SiteExplanation(
            said=said,
            run_s=(said.at_ns - start_ns) / NS_PER_S,
            frame=frame,
            frames=tuple(self._frames(frame.rpartition(":")[0], about, machines)),
            concerns=concerns,
            paths=tuple(self._paths(concerns)),
            machines=tuple(self._machine(name, everything) for name in machines),
            standing=tuple(
                d for d in self._replay.standing.values() if d.decision_id != said.said_id
            ),
            other=self._other(everything),
            log_end_ns=max(s.at_ns for s in (*everything.decisions, *everything.commands)),
            versions=self._versions(),
            measured=self._measured() if frame else None,
            checks=Checks(
                compared=self._replay.compared,
                began_after=self._replay.began_after,
                ledger=ledger_has(self._run, what) if isinstance(what, Decision) else "no commands",
            ),
        )

    def _frame(self) -> str:
        """The frame that led to it."""
        entry = self._trigger
        if entry is not None and entry.kind is EntryKind.OUTCOME:
            return DetectionOutcome.from_bytes(entry.payload).request_id
        if entry is not None and entry.kind is EntryKind.FRAME:
            header = FrameHeader.from_bytes(entry.payload)
            return f"{header.camera}:{header.index}"
        return ""

    def _frames(
        self, first: str, about: SiteSubject, machines: tuple[str, ...]
    ) -> Iterator[FrameSeen]:
        cameras = {first, about.camera} if about.camera else {first}
        if about.machine:
            cameras |= {c for name in machines for c in self._plan.machines[name].cameras}
        # The order of the pipeline, the one that led to it before the others.
        order = [first, *(c for c in self._plan.cameras if c in cameras and c != first)]
        for camera in order:
            header = self._headers.get(camera)
            if header is None:
                continue
            outcome = self._outcomes.get(camera)
            is_its = outcome is not None and outcome.request_id == f"{camera}:{header.index}"
            yield FrameSeen(
                header=header,
                offset_s=(header.capture_ns - self._first_ns[camera]) / NS_PER_S,
                age_s=(self._said.at_ns - header.capture_ns) / NS_PER_S,
                outcome=outcome if is_its else None,
            )

    def _machines(self, about: SiteSubject) -> tuple[str, ...]:
        """That heed what it is about, in the order of the pipeline."""
        if about.machine:
            return (about.machine,)
        return tuple(
            name
            for name, plan in self._plan.machines.items()
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

    def _other(self, everything: SaidLog) -> Decision | ActuatorCommand | None:
        what = self._said.what
        if isinstance(what, Decision):
            return everything.counterpart(self._said)
        changes = everything.changes(what.machine)
        later = (c for c in changes if c.issued_ns > what.issued_ns and c.level is not what.level)
        return next(later, None)

    def _versions(self) -> dict[str, str]:
        found = {"pipeline": self._plan.digest}
        found |= {f"detector {role}": v for role, v in sorted(self._replay.core.models.items())}
        found["tracker state"] = f"format {TRACKER_FORMAT}"
        return found | dict(self._configuration.get("versions", {}))

    # --- whom it is about -----------------------------------------------------------------------

    def _concerns(self, about: SiteSubject) -> Iterator[Concern]:
        code = self._said.what.reasons[0].code if self._said.what.reasons else ""
        if about.camera:
            yield from self._of_subject(code, about)
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
        rule = self._plan.machines[machine].moving
        for camera in self._plan.machines[machine].cameras:
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
        return self._plan.machines[machine].zones

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
        for camera in self._plan.machines[machine].cameras:
            view, zones = self._views.get(camera), self._plan.cameras[camera].zones
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
        for one in self._plan.cameras[camera].zones:
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
        """What is logged after the decision, up to the next frame or tick."""
        kinds = {
            EntryKind.MEASUREMENT,
            EntryKind.DEADLINE_MISSED,
            EntryKind.FRAME,
            EntryKind.TICK,
        }
        measured: dict[str, Any] | None = None
        missed: list[dict[str, Any]] = []
        fed = self._fed
        for entry in read_entries(
            self._run.storage,
            SITE_PARTITION,
            after=self._said.sequence,
            kinds=kinds,
            limits=self._limits,
        ):
            if entry.kind is EntryKind.MEASUREMENT:
                if measured is not None:
                    break
                measured = json.loads(entry.payload)
            elif entry.kind is EntryKind.DEADLINE_MISSED:
                missed.append(json.loads(entry.payload))
            elif measured is not None or entry.kind is EntryKind.TICK:
                break
            else:
                fed += 1  # a frame of another camera that was fed together with this one
        if measured is None or not measured["step_s"]:
            return None
        return Measured(
            frames=fed,
            step_s=float(measured["step_s"][-1]),
            stage_s={s: float(t) for s, t in measured["stage_s"] if s != PICTURES},
            budget_s=self._plan.pipeline.latency_budget_s,
            missed=tuple(missed),
        )

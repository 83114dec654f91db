"""Why a site decided or commanded something: everything a person needs to judge it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sightline.evidence.site_account.meanings import meaning
from sightline.evidence.site_account.paths import TrackPath
from sightline.evidence.site_account.plain import number
from sightline.evidence.site_account.said import Said
from sightline.records import Decision
from sightline.records.command import ActuatorCommand
from sightline.records.decision import Reason
from sightline.records.signals import NS_PER_S
from sightline.runtime.engine.headers import DetectionOutcome, FrameHeader


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSeen:
    """A camera's newest frame at the decision.

    Attributes:
        header: of the frame.
        offset_s: capture time since the camera's first frame in the log: the place in a recording.
        age_s: at the decision, since it was taken.
        outcome: what detectors said; None where none looked at it.
    """

    header: FrameHeader
    offset_s: float
    age_s: float
    outcome: DetectionOutcome | None

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        header, outcome = self.header, self.outcome
        found = None if outcome is None else outcome.detections
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
            "outcome": None
            if outcome is None
            else {
                "status": str(outcome.status),
                "mode": str(outcome.mode),
                "detail": outcome.detail,
                "batch": list(outcome.batch),
                "boxes": None
                if found is None
                else [
                    {"class": found.class_names[c], "score": s, "box_px": b}
                    for c, s, b in zip(
                        found.class_id.tolist(),
                        found.score.tolist(),
                        found.box_px.tolist(),
                        strict=True,
                    )
                ],
            },
        }


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
        return {
            "frames": self.frames,
            "step_s": self.step_s,
            "stage_s": dict(self.stage_s),
            "budget_s": self.budget_s,
            "missed": [dict(one) for one in self.missed],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """What was held against what.

    Attributes:
        compared: decisions and commands that a replay of the log gave again, byte by byte, this
            one among them.
        began_after: log sequence of the checkpoint the replay began at; -1 for the whole log.
        ledger: ``same``, ``other``, ``missing``, ``no ledger``, or ``no commands`` (it has only
            decisions).
    """

    compared: int
    began_after: int
    ledger: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteExplanation:
    """Why a site decided or commanded something.

    Attributes:
        said: the decision or command.
        run_s: when, since the first frame of the log; as ``sightline render --at``.
        frame: ``camera:index`` of the frame that led to it; ``""`` where a tick did.
        frames: newest frame of each camera concerned, the one that led to it first.
        concerns: whom the reasons are about.
        paths: their tracks.
        machines: that heed it.
        standing: other decisions that had been raised and not cleared.
        other: of a decision that raises something what ended it, of one that ends something what
            raised it; None where the log has none.
        log_end_ns: event time of the last thing said in the log, UTC ns.
        versions: by name.
        measured: None where a tick led to it: ticks are not measured in the log.
        checks: what was checked.
    """

    said: Said
    run_s: float
    frame: str
    frames: tuple[FrameSeen, ...]
    concerns: tuple[Concern, ...]
    paths: tuple[TrackPath, ...]
    machines: tuple[MachineMoment, ...]
    standing: tuple[Decision, ...]
    other: Decision | ActuatorCommand | None
    log_end_ns: int
    versions: Mapping[str, str]
    measured: Measured | None
    checks: Checks

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Most important first."""
        return self.said.what.reasons

    def at_s(self, at_ns: int) -> float:
        """An event time in seconds of the run."""
        return self.run_s + (at_ns - self.said.at_ns) / NS_PER_S

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready: all that the text says, paths whole."""
        what = self.said.what
        key = "decision" if isinstance(what, Decision) else "command"
        return {
            key: what.as_mapping(),
            "log": {"partition": "p000", "sequence": self.said.sequence},
            "at": {"event_ns": self.said.at_ns, "run_s": self.run_s},
            "led_to_by": self.frame or "tick",
            "meanings": {r.code: meaning(r.code) for r in self.reasons},
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
            "paths": [path.as_mapping(until_ns=self.said.at_ns) for path in self.paths],
            "machines": [machine.as_mapping() for machine in self.machines],
            "standing": [decision.as_mapping() for decision in self.standing],
            "other": None if self.other is None else self.other.as_mapping(),
            "log_end_s": self.at_s(self.log_end_ns),
            "measured": None if self.measured is None else self.measured.as_mapping(),
            "versions": dict(self.versions),
            "checks": {
                "replay": "same bytes",
                "compared": self.checks.compared,
                "began_after": self.checks.began_after,
                "ledger": self.checks.ledger,
            },
        }

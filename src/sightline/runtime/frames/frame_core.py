"""The core of a site pipeline: (state, entry) → decisions and commands. No pixel ever comes here.

A frame's header makes it ask for detections; their outcome moves the camera's tracks, finds the
risks and steps the interlocks of the machines that need this camera. A tick steps every interlock,
so that silence stops a machine as surely as a danger does.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence

from sightline.assess.site import SiteAssessment
from sightline.decide.standing import Condition, StandingConditions, condition_decision
from sightline.errors import LogError
from sightline.recorder.checkpoint import StateParts
from sightline.records import Accounts, Decision, Entry, EntryKind
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.decision import Mode, Reason, Severity, Transition
from sightline.records.signals import NS_PER_S
from sightline.runtime.frames.camera_watch import CameraView, CameraWatch, tracks_digest
from sightline.runtime.frames.conditions import (
    fallback_condition,
    risk_conditions,
    sign_conditions,
    sign_reason,
)
from sightline.runtime.frames.detecting import DetectionRequest
from sightline.runtime.frames.entries import (
    DetectionOutcome,
    FrameFaultNote,
    FrameHeader,
    HealthSign,
)
from sightline.runtime.frames.machine_watch import MachineWatch
from sightline.runtime.frames.site_plan import DETECT, SitePlan
from sightline.runtime.learning_stage import Learning
from sightline.runtime.outputs import StepOutput
from sightline.runtime.row_counts import RowCounts
from sightline.runtime.stage_timer import StageTimer, Untimed
from sightline.sense.frames import FrameReason

FRAME_STATE_VERSION = 2
NO_FRAMES = "NO_FRAMES"
"""A camera gives nothing that can be looked at. Value: age of its newest frame that could be."""
RESET = "reset"
"""The operator input that says whether a machine's reset button is down."""
_NEVER_NS = -1
_SEVERITY = {
    CommandLevel.NONE: Severity.INFO,
    CommandLevel.WARN: Severity.WARNING,
    CommandLevel.SLOW: Severity.WARNING,
    CommandLevel.STOP: Severity.CRITICAL,
}


class FrameCore:
    """Decides on all cameras and machines of one site.

    Args:
        plan: the checked pipeline.
        timer: told what each inline stage takes.
        observe: sees each camera's view after a frame, for drawing a run.

    Attributes:
        epoch: ticks so far, less one.
        tick_ns: time of the newest tick, UTC ns; -1 before the first.
        models: version of each detector that is live, by camera.
    """

    def __init__(
        self,
        plan: SitePlan,
        *,
        timer: StageTimer | None = None,
        observe: Callable[[FrameHeader, CameraView], None] | None = None,
    ) -> None:
        self.plan = plan
        self.epoch = -1
        self.models: dict[str, str] = {}
        self._timer = timer or Untimed()
        self._observe = observe
        self._cameras = {
            name: CameraWatch(camera, plan.pipeline.breaker, self._timer)
            for name, camera in plan.cameras.items()
        }
        self._machines = {name: MachineWatch(one) for name, one in plan.machines.items()}
        self._signs: dict[str, tuple[Reason, ...]] = {}
        self._standing = StandingConditions(
            plan.digest, clear_ns=round(plan.pipeline.clear_s * NS_PER_S)
        )
        self._counts = RowCounts()
        self._now_ns = _NEVER_NS
        self.tick_ns = _NEVER_NS
        self._is_finished = False

    @property
    def is_finished(self) -> bool:
        """Whether the final tick has been taken."""
        return self._is_finished

    @property
    def now_ns(self) -> int:
        """Event time, UTC ns; -1 before the first entry."""
        return self._now_ns

    def step(self, entry: Entry) -> StepOutput:
        """Take one entry.

        Raises:
            LogError: an entry of a kind that has no place here, or after the end.
        """
        handler = self._HANDLERS.get(entry.kind)
        if handler is None or (self._is_finished and entry.kind is not EntryKind.MODEL):
            raise LogError(
                expected="an entry that a site pipeline reads, before its final tick",
                got=str(entry.kind),
                where=f"log sequence {entry.sequence}",
                action="run `sightline verify` on the run",
            )
        return handler(self, entry)

    # --- entries --------------------------------------------------------------------------------

    def _on_frame(self, entry: Entry) -> StepOutput:
        output = StepOutput()
        header = FrameHeader.of(entry)
        camera = self._cameras[header.camera]
        camera.last_index = header.index
        self._counts.received += 1
        at_ns = self._advance(header.received_ns)
        if camera.newest is not None and header.capture_ns <= camera.newest.capture_ns:
            # The source sees to the order, but a clock may have been set back before a restart.
            self._counts.refused(FrameReason.TIME_BACKWARDS, 1)
            return output
        self._signs[header.camera] = tuple(sign_reason(sign, camera.plan) for sign in header.signs)
        if header.is_usable:
            camera.take(header)
            output.requests.append(
                DetectionRequest(
                    request_id=f"{header.camera}:{header.index}",
                    stage=DETECT,
                    camera=header.camera,
                    ask_primary=camera.breaker.lets_through,
                )
            )
            return output
        camera.refuse(header)
        self._counts.refused(header.signs[0].code if header.signs else "UNUSABLE", 1)
        self._say(f"{header.camera}/health", at_ns, sign_conditions(header, camera.plan), output)
        return output

    def _on_outcome(self, entry: Entry) -> StepOutput:
        output = StepOutput()
        outcome = DetectionOutcome.of(entry)
        name = outcome.request_id.rpartition(":")[0]
        camera = self._cameras[name]
        header = camera.waiting
        if header is None or outcome.request_id != f"{name}:{header.index}":
            raise LogError(
                expected="the outcome of what was asked for",
                got=outcome.request_id,
                where=f"log sequence {entry.sequence}",
                action="run `sightline verify` on the run",
            )
        view = camera.answer(outcome)
        self._counts.decided += 1
        # Pairs are judged as of now, which is never before the picture.
        at_ns = self._advance(max(header.received_ns, header.capture_ns))
        fresh: dict[str, dict[str, SiteAssessment]] = {}
        with self._timer.span("risk"):
            for machine in self._machines.values():
                if name in machine.plan.cameras:
                    fresh[machine.plan.name] = {name: machine.look(camera, at_ns)}
        conditions = [*sign_conditions(header, camera.plan), *fallback_condition(name, outcome)]
        self._say(f"{name}/health", at_ns, conditions, output, mode=outcome.mode)
        with self._timer.span("decide"):
            pairs = {machine: one[name] for machine, one in fresh.items()}
            found = risk_conditions(self.plan, name, view, pairs)
        self._say(f"{name}/risk", at_ns, found, output, mode=outcome.mode)
        for machine_name, seen in fresh.items():
            self._command(self._machines[machine_name], at_ns, output, fresh=seen)
        output.digests[f"{name}/track"] = _digest(tracks_digest(view.tracks))
        output.digests[f"{name}/assess"] = _digest(
            *(
                part
                for one in (view.zone_risk, *(one[name] for one in fresh.values()))
                for part in (one.code.tobytes(), one.subject.tobytes(), one.value.tobytes())
            )
        )
        if self._observe is not None:
            self._observe(header, view)
        return output

    def _on_fault(self, entry: Entry) -> StepOutput:
        note = FrameFaultNote.from_bytes(entry.payload)
        self._counts.received += note.frames
        self._counts.refused(note.reason, note.frames)
        if note.frames:
            self._cameras[note.camera].last_index = note.index + note.frames - 1
        return StepOutput()

    def _on_drop(self, entry: Entry) -> StepOutput:
        plain = json.loads(entry.payload)
        self._counts.received += plain["rows"]
        self._counts.drop(plain["cause"], plain["rows"])
        return StepOutput()

    def _on_tick(self, entry: Entry) -> StepOutput:
        output = StepOutput()
        plain = json.loads(entry.payload)
        self.epoch, self.tick_ns = int(plain["epoch"]), int(plain["tick_ns"])
        at_ns = self._advance(self.tick_ns)
        for name, camera in self._cameras.items():
            camera.tick()
            self._say(f"{name}/silence", at_ns, self._silence(camera, at_ns), output)
        for machine in self._machines.values():
            self._command(machine, at_ns, output)
        self._is_finished = bool(plain["final"])
        output.accounts = self.accounts()
        output.accounts.check(f"site {self.plan.pipeline.pipeline}, tick {self.epoch}")
        return output

    def _on_control(self, entry: Entry) -> StepOutput:
        plain = json.loads(entry.payload)
        if plain.get("control") == RESET and plain.get("machine") in self._machines:
            self._machines[plain["machine"]].press_reset(bool(plain.get("is_down")))
        return StepOutput()

    def _on_model(self, entry: Entry) -> StepOutput:
        self.models[entry.name] = str(json.loads(entry.payload)["version"])
        return StepOutput()

    _HANDLERS: Mapping[EntryKind, Callable[[FrameCore, Entry], StepOutput]] = {
        EntryKind.FRAME: _on_frame,
        EntryKind.FRAME_FAULT: _on_fault,
        EntryKind.OUTCOME: _on_outcome,
        EntryKind.DROP: _on_drop,
        EntryKind.TICK: _on_tick,
        EntryKind.CONTROL: _on_control,
        EntryKind.MODEL: _on_model,
        EntryKind.CONFIGURATION: lambda core, entry: StepOutput(),
    }

    def newest(self, camera: str) -> FrameHeader | None:
        """Header of a camera's newest frame; None before the first."""
        return self._cameras[camera].newest

    def last_index(self, camera: str) -> int:
        """Place of the newest frame, or lost frame, in a camera's counter; -1 before the first."""
        return self._cameras[camera].last_index

    # --- what is said ---------------------------------------------------------------------------

    def _advance(self, at_ns: int) -> int:
        """Event time of this entry: it never stands still, so that steps have an order."""
        self._now_ns = max(at_ns, self._now_ns + 1)
        return self._now_ns

    def _say(
        self,
        scope: str,
        at_ns: int,
        conditions: Sequence[Condition],
        output: StepOutput,
        *,
        mode: Mode = Mode.PRIMARY,
    ) -> None:
        with self._timer.span("decide"):
            output.decisions += self._standing.update(scope, at_ns, list(conditions), mode=mode)

    def _silence(self, camera: CameraWatch, at_ns: int) -> list[Condition]:
        looked_ns, allowed_s = camera.looked_ns, camera.plan.contract.max_age_s
        age_s = math.nan if looked_ns is None else (at_ns - looked_ns) / NS_PER_S
        if looked_ns is not None and age_s <= allowed_s + 1.0 / camera.plan.contract.rate_hz:
            return []
        sign = HealthSign(
            code=NO_FRAMES, measure="frame_age", value=age_s, threshold=allowed_s, unit="s"
        )
        return [
            Condition(
                kind="camera_silent",
                subject=camera.plan.name,
                group="",
                severity=Severity.CRITICAL,
                reason=sign_reason(sign, camera.plan),
            )
        ]

    def _command(
        self,
        machine: MachineWatch,
        at_ns: int,
        output: StepOutput,
        *,
        fresh: Mapping[str, SiteAssessment] | None = None,
    ) -> None:
        """Step one interlock; a change of its level is a decision."""
        before = machine.state.last_command
        with self._timer.span("interlock"):
            command = machine.step(self._cameras, self._signs, event_ns=at_ns, fresh=fresh or {})
        if command is None:
            return
        output.commands.append(command)
        if before is None or before.level is not command.level:
            output.decisions.append(self._change(command, at_ns))

    def _change(self, command: ActuatorCommand, at_ns: int) -> Decision:
        is_none = command.level is CommandLevel.NONE
        calm = Reason(
            code="CALM",
            measure="demands",
            value=0.0,
            threshold=1.0,
            unit="1",
            version=self.plan.machines[command.machine].rule.version,
        )
        condition = Condition(
            kind=f"command_{command.level}",
            subject=command.machine,
            group="",
            severity=_SEVERITY[command.level],
            reason=command.reasons[0] if command.reasons else calm,
        )
        return condition_decision(
            condition,
            self.plan.digest,
            at_ns,
            Transition.CLEARED if is_none else Transition.RAISED,
            command.mode,
            reasons=command.reasons,
        )

    # --- accounts, checkpoint -------------------------------------------------------------------

    def accounts(self) -> Accounts:
        """Where every frame is now."""
        return self._counts.accounts(in_flight=self.open_rows())

    def open_rows(self) -> int:
        """Frames whose detections have been asked for."""
        return sum(camera.waiting is not None for camera in self._cameras.values())

    def learning(self) -> tuple[tuple[str, Learning], ...]:
        """No stage here learns."""
        return ()

    def breaker_phases(self) -> tuple[tuple[str, str], ...]:
        """(camera, phase) of each detector's circuit breaker."""
        return tuple((n, str(c.breaker.phase)) for n, c in sorted(self._cameras.items()))

    def snapshot(self) -> StateParts:
        """The whole state, between two frames."""
        parts = StateParts(meta={}, arrays={}, frames={})
        parts.meta["core"] = {
            "version": FRAME_STATE_VERSION,
            "plan": self.plan.digest,
            "epoch": self.epoch,
            "now_ns": self._now_ns,
            "tick_ns": self.tick_ns,
            "finished": self._is_finished,
            "models": self.models,
            "counts": self._counts.snapshot(),
            "standing": self._standing.snapshot(),
        }
        for camera in self._cameras.values():
            camera.snapshot(parts)
        for machine in self._machines.values():
            machine.snapshot(parts)
        return parts

    def restore(self, parts: StateParts) -> None:
        """Inverse of :meth:`snapshot`.

        Raises:
            LogError: if the state is of another version or pipeline.
        """
        core = parts.meta["core"]
        if core["version"] != FRAME_STATE_VERSION or core["plan"] != self.plan.digest:
            raise LogError(
                expected=f"state version {FRAME_STATE_VERSION} of pipeline {self.plan.digest}",
                got=f"version {core['version']} of {core['plan']}",
                where=f"checkpoint of site {self.plan.pipeline.pipeline}",
                action="resume with the pipeline file the run was started with",
            )
        self.epoch, self._now_ns = core["epoch"], core["now_ns"]
        self.tick_ns = core["tick_ns"]
        self._is_finished = core["finished"]
        self.models = dict(core["models"])
        self._counts.restore(core["counts"])
        self._standing.restore(core["standing"])
        for camera in self._cameras.values():
            camera.restore(parts)
            if camera.newest is not None:
                self._signs[camera.plan.name] = tuple(
                    sign_reason(sign, camera.plan) for sign in camera.newest.signs
                )
        for machine in self._machines.values():
            machine.restore(parts)


def _digest(*parts: bytes) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()

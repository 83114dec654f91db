"""The shell around the core of a site: frames in, detections asked for, commands out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sightline.errors import LogError, SourceError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import Storage
from sightline.records import EntryKind, Frame
from sightline.records.plain_json import plain_json
from sightline.runtime.frames.annotations import annotation_message
from sightline.runtime.frames.camera_watch import CameraView
from sightline.runtime.frames.detecting import FrameAnswers
from sightline.runtime.frames.frame_core import RESET, FrameCore
from sightline.runtime.frames.image_log import ImageLog
from sightline.runtime.frames.intake import FrameIntake, fault_note
from sightline.runtime.frames.packet_log import PacketLog
from sightline.runtime.frames.site_plan import DETECT, SitePlan
from sightline.runtime.logged_core import Committed, HostClocks, Input, LoggedCore
from sightline.runtime.row_counts import SUPERSEDED
from sightline.runtime.stage_timer import MeasuredStages
from sightline.sense.frames import FrameFault
from sightline.sense.frames.video_parts import PacketTape

STOPPED = "STOPPED"
"""Cause of a drop: the frame waited when the run was stopped."""
SITE_PARTITION = "p000"
"""The one partition of a site pipeline, named as the first of any other."""


class FrameHost:
    """Hosts the core of one site: logs what it reads and says, commits before anything leaves.

    Args:
        plan: the checked pipeline.
        storage: the disk of the run.
        guard: runs the detectors.
        versions: of the detectors, by camera and role; a change is logged.
        clocks: of the shell.
        configuration: logged once, as the first entry.
        checkpoint_ticks: ticks between two checkpoints.
        tapes: by camera, its packets, where they are to be kept.
        limits: bounds.
    """

    def __init__(
        self,
        plan: SitePlan,
        storage: Storage,
        *,
        guard: FrameAnswers,
        versions: Mapping[str, str],
        clocks: HostClocks,
        configuration: bytes = b"{}",
        checkpoint_ticks: int = 3000,
        tapes: Mapping[str, PacketTape] = MappingProxyType({}),
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._timer = MeasuredStages(clocks.monotonic_s)
        self._views: dict[str, CameraView] = {}
        self.core = FrameCore(
            plan, timer=self._timer, observe=lambda h, view: self._views.update({h.camera: view})
        )
        self._guard = guard
        self._clocks = clocks
        self._intakes = {n: FrameIntake(c.contract) for n, c in plan.cameras.items()}
        self._images = ImageLog(plan.pipeline.images, PacketLog(plan.pipeline.images, tapes))
        self._to_show: list[Frame] = []
        self._has_decided = False
        self._logged = LoggedCore(
            SITE_PARTITION,
            self.core,
            storage,
            guard=guard,
            clocks=clocks,
            timer=self._timer,
            budgets_s=_budgets_s(plan),
            configuration=configuration,
            checkpoint_epochs=checkpoint_ticks,
            limits=limits,
        )
        self.recovery = self._logged.recovery
        self._machines = frozenset(plan.machines)
        self.refused_controls = 0
        self._resume()
        for role, version in sorted(versions.items()):
            if self.core.models.get(role) != version:
                self._logged.apply(EntryKind.MODEL, role, plain_json({"version": version}))

    def _resume(self) -> None:
        if not self._logged.is_new:
            for entry in self._logged.inputs_after(self._logged.restore()):
                self.core.step(entry)
        self._logged.begin()
        waiting = self.core.open_rows()
        if waiting:  # commits are made of whole frames, so this cannot be
            raise LogError(
                expected="a log that ends between two frames",
                got=f"{waiting} frames whose detections are missing",
                where=f"partition {SITE_PARTITION}",
                action="run `sightline verify` on the run",
            )

    @property
    def now_ns(self) -> int:
        """Event time, UTC ns; -1 before the first entry."""
        return self.core.now_ns

    def knows(self, item: Frame | FrameFault) -> bool:
        """Whether the log has this frame or fault already, from before a restart."""
        return item.index <= self.core.last_index(item.stream)

    def knows_tick(self, tick_ns: int) -> bool:
        """Whether the log has this tick already."""
        return tick_ns <= self.core.tick_ns

    def warm(self, frame: Frame) -> None:
        """Show a frame that the log has to whoever remembers frames: contract, health, detectors.

        So that a run that goes on over recordings says what an uninterrupted one would.
        """
        header = self._intakes[frame.stream].header(frame)
        newest = self.core.newest(frame.stream)
        is_newest = newest is not None and newest.index == header.index
        if newest is not None and is_newest and newest.digest != header.digest:
            raise SourceError(
                expected=f"the recording of the run: a picture with digest {newest.digest}",
                got=header.digest,
                where=f"frame {frame.index} of {frame.stream}",
                action="resume with the recording the run was started with",
            )
        if header.is_usable:
            self._guard.warm(frame)
        self._images.pass_by(frame)

    def feed(self, items: Sequence[Frame | FrameFault]) -> None:
        """Take faults, and frames of different cameras whose detections may share a batch."""
        began_s = self._clocks.monotonic_s()
        entries: list[Input] = []
        frames: list[Frame] = []
        for item in items:
            if isinstance(item, FrameFault):
                note = fault_note(item).to_bytes()
                entries.append(Input(EntryKind.FRAME_FAULT, item.stream, note))
                continue
            with self._timer.span("sense"):
                header = self._intakes[item.stream].header(item)
            if header.is_usable:
                self._guard.hold(item)
            entries.append(Input(EntryKind.FRAME, item.stream, header.to_bytes(), header))
            frames.append(item)
        self._logged.apply_together(entries)
        self._to_show += frames
        if frames:
            self._logged.took(self._clocks.monotonic_s() - began_s)

    def feed_superseded(self, camera: str, frames: int) -> None:
        """Account for frames that newer ones replaced before they were looked at."""
        if frames:
            drop = {"cause": SUPERSEDED, "rows": frames}
            self._logged.apply(EntryKind.DROP, camera, plain_json(drop))

    def feed_left_behind(self, item: Frame | FrameFault) -> None:
        """Account for a frame that waited when the run was stopped."""
        if isinstance(item, FrameFault):
            self._logged.apply(EntryKind.FRAME_FAULT, item.stream, fault_note(item).to_bytes())
        else:
            drop = {"cause": STOPPED, "rows": 1}
            self._logged.apply(EntryKind.DROP, item.stream, plain_json(drop))

    def feed_control(self, control: Mapping[str, Any]) -> None:
        """Take an operator input: ``control: reset``, ``machine``, ``is_down``.

        What is no such input is counted, and not logged: it must not end a run.
        """
        is_reset = control.get("control") == RESET and control.get("machine") in self._machines
        if not (is_reset and isinstance(control.get("is_down"), bool)):
            self.refused_controls += 1
            return
        self._logged.apply(
            EntryKind.CONTROL, str(control.get("control", "")), plain_json(dict(control))
        )

    def tick(self, tick_ns: int, *, is_final: bool = False) -> None:
        """Time has reached ``tick_ns``."""
        tick = {"epoch": self.core.epoch + 1, "tick_ns": tick_ns, "final": is_final}
        self._logged.apply(EntryKind.TICK, "", plain_json(tick))
        self._logged.count_epoch()
        self._logged.measure_stages()

    def feed_missed(self, missed: Mapping[str, Any]) -> None:
        """Log an overrun beside the decisions: the core never reads it."""
        self._logged.feed_missed(missed)

    def commit(self) -> Committed:
        """Make everything so far durable, and hand out what may now take effect."""
        committed = self._logged.commit()
        self._has_decided |= bool(committed.decisions)
        return committed

    def keep_pictures(self) -> None:
        """Log the pictures of what was fed, with the next commit: commands go first."""
        frames, self._to_show = self._to_show, []
        if self._images.is_on and (frames or self._has_decided or self._images.has_packets):
            with self._timer.span("pictures"):
                self._show(frames)
                if self._has_decided:
                    self._keep(self._images.decided())
                for kind, camera, payload in self._images.packets():
                    self._logged.append(kind, camera, payload)
        self._has_decided = False

    def close(self) -> None:
        """Finish the log; what was not committed is not there."""
        self._logged.close()

    def _show(self, frames: Sequence[Frame]) -> None:
        """Log the pictures that are to be kept, and what was seen in them."""
        for frame in frames:
            self._keep(self._images.take(frame))
            view = self._views.pop(frame.stream, None)
            if view is not None:
                message = annotation_message(view)
                self._logged.append(EntryKind.ANNOTATION, frame.stream, message)

    def _keep(self, images: Sequence[tuple[str, bytes]]) -> None:
        for camera, payload in images:
            self._logged.append(EntryKind.IMAGE, camera, payload)


def _budgets_s(plan: SitePlan) -> dict[str, float]:
    """The guarded stage may take what its slowest detector may."""
    form = plan.pipeline
    return {DETECT: max(form.detectors[c.detector].budget_s for c in form.cameras.values())}

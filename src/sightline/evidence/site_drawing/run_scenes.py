"""A run, replayed: what was decided, frame by frame, as scenes to draw."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sightline.evidence.site_drawing.camera_trace import CameraTrace
from sightline.evidence.site_drawing.scene import MachineScene, SiteScene
from sightline.evidence.site_replay import SAID, SiteReplay
from sightline.evidence.site_subjects import subject_of
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import Decision, Entry, EntryKind
from sightline.records.command import CommandLevel
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory
from sightline.runtime.engine.headers import FrameHeader
from sightline.runtime.frames.site_loop import CAPTURE_TO_COMMAND
from sightline.runtime.stages.zones import CameraView

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
        self._replay = SiteReplay(run, observe=self._see, limits=limits)
        cameras = run.site.cameras
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
        if not self._group or self._replay.core.open_rows():
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
        for name in self._run.site.machines:
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

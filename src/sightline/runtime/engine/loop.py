"""The loop of a run: what comes is fed, committed, carried out and published, until no more comes.

The loop is the same at every speed, for finite and for live sources, for rows and for frames; only
where its parts come from differs (:mod:`.feeds`). A machine is commanded right after the commit;
pictures come after it, and ledger and alerts have threads of their own, which nothing here waits
for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sightline.act import CommandSender, LatencyRecorder
from sightline.limits import Limits
from sightline.records import Frame
from sightline.records.command import ActuatorCommand
from sightline.records.signals import NS_PER_S, RECEIVED_NS
from sightline.runtime.engine.camera_inbox import CameraTrouble
from sightline.runtime.engine.driving import EpochDriver
from sightline.runtime.engine.feeds import Part
from sightline.runtime.engine.frame_shell import FrameTally
from sightline.runtime.engine.host import PartitionHost
from sightline.runtime.engine.logged_core import Committed
from sightline.runtime.engine.row_counts import SUPERSEDED
from sightline.runtime.engine.steady_clock import ClockReports
from sightline.runtime.plan import Plan
from sightline.runtime.publishing import Publisher, newest
from sightline.runtime.run_directory import RunDirectory
from sightline.runtime.run_options import Progress, RunClocks, RunOptions
from sightline.sense.arrival import Epoch
from sightline.sense.frames import FrameFault
from sightline.sense.source import Position

CAPTURE_TO_COMMAND = "capture-to-command"
"""Stands for the whole way where a stage is named; no stage can be called so."""


@dataclass(slots=True)
class RunLoop:
    """Feeds parts until there are no more; the shell's only loop.

    Attributes:
        plan: the pipeline.
        run: the run directory.
        driver: of all partitions.
        publisher: measures commits and hands them to the keeper of the ledger.
        senders: ways to the machines, by name.
        clocks: of the shell.
        camera_trouble: told what live cameras give; None: all are recordings.
        on_tallies: told what has come of each camera, after each part with frames.
        on_tick: called with the event time at the end of each epoch.
        clock_reports: of the clock of a live run; None: nothing lives by it.
        on_progress: called after each published commit.
        options: how the run was started.
        limits: bounds.
        is_stopped: asked after each part of a recording; once true the loop ends.
        rows, frames: fed in this call.
        commands: sent, by ``machine level``.
        latency_s: capture to command.
        age_s: of frames when they were taken.
        missed: frames that took longer than the pipeline's budget.
    """

    plan: Plan
    run: RunDirectory
    driver: EpochDriver
    publisher: Publisher
    senders: Mapping[str, CommandSender]
    clocks: RunClocks
    camera_trouble: CameraTrouble | None
    on_tallies: Callable[[Mapping[str, FrameTally]], None]
    on_tick: Callable[[int], None]
    clock_reports: ClockReports | None
    on_progress: Callable[[Progress], None] | None
    options: RunOptions
    limits: Limits
    is_stopped: Callable[[], bool]
    rows: int = 0
    frames: int = 0
    commands: Counter[str] = field(default_factory=Counter)
    latency_s: LatencyRecorder = field(default_factory=LatencyRecorder)
    age_s: LatencyRecorder = field(default_factory=LatencyRecorder)
    missed: int = 0
    _tick_ns: int = 0
    _released_s: float | None = None
    _since_rows: int = 0
    _since_epochs: int = 0
    _is_boundary: bool = True
    _waiting: dict[str, Committed] = field(default_factory=dict)
    _unpublished: int = 0
    _kept: dict[str, dict[str, Position]] = field(default_factory=dict)
    _on_commit: Callable[[Mapping[str, Mapping[str, Position]]], None] = lambda kept: None

    def go(
        self,
        feed: Iterator[Part],
        on_commit: Callable[[Mapping[str, Mapping[str, Position]]], None],
        take_controls: Callable[[], list[dict[str, Any]]],
    ) -> None:
        """Run to the end of ``feed``.

        Args:
            feed: what comes.
            on_commit: called when a commit is durable, with the positions up to which each
                source is kept.
            take_controls: asked at the beginning of each epoch for operator inputs that have come.
        """
        self._on_commit = on_commit
        if self.driver.cameras is not None:
            self.driver.cameras.send_early(self._command)
        self.driver.begin(self.run.controls)
        for part in feed:
            self._count_superseded(part)
            if part.left_behind:
                self._leave_behind(part.items)
                continue
            if part.items:
                self._take_items(part)
            if part.epoch is not None:
                self._take_epoch(part.epoch, take_controls)
            if self.plan.cameras and not self.options.is_live and self.is_stopped():
                break
        if self.plan.cameras:
            self._keep_pictures()  # packets of the last moment
        if self.driver.has_unlogged:
            self._commit()
        self._publish()
        if self.driver.has_unlogged:  # that the last decisions were late
            self._commit()
            self._publish()

    # --- frames -----------------------------------------------------------------------------------

    @property
    def _cameras(self) -> PartitionHost:
        host = self.driver.cameras
        assert host is not None
        return host

    def _count_superseded(self, part: Part) -> None:
        for camera, count in part.superseded.items():
            self.driver.has_unlogged = True
            self._cameras.feed_drop(camera, cause=SUPERSEDED, rows=count)

    def _leave_behind(self, items: Sequence[Frame | FrameFault]) -> None:
        for item in items:
            self.driver.has_unlogged = True
            self._cameras.feed_left_behind(item)

    def _take_items(self, part: Part) -> None:
        """Feed what the log does not have yet; the rest is shown to who remembers frames."""
        host = self._cameras
        if self.camera_trouble is not None:
            self.camera_trouble.take(part.items)
        # A live camera counts from 0 again in each run: what it gives is always new.
        is_new = self.options.is_live
        fresh = [item for item in part.items if is_new or not host.knows(item)]
        for item in part.items:
            if isinstance(item, Frame) and item not in fresh:
                host.warm(item)
        if not fresh:
            return
        for age_s in part.age_s.values():
            self.age_s.record(age_s)
        # Of a recording the age is data; what is measured is the time from having the frame.
        began_s = self.clocks.monotonic_s()
        host.feed_items(fresh)
        self.on_tallies(host.tallies)
        self.driver.has_unlogged = True
        committed = self.driver.commit(at_once=self._command)
        for item in fresh:
            self._kept.setdefault(item.stream, {})[item.stream] = item.index + 1
            if isinstance(item, Frame):
                took_s = self.clocks.monotonic_s() - began_s
                self._note_latency(item, part.age_s.get(item.stream, 0.0) + took_s)
                self.frames += 1
        self._tell_kept()
        self._keep_pictures()
        self._publish_later(committed)

    def _tell_kept(self) -> None:
        """Whoever sends may forget what is in the log by now."""
        kept, self._kept = self._kept, {}
        self._on_commit(kept)

    def _note_latency(self, frame: Frame, took_s: float) -> None:
        self.latency_s.record(took_s)
        budget_s = self.plan.pipeline.latency_budget_s
        if took_s > budget_s:
            self.missed += 1
            self._cameras.feed_missed(
                {
                    "stage": CAPTURE_TO_COMMAND,
                    "frame": f"{frame.stream}:{frame.index}",
                    "took_s": round(took_s, 6),
                    "budget_s": budget_s,
                }
            )
            self.driver.has_unlogged = True

    def _keep_pictures(self) -> None:
        if self._cameras.keep_pictures():
            self.driver.has_unlogged = True

    # --- rows and ticks ---------------------------------------------------------------------------

    def _take_epoch(self, epoch: Epoch, take_controls: Callable[[], list[dict[str, Any]]]) -> None:
        if self._is_boundary:
            for control in take_controls():
                self.driver.feed_control(control)
            if self.clock_reports is not None:
                for report in self.clock_reports.take():
                    self.driver.feed_clock(report)
        self._is_boundary = epoch.is_complete
        self._tick_ns = epoch.tick_ns
        self.on_tick(epoch.tick_ns)
        if self.plan.contracts:
            self._note_receipt(epoch)
        if self.plan.cameras and self._cameras.has_epoch(epoch.number):
            return
        self.driver.feed(epoch)
        for source, positions in epoch.positions.items():
            self._kept.setdefault(source, {}).update(positions)
        self.rows += epoch.rows
        self._since_rows += epoch.rows
        self._since_epochs += epoch.is_complete
        due = (
            self.options.speed is not None
            or self.options.is_live
            or bool(self.plan.cameras)
            or self._since_rows >= self.limits.commit_rows
            or self._since_epochs >= self.limits.epochs_in_flight
        )
        if epoch.is_final or (due and epoch.is_complete):
            self._commit()
            self._since_rows, self._since_epochs = 0, 0

    def _note_receipt(self, epoch: Epoch) -> None:
        """Latency counts from the oldest row of a commit."""
        now_s = self.clocks.monotonic_s()
        if self.options.is_live:
            oldest_ns = [
                int(frame[RECEIVED_NS].min())  # type: ignore[arg-type]  # never null here
                for _, frame in epoch.batches
            ]
            now_s -= max(self.clocks.wall_ns() - min(oldest_ns), 0) / NS_PER_S if oldest_ns else 0.0
        self._released_s = now_s if self._released_s is None else min(self._released_s, now_s)

    def _commit(self) -> None:
        """Make it durable, send the commands, and only then see to the rest."""
        committed = self.driver.commit(at_once=self._command)
        self._tell_kept()
        if self.plan.cameras:
            self._keep_pictures()
            self._publish_later(committed)
            return
        self._hold(committed)
        self._publish()

    def _command(self, committed: Sequence[Committed]) -> None:
        for one in committed:
            for command in one.commands:
                self._send(command)

    def _send(self, command: ActuatorCommand) -> None:
        self.commands[f"{command.machine} {command.level}"] += 1
        sender = self.senders.get(command.machine)
        if sender is not None:
            sender.send(command)

    # --- ledger, alerts, progress -----------------------------------------------------------------

    def _hold(self, committed: Sequence[Committed]) -> None:
        for one in committed:
            known = self._waiting.get(one.name)
            self._waiting[one.name] = one if known is None else known.then(one)

    def _publish_later(self, committed: Sequence[Committed]) -> None:
        """Frames are many: the ledger hears of them when there is something to hear."""
        self._hold(committed)
        self._unpublished += 1
        has_news = any(one.decisions or one.alerting or one.parts for one in committed)
        if has_news or self._unpublished >= self.limits.quiet_commits:
            self._publish()

    def _publish(self) -> None:
        """Bring metrics up to date, and hand on what the ledger is to store."""
        committed, self._waiting, self._unpublished = list(self._waiting.values()), {}, 0
        if not committed:
            return
        released_s, self._released_s = self._released_s, None
        for one in committed:
            missed = self.publisher.publish(
                one, released_s=self.clocks.monotonic_s() if released_s is None else released_s
            )
            if missed is not None:
                self.driver.feed_missed(one.name, missed)
        said = newest(committed)
        for machine, sender in self.senders.items():
            self.publisher.observe_commands(machine, sender)
        if self.on_progress is not None:
            self.on_progress(
                Progress(
                    tick_ns=self._tick_ns,
                    rows=self.rows + self.frames,
                    decisions=self.publisher.decisions,
                    open_rows=sum(c.accounts.in_flight for c in committed),
                    newest=said,
                )
            )


def paced(stream: Iterator[Epoch], speed: float | None, clocks: RunClocks) -> Iterator[Epoch]:
    """Hold each epoch back until its time has come on a clock that runs ``speed`` times as fast."""
    if speed is None:
        yield from stream
        return
    started_s = clocks.monotonic_s()
    first_ns: int | None = None
    for epoch in stream:
        if first_ns is None:
            first_ns = epoch.tick_ns
        due_s = started_s + (epoch.tick_ns - first_ns) / NS_PER_S / speed
        wait_s = due_s - clocks.monotonic_s()
        if wait_s > 0:
            clocks.sleep_s(wait_s)
        yield epoch

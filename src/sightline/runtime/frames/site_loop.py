"""The loop of a site's run: frames are fed, committed, and their commands sent, in that order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from sightline.act import LatencyRecorder
from sightline.act.actuators import CommandSender
from sightline.records import Frame
from sightline.records.command import ActuatorCommand
from sightline.records.signals import NS_PER_S
from sightline.runtime.frames.camera_inbox import Arrival
from sightline.runtime.frames.frame_host import FrameHost
from sightline.runtime.frames.recorded_feed import Moment
from sightline.runtime.frames.site_plan import SitePlan
from sightline.runtime.logged_core import Committed
from sightline.runtime.publishing import Publisher
from sightline.runtime.run_options import Progress, RunClocks
from sightline.sense.frames import FrameFault


class Inbox(Protocol):
    """What the loop asks of the cameras; :class:`.CameraInbox` with real ones."""

    @property
    def waiting(self) -> int: ...
    @property
    def is_finished(self) -> bool: ...
    def wait(self, timeout_s: float) -> None: ...
    def missing(self, cameras: Sequence[str]) -> bool: ...
    def take(self) -> Arrival: ...
    def stop(self) -> None: ...


CAPTURE_TO_COMMAND = "capture-to-command"
"""Stands for the whole way where a stage is named; no stage can be called so."""
_PUBLISH_FRAMES = 64  # frames without a decision until the ledger hears of them
_SENDS_S = 1.0  # a camera that gave nothing for so long is not waited for
_LONGEST_WAIT_S = 0.05  # so that a stop is heeded, and a batch looked for, in time


@dataclass(slots=True)
class SiteLoop:
    """Feeds what comes until there is no more.

    Attributes:
        plan: the pipeline.
        host: of the core.
        publisher: ledger, outbox and metrics.
        senders: ways to the machines, by name.
        clocks: of the shell.
        on_progress: called after each published commit.
        controls: asked at each tick for operator inputs.
        deliver: told that there may be alerts to send; must not wait for them.
        latency_s: capture to command.
        age_s: of frames when they were taken.
        missed: frames that took longer than the pipeline's budget.
        frames: fed in this call.
        commands: by ``machine level``.
        speed: seconds of the frames' clock per second.
    """

    plan: SitePlan
    host: FrameHost
    publisher: Publisher
    senders: Mapping[str, CommandSender]
    clocks: RunClocks
    on_progress: Callable[[Progress], None] | None
    controls: Callable[[], Sequence[Mapping[str, Any]]]
    deliver: Callable[[], None] = lambda: None
    latency_s: LatencyRecorder = field(default_factory=LatencyRecorder)
    age_s: LatencyRecorder = field(default_factory=LatencyRecorder)
    missed: int = 0
    frames: int = 0
    commands: Counter[str] = field(default_factory=Counter)
    speed: float = 1.0
    _came_s: dict[str, float] = field(default_factory=dict)
    _waiting: Committed | None = None
    _unpublished: int = 0

    def go_recorded(self, moments: Iterable[Moment], is_stopped: Callable[[], bool]) -> None:
        """Every frame of finite recordings, as fast as it goes; latency counts from having it."""
        for moment in moments:
            fresh = self._fresh(moment.items)
            if fresh:
                # The age within the recording is data; what is measured is the time from here.
                began_s = self.clocks.monotonic_s()
                self.host.feed(fresh)
                self._commit(fresh, partial(self._since, began_s))
            elif not (moment.items or self.host.knows_tick(moment.at_ns)):
                self._tick(moment.at_ns, is_final=moment.is_final)
            if is_stopped():
                break
        self._end()

    def go_live(
        self, inbox: Inbox, now_ns: Callable[[], int], is_stopped: Callable[[], bool]
    ) -> None:
        """Frames as they come, ticks by the clock; a stop leaves a run that can go on."""
        tick_ns = self.plan.tick_ns
        next_tick_ns = (now_ns() // tick_ns + 1) * tick_ns
        shares = self._sharing()
        while not is_stopped():
            wait_s = min((next_tick_ns - now_ns()) / NS_PER_S, _LONGEST_WAIT_S)
            if not inbox.waiting:
                inbox.wait(wait_s)
            if inbox.waiting:
                self._wait_for_batch(inbox, shares, most_s=wait_s)
            is_last = inbox.is_finished
            arrival = inbox.take()
            for camera, count in arrival.superseded.items():
                self.host.feed_superseded(camera, count)
            if arrival.items:
                for item in arrival.items:
                    if isinstance(item, Frame):
                        self._came_s[item.stream] = self.clocks.monotonic_s()
                        self.age_s.record((now_ns() - item.capture_ns) / NS_PER_S / self.speed)
                self.host.feed(arrival.items)
                self._commit(
                    arrival.items,
                    lambda frame: (now_ns() - frame.capture_ns) / NS_PER_S / self.speed,
                )
            if now_ns() >= next_tick_ns or is_last:
                # A loop that was held up has one tick to catch up with, not many.
                tick_at_ns = max(now_ns() // tick_ns * tick_ns, next_tick_ns)
                self._tick(tick_at_ns, is_final=is_last)
                next_tick_ns = tick_at_ns + tick_ns
            if is_last:
                break
        self._count_left_behind(inbox)
        self._end()

    # --- parts ----------------------------------------------------------------------------------

    def _fresh(self, items: Sequence[Frame | FrameFault]) -> list[Frame | FrameFault]:
        """What the log does not have yet; the rest is only shown to who remembers frames."""
        fresh = [item for item in items if not self.host.knows(item)]
        for item in items:
            if isinstance(item, Frame) and item not in fresh:
                self.host.warm(item)
        return fresh

    def _since(self, began_s: float, _: Frame) -> float:
        return self.clocks.monotonic_s() - began_s

    def _sharing(self) -> tuple[str, ...]:
        """Cameras whose detector serves more than one."""
        cameras = self.plan.pipeline.cameras
        uses = Counter(camera.detector for camera in cameras.values())
        return tuple(name for name, camera in cameras.items() if uses[camera.detector] > 1)

    def _count_left_behind(self, inbox: Inbox) -> None:
        """Frames that came and are not looked at any more, because the run was stopped."""
        inbox.stop()
        arrival = inbox.take()
        for camera, count in arrival.superseded.items():
            self.host.feed_superseded(camera, count)
        for item in arrival.items:
            self.host.feed_left_behind(item)

    def _wait_for_batch(self, inbox: Inbox, shares: Sequence[str], *, most_s: float) -> None:
        """Wait for the cameras that still send; a tick never waits for a batch."""
        now_s = self.clocks.monotonic_s()
        until_s = now_s + min(self.plan.pipeline.batch_wait_s, most_s)
        shares = [n for n in shares if now_s - self._came_s.get(n, -math.inf) <= _SENDS_S]
        while shares and inbox.missing(shares):
            left_s = until_s - self.clocks.monotonic_s()
            if left_s <= 0:
                return
            self.clocks.sleep_s(min(left_s, 0.001))

    def _tick(self, tick_ns: int, *, is_final: bool) -> None:
        for control in self.controls():
            self.host.feed_control(control)
        self.host.tick(tick_ns, is_final=is_final)
        self._commit((), lambda frame: 0.0)

    def _commit(
        self, items: Sequence[Frame | FrameFault], latency_s: Callable[[Frame], float]
    ) -> None:
        """Make it durable, send the commands, and only then see to the rest."""
        committed = self.host.commit()
        for command in committed.commands:
            self._send(command)
        for item in items:
            if isinstance(item, Frame):
                self._note_latency(item, latency_s(item))
        self.host.keep_pictures()
        self.frames += sum(isinstance(item, Frame) for item in items)
        self._waiting = committed if self._waiting is None else self._waiting.then(committed)
        self._unpublished += 1
        if committed.decisions or self._unpublished >= _PUBLISH_FRAMES:
            self._publish()

    def _end(self) -> None:
        self.host.keep_pictures()  # packets of the last moment
        self._commit((), lambda frame: 0.0)  # the last pictures
        self._publish()

    def _send(self, command: ActuatorCommand) -> None:
        self.commands[f"{command.machine} {command.level}"] += 1
        sender = self.senders.get(command.machine)
        if sender is not None:
            sender.send(command)

    def _note_latency(self, frame: Frame, took_s: float) -> None:
        self.latency_s.record(took_s)
        budget_s = self.plan.pipeline.latency_budget_s
        if took_s > budget_s:
            self.missed += 1
            self.host.feed_missed(
                {
                    "stage": CAPTURE_TO_COMMAND,
                    "frame": f"{frame.stream}:{frame.index}",
                    "took_s": round(took_s, 6),
                    "budget_s": budget_s,
                }
            )

    def _publish(self) -> None:
        """Bring ledger, outbox and metrics up to date."""
        committed, self._waiting, self._unpublished = self._waiting, None, 0
        if committed is None:
            return
        self.publisher.publish(committed, released_s=self.clocks.monotonic_s())
        if committed.decisions:
            self.deliver()
        if self.on_progress is not None:
            self.on_progress(
                Progress(
                    tick_ns=self.host.now_ns,
                    rows=self.frames,
                    decisions=self.publisher.decisions,
                    open_rows=0,
                    newest=tuple(decision for _, decision in committed.decisions),
                )
            )

"""Running a site pipeline: open the run, host its core, and let the loop go over its frames."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import sightline
from sightline.act import AlertDelivery, Ledger, RunMetrics, Sink
from sightline.act.actuators import Actuator, CommandSender
from sightline.errors import SourceError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import DirectoryStorage
from sightline.records import Accounts, Frame
from sightline.records.decision import decisions_digest
from sightline.records.signals import NS_PER_S
from sightline.runtime.frames.camera_inbox import CameraInbox, Pace
from sightline.runtime.frames.detecting import CameraDetectors, FrameGuard
from sightline.runtime.frames.frame_host import FrameHost
from sightline.runtime.frames.packet_log import packet_tapes
from sightline.runtime.frames.recorded_feed import recorded_moments
from sightline.runtime.frames.site_loop import CAPTURE_TO_COMMAND, SiteLoop
from sightline.runtime.frames.site_plan import SitePlan
from sightline.runtime.frames.site_report import SiteReport
from sightline.runtime.frames.steady_clock import steady_clock
from sightline.runtime.logged_core import HostClocks
from sightline.runtime.publishing import Publisher
from sightline.runtime.run_directory import MANIFEST, RunDirectory, plan_as_mapping
from sightline.runtime.run_lock import run_lock
from sightline.runtime.run_options import Progress, RunClocks
from sightline.sense.frames.delivery import FrameItem, FrameSource

_DRAIN_S = 10.0  # time for alerts that are left when the sources have ended


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteOptions:
    """How to run a site.

    Attributes:
        speed: seconds of recording per second, with newest-wins as for live cameras; None: every
            frame, as fast as it goes.
        is_live: sources are live cameras; the clock is the wall clock.
        resume: go on with the run in the folder. Of recordings the frames that the log has are
            shown to the detectors again, so that nothing differs from a run that was not stopped.
        durable: force each commit to the disk.
        checkpoint_ticks: ticks between two checkpoints.
    """

    speed: float | None = None
    is_live: bool = False
    resume: bool = False
    durable: bool = True
    checkpoint_ticks: int = 3000


def run_site(
    plan: SitePlan,
    sources: Mapping[str, FrameSource],
    out: Path,
    *,
    detectors: Mapping[str, CameraDetectors],
    options: SiteOptions = SiteOptions(),
    actuators: Mapping[str, Actuator] | None = None,
    sinks: Mapping[str, Sink] | None = None,
    metrics: RunMetrics | None = None,
    controls: Callable[[], Sequence[Mapping[str, Any]]] = lambda: (),
    on_progress: Callable[[Progress], None] | None = None,
    clocks: RunClocks = RunClocks(),
    limits: Limits = DEFAULT_LIMITS,
    is_stopped: Callable[[], bool] = lambda: False,
) -> SiteReport:
    """Run ``plan`` over ``sources`` (by camera) into the folder ``out``.

    Args:
        plan: the checked pipeline.
        sources: by camera.
        out: run directory.
        detectors: by camera; see ``site_detectors``.
        options: how.
        actuators: ways to machines, by name; a machine without one is decided on all the same.
        sinks: receivers of alerts, by name.
        metrics: to count in.
        controls: asked at each tick for operator inputs, such as a reset.
        on_progress: called now and then.
        clocks: of the shell.
        limits: bounds.
        is_stopped: asked now and then; once true the run is committed and ends, and ``resume``
            goes on from there.

    Raises:
        SourceError: a camera of the pipeline was not given, or one too many.
        UsageError: ``out`` is not empty and ``resume`` is off; or packets are to be kept of a
            source that has none.
        StorageError, LogError, SinkError: the disk, the log or the ledger failed; what was
            committed is kept.
    """
    _check_names(plan, sources, detectors, actuators or {})
    _check_options(options)
    tapes = packet_tapes(plan.pipeline.images, sources)
    clocks = replace(clocks, wall_ns=steady_clock(clocks.wall_ns, clocks.monotonic_s))
    is_new = not options.resume or not (out / MANIFEST).exists()
    if is_new:
        RunDirectory.check_vacant(out)
    with run_lock(out), ExitStack() as stack:
        run = (
            RunDirectory.create(out, plan, {n: {} for n in sources})
            if is_new
            else _again(out, plan)
        )
        guard = FrameGuard(detectors, monotonic_s=clocks.monotonic_s)
        stack.callback(guard.close)
        host = FrameHost(
            plan,
            DirectoryStorage(out, durable=options.durable),
            guard=guard,
            versions=_versions(detectors),
            clocks=HostClocks(wall_ns=clocks.wall_ns, monotonic_s=clocks.monotonic_s),
            configuration=_configuration(plan),
            checkpoint_ticks=options.checkpoint_ticks,
            tapes=tapes,
            limits=limits,
        )
        stack.callback(host.close)
        ledger = stack.enter_context(Ledger.open(run.ledger_url))
        senders = {
            name: stack.enter_context(CommandSender(actuator))
            for name, actuator in (actuators or {}).items()
        }
        publisher = Publisher(
            run,
            ledger,
            dict(sinks or {}),
            metrics or RunMetrics(),
            wall_ns=clocks.wall_ns,
            monotonic_s=clocks.monotonic_s,
            sleep_s=clocks.sleep_s,
            limits=limits,
        )
        publisher.rebuild_ledger()
        alerts = stack.enter_context(
            AlertDelivery(
                run.ledger_url,
                sinks or {},
                wall_ns=clocks.wall_ns,
                sleep_s=clocks.sleep_s,
                limits=limits,
            )
        )
        loop = SiteLoop(
            plan=plan,
            host=host,
            publisher=publisher,
            senders=senders,
            clocks=clocks,
            on_progress=on_progress,
            controls=controls,
            deliver=alerts.there_may_be_some,
            speed=options.speed or 1.0,
        )
        started_s = clocks.monotonic_s()
        if not host.core.is_finished:
            _go(loop, sources, options, limits=limits, is_stopped=is_stopped)
        alerts.close()
        alerts.check()
        undelivered = publisher.drain(_DRAIN_S)
        return _report(run, loop, clocks.monotonic_s() - started_s, undelivered, limits)


def _go(
    loop: SiteLoop,
    sources: Mapping[str, FrameSource],
    options: SiteOptions,
    *,
    limits: Limits,
    is_stopped: Callable[[], bool],
) -> None:
    plan, clocks = loop.plan, loop.clocks
    if options.is_live:
        with CameraInbox(sources, now_ns=clocks.wall_ns) as inbox:
            loop.go_live(inbox, clocks.wall_ns, is_stopped)
        return
    if options.speed is None:
        moments = recorded_moments(
            list(sources.values()),
            tick_ns=plan.tick_ns,
            batch_wait_ns=round(plan.pipeline.batch_wait_s * NS_PER_S),
            limits=limits,
        )
        loop.go_recorded(moments, is_stopped)
        return
    first_ns, begun = _begun(sources)
    speed, started_s = options.speed, clocks.monotonic_s()

    def now_ns() -> int:
        return first_ns + round((clocks.monotonic_s() - started_s) * speed * NS_PER_S)

    pace = Pace(first_ns=first_ns, speed=speed, sleep_s=clocks.sleep_s)
    with CameraInbox(begun, now_ns=now_ns, pace=pace) as inbox:
        loop.go_live(inbox, now_ns, is_stopped)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A source of which the first item has been read already."""

    stream: str
    items: Any

    def __iter__(self) -> Any:
        return iter(self.items)


def _begun(sources: Mapping[str, FrameSource]) -> tuple[int, dict[str, FrameSource]]:
    """The capture time at which recordings begin, and the recordings from their beginning."""
    begun: dict[str, FrameSource] = {}
    first_ns: list[int] = []
    for name, source in sources.items():
        items = iter(source)
        head: list[FrameItem] = []
        for item in items:
            head.append(item)
            if isinstance(item, Frame):
                first_ns.append(item.capture_ns)
                break
        begun[name] = _Begun(name, chain(head, items))
    return min(first_ns, default=0), begun


def _check_names(
    plan: SitePlan,
    sources: Mapping[str, FrameSource],
    detectors: Mapping[str, CameraDetectors],
    actuators: Mapping[str, Actuator],
) -> None:
    wanted = set(plan.cameras)
    for what, given in (("sources", set(sources)), ("detectors", set(detectors))):
        if given != wanted:
            raise SourceError(
                expected=f"{what} for cameras {', '.join(sorted(wanted))}",
                got=", ".join(sorted(given)) or "none",
                where=f"pipeline {plan.pipeline.pipeline}",
                action="give each camera of the pipeline once: --source CAMERA=LOCATION",
            )
    unknown = set(actuators) - set(plan.machines)
    if unknown:
        raise SourceError(
            expected=f"actuators of machines {', '.join(sorted(plan.machines)) or '(none)'}",
            got=", ".join(sorted(unknown)),
            where=f"pipeline {plan.pipeline.pipeline}",
            action="give machines of the pipeline: --actuator MACHINE=LOCATION",
        )


def _check_options(options: SiteOptions) -> None:
    if options.resume and options.speed is not None:
        raise UsageError(
            expected="a recording that goes on at full speed, or a live camera",
            got=f"a resumed run at speed {options.speed:g}",
            where="run options",
            action="leave the speed out: which frames were superseded cannot be done again",
        )
    if options.is_live and options.speed is not None:
        raise UsageError(
            expected="live cameras, or a speed",
            got=f"both (speed {options.speed:g})",
            where="run options",
            action="leave one out: live cameras come at their own speed",
        )


def _again(out: Path, plan: SitePlan) -> RunDirectory:
    run = RunDirectory.open(out)
    if run.site.digest != plan.digest:
        raise SourceError(
            expected=f"the pipeline of the run, {run.site.digest}",
            got=plan.digest,
            where=str(out),
            action="resume with the same pipeline, or start a new run",
        )
    return run


def _versions(detectors: Mapping[str, CameraDetectors]) -> dict[str, str]:
    found = {}
    for camera, one in detectors.items():
        found[f"{camera}/primary"] = one.primary.version
        if one.fallback is not None:
            found[f"{camera}/fallback"] = one.fallback.version
    return found


def _configuration(plan: SitePlan) -> bytes:
    plain = {
        "plan": plan_as_mapping(plan),
        "digest": plan.digest,
        "versions": {
            "sightline": sightline.__version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "python": platform.python_version(),
        },
    }
    return json.dumps(plain).encode()


def _report(
    run: RunDirectory, loop: SiteLoop, wall_s: float, undelivered: int, limits: Limits
) -> SiteReport:
    decisions = run.decisions(limits=limits)
    accounts = Accounts.total([loop.host.core.accounts()])
    accounts.check(f"run {run.path}")
    numbers = loop.publisher
    missed = dict(numbers.missed)
    if loop.missed:
        missed[CAPTURE_TO_COMMAND] = loop.missed
    return SiteReport(
        path=run.path,
        pipeline=f"{run.site.pipeline.pipeline} {run.site.digest}",
        accounts=accounts,
        decisions=dict(sorted(Counter(f"{d.kind} {d.transition}" for d in decisions).items())),
        commands=dict(sorted(loop.commands.items())),
        digest=decisions_digest(decisions),
        wall_s=wall_s,
        frames_per_s=loop.frames / wall_s if wall_s > 0 else 0.0,
        latency_s=loop.latency_s.summary(),
        age_s=loop.age_s.summary(),
        stage_s={stage: r.summary() for stage, r in sorted(numbers.stage_s.items())},
        deadline_missed=dict(sorted(missed.items())),
        fallbacks=dict(sorted(numbers.fallbacks.items())),
        undelivered=undelivered,
        actuators={
            name: {
                "sent": s.sent,
                "superseded": s.superseded,
                "failed": s.failed,
                "last_error": s.last_error,
            }
            for name, s in loop.senders.items()
        },
        refused_controls=loop.host.refused_controls,
        recovery=loop.host.recovery.message if loop.host.recovery.cut_bytes else "",
    )

"""Running a pipeline: open the run, host its partitions, and let the loop go over its epochs."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import sightline
from sightline.act import Ledger, RunMetrics, Sink
from sightline.errors import SourceError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import DirectoryStorage
from sightline.runtime.alerting.control_inbox import ControlInbox
from sightline.runtime.driving import EpochDriver
from sightline.runtime.fan_in import FanInCore
from sightline.runtime.host import PartitionHost
from sightline.runtime.hosting import (
    FAN_IN,
    Hosting,
    HostSettings,
    LocalHosting,
    WorkerHosting,
)
from sightline.runtime.live_feed import live_feed
from sightline.runtime.logged_core import HostClocks
from sightline.runtime.operator_inputs import OperatorInputs
from sightline.runtime.pipeline import stage_budgets_s
from sightline.runtime.plan import Plan
from sightline.runtime.publishing import Publisher
from sightline.runtime.run_directory import MANIFEST, RunDirectory, plan_as_mapping
from sightline.runtime.run_lock import run_lock
from sightline.runtime.run_loop import RunLoop, paced
from sightline.runtime.run_options import Progress, RunClocks, RunOptions
from sightline.runtime.run_report import RunReport
from sightline.runtime.scoring import DeadlineScoring, Scoring
from sightline.runtime.stage_timer import MeasuredStages
from sightline.sense import Source
from sightline.sense.arrival import epochs


def run_pipeline(
    plan: Plan,
    sources: Mapping[str, Source],
    out: Path,
    *,
    options: RunOptions = RunOptions(),
    sinks: Mapping[str, Sink] | None = None,
    metrics: RunMetrics | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    clocks: RunClocks = RunClocks(),
    limits: Limits = DEFAULT_LIMITS,
    scoring: Scoring | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> RunReport:
    """Run ``plan`` over ``sources`` (by name) into the folder ``out``.

    Args:
        plan: the checked pipeline.
        sources: by name; finite ones are merged by event time, unless ``options.is_live``.
        out: run directory.
        options: how.
        sinks: receivers of alerts, by name.
        metrics: to count in.
        on_progress: called after each commit.
        clocks: of the shell.
        limits: bounds.
        scoring: runs guarded stages hosted in this process.
        is_stopped: asked now and then by a live run; once true it commits and returns, and
            ``resume`` goes on from there.

    Raises:
        SourceError: a source of the pipeline was not given, or changed since the run began.
        UsageError: ``out`` is not empty and ``resume`` is off.
        StorageError, LogError, SinkError: the disk, the log or the ledger failed; what was
            committed is kept and ``resume`` goes on from there.
    """
    _check_sources(plan, sources, options)
    for control in options.controls:
        _check_control(plan, control)
    is_new = not options.resume or not (out / MANIFEST).exists()
    if is_new:
        RunDirectory.check_vacant(out)
    with run_lock(out):
        return _run_locked(
            plan,
            sources,
            _open_run(plan, sources, out, options, is_new=is_new),
            options=options,
            sinks=dict(sinks or {}),
            metrics=metrics or RunMetrics(),
            on_progress=on_progress,
            clocks=clocks,
            limits=limits,
            scoring=scoring or DeadlineScoring(),
            is_stopped=is_stopped,
        )


def _run_locked(
    plan: Plan,
    sources: Mapping[str, Source],
    run: RunDirectory,
    *,
    options: RunOptions,
    sinks: Mapping[str, Sink],
    metrics: RunMetrics,
    on_progress: Callable[[Progress], None] | None,
    clocks: RunClocks,
    limits: Limits,
    scoring: Scoring,
    is_stopped: Callable[[], bool],
) -> RunReport:
    """The run itself, in a directory that nobody else writes to."""
    out = run.path
    storage = DirectoryStorage(out, durable=options.durable)
    settings = HostSettings(
        configuration=_configuration(run),
        references=frozenset(
            n for n, f in plan.pipeline.sources.items() if f.record == "reference"
        ),
        checkpoint_epochs=options.checkpoint_epochs,
        limits=limits,
    )
    host_clocks = HostClocks(wall_ns=clocks.wall_ns, monotonic_s=clocks.monotonic_s)
    hosting: Hosting
    if options.workers:
        hosting = WorkerHosting(
            plan, out, settings, workers=min(options.workers, plan.pipeline.partitions)
        )
    else:
        hosting = LocalHosting(
            plan,
            range(plan.pipeline.partitions),
            storage,
            settings,
            clocks=host_clocks,
            scoring=scoring,
        )
    fan_in = None
    if plan.has_fan_in:
        timer = MeasuredStages(clocks.monotonic_s)
        fan_in = PartitionHost(
            FAN_IN,
            FanInCore(plan, partitions=plan.pipeline.partitions, limits=limits, timer=timer),
            storage,
            scoring=DeadlineScoring(),
            clocks=host_clocks,
            timer=timer,
            budgets_s=stage_budgets_s(plan.pipeline),
            configuration=settings.configuration,
            checkpoint_epochs=options.checkpoint_epochs,
            limits=limits,
        )
    driver = EpochDriver(plan, hosting, fan_in)
    try:
        with Ledger.open(run.ledger_url) as ledger:
            loop = RunLoop(
                plan=plan,
                run=run,
                driver=driver,
                publisher=Publisher(
                    run,
                    ledger,
                    sinks,
                    metrics,
                    wall_ns=clocks.wall_ns,
                    monotonic_s=clocks.monotonic_s,
                    sleep_s=clocks.sleep_s,
                    limits=limits,
                ),
                clocks=clocks,
                on_progress=on_progress,
                options=options,
                limits=limits,
            )
            opened = [(sources[n], plan.contracts[n]) for n in plan.contracts]
            if not options.is_live:
                stream = epochs(opened, tick_ns=plan.tick_ns, limits=limits)
                return loop.go(paced(stream, options.speed, clocks), lambda: None)
            if driver.has_ended:
                raise UsageError(
                    expected="a run that can go on",
                    got="one whose live sources have ended",
                    where=str(out),
                    action="choose another folder for --out",
                )
            driver.level()
            if driver.is_ending:
                return loop.go(iter(()), lambda: None)
            with live_feed(
                plan,
                sources,
                storage,
                ControlInbox(out, partial(_check_live_control, plan)),
                first_epoch=driver.committed_epoch + 1,
                clocks=clocks,
                is_stopped=is_stopped,
                metrics=metrics,
                limits=limits,
            ) as feed:
                return loop.go(feed.epochs(), feed.committed, feed.take_controls)
    finally:
        driver.close()


def _check_control(plan: Plan, control: Mapping[str, Any]) -> None:
    has_desk = plan.pipeline.alerting is not None
    OperatorInputs.check(plan.contracts, [control], has_desk=has_desk)


def _check_live_control(plan: Plan, control: Mapping[str, Any]) -> None:
    _check_control(plan, control)
    if control["control"] == "shelve" and plan.pipeline.alerting is None:
        raise UsageError(
            expected="an operator input that takes effect while a run goes on",
            got="shelve, without an alert desk",
            where="operator inputs",
            action="give it at the start, or add `alerting` to the pipeline",
        )


def _check_sources(plan: Plan, sources: Mapping[str, Source], options: RunOptions) -> None:
    wanted, given = set(plan.contracts), set(sources)
    if wanted != given:
        raise SourceError(
            expected=f"sources {', '.join(sorted(wanted))}",
            got=", ".join(sorted(given)) or "none",
            where=f"pipeline {plan.pipeline.pipeline}",
            action="give each source of the pipeline once: --source NAME=LOCATION",
        )
    if options.is_live and options.speed is not None:
        raise UsageError(
            expected="live sources, or a speed",
            got=f"both (speed {options.speed:g}x)",
            where="run options",
            action="leave one out: live sources come at their own speed",
        )
    for name, form in plan.pipeline.sources.items():
        if form.record == "reference" and (options.is_live or not sources[name].durable):
            raise SourceError(
                expected="record: payload for what can be read only once",
                got="record: reference",
                where=f"pipeline {plan.pipeline.pipeline}, sources.{name}",
                action="mend the pipeline, or give a file",
            )


def _open_run(
    plan: Plan, sources: Mapping[str, Source], out: Path, options: RunOptions, *, is_new: bool
) -> RunDirectory:
    described: dict[str, dict[str, Any]] = {
        n: {"fingerprint": [dict(f) for f in s.fingerprint()] if s.durable else []}
        for n, s in sources.items()
    }
    if is_new:
        return RunDirectory.create(out, plan, described, controls=options.controls)
    run = RunDirectory.open(out)
    if run.plan.digest != plan.digest or run.plan.pipeline.partitions != plan.pipeline.partitions:
        raise SourceError(
            expected=f"the pipeline of the run, {run.plan.digest}",
            got=f"{plan.digest}",
            where=str(out),
            action="resume with the same pipeline and contracts, or start a new run",
        )
    for name, source in described.items():
        if source["fingerprint"] != run.sources[name]["fingerprint"]:
            raise SourceError(
                expected="the same source files as when the run began",
                got="files that differ",
                where=f"source {name}",
                action="restore the files, or start a new run",
            )
    return run


def _configuration(run: RunDirectory) -> bytes:
    plain = {
        "plan": plan_as_mapping(run.plan),
        "digest": run.plan.digest,
        "versions": {
            "sightline": sightline.__version__,
            "polars": pl.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    return json.dumps(plain).encode()

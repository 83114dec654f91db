"""Running a pipeline over finite sources: read, feed, commit, publish.

The loop is the same at every speed: epochs of the event-time grid, in order. Speed only decides
how long to wait before an epoch is fed.
"""

from __future__ import annotations

import json
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import sightline
from sightline.act import (
    Backoff,
    LatencyRecorder,
    Ledger,
    OutboxDispatcher,
    RunMetrics,
    Sink,
)
from sightline.errors import SourceError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import DirectoryStorage, read_entries
from sightline.records import Accounts, Decision, EntryKind
from sightline.records.decision import decisions_digest, final_revisions
from sightline.records.signals import NS_PER_S
from sightline.runtime.driving import EpochDriver
from sightline.runtime.fan_in import FanInCore
from sightline.runtime.host import Committed, HostClocks, PartitionHost
from sightline.runtime.hosting import (
    FAN_IN,
    Hosting,
    HostSettings,
    LocalHosting,
    WorkerHosting,
)
from sightline.runtime.plan import Plan
from sightline.runtime.run_directory import RunDirectory, plan_as_mapping
from sightline.runtime.run_report import RunReport
from sightline.runtime.scoring import DeadlineScoring, Scoring
from sightline.sense import Source
from sightline.sense.arrival import Epoch, epochs

_COMMIT_ROWS = 400_000  # rows fed between two commits at full speed


@dataclass(frozen=True, slots=True, kw_only=True)
class RunClocks:
    """The clocks of a run, passed in so that tests need not wait."""

    wall_ns: Callable[[], int] = time.time_ns
    monotonic_s: Callable[[], float] = time.monotonic
    sleep_s: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run; none of it can change a decision.

    Attributes:
        speed: seconds of data per second of wall clock; None: as fast as possible.
        workers: 0 hosts all partitions in this process, else that many worker processes.
        resume: go on with the run in the folder.
        checkpoint_epochs: epochs between two checkpoints of a partition.
        durable: force each commit to the disk (survives power loss, not only a kill).
        controls: operator inputs to log before the first epoch; a resumed run has its own.
    """

    speed: float | None = None
    workers: int = 0
    resume: bool = False
    checkpoint_epochs: int = 200
    durable: bool = True
    controls: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run is, for a progress display."""

    tick_ns: int
    rows: int
    decisions: int
    open_rows: int
    newest: tuple[Decision, ...]


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
) -> RunReport:
    """Run ``plan`` over finite ``sources`` (by name) into the folder ``out``.

    Raises:
        SourceError: a source of the pipeline was not given, or changed since the run began.
        UsageError: ``out`` is not empty and ``resume`` is off.
        StorageError, LogError, SinkError: the disk, the log or the ledger failed; what was
            committed is kept and ``resume`` goes on from there.
    """
    _check_sources(plan, sources)
    run = _open_run(plan, sources, out, options)
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
            scoring=scoring or DeadlineScoring(),
        )
    fan_in = None
    if plan.has_fan_in:
        fan_in = PartitionHost(
            FAN_IN,
            FanInCore(plan, partitions=plan.pipeline.partitions, limits=limits),
            storage,
            scoring=DeadlineScoring(),
            clocks=host_clocks,
            configuration=settings.configuration,
            checkpoint_epochs=options.checkpoint_epochs,
            limits=limits,
        )
    driver = EpochDriver(plan, hosting, fan_in)
    with Ledger.open(run.ledger_url) as ledger:
        loop = _Loop(
            plan=plan,
            run=run,
            driver=driver,
            ledger=ledger,
            sinks=dict(sinks or {}),
            metrics=metrics or RunMetrics(),
            clocks=clocks,
            on_progress=on_progress,
            options=options,
            limits=limits,
        )
        try:
            return loop.go(sources)
        finally:
            driver.close()


@dataclass(slots=True)
class _Loop:
    plan: Plan
    run: RunDirectory
    driver: EpochDriver
    ledger: Ledger
    sinks: dict[str, Sink]
    metrics: RunMetrics
    clocks: RunClocks
    on_progress: Callable[[Progress], None] | None
    options: RunOptions
    limits: Limits
    rows: int = 0
    said: list[Decision] = field(default_factory=list)
    step_s: LatencyRecorder = field(default_factory=LatencyRecorder)
    latency_s: LatencyRecorder = field(default_factory=LatencyRecorder)
    missed: int = 0
    fallbacks: Counter[str] = field(default_factory=Counter)
    released_s: float = 0.0
    dispatcher: OutboxDispatcher | None = None

    def go(self, sources: Mapping[str, Source]) -> RunReport:
        started_s = self.clocks.monotonic_s()
        self.dispatcher = OutboxDispatcher(
            self.ledger,
            self.sinks,
            clock_ns=self.clocks.wall_ns,
            sleep_s=self.clocks.sleep_s,
            backoff=Backoff(),
            limits=self.limits,
        )
        self._rebuild_ledger()
        self.driver.begin(self.run.controls)
        opened = [(sources[n], self.plan.contracts[n]) for n in self.plan.contracts]
        stream = epochs(opened, tick_ns=self.plan.tick_ns, limits=self.limits)
        since_rows, since_epochs = 0, 0
        for epoch in _paced(stream, self.options.speed, self.clocks):
            self.released_s = self.clocks.monotonic_s()
            self.driver.feed(epoch)
            self.rows += epoch.rows
            since_rows += epoch.rows
            since_epochs += epoch.is_complete
            due = (
                self.options.speed is not None
                or since_rows >= _COMMIT_ROWS
                or since_epochs >= self.limits.epochs_in_flight
            )
            if epoch.is_final or (due and epoch.is_complete):
                self._commit(epoch.tick_ns)
                since_rows, since_epochs = 0, 0
        wall_s = self.clocks.monotonic_s() - started_s
        report = self.dispatcher.drain(
            self.clocks.wall_ns() + round(10 * NS_PER_S) if self.sinks else self.clocks.wall_ns()
        )
        return self._report(wall_s, self.driver.recoveries, report.pending + report.failed)

    def _commit(self, tick_ns: int) -> None:
        committed = self.driver.commit()
        newest: list[Decision] = []
        for one in committed:
            self._publish(one)
            newest.extend(d for _, d in one.decisions)
        if self.sinks and self.dispatcher is not None and newest:
            self.dispatcher.deliver_due()
        if self.on_progress is not None:
            self.on_progress(
                Progress(
                    tick_ns=tick_ns,
                    rows=self.rows,
                    decisions=len(self.said),
                    open_rows=sum(c.open_rows for c in committed),
                    newest=tuple(newest),
                )
            )

    def _publish(self, one: Committed) -> None:
        self.ledger.apply(
            one.name,
            one.decisions,
            through_sequence=one.through_sequence,
            accounts=one.accounts,
            sinks=tuple(self.sinks),
        )
        latency_s = self.clocks.monotonic_s() - self.released_s
        for step_s in one.step_s:
            self.step_s.record(step_s)
            self.metrics.observe_stage("core", step_s)
        for _, decision in one.decisions:
            self.said.append(decision)
            self.latency_s.record(latency_s)
            self.missed += latency_s > self.plan.pipeline.latency_budget_s
            self.metrics.observe_decision(decision, latency_s)
        for name in one.fallbacks:
            self.fallbacks[name] += 1
            if name.endswith(":timeout"):
                self.metrics.observe_deadline_missed(name.split(":")[0])
        for stage, phase in one.breakers:
            self.metrics.observe_breaker(stage, phase)
        self.metrics.observe_accounts(one.name, one.accounts)
        self.metrics.observe_queue(one.name, one.open_rows)

    def _rebuild_ledger(self) -> None:
        """The ledger is derived: bring it to where the logs are."""
        for name in self.run.partitions:
            after = self.ledger.applied_through(name)
            found: list[tuple[int, Decision]] = []
            through = after
            for entry in read_entries(
                self.run.storage,
                name,
                after=after,
                kinds={EntryKind.DECISION, EntryKind.MEASUREMENT},
                limits=self.limits,
            ):
                through = entry.sequence
                if entry.kind is EntryKind.DECISION:
                    found.append((entry.sequence, Decision.from_bytes(entry.payload)))
            if found:
                self.ledger.apply(
                    name,
                    found,
                    through_sequence=through,
                    accounts=self.run.accounts(limits=self.limits).get(name, Accounts()),
                    sinks=tuple(self.sinks),
                )

    def _report(self, wall_s: float, recoveries: Mapping[str, str], undelivered: int) -> RunReport:
        decisions = self.run.decisions(limits=self.limits)
        counts = Counter(f"{d.kind} {d.transition} {d.status}" for d in decisions)
        accounts = Accounts.total(self.run.accounts(limits=self.limits).values())
        accounts.check(f"run {self.run.path}")
        return RunReport(
            path=self.run.path,
            pipeline=f"{self.plan.pipeline.pipeline} {self.plan.digest}",
            accounts=accounts,
            decisions=dict(sorted(counts.items())),
            digest=decisions_digest(decisions),
            final_digest=decisions_digest(final_revisions(decisions)),
            wall_s=wall_s,
            rows_per_s=self.rows / wall_s if wall_s > 0 else 0.0,
            step_s=self.step_s.summary(),
            latency_s=self.latency_s.summary(),
            deadline_missed=self.missed,
            fallbacks=dict(sorted(self.fallbacks.items())),
            undelivered=undelivered,
            recoveries=dict(recoveries),
        )


def _paced(stream: Iterator[Epoch], speed: float | None, clocks: RunClocks) -> Iterator[Epoch]:
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


def _check_sources(plan: Plan, sources: Mapping[str, Source]) -> None:
    wanted, given = set(plan.contracts), set(sources)
    if wanted != given:
        raise SourceError(
            expected=f"sources {', '.join(sorted(wanted))}",
            got=", ".join(sorted(given)) or "none",
            where=f"pipeline {plan.pipeline.pipeline}",
            action="give each source of the pipeline once: --source NAME=LOCATION",
        )


def _open_run(
    plan: Plan, sources: Mapping[str, Source], out: Path, options: RunOptions
) -> RunDirectory:
    described: dict[str, dict[str, Any]] = {
        n: {"fingerprint": [dict(f) for f in s.fingerprint()] if s.durable else []}
        for n, s in sources.items()
    }
    if not options.resume or not (out / "run.json").exists():
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

"""Running a pipeline: open the run, host its partitions, and let the loop go over what comes."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl

import sightline
from sightline.act import AlertDelivery, CommandSender, Ledger, Outlet, RunMetrics
from sightline.act.command_signing import CommandKey, CommandSigner, next_session
from sightline.act.outbox import Undelivered
from sightline.errors import LogError, RefusedError, SinkError, SourceError, UsageError, writing
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import Accounts
from sightline.records.decision import decisions_digest, final_revisions
from sightline.runtime.alerting.controls import ControlInbox
from sightline.runtime.engine.answerers import isolated_scorers, lookers
from sightline.runtime.engine.camera_inbox import CameraTrouble
from sightline.runtime.engine.driving import EpochDriver
from sightline.runtime.engine.fan_in import FanInCore
from sightline.runtime.engine.frame_shell import FrameTally
from sightline.runtime.engine.guarding import Answers, Guard, Lookers
from sightline.runtime.engine.host import PartitionHost
from sightline.runtime.engine.hosting import FAN_IN, Hosting, HostSettings, LocalHosting
from sightline.runtime.engine.logged_core import HostClocks
from sightline.runtime.engine.loop import CAPTURE_TO_COMMAND, RunLoop
from sightline.runtime.engine.operator_inputs import OperatorInputs
from sightline.runtime.engine.ray_workers import RayCluster
from sightline.runtime.engine.stage_timer import MeasuredStages
from sightline.runtime.engine.steady_clock import ClockReports, steady_clock
from sightline.runtime.engine.workers import WorkerHosting
from sightline.runtime.ledger_keeping import LedgerKeeper, LedgerState, check_positions
from sightline.runtime.pictures.packet_log import packet_tapes
from sightline.runtime.plan import Plan
from sightline.runtime.planner import plan_as_mapping
from sightline.runtime.publishing import Publisher
from sightline.runtime.refusals import RefusalWatch, camera_refusals, refusal_problem
from sightline.runtime.run_directory import COMMAND_SESSION, MANIFEST, RunDirectory
from sightline.runtime.run_feed import run_feed
from sightline.runtime.run_lock import WriteFence, run_lock
from sightline.runtime.run_opening import (
    OpenedRun,
    cameras_of,
    check_control,
    check_run,
    closed_at_the_end,
    open_run,
)
from sightline.runtime.run_options import Progress, RunClocks, RunOptions
from sightline.runtime.run_report import RunReport
from sightline.sense import Source
from sightline.sense.frames.delivery import FrameSource
from sightline.sense.inbox import Inbox
from sightline.sense.source import Position

Controls = Callable[[], Sequence[Mapping[str, Any]]]


def run_pipeline(
    plan: Plan,
    sources: Mapping[str, Source | FrameSource],
    out: Path,
    *,
    options: RunOptions = RunOptions(),
    commands: Mapping[str, Outlet] | None = None,
    command_keys: Mapping[str, CommandKey] | None = None,
    alerts: Mapping[str, Outlet] | None = None,
    metrics: RunMetrics | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_trouble: Callable[[str], None] = lambda text: None,
    controls: Controls = tuple,
    clocks: RunClocks = RunClocks(),
    limits: Limits = DEFAULT_LIMITS,
    looking: Mapping[tuple[str, str], Lookers] | None = None,
    guard: Answers | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> RunReport:
    """Run ``plan`` over ``sources`` (by name) into the folder ``out``.

    Args:
        plan: the checked pipeline.
        sources: by name: of rows and of frames. Finite ones are merged by time, unless
            ``options.is_live``.
        out: run directory.
        options: how.
        commands: ways to machines, by name; a machine without one is decided on all the same.
        command_keys: by machine, what its commands are signed with; of another they are not.
        alerts: receivers of alerts, by name.
        metrics: to count in.
        on_progress: called after each published commit.
        on_trouble: told in one sentence what is wrong beside the deciding, for example with the
            ledger or a receiver of alerts, and when it no longer is; from other threads.
        controls: asked at each tick for operator inputs, beside those given to the run directory.
        clocks: of the shell.
        limits: bounds.
        looking: who looks at frames, by (stage, camera); None: made from the pipeline.
        guard: runs guarded stages hosted in this process; None: made from ``looking``.
        is_stopped: asked now and then by a live run or one of recordings; once true it commits and
            returns, and ``resume`` goes on from there.

    Raises:
        SourceError: a source of the pipeline was not given, or changed since the run began.
        UsageError: ``out`` is not empty and ``resume`` is off; or options that do not fit.
        PipelineError: a model of the pipeline cannot be used.
        StorageError, LogError: the disk or the log failed, or there is a ledger that is damaged or
            of another version; what was committed is kept and ``resume`` goes on from there. A
            ledger that fails later, and alerts that are not taken, end no run: the report says so.
    """
    machines = {**(commands or {}), **(command_keys or {})}
    check_run(plan, sources, options, machines=machines, clocks=clocks, guard=guard)
    tapes = packet_tapes(plan.pipeline.images, cameras_of(plan, sources))
    clock_reports = None
    if plan.cameras or options.is_live:
        steady = steady_clock(clocks.wall_ns, clocks.monotonic_s, on_trouble=on_trouble)
        clocks = replace(clocks, wall_ns=steady)
        if options.is_live:
            clock_reports = ClockReports(steady, is_resumed=options.resume)
    with writing(out):
        is_new = not options.resume or not (out / MANIFEST).exists()
    if is_new:
        RunDirectory.check_vacant(out)
    with ExitStack() as stack:
        if guard is None and not options.workers:
            guard = _guard(plan, looking, options, clocks, limits)
            stack.callback(guard.close)
        stack.callback(_close_sources, sources)
        stack.enter_context(run_lock(out))
        run = open_run(plan, sources, out, options, is_new=is_new)
        fence = WriteFence.of(out, manifest=MANIFEST, epoch=run.state.epoch)
        stack.enter_context(closed_at_the_end(run, fence, limits))
        opened = OpenedRun(
            plan=plan,
            sources=sources,
            run=run,
            options=options,
            clocks=clocks,
            limits=limits,
            metrics=metrics or RunMetrics(),
            is_stopped=is_stopped,
            fence=fence,
        )
        driver = _driver(opened, guard, tapes, stack)
        _check_ledger(run, limits)
        senders = _senders(run, commands or {}, command_keys or {}, clocks, stack)
        # Both on threads of their own: a ledger or a receiver that hangs must not hold up what
        # decides. Waits go by a clock that is never set back.
        delivery = stack.enter_context(
            AlertDelivery(
                run.ledger_url,
                alerts or {},
                wall_ns=steady_clock(clocks.wall_ns, clocks.monotonic_s),
                sleep_s=clocks.sleep_s,
                metrics=opened.metrics,
                on_trouble=on_trouble,
                limits=limits,
            )
        )
        keeper = stack.enter_context(
            LedgerKeeper(
                run,
                tuple(alerts or {}),
                puts_back=options.resume,
                on_stored=delivery.there_may_be_some,
                on_trouble=on_trouble,
                limits=limits,
            )
        )
        refusals = RefusalWatch(run, plan, on_trouble)
        publisher = Publisher(
            run,
            keeper,
            opened.metrics,
            monotonic_s=clocks.monotonic_s,
            is_by_the_clock=options.is_live or bool(plan.cameras),
            refusals=refusals,
        )
        loop = RunLoop(
            plan=plan,
            run=run,
            driver=driver,
            publisher=publisher,
            senders=senders,
            clocks=clocks,
            camera_trouble=CameraTrouble(on_trouble) if options.is_live else None,
            on_tallies=refusals.note_frames,
            on_tick=refusals.note_time,
            clock_reports=clock_reports,
            on_progress=on_progress,
            options=options,
            limits=limits,
            is_stopped=is_stopped,
        )
        inputs = _Inputs(plan, ControlInbox(out, lambda c: check_control(plan, c)), controls)
        started_s = clocks.monotonic_s()
        with run_feed(opened, driver) as (feed, inboxes):
            loop.go(feed, lambda kept: _committed(opened, inboxes, inputs, kept), inputs.take)
        if not is_stopped():
            inputs.close()
        wall_s = clocks.monotonic_s() - started_s
        ledger = keeper.finish()
        undelivered = _drained(delivery, limits) if ledger else {}
        return _report(
            opened, loop, inputs, wall_s=wall_s, ledger=ledger, undelivered=undelivered,
            alerting=keeper.alerting_sums(),
        )  # fmt: skip


def _close_sources(sources: Mapping[str, Source | FrameSource]) -> None:
    for source in sources.values():
        if isinstance(source, Source):
            source.close()


def _guard(
    plan: Plan,
    looking: Mapping[tuple[str, str], Lookers] | None,
    options: RunOptions,
    clocks: RunClocks,
    limits: Limits,
) -> Guard:
    """Who runs guarded stages; without ``looking`` those of the pipeline look at frames."""
    has_deadlines = options.has_deadlines
    if looking is None:
        looking = lookers(plan, has_deadlines=has_deadlines, limits=limits)
    return Guard(
        plan,
        looking,
        scorers=isolated_scorers(plan, has_deadlines=has_deadlines, limits=limits),
        monotonic_s=clocks.monotonic_s,
        has_deadlines=has_deadlines,
        limits=limits,
    )


def _senders(
    run: RunDirectory,
    outlets: Mapping[str, Outlet],
    keys: Mapping[str, CommandKey],
    clocks: RunClocks,
    stack: ExitStack,
) -> dict[str, CommandSender]:
    """Who sends commands to each machine, signed where it has a key, all in one new session."""
    signers: dict[str, CommandSigner] = {}
    if keys:
        session = next_session(run.path / COMMAND_SESSION, now_ns=clocks.wall_ns())
        signers = {name: CommandSigner(key, session=session) for name, key in keys.items()}
    return {
        name: stack.enter_context(CommandSender(outlet, signer=signers.get(name)))
        for name, outlet in outlets.items()
    }


def _check_ledger(run: RunDirectory, limits: Limits) -> None:
    """Refuse a ledger that is damaged, or of another version, while somebody is there to mend it.

    One that only does not answer now is tried again beside the run.
    """
    with suppress(SinkError), Ledger.open(run.ledger_url, limits=limits) as ledger:
        check_positions(run, ledger, limits=limits)
        ledger.claim(run.run_id, epoch=run.state.epoch)


def _drained(delivery: AlertDelivery, limits: Limits) -> Mapping[str, Undelivered] | None:
    """What stays in the outbox after a last try; None: the ledger does not say."""
    try:
        return delivery.drain(limits.drain_s)
    except (SinkError, LogError):
        return None


class _Inputs:
    """Operator inputs: files in the run directory, and what the caller gives."""

    def __init__(self, plan: Plan, inbox: ControlInbox, given: Controls) -> None:
        self._plan = plan
        self._inbox = inbox
        self._given = given
        self.refused = 0
        """Inputs that were none: counted, and not logged, because they must not end a run."""

    def take(self) -> list[dict[str, Any]]:
        found = self._inbox.take()
        for control in self._given():
            try:
                OperatorInputs.check(self._plan, [control])
            except UsageError:
                self.refused += 1
            else:
                found.append(dict(control))
        return found

    def committed(self) -> None:
        self._inbox.committed()

    def close(self) -> None:
        self._inbox.close()


def _committed(
    opened: OpenedRun,
    inboxes: Sequence[Inbox],
    inputs: _Inputs,
    kept: Mapping[str, Mapping[str, Position]],
) -> None:
    """What came is durable: inboxes, sources and those who gave operator inputs are told."""
    for inbox in inboxes:
        inbox.committed()
    for name, positions in kept.items():
        source = opened.sources[name]
        if isinstance(source, Source):
            source.committed(positions)
    inputs.committed()


def _driver(
    opened: OpenedRun, guard: Answers | None, tapes: Mapping[str, Any], stack: ExitStack
) -> EpochDriver:
    """All partitions; ``stack`` closes what was opened, also when the next cannot be."""
    plan, options, clocks, limits = opened.plan, opened.options, opened.clocks, opened.limits
    out = opened.run.path
    storage = opened.storage
    tables = plan.pipeline.tables
    settings = HostSettings(
        configuration=_configuration(opened.run),
        references=frozenset(n for n, f in tables.items() if f.record == "reference"),
        models=_models(plan, guard),
        has_deadlines=options.has_deadlines,
        checkpoint_epochs=options.checkpoint_epochs,
        limits=limits,
        origin=opened.run.origin,
    )
    host_clocks = HostClocks(wall_ns=clocks.wall_ns, monotonic_s=clocks.monotonic_s)
    hosting: Hosting
    if options.workers:
        workers = min(options.workers, plan.pipeline.partitions)
        cluster = RayCluster.joined() if options.on == "ray" else None
        hosting = WorkerHosting(
            plan,
            out,
            settings,
            fence=opened.fence,
            workers=workers if cluster is None else cluster.workers(workers),
            durable=options.durable,
            start_worker=None if cluster is None else cluster.start_worker,
        )
    else:
        assert guard is not None
        hosting = LocalHosting(
            plan,
            range(plan.pipeline.partitions),
            storage,
            settings,
            clocks=host_clocks,
            guard=guard,
            tapes=tapes,
        )
    stack.callback(hosting.close)
    fan_in = None
    if plan.has_fan_in:
        timer = MeasuredStages(clocks.monotonic_s)
        fan_in = PartitionHost(
            FAN_IN,
            FanInCore(plan, partitions=plan.pipeline.partitions, limits=limits, timer=timer),
            storage,
            guard=Guard(
                plan,
                monotonic_s=clocks.monotonic_s,
                has_deadlines=options.has_deadlines,
                limits=limits,
            ),
            clocks=host_clocks,
            timer=timer,
            budgets_s=plan.budgets_s(),
            configuration=settings.configuration,
            checkpoint_epochs=options.checkpoint_epochs,
            origin=opened.run.origin,
            limits=limits,
        )
        stack.callback(fan_in.close)
    followed = [n for n, source in opened.rows.items() if options.is_live and source.seeks]
    driver = EpochDriver(plan, hosting, fan_in, followed=followed)
    for name, positions in driver.kept.items():
        opened.rows[name].resume((), positions)
    return driver


def _models(plan: Plan, guard: Answers | None) -> dict[str, str]:
    """Version of each model that is live, by stage and role; as a run logs them."""
    found: dict[str, str] = {}
    for one in plan.chains:
        for step in one.steps:
            found.update(step.stage.models())
    for (stage, camera), ones in getattr(guard, "lookers", {}).items():
        found[f"{stage}/{camera}/primary"] = ones.primary.version
        if ones.fallback is not None:
            found[f"{stage}/{camera}/fallback"] = ones.fallback.version
    return found


def _configuration(run: RunDirectory) -> bytes:
    plain = {
        "plan": plan_as_mapping(run.plan),
        "digest": run.plan.digest,
        "versions": {
            "sightline": sightline.__version__,
            "polars": pl.__version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "python": platform.python_version(),
        },
    }
    return json.dumps(plain).encode()


def _unusable(opened: OpenedRun, tallies: Mapping[str, FrameTally]) -> dict[str, str]:
    """Why nothing could be used, of each camera that gave nothing.

    A recording that was read to its end says so by itself; live cameras only if no other gave
    anything, as one of several may be switched off.
    """
    found = {
        name: words
        for name, words in camera_refusals(opened.plan, tallies).items()
        if not tallies[name].usable
    }
    if opened.options.is_live:
        return found if len(found) == len(tallies) else {}
    return {} if opened.is_stopped() else found


def _refusal(
    opened: OpenedRun, accounts: Accounts, tallies: Mapping[str, FrameTally]
) -> SourceError | RefusedError | None:
    """What is to be said of rows, of a run that was not stopped before there could be some."""
    if opened.is_stopped() and not accounts.received:
        return None
    return refusal_problem(opened.run, opened.plan, accounts, tallies=tallies, limits=opened.limits)


def _report(
    opened: OpenedRun,
    loop: RunLoop,
    inputs: _Inputs,
    *,
    wall_s: float,
    ledger: LedgerState,
    undelivered: Mapping[str, Undelivered] | None,
    alerting: Mapping[str, Mapping[str, int]] | None,
) -> RunReport:
    run, limits = opened.run, opened.limits
    decisions = run.decisions(limits=limits)
    counts = Counter(f"{d.kind} {d.transition} {d.status}" for d in decisions)
    accounts = Accounts.total(run.accounts(limits=limits).values())
    if loop.driver.cameras is not None:
        accounts = Accounts.total([loop.driver.cameras.core.accounts()])
    accounts.check(f"run {run.path}")
    tallies = {} if loop.driver.cameras is None else loop.driver.cameras.tallies
    numbers = loop.publisher
    missed = dict(numbers.missed)
    if loop.missed:
        missed[CAPTURE_TO_COMMAND] = loop.missed
    per_s = 1.0 / wall_s if wall_s > 0 else 0.0
    return RunReport(
        path=run.path,
        pipeline=f"{run.plan.pipeline.pipeline} {run.plan.digest}",
        accounts=accounts,
        decisions=dict(sorted(counts.items())),
        digest=decisions_digest(decisions),
        final_digest=decisions_digest(final_revisions(decisions)),
        wall_s=wall_s,
        rows_per_s=loop.rows * per_s,
        frames_per_s=loop.frames * per_s,
        step_s=numbers.step_s.summary(),
        stage_s={stage: r.summary() for stage, r in sorted(numbers.stage_s.items())},
        latency_s=numbers.latency_s.summary(),
        command_latency_s=loop.latency_s.summary(),
        age_s=loop.age_s.summary(),
        commands=dict(sorted(loop.commands.items())),
        deadline_missed=dict(sorted(missed.items())),
        waited=not opened.options.has_deadlines,
        cameras=tallies,
        unusable=_unusable(opened, tallies),
        refusal=_refusal(opened, accounts, tallies),
        fallbacks=dict(sorted(numbers.fallbacks.items())),
        ledger=ledger,
        undelivered=undelivered,
        actuators={
            name: {
                "sent": s.sent,
                "superseded": s.superseded,
                "failed": s.failed,
                "is_signed": s.is_signed,
                "last_error": s.last_error,
            }
            for name, s in loop.senders.items()
        },
        refused_controls=inputs.refused,
        recoveries=dict(loop.driver.recoveries),
        alerting=alerting,
        learning=numbers.learning(),
        at_bounds=numbers.at_bounds(),
        left_aside=numbers.left_aside(),
        advice=numbers.advice(),
    )

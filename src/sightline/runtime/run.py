"""Running a pipeline: open the run, host its partitions, and let the loop go over what comes."""

from __future__ import annotations

import json
import platform
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl

import sightline
from sightline.act import AlertDelivery, CommandSender, Ledger, Outlet, RunMetrics
from sightline.act.command_signing import CommandKey, CommandSigner, next_session
from sightline.act.ledger_database import recorded_address, settled_digest
from sightline.act.outbox import Undelivered
from sightline.errors import LogError, RefusedError, SinkError, SourceError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import DirectoryStorage
from sightline.records import Accounts, Frame
from sightline.records.decision import decisions_digest, final_revisions
from sightline.records.signals import NS_PER_S
from sightline.runtime.alerting.controls import ControlInbox
from sightline.runtime.engine.answerers import isolated_scorers, lookers
from sightline.runtime.engine.camera_inbox import CameraInbox, Pace
from sightline.runtime.engine.camera_trouble import CameraTrouble
from sightline.runtime.engine.driving import EpochDriver
from sightline.runtime.engine.fan_in import FanInCore
from sightline.runtime.engine.feeds import (
    FiniteRows,
    LiveRows,
    NoRows,
    Part,
    Rows,
    clocked_feed,
    finite_feed,
)
from sightline.runtime.engine.frame_shell import FrameTally
from sightline.runtime.engine.guarding import Answers, Guard, Lookers
from sightline.runtime.engine.host import PartitionHost
from sightline.runtime.engine.hosting import FAN_IN, Hosting, HostSettings, LocalHosting
from sightline.runtime.engine.logged_core import HostClocks
from sightline.runtime.engine.loop import CAPTURE_TO_COMMAND, RunLoop, paced
from sightline.runtime.engine.operator_inputs import OperatorInputs
from sightline.runtime.engine.ray_workers import RayCluster
from sightline.runtime.engine.stage_timer import MeasuredStages
from sightline.runtime.engine.steady_clock import ClockReports, steady_clock
from sightline.runtime.engine.workers import WorkerHosting
from sightline.runtime.ledger_keeping import LedgerKeeper, LedgerState, check_positions
from sightline.runtime.live_feed import live_inboxes
from sightline.runtime.pictures.packet_log import packet_tapes
from sightline.runtime.plan import Plan, plan_as_mapping
from sightline.runtime.publishing import Publisher
from sightline.runtime.refusals import RefusalWatch, camera_refusals, refusal_problem
from sightline.runtime.run_directory import COMMAND_SESSION, MANIFEST, RunDirectory, RunState
from sightline.runtime.run_lock import WriteFence, run_lock
from sightline.runtime.run_options import Progress, RunClocks, RunOptions
from sightline.runtime.run_report import RunReport
from sightline.runtime.verification import check_heads
from sightline.sense import Source
from sightline.sense.arrival import epochs
from sightline.sense.frames.delivery import FrameItem, FrameSource
from sightline.sense.frames.live_camera import LiveCamera
from sightline.sense.inbox import Inbox
from sightline.sense.live import live_epochs
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
    _check_sources(plan, sources, options)
    _check_machines(plan, {**(commands or {}), **(command_keys or {})})
    _check_options(plan, options, clocks=clocks, guard=guard)
    _check_liveness(plan, sources, options)
    OperatorInputs.check(plan, options.controls)
    tapes = packet_tapes(plan.pipeline.images, _cameras(plan, sources))
    clock_reports = None
    if plan.cameras or options.is_live:
        steady = steady_clock(clocks.wall_ns, clocks.monotonic_s, on_trouble=on_trouble)
        clocks = replace(clocks, wall_ns=steady)
        if options.is_live:
            clock_reports = ClockReports(steady, is_resumed=options.resume)
    is_new = not options.resume or not (out / MANIFEST).exists()
    if is_new:
        RunDirectory.check_vacant(out)
    with ExitStack() as stack:
        if guard is None and not options.workers:
            guard = Guard(
                plan,
                lookers(plan, has_deadlines=options.has_deadlines, limits=limits)
                if looking is None
                else looking,
                scorers=isolated_scorers(plan, has_deadlines=options.has_deadlines, limits=limits),
                monotonic_s=clocks.monotonic_s,
                has_deadlines=options.has_deadlines,
                limits=limits,
            )
            stack.callback(guard.close)
        stack.callback(_close_sources, sources)
        stack.enter_context(run_lock(out))
        run = _open_run(plan, sources, out, options, is_new=is_new)
        fence = WriteFence.of(out, manifest=MANIFEST, epoch=run.state.epoch)
        stack.enter_context(closed_at_the_end(run, fence, limits))
        opened = _Opened(
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
        signers = _signers(run, command_keys or {}, clocks)
        senders = {
            name: stack.enter_context(CommandSender(outlet, signer=signers.get(name)))
            for name, outlet in (commands or {}).items()
        }
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
        inputs = _Inputs(plan, ControlInbox(out, lambda c: _check_control(plan, c)), controls)
        started_s = clocks.monotonic_s()
        with _feed(opened, driver) as (feed, inboxes):
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


def _signers(
    run: RunDirectory, keys: Mapping[str, CommandKey], clocks: RunClocks
) -> dict[str, CommandSigner]:
    """Who signs the commands of each machine that has a key, all in one new session."""
    if not keys:
        return {}
    session = next_session(run.path / COMMAND_SESSION, now_ns=clocks.wall_ns())
    return {name: CommandSigner(key, session=session) for name, key in keys.items()}


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """A run that is about to go."""

    plan: Plan
    sources: Mapping[str, Source | FrameSource]
    run: RunDirectory
    options: RunOptions
    clocks: RunClocks
    limits: Limits
    metrics: RunMetrics
    is_stopped: Callable[[], bool]
    fence: WriteFence

    @property
    def storage(self) -> DirectoryStorage:
        """The disk of the run, for as long as nobody else writes to it."""
        return DirectoryStorage(
            self.run.path,
            durable=self.options.durable,
            limits=self.limits,
            check_writer=self.fence.check,
        )

    @property
    def rows(self) -> dict[str, Source]:
        """Sources of rows, in the order of the pipeline."""
        given = (n for n in self.plan.contracts if n in self.sources)
        return {n: self.sources[n] for n in given}  # type: ignore[misc]

    @property
    def cameras(self) -> dict[str, FrameSource]:
        """Sources of frames, in the order of the pipeline."""
        return _cameras(self.plan, self.sources)


def _cameras(plan: Plan, sources: Mapping[str, Source | FrameSource]) -> dict[str, FrameSource]:
    return {n: sources[n] for n in plan.cameras}  # type: ignore[misc]


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
    opened: _Opened,
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


# --- hosts ----------------------------------------------------------------------------------------


def _driver(
    opened: _Opened, guard: Answers | None, tapes: Mapping[str, Any], stack: ExitStack
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
        hosting = WorkerHosting(
            plan,
            out,
            settings,
            fence=opened.fence,
            workers=workers,
            durable=options.durable,
            start_worker=RayCluster.joined().start_worker if options.on == "ray" else None,
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


# --- what the loop goes over ----------------------------------------------------------------------


@contextmanager
def _feed(opened: _Opened, driver: EpochDriver) -> Iterator[tuple[Iterator[Part], list[Inbox]]]:
    """The parts of the run, and the inboxes that are to be told of commits."""
    plan, options, clocks = opened.plan, opened.options, opened.clocks
    if plan.cameras and driver.has_ended:
        yield iter(()), []
        return
    if options.is_live:
        with _live(opened, driver) as found:
            yield found
        return
    rows = None
    if plan.contracts:
        given = [(source, plan.contracts[n]) for n, source in opened.rows.items()]
        rows = epochs(given, tick_ns=plan.tick_ns, limits=opened.limits)
    if plan.cameras and options.speed is not None:
        with _played(opened, rows, options.speed) as feed:
            yield feed, []
        return
    if rows is not None and not plan.cameras:
        rows = paced(rows, options.speed, clocks)
    yield finite_feed(plan, rows, list(opened.cameras.values()), opened.limits), []


@contextmanager
def _live(opened: _Opened, driver: EpochDriver) -> Iterator[tuple[Iterator[Part], list[Inbox]]]:
    plan, clocks, limits = opened.plan, opened.clocks, opened.limits
    if driver.has_ended:
        raise UsageError(
            expected="a run that can go on",
            got="one whose live sources have ended",
            where=str(opened.run.path),
            action="choose another folder for --out",
        )
    driver.level()
    if driver.is_ending:
        yield iter(()), []
        return
    storage = opened.storage
    with ExitStack() as stack:
        inboxes: list[Inbox] = []
        if plan.contracts:
            inboxes = stack.enter_context(
                live_inboxes(plan, opened.rows, storage, wall_ns=clocks.wall_ns, limits=limits)
            )
        first = driver.committed_epoch + 1
        if plan.cameras:
            rows: Rows = LiveRows(inboxes, limits) if inboxes else NoRows()
            cameras = stack.enter_context(CameraInbox(opened.cameras, now_ns=clocks.wall_ns))
            feed = clocked_feed(
                plan,
                cameras,
                rows,
                first_number=first,
                now_ns=clocks.wall_ns,
                monotonic_s=clocks.monotonic_s,
                sleep_s=clocks.sleep_s,
                is_stopped=opened.is_stopped,
                limits=opened.limits,
            )
        else:
            live = live_epochs(
                inboxes,
                tick_ns=plan.tick_ns,
                first_number=first,
                wall_ns=clocks.wall_ns,
                wait_s=clocks.sleep_s,
                is_stopped=opened.is_stopped,
                limits=limits,
            )
            feed = (Part(epoch=epoch) for epoch in live)
        yield _observed(feed, inboxes, opened.metrics), inboxes


def _observed(
    feed: Iterator[Part], inboxes: Sequence[Inbox], metrics: RunMetrics
) -> Iterator[Part]:
    for part in feed:
        for inbox in inboxes:
            metrics.observe_queue(inbox.source, inbox.depth_rows)
        yield part


@contextmanager
def _played(opened: _Opened, rows: Any, speed: float) -> Iterator[Iterator[Part]]:
    """Recordings as if they were cameras, on a clock that runs ``speed`` times as fast."""
    plan, clocks = opened.plan, opened.clocks
    first_ns, begun = _begun(opened.cameras)
    started_s = clocks.monotonic_s()

    def now_ns() -> int:
        return first_ns + round((clocks.monotonic_s() - started_s) * speed * NS_PER_S)

    pace = Pace(first_ns=first_ns, speed=speed, sleep_s=clocks.sleep_s)
    with CameraInbox(begun, now_ns=now_ns, pace=pace) as cameras:
        yield clocked_feed(
            plan,
            cameras,
            NoRows() if rows is None else FiniteRows(rows),
            first_number=0,
            now_ns=now_ns,
            monotonic_s=clocks.monotonic_s,
            sleep_s=clocks.sleep_s,
            is_stopped=opened.is_stopped,
            speed=speed,
            limits=opened.limits,
        )


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


# --- checks ---------------------------------------------------------------------------------------


def _check_control(plan: Plan, control: Mapping[str, Any]) -> None:
    OperatorInputs.check(plan, [control])
    if control["control"] == "shelve" and plan.pipeline.alerting is None:
        raise UsageError(
            expected="an operator input that takes effect while a run goes on",
            got="shelve, without an alert desk",
            where="operator inputs",
            action="give it at the start, or add `alerting` to the pipeline",
        )


def _check_sources(
    plan: Plan, sources: Mapping[str, Source | FrameSource], options: RunOptions
) -> None:
    wanted, given = set(plan.pipeline.sources), set(sources)
    optional = {name for name, form in plan.pipeline.tables.items() if form.optional}
    if not wanted - optional <= given <= wanted:
        raise SourceError(
            expected=f"sources {', '.join(sorted(wanted))}",
            got=", ".join(sorted(given)) or "none",
            where=f"pipeline {plan.pipeline.pipeline}",
            action="give each source of the pipeline once: --source NAME=LOCATION",
        )
    for name, form in plan.pipeline.tables.items():
        if form.record != "reference" or name not in sources:
            continue
        is_durable = getattr(sources[name], "durable", False)
        if options.is_live or plan.cameras or not is_durable:
            raise SourceError(
                expected="record: payload for what can be read only once, or comes with frames",
                got="record: reference",
                where=f"pipeline {plan.pipeline.pipeline}, sources.{name}",
                action="mend the pipeline, or give a file",
            )


def _check_machines(plan: Plan, commands: Collection[str]) -> None:
    machines = {s.name for s in plan.items if s.stage.ports()[1] == "commands"}
    unknown = set(commands) - machines
    if unknown:
        raise SourceError(
            expected=f"outlets of machines {', '.join(sorted(machines)) or '(none)'}",
            got=", ".join(sorted(unknown)),
            where=f"pipeline {plan.pipeline.pipeline}",
            action="give machines of the pipeline: --actuator MACHINE=LOCATION",
        )


def _check_options(
    plan: Plan, options: RunOptions, *, clocks: RunClocks, guard: Answers | None
) -> None:
    def refuse(expected: str, got: str, action: str) -> None:
        raise UsageError(expected=expected, got=got, where="run options", action=action)

    if options.is_live and options.speed is not None:
        refuse(
            "live sources, or a speed",
            f"both (speed {options.speed:g}x)",
            "leave one out: live sources come at their own speed",
        )
    if options.is_live and options.deadlines is False:
        refuse(
            "deadlines: time does not wait for a live source",
            "a live run without",
            "leave --deadlines out",
        )
    if plan.cameras and options.resume and options.speed is not None:
        refuse(
            "a recording that goes on at full speed, or a live camera",
            f"a resumed run at speed {options.speed:g}",
            "leave the speed out: which frames were superseded cannot be done again",
        )
    if not options.workers:
        if options.on == "ray":
            refuse("workers for Ray", "none", "give the number of --workers")
        return
    if plan.cameras:
        refuse("cameras hosted in this process", f"{options.workers} workers", "leave workers out")
    if clocks != RunClocks() or guard is not None:
        refuse(
            "the clocks and guards of the machine, which worker processes have",
            "others",
            "leave workers out to run with these",
        )


def _check_liveness(
    plan: Plan, sources: Mapping[str, Source | FrameSource], options: RunOptions
) -> None:
    """A camera that is no recording has no end that a finite run could wait for."""
    for name in plan.cameras:
        if not options.is_live and isinstance(sources[name], LiveCamera):
            raise UsageError(
                expected="is_live for a camera that is no recording",
                got="a run of recordings",
                where=f"source {name}",
                action="give is_live=True (`--live`), or a recording",
            )


def _open_run(
    plan: Plan,
    sources: Mapping[str, Source | FrameSource],
    out: Path,
    options: RunOptions,
    *,
    is_new: bool,
) -> RunDirectory:
    known = None if is_new else RunDirectory.open(out)
    described: dict[str, dict[str, Any]] = {}
    for name, source in sources.items():
        if known is not None and name in known.sources and isinstance(source, Source):
            source.resume(known.sources[name]["fingerprint"])
        is_durable = name in plan.contracts and getattr(source, "durable", False)
        prints = source.fingerprint() if is_durable else []  # type: ignore[union-attr]
        described[name] = {"fingerprint": [dict(f) for f in prints]}
    if is_new:
        return RunDirectory.create(
            out,
            plan,
            described,
            run_id=secrets.token_hex(16),
            controls=options.controls,
            ledger=options.ledger,
        )
    assert known is not None
    run = replace(known, ledger_given=options.ledger or known.ledger_given)
    if options.ledger and recorded_address(options.ledger) != run.given.get("ledger"):
        raise UsageError(
            expected=f"the ledger of the run, {run.given.get('ledger', 'in its folder')}",
            got="another one",
            where="--ledger",
            action="give the same address, or leave it out",
        )
    if run.plan.digest != plan.digest or run.plan.pipeline.partitions != plan.pipeline.partitions:
        raise SourceError(
            expected=f"the pipeline of the run, {run.plan.digest}",
            got=f"{plan.digest}",
            where=str(out),
            action="resume with the same pipeline and contracts, or start a new run",
        )
    if options.controls and list(options.controls) != list(run.controls):
        raise UsageError(
            expected="the operator inputs that the run began with, or none",
            got=f"{len(options.controls)} others",
            where=str(out),
            action="give new ones while the run goes on: `sightline alert …`, or RUN/controls",
        )
    for name, now in described.items():
        if now["fingerprint"] != run.sources[name]["fingerprint"]:
            raise SourceError(
                expected="the same source files as when the run began",
                got="files that differ",
                where=f"source {name}",
                action="restore the files, or start a new run",
            )
    check_heads(run)
    return run.in_state(RunState(epoch=run.state.epoch + 1, is_closed=False, heads=run.state.heads))


@contextmanager
def closed_at_the_end(run: RunDirectory, fence: WriteFence, limits: Limits) -> Iterator[None]:
    """Note in ``run.json`` where the logs ended, once all is closed and nothing went wrong."""
    yield
    fence.check()
    digest = ""  # of a ledger that does not answer: what it holds is compared row by row
    with suppress(SinkError, LogError):
        with Ledger.open(run.ledger_url, create=False, limits=limits) as ledger:
            ledger.claim(run.run_id, epoch=run.state.epoch, is_closed=True)
        digest = settled_digest(run.ledger_url)
    run.in_state(
        RunState(
            epoch=run.state.epoch,
            is_closed=True,
            heads=run.heads(limits=limits),
            ledger_digest=digest,
        )
    )


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


# --- report ---------------------------------------------------------------------------------------


def _unusable(opened: _Opened, tallies: Mapping[str, FrameTally]) -> dict[str, str]:
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
    opened: _Opened, accounts: Accounts, tallies: Mapping[str, FrameTally]
) -> SourceError | RefusedError | None:
    """What is to be said of rows, of a run that was not stopped before there could be some."""
    if opened.is_stopped() and not accounts.received:
        return None
    return refusal_problem(opened.run, opened.plan, accounts, tallies=tallies, limits=opened.limits)


def _report(
    opened: _Opened,
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
        advice=dict(numbers.advice),
    )

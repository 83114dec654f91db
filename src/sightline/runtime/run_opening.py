"""What is checked before a run begins, and its folder: opened, and closed with how it ended."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sightline.act import Ledger, RunMetrics
from sightline.act.ledger_database import file_digest, recorded_address, settled_digest
from sightline.errors import LogError, SinkError, SourceError, UsageError
from sightline.limits import Limits
from sightline.recorder import DirectoryStorage
from sightline.runtime.engine.guarding import Answers
from sightline.runtime.engine.operator_inputs import OperatorInputs
from sightline.runtime.plan import Plan
from sightline.runtime.run_directory import RunDirectory, RunState
from sightline.runtime.run_lock import WriteFence
from sightline.runtime.run_options import RunClocks, RunOptions
from sightline.runtime.verification import check_heads
from sightline.sense import Source
from sightline.sense.frames.delivery import FrameSource
from sightline.sense.frames.live_camera import LiveCamera


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedRun:
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
        return cameras_of(self.plan, self.sources)


def cameras_of(plan: Plan, sources: Mapping[str, Source | FrameSource]) -> dict[str, FrameSource]:
    """The sources of frames, in the order of the pipeline."""
    return {n: sources[n] for n in plan.cameras}  # type: ignore[misc]


def check_run(
    plan: Plan,
    sources: Mapping[str, Source | FrameSource],
    options: RunOptions,
    *,
    machines: Collection[str],
    clocks: RunClocks,
    guard: Answers | None,
) -> None:
    """Refuse sources, outlets of machines and options that do not fit the pipeline.

    Raises:
        SourceError, UsageError: naming what does not fit.
    """
    _check_sources(plan, sources, options)
    _check_machines(plan, machines)
    _check_options(plan, options, clocks=clocks, guard=guard)
    _check_liveness(plan, sources, options)
    OperatorInputs.check(plan, options.controls)


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


def check_control(plan: Plan, control: Mapping[str, Any]) -> None:
    """Refuse an operator input that cannot take effect while a run goes on.

    Raises:
        UsageError: it is no operator input, or needs an alert desk.
    """
    OperatorInputs.check(plan, [control])
    if control["control"] == "shelve" and plan.pipeline.alerting is None:
        raise UsageError(
            expected="an operator input that takes effect while a run goes on",
            got="shelve, without an alert desk",
            where="operator inputs",
            action="give it at the start, or add `alerting` to the pipeline",
        )


def open_run(
    plan: Plan,
    sources: Mapping[str, Source | FrameSource],
    out: Path,
    options: RunOptions,
    *,
    is_new: bool,
) -> RunDirectory:
    """Make the folder of a new run, or open that of one that is resumed.

    Raises:
        UsageError, SourceError: a resumed run was given another pipeline, ledger, inputs or
            source files than it began with.
        LogError: its logs are not those that it left.
    """
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
    _check_closed_ledger(run)
    return run.in_state(RunState(epoch=run.state.epoch + 1, is_closed=False, heads=run.state.heads))


def _check_closed_ledger(run: RunDirectory) -> None:
    """Refuse a ledger that was changed since the run was closed: the next digest would hide it.

    One that is gone is rebuilt from the log, and of a killed run nobody knows a digest.
    """
    noted = run.state.ledger_digest
    if noted and file_digest(run.ledger_path) not in {"", noted}:
        raise LogError(
            expected="the ledger as the run left it",
            got="another one: it was changed since the run was closed",
            where=str(run.ledger_path),
            action="restore it, or move it away: it is rebuilt from the log",
        )


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

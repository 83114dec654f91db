"""Replay: the same log through the same core must give the same bytes.

Only the entries a core reads are fed to it. What it says is compared, one by one, with what the
log says it said: decisions and summaries by their bytes, stages by their digests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from sightline.errors import LogError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries
from sightline.recorder.checkpoint import Checkpoint, read_oldest_checkpoint
from sightline.recorder.retention import first_kept
from sightline.recorder.walk import is_logged_checkpoint
from sightline.records import Decision, Entry, EntryKind
from sightline.records.decision import decisions_digest, final_revisions
from sightline.records.entry import CORE_INPUTS
from sightline.records.part import note_bytes
from sightline.records.plain_json import plain_json
from sightline.runtime.engine.batches import take_referenced
from sightline.runtime.engine.core import PartitionCore
from sightline.runtime.engine.fan_in import FanInCore
from sightline.runtime.engine.guard import ArraysRequest, Outcome
from sightline.runtime.engine.headers import FrameHeader
from sightline.runtime.engine.hosting import FAN_IN
from sightline.runtime.engine.outputs import StageRows, StepOutput
from sightline.runtime.engine.stepping import restore_logged, step_logged
from sightline.runtime.plan import Plan
from sightline.runtime.run_directory import RunDirectory
from sightline.runtime.stage import Stage
from sightline.sense import Source
from sightline.sense.admission import Share
from sightline.sense.arrival import Router, epochs

_COMPARED = {
    EntryKind.DECISION: "decision",
    EntryKind.COMMAND: "command",
    EntryKind.PART: "part",
    EntryKind.ALERTING: "what the alert desk said",
    EntryKind.SUMMARY_OUT: "summary",
    EntryKind.STAGE_DIGEST: "stage digests",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first point at which a replay said something else.

    Attributes:
        partition: name of the partition.
        sequence: log sequence of the entry that differs (or of the input, if nothing was logged).
        what: decision, summary or stage digests.
        logged: what the log says, cut for people.
        replayed: what the replay said.
    """

    partition: str
    sequence: int
    what: str
    logged: str
    replayed: str

    def __str__(self) -> str:
        return (
            f"partition {self.partition}, log sequence {self.sequence}, {self.what}:\n"
            f"  logged   {self.logged}\n  replayed {self.replayed}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayStart:
    """A replay that begins at a checkpoint, because the log before it was pruned."""

    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayVerdict:
    """Whether a replay gave the same bytes; true only if every one is the same.

    Attributes:
        decisions: decisions that were compared.
        entries: entries that were fed.
        digest: over the replayed decisions.
        final_digest: over their final revisions.
        difference: None when all are the same.
        began_at: log sequence after which the replay began, by partition, where the log before
            it was pruned.
    """

    decisions: int
    entries: int
    digest: str
    final_digest: str
    difference: Difference | None
    began_at: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.difference is None


def replay_run(
    run: RunDirectory,
    *,
    sources: Mapping[str, Source] | None = None,
    rerun_models: bool = False,
    on_progress: Callable[[str, int], None] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> ReplayVerdict:
    """Replay every partition of a finished or interrupted run and compare.

    Args:
        run: the run.
        sources: needed where the log holds references instead of rows.
        rerun_models: ask the scorers again and compare with the answers in the log.
        on_progress: called with partition and log sequence now and then.
        limits: bounds.

    Raises:
        LogError: if the log is damaged, or its references cannot be resolved.
    """
    replayed: list[Decision] = []
    fed = 0
    difference: Difference | None = None
    began_at: dict[str, int] = {}
    for name in run.partitions:
        for item in replay_partition(
            run, name, sources=sources, rerun_models=rerun_models, limits=limits
        ):
            if isinstance(item, ReplayStart):
                began_at[name] = item.after
            elif isinstance(item, Difference):
                difference = difference or item
                break
            elif isinstance(item, Decision):
                replayed.append(item)
            else:
                fed += 1
                if on_progress is not None and fed % 256 == 0:
                    on_progress(name, item)
    return ReplayVerdict(
        decisions=len(replayed),
        entries=fed,
        digest=decisions_digest(replayed),
        final_digest=decisions_digest(final_revisions(replayed)),
        difference=difference,
        began_at=began_at,
    )


def replay_partition(
    run: RunDirectory,
    name: str,
    *,
    sources: Mapping[str, Source] | None = None,
    rerun_models: bool = False,
    observe: Callable[[StageRows], None] | None = None,
    until_epoch: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[Decision | Difference | ReplayStart | int]:
    """Replay one partition: yields replayed decisions, entry sequences, and the first difference.

    Of a pruned log first comes a :class:`ReplayStart`: the checkpoint it is replayed from.

    Args:
        run: the run.
        name: partition.
        sources: for logs that hold references.
        rerun_models: compare the answers of guarded stages in the log with new ones.
        observe: sees the rows every stage writes.
        until_epoch: stop after this epoch.
        limits: bounds.
    """
    core = fresh_core(run, name, observe=observe, limits=limits)
    rows = _RowsAgain(run, name, sources or {}, limits)
    expected: list[tuple[EntryKind, bytes, int]] = []
    asked: dict[str, ArraysRequest] = {}
    sequence = -1
    checkpoint = first_checkpoint(run, name, limits=limits)
    if checkpoint is not None:
        restore_logged(core, checkpoint, partition=name)
        sequence = checkpoint.sequence
        yield ReplayStart(after=sequence)
    for entry in read_entries(run.storage, name, after=sequence, limits=limits):
        if entry.kind in _COMPARED:
            kind, payload, _ = expected.pop(0) if expected else (None, None, 0)
            if kind is not entry.kind or payload != entry.payload:
                yield _difference(name, entry.kind, entry.sequence, entry.payload, payload)
                return
            continue
        if entry.kind not in CORE_INPUTS:
            continue
        if expected:
            break
        sequence = entry.sequence
        if rerun_models and entry.kind is EntryKind.OUTCOME:
            changed = _answered_anew(run.plan, name, entry, asked)
            if changed is not None:
                yield changed
                return
        if entry.kind is EntryKind.INPUT_REFERENCE:
            output = core.step_rows(entry.name, Share.of(rows.take(entry)))
        else:
            output = step_logged(core, entry, partition=name)
        asked.update(_kept_requests(output) if rerun_models else {})
        expected += [(kind, payload, sequence) for kind, payload in _logged_of(core.epoch, output)]
        yield from output.decisions
        yield sequence
        if until_epoch is not None and core.epoch > until_epoch:
            return
    if expected:
        kind, payload, at = expected[0]
        yield _difference(name, kind, at, None, payload)


def _logged_of(epoch: int, output: StepOutput) -> Iterator[tuple[EntryKind, bytes]]:
    """What a host logs of an output of the core, in that order."""
    if output.digests:
        yield EntryKind.STAGE_DIGEST, plain_json({"epoch": epoch, "stages": output.digests})
    for command in output.commands:
        yield EntryKind.COMMAND, command.canonical_bytes()
    for decision in output.decisions:
        yield EntryKind.DECISION, decision.canonical_bytes()
    for note in output.parts:
        yield EntryKind.PART, note_bytes(note)
    if output.alerting is not None:
        yield EntryKind.ALERTING, output.alerting.to_bytes()
    if output.summary is not None:
        yield EntryKind.SUMMARY_OUT, output.summary.to_bytes()


def _difference(
    name: str, kind: EntryKind, sequence: int, logged: bytes | None, replayed: bytes | None
) -> Difference:
    return Difference(
        partition=name,
        sequence=sequence,
        what=_COMPARED[kind],
        logged="nothing" if logged is None else _short(logged),
        replayed="nothing" if replayed is None else _short(replayed),
    )


def _kept_requests(output: StepOutput) -> dict[str, ArraysRequest]:
    """What guarded stages were asked about windows; kept until the answer comes."""
    return {r.request_id: r for r in output.requests if isinstance(r, ArraysRequest)}


def fresh_core(
    run: RunDirectory,
    name: str,
    *,
    observe: Callable[[StageRows], None] | None = None,
    observe_item: Callable[[FrameHeader, Mapping[str, Any]], None] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> PartitionCore | FanInCore:
    """A core of the partition ``name`` that has read nothing yet."""
    plan = run.plan
    if name == FAN_IN:
        return FanInCore(plan, partitions=plan.pipeline.partitions, limits=limits, observe=observe)
    return PartitionCore(
        plan,
        partition=int(name[1:]),
        limits=limits,
        observe=observe,
        observe_item=observe_item,
    )


def first_checkpoint(
    run: RunDirectory, name: str, *, limits: Limits = DEFAULT_LIMITS
) -> Checkpoint | None:
    """Where a replay of a partition begins: at its oldest checkpoint after what was pruned.

    Returns:
        None of a log that is whole: it is replayed from its first entry on.

    Raises:
        LogError: the log was pruned and there is no such checkpoint.
    """
    storage = run.storage
    first = first_kept(storage, name, limits=limits)
    if not first:
        return None
    checkpoint = read_oldest_checkpoint(
        storage,
        name,
        from_sequence=first - 1,
        is_logged=lambda sequence, chain_hash, digest: is_logged_checkpoint(
            storage, name, sequence, chain_hash, digest, limits=limits
        ),
        limits=limits,
    )
    if checkpoint is None:
        raise LogError(
            expected=f"a checkpoint at or after entry {first - 1}, before which the log was pruned",
            got="none",
            where=f"partition {name}",
            action="restore the checkpoints of the run",
        )
    return checkpoint


def _answered_anew(
    plan: Plan, partition: str, entry: Entry, asked: dict[str, ArraysRequest]
) -> Difference | None:
    """Ask a series stage again; a difference if it now gives another answer than the log has.

    Who looks at pictures is asked again from the pictures in the log: :mod:`.frames.rerun`.
    """
    logged = Outcome.from_bytes(entry.payload)
    request = asked.pop(logged.request_id, None)
    if request is None or not logged.is_ok:
        return None  # why it was late, or broken, cannot be done again
    stage = plan.stage(logged.stage)
    assert isinstance(stage, Stage)
    answer = stage.answer(request.asked, stage.use)
    same = answer.keys() == logged.arrays.keys() and all(
        answer[name].tobytes() == logged.arrays[name].tobytes() for name in answer
    )
    if same:
        return None
    return Difference(
        partition=partition,
        sequence=entry.sequence,
        what=f"answer of {logged.stage}",
        logged=_short(str({n: a.tolist() for n, a in logged.arrays.items()}).encode()),
        replayed=_short(str({n: a.tolist() for n, a in answer.items()}).encode()),
    )


class _RowsAgain:
    """Reads referenced rows again from their durable sources, epoch by epoch."""

    def __init__(
        self, run: RunDirectory, name: str, sources: Mapping[str, Source], limits: Limits
    ) -> None:
        self._run = run
        self._name = name
        self._sources = sources
        self._limits = limits
        self._epochs: Iterator[tuple[int, list[tuple[str, pl.DataFrame]]]] | None = None
        self._number = -1
        self._waiting: list[tuple[str, pl.DataFrame]] = []

    def take(self, entry: Entry) -> pl.DataFrame:
        wanted = int(json.loads(entry.payload)["epoch"])
        if self._epochs is None:
            self._epochs = self._read()
        while self._number != wanted:
            found = next(self._epochs, None)
            if found is None:
                break
            self._number, self._waiting = found
        return take_referenced(entry, self._waiting, self._name)

    def _read(self) -> Iterator[tuple[int, list[tuple[str, pl.DataFrame]]]]:
        plan = self._run.plan
        optional = {name for name, form in plan.pipeline.tables.items() if form.optional}
        missing = sorted(set(plan.contracts) - optional - set(self._sources))
        if missing:
            raise LogError(
                expected="the sources the log refers to",
                got=f"none given for {', '.join(missing)}",
                where=f"partition {self._name}",
                action="give them with --source NAME=LOCATION",
            )
        opened = [(self._sources[n], c) for n, c in plan.contracts.items() if n in self._sources]
        router = Router(plan.contracts, plan.pipeline.partitions)
        partition = int(self._name[1:])
        for epoch in epochs(opened, tick_ns=plan.tick_ns, limits=self._limits):
            yield (
                epoch.number,
                [
                    (source, share.rows)
                    for source, frame in epoch.batches
                    for p, share in router.route(source, frame)
                    if p == partition
                ],
            )


def _short(payload: bytes) -> str:
    text = payload.decode(errors="replace")
    return text if len(text) <= 400 else f"{text[:397]}…"

"""Comparing two runs: are they equivalent, and if not, which stage differs first, and where?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries
from sightline.records import Decision, EntryKind
from sightline.records.decision import decisions_digest, final_revisions
from sightline.records.windows import FloatArray
from sightline.runtime.engine.hosting import FAN_IN
from sightline.runtime.engine.outputs import StageRows
from sightline.runtime.engine.replay import replay_partition
from sightline.runtime.plan import Plan
from sightline.runtime.run_directory import RunDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDifference:
    """The first record at which a stage of two runs differs.

    Attributes:
        stage: name of the stage.
        partition: where.
        epoch: number of the epoch.
        subject: key of the first differing record.
        window_start_ns: its window; -1 where one run has no such record.
        column: first column, or field of a decision, that differs.
        value_a: in the first run; NaN where it has none.
        value_b: in the second run.
    """

    stage: str
    partition: str
    epoch: int
    subject: str
    window_start_ns: int
    column: str
    value_a: float | str
    value_b: float | str

    def __str__(self) -> str:
        where = f"partition {self.partition}, epoch {self.epoch}, " if self.partition else ""
        return (
            f"stage {self.stage!r} differs first: {where}"
            f"{self.subject} window {self.window_start_ns}, {self.column}: "
            f"{self.value_a!r} against {self.value_b!r}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparison:
    """Whether two runs are equivalent; true if all revisions are the same bytes.

    Attributes:
        digest_a, digest_b: over all revisions.
        final_digest_a, final_digest_b: over the final revisions.
        decisions_a, decisions_b: numbers of revisions.
        difference: the first stage that differs, if one was found.
    """

    digest_a: str
    digest_b: str
    final_digest_a: str
    final_digest_b: str
    decisions_a: int
    decisions_b: int
    difference: StageDifference | None

    def __bool__(self) -> bool:
        return self.digest_a == self.digest_b

    @property
    def is_final_equal(self) -> bool:
        """Whether the same decisions stand at the end, however they were revised on the way."""
        return self.final_digest_a == self.final_digest_b


def compare_runs(
    a: RunDirectory, b: RunDirectory, *, limits: Limits = DEFAULT_LIMITS
) -> RunComparison:
    """Compare the decisions of two runs; if they differ, find the first stage that does.

    The search for the stage needs the same partitions in both runs and rows in both logs.
    """
    said_a, said_b = a.decisions(limits=limits), b.decisions(limits=limits)
    digest_a, digest_b = decisions_digest(said_a), decisions_digest(said_b)
    difference = None
    if digest_a != digest_b and a.partitions == b.partitions:
        difference = _first_difference(a, b, limits)
    if digest_a != digest_b and (difference is None or difference.window_start_ns < 0):
        # No record says it, such as another severity: then the decisions themselves do.
        kind = difference.stage.removesuffix(":inhibition") if difference else None
        difference = _first_decision(said_a, said_b, kind) or difference
    return RunComparison(
        digest_a=digest_a,
        digest_b=digest_b,
        final_digest_a=decisions_digest(final_revisions(said_a)),
        final_digest_b=decisions_digest(final_revisions(said_b)),
        decisions_a=len(said_a),
        decisions_b=len(said_b),
        difference=difference,
    )


def _first_difference(a: RunDirectory, b: RunDirectory, limits: Limits) -> StageDifference | None:
    """Earliest by epoch, then by the order of the stages, then by partition."""
    order = {stage: i for i, stage in enumerate(stage_order(a.plan))}
    best: tuple[int, int, int] | None = None
    found: tuple[str, int, str] | None = None
    for index, name in enumerate(a.partitions):
        first = _first_digest(a, b, name, order, limits)
        if first is None:
            continue
        epoch, stage = first
        rank = (epoch, order.get(stage, len(order)), index)
        if best is None or rank < best:
            best, found = rank, (name, epoch, stage)
    if found is None:
        return None
    name, epoch, stage = found
    rows_a = _stage_rows(a, name, epoch, stage, limits)
    rows_b = _stage_rows(b, name, epoch, stage, limits)
    return _locate(stage, name, epoch, rows_a, rows_b)


def _first_decision(
    said_a: Sequence[Decision], said_b: Sequence[Decision], kind: str | None
) -> StageDifference | None:
    """The first decision, of ``kind`` if one is given, that only one run has or that differs.

    Ids differ whenever the pipelines do; they are looked at last, with the versions.
    """
    for ignored in (frozenset({*_IDS, "version"}), frozenset(_IDS), frozenset[str]()):
        by_a, by_b = _by_event(said_a, ignored), _by_event(said_b, ignored)
        for key in sorted({*by_a, *by_b}):
            left, right = by_a.get(key, {}), by_b.get(key, {})
            if left == right or kind not in (None, key[2]):
                continue
            column = next(n for n in {**left, **right} if left.get(n) != right.get(n))
            there = left or right
            return StageDifference(
                stage=key[2],
                partition="",
                epoch=-1,
                subject=key[1],
                window_start_ns=int(there["window_start_ns"]),
                column=column if left and right else "decision",
                value_a=left.get(column, "nothing") if right else "said",
                value_b=right.get(column, "nothing") if left else "said",
            )
    return None


_IDS = ("decision_id", "trace_id", "pipeline")


def _by_event(
    said: Sequence[Decision], ignored: frozenset[str]
) -> dict[tuple[int, str, str, str, int], dict[str, str]]:
    """Fields of each decision as text, its reasons taken apart, without the ignored ones."""
    found: dict[tuple[int, str, str, str, int], dict[str, str]] = {}
    for d in said:
        plain = d.as_mapping()
        reasons = plain.pop("reasons")
        for i, reason in enumerate(reasons):
            plain |= {f"reasons.{i}.{n}": v for n, v in reason.items() if n not in ignored}
        key = (d.event_ns, d.subject, d.kind, str(d.transition), d.revision)
        found[key] = {n: str(v) for n, v in plain.items() if n not in ignored}
    return found


def stage_order(plan: Plan) -> list[str]:
    """Names of the stages, each after its input; fan-in stages last."""
    names = [n for c in plan.chains for n in (c.name, *(s.name for s in c.steps))]
    names = [s.name for s in plan.items] + names + [s.name for s in plan.watches]
    return names + [f"{n}:inhibition" for n in plan.deciding_steps()]


def _digests(run: RunDirectory, name: str, limits: Limits) -> Iterator[tuple[int, dict[str, str]]]:
    """Stage digests of one partition by epoch; the parts of one epoch joined."""
    current = -1
    stages: dict[str, str] = {}
    for entry in read_entries(run.storage, name, kinds={EntryKind.STAGE_DIGEST}, limits=limits):
        plain = json.loads(entry.payload)
        if plain["epoch"] != current:
            if stages:
                yield current, stages
            current, stages = plain["epoch"], {}
        for stage, digest in plain["stages"].items():
            stages[stage] = stages.get(stage, "") + digest
    if stages:
        yield current, stages


def _first_digest(
    a: RunDirectory, b: RunDirectory, name: str, order: dict[str, int], limits: Limits
) -> tuple[int, str] | None:
    left, right = _digests(a, name, limits), _digests(b, name, limits)
    la, lb = next(left, None), next(right, None)
    while la is not None or lb is not None:
        epoch = min(x[0] for x in (la, lb) if x is not None)
        stages_a = la[1] if la is not None and la[0] == epoch else {}
        stages_b = lb[1] if lb is not None and lb[0] == epoch else {}
        differing = [s for s in {*stages_a, *stages_b} if stages_a.get(s) != stages_b.get(s)]
        if differing:
            return epoch, min(differing, key=lambda s: order.get(s, len(order)))
        if la is not None and la[0] == epoch:
            la = next(left, None)
        if lb is not None and lb[0] == epoch:
            lb = next(right, None)
    return None


def _stage_rows(
    run: RunDirectory, name: str, epoch: int, stage: str, limits: Limits
) -> list[StageRows]:
    """Rows that ``stage`` wrote in ``epoch``, by replaying up to it."""
    latest: list[StageRows] = []
    kept: list[StageRows] = []
    reached = _EpochReader(run, name, limits)
    for entry_epoch in reached.replay(epoch, latest):
        if entry_epoch == epoch:
            kept.extend(r for r in latest if r.stage == stage)
        latest.clear()
    return kept


class _EpochReader:
    """Replays a partition and tells the epoch of what the stages wrote."""

    def __init__(self, run: RunDirectory, name: str, limits: Limits) -> None:
        self._run, self._name, self._limits = run, name, limits

    def replay(self, until: int, seen: list[StageRows]) -> Iterator[int]:
        ticks = {
            entry.sequence: json.loads(entry.payload)["epoch"]
            for entry in read_entries(
                self._run.storage,
                self._name,
                kinds={EntryKind.TICK, EntryKind.SUMMARY_IN},
                limits=self._limits,
            )
        }
        current = -1
        for item in replay_partition(
            self._run, self._name, observe=seen.append, until_epoch=until, limits=self._limits
        ):
            if isinstance(item, int):
                current = ticks.get(item, current)
                yield current


def _locate(
    stage: str, name: str, epoch: int, rows_a: list[StageRows], rows_b: list[StageRows]
) -> StageDifference:
    by_a, by_b = _by_record(rows_a), _by_record(rows_b)
    columns = (rows_a or rows_b)[0].columns if rows_a or rows_b else ()
    nothing = np.full(len(columns), np.nan)
    for subject, start_ns in sorted({*by_a, *by_b}, key=lambda r: (r[1], r[0])):
        left = by_a.get((subject, start_ns), nothing)
        right = by_b.get((subject, start_ns), nothing)
        same = (left == right) | (np.isnan(left) & np.isnan(right))
        if not same.all() or ((subject, start_ns) in by_a) != ((subject, start_ns) in by_b):
            at = int(np.flatnonzero(~same)[0]) if not same.all() else 0
            return StageDifference(
                stage=stage,
                partition=name,
                epoch=epoch,
                subject=subject,
                window_start_ns=start_ns,
                column=columns[at] if columns else "",
                value_a=float(left[at]),
                value_b=float(right[at]),
            )
    kind = "the released decisions" if name == FAN_IN else "the order of its records"
    return StageDifference(
        stage=stage,
        partition=name,
        epoch=epoch,
        subject=kind,
        window_start_ns=-1,
        column="",
        value_a=float("nan"),
        value_b=float("nan"),
    )


def _by_record(rows: list[StageRows]) -> dict[tuple[str, int], FloatArray]:
    return {
        (subject, int(start_ns)): values
        for part in rows
        for subject, start_ns, values in zip(part.subjects, part.start_ns, part.values, strict=True)
    }

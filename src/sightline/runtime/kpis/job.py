"""The KPI job: looks at the files, plans, computes, and publishes what the gates let through.

Killed at any moment it has published whole steps and nothing else; run again it goes on with the
rest. What it reads at a time is bounded (``kpi_rows_at_once``), however many rows there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, gcd
from typing import Any

import polars as pl

from sightline.act.kpi_ledger import KpiLedger
from sightline.errors import SourceError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.runtime.engine.stream import duplicates_by_sequence
from sightline.runtime.kpis.compute import (
    admitted_rows,
    held_because,
    smoothed_values,
    values_of_rows,
)
from sightline.runtime.kpis.form import VALUE_SCHEMA, KpiSet
from sightline.runtime.kpis.plan import (
    Input,
    Key,
    Revision,
    Status,
    Task,
    Why,
    check_definitions,
    plan_rows,
    plan_smoothed,
    slices,
)
from sightline.runtime.kpis.reading import KpiFiles
from sightline.sense.objects import ObjectFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of one window of one metric."""

    metric: str
    version: int
    window_start_ns: int
    revision: int
    why: Why
    status: Status | None
    """None: it would be computed, and nothing was."""
    reasons: tuple[str, ...] = ()

    @classmethod
    def of(cls, task: Task, status: Status | None, reasons: Sequence[str] = ()) -> Done:
        """What became of a task."""
        return cls(
            metric=task.metric.name,
            version=task.metric.version,
            window_start_ns=task.window * task.metric.width_ns,
            revision=task.revision,
            why=task.why,
            status=status,
            reasons=tuple(reasons),
        )


@dataclass(slots=True, kw_only=True)
class KpiReport:
    """What a run of the job came to.

    Attributes:
        files: at the location.
        new_files: not read before.
        gone: names of files of before that are not there any more.
        rows: read in this run, for values.
        refused: of them, by reason.
        superseded: of them, duplicates that lost.
        done: windows computed, or to be computed, in order of time.
        held: windows held before that nothing has changed of.
        known: windows that were left alone.
    """

    files: int = 0
    new_files: int = 0
    gone: list[str] = field(default_factory=list)
    rows: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    superseded: int = 0
    done: list[Done] = field(default_factory=list)
    held: int = 0
    known: int = 0


# --- the job --------------------------------------------------------------------------------------

EVER_NS = (0, 1 << 62)
"""All of time, UTC ns: begin inclusive, end exclusive."""
_SHOWN = 5


def run_kpis(
    kpis: KpiSet,
    folder: ObjectFolder,
    ledger: KpiLedger,
    *,
    since_ns: int = EVER_NS[0],
    until_ns: int = EVER_NS[1],
    accepted: Iterable[int] = (),
    is_dry: bool = False,
    digests_again: bool = False,
    wall_ns: Callable[[], int] = time.time_ns,
    on_progress: Callable[[str], None] = lambda _: None,
    limits: Limits = DEFAULT_LIMITS,
) -> KpiReport:
    """Bring the KPIs of a folder up to date.

    Args:
        kpis: the metrics.
        folder: append-only Parquet files.
        ledger: where the values are.
        since_ns, until_ns: only windows wholly inside.
        accepted: times; held windows around them are published.
        is_dry: look and plan, and store nothing.
        digests_again: read every file again to see that it is the one of before.
        wall_ns: the clock.
        on_progress: told what is done.
        limits: bounds.

    Raises:
        SourceError: a file was rewritten, cannot be read, or lacks what the contract needs. Nothing
            of this run was published before every file was looked at.
        PipelineError: a version of a metric means something else than before.
        LogError, SinkError: another job, or the database.
    """
    report = KpiReport()
    grid_ns = gcd(*(metric.width_ns for metric in kpis.metrics))
    known = {row["name"]: Input(**row) for row in ledger.inputs(kpis.name, grid_ns=grid_ns)}
    published = _published(ledger, kpis)
    check_definitions(kpis, published, where=kpis.name)
    files = KpiFiles(kpis, folder, grid_ns=grid_ns, limits=limits)
    inputs, fresh, report.gone = files.look(
        known, digests_again=digests_again, on_progress=on_progress
    )
    report.files, report.new_files = len(inputs), len(fresh)
    # A file that is gone still belongs to what was published: its windows have not changed.
    inputs += [known[name] for name in report.gone]
    by_name = {one.name: one for one in inputs}
    if fresh and not is_dry:
        ledger.publish(inputs=[{"kpis": kpis.name, **_plain(one)} for one in fresh])
    within = (since_ns, until_ns)
    tasks = plan_rows(kpis, inputs, published, within=within, accepted=accepted, limits=limits)
    _check_all_there(tasks, report.gone, folder.location)
    report.held = sum(r.status is Status.HELD for r in published.values())
    report.held -= sum(published[t.key].status is Status.HELD for t in tasks if t.key in published)
    report.known = len(published) - sum(task.key in published for task in tasks)
    if is_dry:
        report.done = [Done.of(task, None) for task in tasks]
        after = dict(published) | {task.key: task.becomes(Status.PUBLISHED) for task in tasks}
        report.done += [Done.of(t, None) for t in plan_smoothed(kpis, after, within=within)]
        return report
    if not tasks and not plan_smoothed(kpis, published, within=within):
        return report
    # What computes is heavy to import, and a job that is run again needs none of it.
    from sightline.runtime.kpis.job import Keeping, computed, smoothed  # noqa: PLC0415

    keeping = Keeping(
        kpis, ledger, published=published, inputs=by_name, wall_ns=wall_ns, report=report
    )
    steps = slices(tasks, rows=limits.kpi_rows_at_once)
    for number, step in enumerate(steps, start=1):
        on_progress(f"step {number} of {len(steps)}")
        keeping.publish(step, *computed(kpis, files, step, limits, report))
    for task in plan_smoothed(kpis, published, within=within):
        keeping.publish([task], smoothed(kpis, ledger, task), {})
    return report


def _published(ledger: KpiLedger, kpis: KpiSet) -> dict[Key, Revision]:
    found: dict[Key, Revision] = {}
    for row in ledger.newest(kpis.name):
        width = row["window_end_ns"] - row["window_start_ns"]
        key = (row["metric"], row["metric_version"], row["window_start_ns"] // width)
        found[key] = Revision(
            number=row["revision"],
            status=Status(row["status"]),
            inputs=row["inputs"],
            calibration=row["calibration"],
            definition=row["definition"],
        )
    return found


def _plain(one: Input) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__slots__}


def _check_all_there(tasks: Sequence[Task], gone: Sequence[str], where: str) -> None:
    lost = {name for task in tasks for name in task.sources} & set(gone)
    if lost:
        raise SourceError(
            expected="every file of the windows that are computed again",
            got=f"{', '.join(sorted(lost)[:_SHOWN])} gone",
            where=where,
            action="put them back: without them a window would lose what it had",
        )


# --- one step -------------------------------------------------------------------------------------
# Computes the planned windows step by step, and publishes what the gates let through.


def computed(
    kpis: KpiSet, files: KpiFiles, step: Sequence[Task], limits: Limits, report: KpiReport
) -> tuple[pl.DataFrame, dict[tuple[int, int], int]]:
    """Values of a step, and admitted rows by (width, window)."""
    admitted = {(t.metric.width_ns, t.window): 0 for t in step}
    widest: dict[int, int] = {}
    for (width, _), rows in {(t.metric.width_ns, t.window): t.rows for t in step}.items():
        widest[width] = widest.get(width, 0) + rows
    parts = max(1, ceil(max(widest.values()) / limits.kpi_rows_at_once))
    found = []
    for part in range(parts):
        signals, rows, refused = files.signals(step, part=part, parts=parts)
        if not part:
            report.rows += rows
            for reason, count in refused.iter_rows():
                report.refused[reason] = report.refused.get(reason, 0) + count
        for width in {width for width, _ in admitted}:
            for window, count in admitted_rows(signals, width).items():
                if (width, window) in admitted:
                    admitted[width, window] += count
        values, superseded = values_of_rows(
            kpis, signals, step, by_sequence=duplicates_by_sequence(kpis.contract)
        )
        report.superseded += superseded
        found.append(values)
    return pl.concat(found), admitted


def smoothed(kpis: KpiSet, ledger: KpiLedger, task: Task) -> pl.DataFrame:
    """Values of a window of a smoothed metric, from those that are published of its warm-up."""
    assert task.metric.smooth is not None
    base = next(m for m in kpis.metrics if m.name == task.metric.smooth.of)
    width = task.metric.width_ns
    before = ledger.values(
        kpis.name, base.name, base.version,
        start_ns=(task.window - task.metric.smooth.warm_up_windows) * width,
        end_ns=(task.window + 1) * width,
    ).with_columns((pl.col("window_start_ns") // width).alias("window"))  # fmt: skip
    return smoothed_values(task.metric, task.window, before)


class Keeping:
    """Lets windows through the gates, stores them, and knows what is published by now."""

    def __init__(
        self,
        kpis: KpiSet,
        ledger: KpiLedger,
        *,
        published: dict[Key, Revision],
        inputs: Mapping[str, Input],
        wall_ns: Callable[[], int],
        report: KpiReport,
    ) -> None:
        self._kpis, self._ledger, self._published = kpis, ledger, published
        self._inputs, self._wall_ns, self._report = inputs, wall_ns, report
        counts = kpis.form.gates.subjects_share_least > 0
        self._most = ledger.most_subjects(kpis.name) if counts else {}

    def publish(
        self,
        step: Sequence[Task],
        values: pl.DataFrame,
        admitted: Mapping[tuple[int, int], int],
    ) -> None:
        """Store one step in one transaction."""
        manifests, kept = [], []
        parts = {
            (str(metric), window): part
            for (metric, window), part in values.partition_by(
                "metric", "window", as_dict=True, maintain_order=True
            ).items()
        }
        for task in step:
            own = parts.get((task.metric.name, task.window), VALUE_SCHEMA.to_frame())
            width = task.metric.width_ns
            took = admitted.get((width, task.window), task.rows)
            reasons = held_because(
                self._kpis.form.gates,
                task,
                own,
                refused=task.rows - took,
                most_subjects=self._most.get((task.metric.name, task.metric.version), 0),
            )
            is_held = bool(reasons) and not task.is_accepted
            status = Status.HELD if is_held else Status.PUBLISHED
            manifests.append(self._manifest(task, own, status, reasons, refused=task.rows - took))
            if not is_held:
                kept.append(
                    own.select(
                        pl.lit(self._kpis.name).alias("kpis"),
                        "metric",
                        "metric_version",
                        "subject",
                        (pl.col("window") * width).alias("window_start_ns"),
                        ((pl.col("window") + 1) * width).alias("window_end_ns"),
                        pl.lit(task.revision).alias("revision"),
                        "value",
                        "rows",
                    )
                )
            self._report.done.append(Done.of(task, status, reasons))
        self._ledger.publish(manifests=manifests, values=pl.concat(kept) if kept else None)
        for task, manifest in zip(step, manifests, strict=True):
            self._published[task.key] = task.becomes(Status(manifest["status"]))

    def _manifest(
        self, task: Task, own: pl.DataFrame, status: Status, reasons: list[str], *, refused: int
    ) -> dict[str, Any]:
        plain: dict[str, Any] = {
            "why": task.why,
            "rows": task.rows,
            "refused": refused,
            "subjects": own.height,
            "held": reasons,
            "accepted": task.is_accepted and bool(reasons),
        }
        if task.metric.smooth is None:
            plain["files"] = [
                {"name": name, "sha256": self._inputs[name].sha256} for name in task.sources
            ]
        else:
            width = task.metric.width_ns
            plain["warm_up"] = {
                "wanted": task.metric.smooth.warm_up_windows,
                "found": len(task.sources) - 1,
                "window_starts_ns": [int(w) * width for w in task.sources],
            }
        return {
            "kpis": self._kpis.name,
            "metric": task.metric.name,
            "metric_version": task.metric.version,
            "window_start_ns": task.window * task.metric.width_ns,
            "window_end_ns": (task.window + 1) * task.metric.width_ns,
            "revision": task.revision,
            "status": str(status),
            "inputs": task.inputs,
            "calibration": task.calibration,
            "definition": task.metric.definition,
            "manifest": plain,
            "computed_ns": self._wall_ns(),
        }

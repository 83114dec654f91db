"""The KPI job: looks at the files, plans, computes, and publishes what the gates let through.

Killed at any moment it has published whole steps and nothing else; run again it goes on with the
rest. What it reads at a time is bounded (``kpi_rows_at_once``), however many rows there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from math import gcd
from typing import Any

from sightline.act.kpi_ledger import KpiLedger
from sightline.errors import SourceError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.runtime.kpis.form import KpiSet
from sightline.runtime.kpis.plan import (
    Input,
    Key,
    Revision,
    Status,
    Task,
    check_definitions,
    plan_rows,
    plan_smoothed,
    slices,
)
from sightline.runtime.kpis.reading import KpiFiles
from sightline.runtime.kpis.report import Done, KpiReport
from sightline.sense.objects import ObjectFolder

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
    from sightline.runtime.kpis.steps import Keeping, computed, smoothed  # noqa: PLC0415

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

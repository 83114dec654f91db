"""Computes the planned windows step by step, and publishes what the gates let through."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Any

import polars as pl

from sightline.act.kpi_ledger import KpiLedger
from sightline.limits import Limits
from sightline.runtime.engine.stream import duplicates_by_sequence
from sightline.runtime.kpis.compute import (
    admitted_rows,
    held_because,
    smoothed_values,
    values_of_rows,
)
from sightline.runtime.kpis.form import VALUE_SCHEMA, KpiSet
from sightline.runtime.kpis.plan import Input, Key, Revision, Status, Task
from sightline.runtime.kpis.reading import KpiFiles
from sightline.runtime.kpis.report import Done, KpiReport


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

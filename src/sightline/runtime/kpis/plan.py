"""Which windows of which metrics have to be computed, and why: a function of what is known.

A window of a metric is what its inputs, its corrections and its definition make of it. All three
have digests; a window whose newest revision has the same three is left alone. So a rerun plans
nothing, a late file plans the windows that it has rows of, and a correction those it touches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from sightline.errors import PipelineError, SourceError, UsageError
from sightline.limits import Limits
from sightline.records.windows import IntArray
from sightline.runtime.kpis.form import KpiSet, Metric, digest_of


class Status(StrEnum):
    """What became of a revision of a window."""

    PUBLISHED = "published"
    HELD = "held"


class Why(StrEnum):
    """Why a window is computed."""

    NEW = "new"
    LATE = "late rows"
    CALIBRATION = "calibration"
    WARM_UP = "windows before it changed"
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Input:
    """A file, and which windows it has rows of.

    Attributes:
        name: from the source's root.
        size: bytes.
        identity: what tells cheaply that it is the same file; empty: it must be read to know.
        sha256: of its bytes, hex.
        without_time: rows whose time cannot be read; they are in no window.
        grid_ns: width of the slots below.
        slots: int64[s], numbers of the slots that it has rows in, ascending.
        rows: int64[s], rows in each.
    """

    name: str
    size: int
    identity: str
    sha256: str
    without_time: int
    grid_ns: int
    slots: IntArray
    rows: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """The newest revision of a window of a metric, as its manifest says."""

    number: int
    status: Status
    inputs: str
    calibration: str
    definition: str
    is_accepted: bool = False


Key = tuple[str, int, int]
"""Metric, version, number of the window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One window of one metric that has to be computed.

    Attributes:
        metric: which.
        window: its number.
        revision: number of the new revision, from 0.
        inputs: digest of what it is made of.
        sources: names of files, or, of a smoothed metric, numbers of the windows before.
        rows: in the window, by the files' times; of a smoothed metric 0.
        calibration: digest of the corrections.
        why: it is computed.
        is_accepted: somebody has said that it is published whatever the gates say.
    """

    metric: Metric
    window: int
    revision: int
    inputs: str
    sources: tuple[str, ...]
    rows: int
    calibration: str
    why: Why
    is_accepted: bool = False

    @property
    def key(self) -> Key:
        """Of the window."""
        return (self.metric.name, self.metric.version, self.window)

    def becomes(self, status: Status) -> Revision:
        """The revision that it is once it is stored."""
        return Revision(
            number=self.revision,
            status=status,
            inputs=self.inputs,
            calibration=self.calibration,
            definition=self.metric.definition,
        )


def check_append_only(
    known: Mapping[str, Input], found: Mapping[str, tuple[int, str]], *, where: str
) -> list[str]:
    """Names of files that are gone; what a published window was made of must not change.

    Args:
        known: files of earlier runs.
        found: size and identity of those that are there now.
        where: for errors.

    Raises:
        SourceError: a file has another size than before.
    """
    changed = [n for n, (size, _) in found.items() if n in known and known[n].size != size]
    if changed:
        raise rewritten(changed, where)
    return sorted(set(known) - set(found))


def rewritten(names: Sequence[str], where: str) -> SourceError:
    """What to say of files whose bytes are others than before."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return SourceError(
        expected="files that are only ever added",
        got=f"other contents in {', '.join(sorted(names)[:3])}{more}",
        where=where,
        action="put the old file back and the corrected rows into a file of their own; rows with "
        "a higher sequence number win",
    )


def check_definitions(kpis: KpiSet, published: Mapping[Key, Revision], *, where: str) -> None:
    """Raise PipelineError where a version of a metric has come to mean something else."""
    meant = {(name, version): r.definition for (name, version, _), r in published.items()}
    for metric in kpis.metrics:
        before = meant.get((metric.name, metric.version), metric.definition)
        if before != metric.definition:
            raise PipelineError(
                expected=f"version {metric.version} of {metric.name} to mean what it meant",
                got="another definition",
                where=f"{where}, metrics.{metric.name}",
                action=f"write `version: {metric.version + 1}`: the windows in --since and --until "
                "are then computed anew beside the old ones",
            )


def windows_of(inputs: Iterable[Input], width_ns: int) -> dict[int, list[tuple[Input, int]]]:
    """By number of window: the files with rows in it, in order of digest, and how many rows."""
    found: dict[int, list[tuple[Input, int]]] = {}
    for one in sorted(inputs, key=lambda i: i.sha256):
        if not len(one.slots):
            continue
        window = one.slots // (width_ns // one.grid_ns)
        numbers, start = np.unique(window, return_index=True)
        rows = np.add.reduceat(one.rows, start)
        for number, count in zip(numbers.tolist(), rows.tolist(), strict=True):
            found.setdefault(number, []).append((one, count))
    return found


def plan_rows(
    kpis: KpiSet,
    inputs: Sequence[Input],
    published: Mapping[Key, Revision],
    *,
    within: tuple[int, int],
    accepted: Iterable[int] = (),
    limits: Limits,
) -> list[Task]:
    """Windows to compute from rows, in order of time.

    Args:
        kpis: the metrics.
        inputs: all files that are there.
        published: newest revisions.
        within: event time in ns, begin inclusive, end exclusive; only whole windows inside count.
        accepted: times in ns; a held window that has one of them in it is published.
        limits: ``kpi_windows``.

    Raises:
        UsageError: more windows than the bound.
    """
    tasks: list[Task] = []
    at_width: dict[int, dict[int, list[tuple[Input, int]]]] = {}
    for metric in (m for m in kpis.metrics if m.smooth is None):
        width = metric.width_ns
        if width not in at_width:
            at_width[width] = windows_of(inputs, width)
        took = {at_ns // width for at_ns in accepted}
        for window, parts in at_width[width].items():
            if window * width < within[0] or (window + 1) * width > within[1]:
                continue
            task = Task(
                metric=metric,
                window=window,
                revision=0,
                inputs=digest_of([one.sha256 for one, _ in parts]),
                sources=tuple(one.name for one, _ in parts),
                rows=sum(rows for _, rows in parts),
                calibration=kpis.calibrated(metric, window),
                why=Why.NEW,
                is_accepted=window in took,
            )
            needed = _needed(task, published.get(task.key))
            if needed is not None:
                tasks.append(needed)
    if len(tasks) > limits.kpi_windows:
        raise UsageError(
            expected=f"at most {limits.kpi_windows:,} windows of metrics in one run",
            got=f"{len(tasks):,}",
            where="kpi",
            action="give --since and --until, and run it for one range after the other",
        )
    return sorted(tasks, key=lambda t: (t.window * t.metric.width_ns, t.metric.name))


def plan_smoothed(
    kpis: KpiSet, published: Mapping[Key, Revision], *, within: tuple[int, int]
) -> list[Task]:
    """Windows of smoothed metrics to compute, from the windows published by now."""
    tasks: list[Task] = []
    for metric in kpis.metrics:
        if metric.smooth is None:
            continue
        base = next(m for m in kpis.metrics if m.name == metric.smooth.of)
        digests = {
            window: digest_of([r.number, r.inputs, r.calibration])
            for (name, version, window), r in published.items()
            if (name, version) == (base.name, base.version) and r.status is Status.PUBLISHED
        }
        width = metric.width_ns
        for window in digests:
            if window * width < within[0] or (window + 1) * width > within[1]:
                continue
            first = window - metric.smooth.warm_up_windows
            before = [w for w in range(first, window + 1) if w in digests]
            task = Task(
                metric=metric,
                window=window,
                revision=0,
                inputs=digest_of([[w, digests[w]] for w in before]),
                sources=tuple(map(str, before)),
                rows=0,
                calibration=kpis.calibrated(metric, window),
                why=Why.NEW,
            )
            needed = _needed(task, published.get(task.key))
            if needed is not None:
                tasks.append(needed)
    return sorted(tasks, key=lambda t: (t.window, t.metric.name))


def _needed(task: Task, newest: Revision | None) -> Task | None:
    """The task as the next revision, or None where the newest one is of the same things."""
    if newest is None:
        return task
    why: Why | None = None
    if newest.inputs != task.inputs:
        why = Why.LATE if task.metric.smooth is None else Why.WARM_UP
    elif newest.calibration != task.calibration:
        why = Why.CALIBRATION
    elif newest.status is Status.HELD and task.is_accepted:
        why = Why.ACCEPTED
    if why is None:
        return None
    return _replaced(task, revision=newest.number + 1, why=why)


def _replaced(task: Task, **changed: Any) -> Task:
    plain = {name: getattr(task, name) for name in task.__slots__}
    return Task(**plain | changed)


def slices(tasks: Sequence[Task], *, rows: int) -> list[list[Task]]:
    """Tasks in order of time, cut where the rows of a slice would be more than ``rows``.

    A window is never cut: one with more rows is a slice of its own.

    Args:
        tasks: of :func:`plan_rows`.
        rows: most of one slice.
    """
    found: list[list[Task]] = []
    counted: dict[int, dict[int, int]] = {}
    for task in tasks:
        of_width = counted.setdefault(task.metric.width_ns, {})
        more = 0 if task.window in of_width else task.rows
        if found and sum(of_width.values()) + more <= rows:
            found[-1].append(task)
        else:
            found.append([task])
            counted = {task.metric.width_ns: (of_width := {})}
        of_width[task.window] = task.rows
    return found

"""What a novelty stage found unusual: the detector of one series, made again from the log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline.errors import UsageError
from sightline.evidence.words import figure, moment, span
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.perceive.normal.attribution import (
    ScoreAttribution,
    WidthAttribution,
    attribute_series,
)
from sightline.recorder import read_entries
from sightline.recorder.retention import first_kept
from sightline.records import Decision, EntryKind
from sightline.records.entry import CORE_INPUTS
from sightline.records.windows import FloatArray, IntArray
from sightline.runtime import RunDirectory
from sightline.runtime.engine.core import PartitionCore
from sightline.runtime.engine.hosting import FAN_IN
from sightline.runtime.engine.outputs import StageRows
from sightline.runtime.engine.replay import fresh_core
from sightline.runtime.plan import Plan
from sightline.runtime.stage import Chain, Measure, Step
from sightline.runtime.stages.novelty import NoveltyStage

MAX_WINDOWS = 2_000_000
"""Windows of one series that are gathered; a longer history is not looked at."""
_SHOWN_WIDTHS = 3
_SHOWN_FEATURES = 2
_LEAST_SHARE = 0.05
_SAME = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class NoveltyAccount:
    """Why a measure was unlike its own past.

    Attributes:
        stage: the novelty stage.
        measure: what it scored.
        unit: of the measure.
        width_ns: of a window.
        why: attribution of the score of the decided window; None where it could not be made.
        note: why not, or what is in doubt; ``""`` if nothing.
    """

    stage: str
    measure: str
    unit: str
    width_ns: int
    why: ScoreAttribution | None
    note: str = ""

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "stage": self.stage,
            "measure": self.measure,
            "unit": self.unit,
            "window_ns": self.width_ns,
            "attribution": None if self.why is None else self.why.as_mapping(),
            "note": self.note,
        }

    def lines(self) -> Iterator[str]:
        """For a terminal, most unusual first."""
        if self.note:
            yield f"  {self.note}"
        if self.why is None:
            return
        shown = [one for one in self.why.widths if one.deviations > 0][:_SHOWN_WIDTHS]
        for one in shown:
            yield from self._width(one)
        quiet = sorted(one.width for one in self.why.widths if one not in shown)
        if quiet:
            yield f"  less in stretches of {', '.join(map(str, quiet))} windows"

    def _width(self, one: WidthAttribution) -> Iterator[str]:
        yield (
            f"  the last {one.width} windows: {figure(one.deviations)} deviations further from the "
            f"past than usual (distance {figure(one.distance)}, usual {figure(one.usual)} ± "
            f"{figure(one.usual_spread)})"
        )
        parts = []
        for name in one.leading()[:_SHOWN_FEATURES]:
            now, nearest, share = one.feature(name)
            if share >= _LEAST_SHARE:
                parts.append(
                    f"{name} {figure(now, self.unit)}, in the nearest normal one "
                    f"{figure(nearest, self.unit)} ({share:.0%} of it)"
                )
        if parts:
            yield f"    {'; '.join(parts)}"
        normal = one.normal
        if normal is None or normal.start_ns is None or normal.end_ns is None:
            yield "    nearest normal stretch: older than what is at hand"
        else:
            yield f"    nearest normal stretch: {span(normal.start_ns, normal.end_ns)}"


def novelty_account(
    run: RunDirectory,
    decision: Decision,
    *,
    partition: str,
    sequence: int,
    limits: Limits = DEFAULT_LIMITS,
) -> NoveltyAccount | None:
    """Attribute the novelty that a decision rests on; None if it rests on none.

    Args:
        run: it was made in.
        decision: its last revision.
        partition, sequence: where the log says it.
        limits: bounds for reading the log.

    Raises:
        LogError: the log is damaged.
    """
    found = _novelty_under(run.plan, decision)
    if found is None:
        return None
    chain, step, measure = found
    stage = step.stage
    assert isinstance(stage, NoveltyStage)

    def account(why: ScoreAttribution | None, note: str = "") -> NoveltyAccount:
        return NoveltyAccount(
            stage=step.name,
            measure=measure.column,
            unit=measure.unit,
            width_ns=chain.width_ns,
            why=why,
            note=note,
        )

    names = [partition] if partition != FAN_IN else [n for n in run.partitions if n != FAN_IN]
    if any(first_kept(run.storage, name, limits=limits) for name in names):
        return account(None, "what it had learnt is not at hand: the log before it was pruned")
    key = decision.subject.removesuffix(f"/{measure.field}") if measure.field else decision.subject
    history = _Windows(chain.name, key, measure.column)
    until = sequence if partition != FAN_IN else None
    for name in names:
        if not _gather(run, name, history, until=until, limits=limits):
            return account(None, "rows are in files beside the log: they are not read again")
        if history.value:
            break
    window_ns = chain.slide_ns
    starts, values = history.series(window_ns, most_gap=stage.normal_settings.widths[-1])
    at = np.flatnonzero(starts == decision.window_start_ns)
    if not len(at) or len(history.value) >= MAX_WINDOWS:
        return account(None, "its windows are not at hand")
    row = int(at[-1])
    try:
        why = attribute_series(
            values[: row + 1],
            learn_rows=stage.learning_windows(f"{key}/{measure.column}"),
            row=row,
            settings=stage.normal_settings,
            time_ns=starts[: row + 1],
        )
    except UsageError as error:
        return account(None, f"{error.expected}; got {error.got}")
    added = step.adds[step.reads.index(measure)].column
    logged = next((r.value for r in decision.reasons if r.measure == added), np.nan)
    is_same = abs(why.score - logged) <= _SAME * max(1.0, abs(logged))
    return account(
        why,
        ""
        if is_same
        else f"the series had begun anew: scored {figure(logged)} then, {figure(why.score)} here",
    )


def _novelty_under(plan: Plan, decision: Decision) -> tuple[Chain, Step, Measure] | None:
    """The novelty stage whose score a decision names, and what it scored."""
    named = {reason.measure for reason in decision.reasons}
    for chain in plan.chains:
        if decision.kind not in {step.name for step in chain.steps}:
            continue
        for step in chain.steps:
            if not isinstance(step.stage, NoveltyStage):
                continue
            for measure, added in zip(step.reads, step.adds, strict=True):
                if added.column in named:
                    return chain, step, measure
    return None


class _Windows:
    """The values of one measure of one key, as the windows stage last wrote them."""

    def __init__(self, stage: str, key: str, column: str) -> None:
        self._stage = stage
        self._key = key
        self._column = column
        self.value: dict[int, float] = {}

    def observe(self, rows: StageRows) -> None:
        if rows.stage != self._stage or self._key not in rows.subjects:
            return
        at = rows.columns.index(self._column)
        for i, subject in enumerate(rows.subjects):
            if subject == self._key and len(self.value) < MAX_WINDOWS:
                self.value[int(rows.start_ns[i])] = float(rows.values[i, at])

    def series(self, window_ns: int, *, most_gap: int) -> tuple[IntArray, FloatArray]:
        """Starts of the windows and values, missing ones as the stage counts them."""
        known = np.array(sorted(self.value), np.int64)
        if not len(known):
            return known, np.empty(0)
        gap = np.minimum(np.diff(known) // window_ns - 1, most_gap)
        place = np.concatenate([[0], np.cumsum(gap + 1)])
        values = np.full(int(place[-1]) + 1, np.nan)
        values[place] = [self.value[start] for start in known.tolist()]
        # A missing window is at the time after the one before it.
        of = np.searchsorted(place, np.arange(len(values)), side="right") - 1
        starts = known[of] + (np.arange(len(values)) - place[of]) * window_ns
        return starts, values


def _gather(
    run: RunDirectory, name: str, into: _Windows, *, until: int | None, limits: Limits
) -> bool:
    """Run the core of a partition over its log; whether all its rows are in it."""
    core = fresh_core(run, name, observe=into.observe, limits=limits)
    assert isinstance(core, PartitionCore)
    for entry in read_entries(run.storage, name, until=until, kinds=CORE_INPUTS, limits=limits):
        if entry.kind is EntryKind.INPUT_REFERENCE:
            return False
        core.step(entry)
    return True


def novelty_title(account: NoveltyAccount, decision: Decision) -> str:
    """What the lines are about."""
    until = moment(decision.window_end_ns)
    return f"what is unusual of {account.measure} until {until} (its detector made again)"

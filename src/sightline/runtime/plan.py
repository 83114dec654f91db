"""A checked plan: what a pipeline description comes to once everything in it fits together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sightline.records.signals import NS_PER_S
from sightline.runtime.pipeline import (
    AlarmForm,
    Pipeline,
    PresenceForm,
    SilenceForm,
    StageForm,
    WindowsForm,
)
from sightline.sense import Contract


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A column of a window series that can be scored or decided on."""

    column: str
    field: str
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A stage after the windows, with the measures it reads and those it adds."""

    name: str
    form: StageForm
    version: str
    reads: tuple[Measure, ...]
    adds: tuple[Measure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlausibilityCheck:
    """A sign of a broken sensor that a contract names, as a statistic of a window.

    Attributes:
        field: of the contract.
        column: of the window series.
        above: what is implausible, in ``unit``: any value greater than this.
        unit: of the column.
        code: reason code.
        version: contract and digest.
    """

    field: str
    column: str
    above: float
    unit: str
    code: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A windows or presence stage and everything that hangs on it, in order."""

    name: str
    form: WindowsForm | PresenceForm
    version: str
    source: str
    width_ns: int
    slide_ns: int
    fields: tuple[str, ...]
    statistics: tuple[str, ...]
    steps: tuple[Step, ...]
    columns: tuple[str, ...]
    lookback: int
    """Settled windows that the steps look back on, at least 1."""
    plausibility: tuple[PlausibilityCheck, ...] = ()

    def statistics_of(self, field: str) -> tuple[str, ...]:
        """Statistics of a field: those asked for, then those its plausibility needs."""
        needed = (c.column.removeprefix(f"{field}.") for c in self.plausibility if c.field == field)
        return tuple(dict.fromkeys([*self.statistics, *needed]))

    @property
    def own_columns(self) -> tuple[str, ...]:
        """Columns the windows stage itself fills."""
        added = sum(len(s.adds) for s in self.steps)
        return self.columns[: len(self.columns) - added]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A pipeline that fits together.

    Attributes:
        pipeline: the description it was made from.
        contracts: by source.
        digest: 16 hex digits over everything that can change a decision.
        chains: in order of the description.
        group_silences: silence stages of scope group or global, for the fan-in partition.
        has_fan_in: whether any decision needs more than one key.
    """

    pipeline: Pipeline
    contracts: Mapping[str, Contract]
    digest: str
    chains: tuple[Chain, ...]
    group_silences: tuple[Step, ...]
    has_fan_in: bool
    origin: str = "<python>"

    @property
    def tick_ns(self) -> int:
        return round(self.pipeline.tick_s * NS_PER_S)

    @property
    def out_of_order_ns(self) -> int:
        """The largest of the sources: what a fan-in waits for."""
        return max(c.out_of_order_ns for c in self.contracts.values())

    def pane_ns(self, source: str) -> int:
        """Width of the row store's panes: the largest that every window is made of."""
        slides = [c.slide_ns for c in self._windows(source)]
        widths = [c.width_ns for c in self.chains if c.source == source]
        return math.gcd(*slides) if slides else min(widths, default=self.tick_ns)

    def widest_ns(self, source: str) -> int:
        """Width of the widest window of a source: when it is settled, so are its rows."""
        return max((c.width_ns for c in self._windows(source)), default=self.pane_ns(source))

    def _windows(self, source: str) -> list[Chain]:
        return [c for c in self.chains if c.source == source and isinstance(c.form, WindowsForm)]

    def deciding_steps(self) -> dict[str, Step]:
        """All stages that decide, by name."""
        steps = [s for c in self.chains for s in c.steps] + list(self.group_silences)
        return {s.name: s for s in steps if isinstance(s.form, AlarmForm | SilenceForm)}


def silence_timeout_ns(plan: Plan, step: Step) -> int:
    """Time-out of a silence stage: its own, or that of the source's contract."""
    form = step.form
    assert isinstance(form, SilenceForm)
    if form.timeout_s is not None:
        return round(form.timeout_s * NS_PER_S)
    silence = plan.contracts[plan.pipeline.stages[form.input].input].silence
    assert silence is not None  # the planner has checked it
    return round(silence.timeout_s * NS_PER_S)

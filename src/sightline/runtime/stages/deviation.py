"""``robust_deviation``, ``level_deviation``: how unusual a measure is against what was before."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

import numpy as np
from pydantic import Field

from sightline.perceive.deviation import level_deviation, robust_deviation
from sightline.records.decision import Mode, Reason
from sightline.records.readings import Arrays
from sightline.runtime.settings import GuardSettings, SeriesSettings
from sightline.runtime.stage import Measure, Planning, Stage, Windows, Wiring

_LEAST_SPREAD = 1e-9
_SCORERS = MappingProxyType(
    {"robust_deviation": robust_deviation, "level_deviation": level_deviation}
)


class DeviationSettings(SeriesSettings):
    """How unusual a measure is against the windows before it."""

    measures: Annotated[tuple[str, ...], Field(min_length=1)]
    """Columns of the input, ``snr_db.mean``."""
    history: Annotated[int, Field(ge=2, le=4096)] = 60
    """Windows before the one at hand that it is compared with."""
    min_history: Annotated[int, Field(ge=2)] = 20
    """Least number of those that have a value; with fewer there is no score."""
    floor: dict[str, Annotated[float, Field(gt=0)]] = {}
    """Smallest spread that counts, by measure, in its unit; 1e-9 where not given."""
    guarded: GuardSettings | None = None
    """Run it outside the core, with a deadline and a fallback."""


class _Deviation(Stage):
    Settings = DeviationSettings
    scores = True

    def plan(self, planning: Planning) -> Wiring:
        form: DeviationSettings = self.settings
        reads = tuple(planning.measure(form.input, m) for m in form.measures)
        if form.min_history > form.history:
            planning.fail("min_history at most history", str(form.min_history))
        for measure in form.floor:
            if measure not in form.measures:
                planning.fail("floor: for measures of the stage", measure, form.measures)
        if form.guarded is not None and form.guarded.fallback is not None:
            fallback = form.guarded.fallback
            if fallback not in _SCORERS or fallback == self.use:
                planning.fail(
                    "guarded.fallback: another scorer of the same type", fallback, list(_SCORERS)
                )
        adds = tuple(
            Measure(column=f"{self.name}.{m.field or m.column}", field=m.field, unit="1")
            for m in reads
        )
        return Wiring(reads=reads, adds=adds)

    def explain(self, reason: Reason) -> str:
        del reason
        return "the value that was compared with the windows before it"

    @property
    def lookback(self) -> int:
        return int(self.settings.history)

    @property
    def extra_columns(self) -> tuple[str, ...]:
        return (self.mode_column,)

    @property
    def mode_column(self) -> str:
        """Column that says how the scores came about: 0 primary, 1 fallback."""
        return f"{self.name}.mode"

    @property
    def guard(self) -> GuardSettings | None:
        found: GuardSettings | None = self.settings.guarded
        return found

    def models(self) -> Mapping[str, str]:
        guard = self.guard
        second = "" if guard is None or guard.fallback is None else f", fallback {guard.fallback}@1"
        return {self.name: f"{self.use}@{self.version}{second}"}

    def run(self, windows: Windows) -> tuple[()]:
        self.take(windows, self.answer(self.ask(windows), self.use), Mode.PRIMARY)
        return ()

    def ask(self, windows: Windows) -> Arrays:
        """Everything a scorer needs, measures one after the other.

        ``history`` float64[n, h], values before each, oldest first, NaN where there are none;
        ``current`` float64[n]; ``floor`` float64[n], smallest spread that counts.
        """
        form, reads = self.settings, windows.step.reads
        floor = [np.full(len(windows), form.floor.get(m, _LEAST_SPREAD)) for m in form.measures]
        return {
            "history": np.concatenate([windows.history(m, form.history) for m in reads]),
            "current": np.concatenate([windows.values(m) for m in reads]),
            "floor": np.concatenate(floor),
        }

    def answer(self, asked: Arrays, use: str) -> Arrays:
        found = _SCORERS[use](
            history=asked["history"],
            current=asked["current"],
            floor=asked["floor"],
            min_history=self.settings.min_history,
        )
        return {"scores": found}

    def is_usable(self, answer: Arrays, asked: Arrays) -> bool:
        """Right shape, finite wherever there was evidence."""
        scores, current = answer.get("scores"), asked["current"]
        if not isinstance(scores, np.ndarray) or scores.shape != current.shape:
            return False
        seen = np.isfinite(asked["history"]).sum(axis=1)
        evidence = np.isfinite(current) & (seen >= self.settings.min_history)
        return bool((np.isfinite(scores) | (~evidence & np.isnan(scores))).all())

    def take(self, windows: Windows, answer: Arrays, mode: Mode) -> None:
        adds = windows.step.adds
        for measure, part in zip(adds, np.split(answer["scores"], len(adds)), strict=True):
            windows.put(measure, part)
        mode_column = windows.chain.series.column(self.mode_column)
        mode_column[windows.targets] = float(mode is Mode.FALLBACK)


class RobustDeviation(_Deviation):
    """How far a value is from the median of the windows before it, in robust spreads."""

    use = "robust_deviation"


class LevelDeviation(_Deviation):
    """How far a value is from the mean of the windows before it, in standard deviations."""

    use = "level_deviation"

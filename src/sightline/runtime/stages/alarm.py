"""``alarm``: threshold, m-of-n persistence and hysteresis on a measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from sightline.decide import AlarmRule, alarm_states
from sightline.decide.alerting.budget import BudgetTarget, allocate
from sightline.records import Decision
from sightline.records.decision import Mode, Reason
from sightline.records.signals import NS_PER_S
from sightline.runtime.settings import DecidingSettings
from sightline.runtime.stage import (
    BY_FALLBACK,
    ChainView,
    Measure,
    Planning,
    Stage,
    SubjectTransitions,
    Windows,
    Wiring,
)

PERSISTENCE = "PERSISTENCE"
"""How many of the last windows agreed."""
SCORED_VALUE = "SCORED_VALUE"
"""The value that a score is about."""
_DEGRADED_SHARE = 0.5  # a window with less than this share of its expected rows is degraded


class AlarmSettings(DecidingSettings):
    """Threshold, m-of-n persistence and hysteresis on one measure."""

    measure: str
    """Column of the input: ``snr_db.mean``, or ``*.stuck_s`` for that of every field."""
    unit: str
    """Unit of the thresholds; the same as that of the measure."""
    raise_above: float | None = None
    """Raised when the measure is above it; or give ``raise_below``."""
    clear_below: float | None = None
    """Cleared when it is back at or below it; null: at ``raise_above``."""
    raise_below: float | None = None
    """Raised when the measure is below it."""
    clear_above: float | None = None
    """Cleared when it is back at or above it; null: at ``raise_below``."""
    false_alerts_per_day: Annotated[float, Field(gt=0)] | None = None
    """Expected false alerts of one key in a day, all measures of this stage together: instead of
    ``raise_above``, where the input is a ``calibration``."""
    m: Annotated[int, Field(ge=1, le=64)] = 1
    """Windows that must agree, among the last ``n``."""
    n: Annotated[int, Field(ge=1, le=64)] = 1
    """Windows that are looked at, the one at hand included."""


class AlarmStage(Stage):
    """A measure is beyond its threshold in m of n windows, until it is back in m of n."""

    use = "alarm"
    Settings = AlarmSettings
    writes = "decisions"
    decides = True

    # --- before the run ---------------------------------------------------------------------------

    def plan(self, planning: Planning) -> Wiring:
        form: AlarmSettings = self.settings
        if form.false_alerts_per_day is None:  # else its threshold is worked out below
            _check_thresholds(form, planning)
        reads = planning.measures_like(form.input, (form.measure,))
        for measure in reads:
            if measure.unit != form.unit:
                planning.fail(
                    f"unit: {measure.unit} (of {measure.column})",
                    form.unit,
                    action=f"write `unit: {measure.unit}`, with thresholds in it; or give the "
                    f"field `unit: {form.unit}` in its contract, if that is what it is",
                )
        if len({m.field for m in reads}) < len(reads):  # their decisions would share a subject
            planning.fail("one measure of each field, and one without", form.measure)
        adds = tuple(
            Measure(column=f"{self.name}.state:{m.column}", field=m.field, unit="1") for m in reads
        )
        return Wiring(reads=reads, adds=adds, settings=_with_threshold(form, reads, planning))

    @property
    def lookback(self) -> int:
        return int(self.settings.n)

    @property
    def rule(self) -> AlarmRule:
        """Its thresholds; without a clear threshold there is no dead-band."""
        form: AlarmSettings = self.settings
        is_high = form.raise_above is not None
        at = form.raise_above if is_high else form.raise_below
        clear = form.clear_below if is_high else form.clear_above
        assert at is not None
        return AlarmRule(
            raise_at=at, clear_at=at if clear is None else clear, is_high=is_high, m=form.m,
            n=form.n,
        )  # fmt: skip

    def explain(self, reason: Reason) -> str:
        form: AlarmSettings = self.settings
        if reason.code == form.code:
            side = "above" if form.raise_above is not None else "below"
            return f"it is raised while {reason.measure} is {side} its threshold"
        if reason.code == PERSISTENCE:
            return f"windows beyond the threshold among the last {form.n}"
        return super().explain(reason)

    # --- during the run ---------------------------------------------------------------------------

    def run(self, windows: Windows) -> Sequence[SubjectTransitions]:
        """Write alarm states; what changed, per subject looked at that matters."""
        rule = self.rule
        chain, targets = windows.chain, windows.targets
        series = chain.series
        key, window = series.key, series.window
        found: list[SubjectTransitions] = []
        before = series.previous(targets, 1)
        is_first = np.ones(len(targets), np.bool_)
        is_first[1:] = key[targets[1:]] != key[targets[:-1]]
        start = np.flatnonzero(is_first)
        end = np.append(start[1:], len(targets))
        for measure, state in zip(windows.step.reads, windows.step.adds, strict=True):
            state_column = series.column(state.column)
            was = (before >= 0) & (state_column[np.maximum(before, 0)] == 1.0)
            # What these windows said before; where it was silent and still is, nothing can change.
            had = state_column[targets].copy()
            states = alarm_states(
                rule,
                key=key,
                window=window,
                measure=series.column(measure.column),
                targets=targets,
                was_raised=was,
            )
            state_column[targets] = states.is_raised
            matters = states.changed | (np.isfinite(had) & (had != was)) | (had == 1.0)
            touched = np.add.reduceat(matters, start) > 0 if len(start) else np.empty(0, np.bool_)
            for lo, hi in zip(start[touched], end[touched], strict=True):
                changed = np.flatnonzero(states.changed[lo:hi]) + lo
                name = chain.stream.keys[int(key[targets[lo]])]
                subject = f"{name}/{measure.field}" if measure.field else name
                found.append(
                    SubjectTransitions(
                        subject=subject,
                        from_ns=int(series.end_ns(targets[lo : lo + 1])[0]),
                        decisions=[
                            self._decision(
                                windows,
                                measure,
                                rule,
                                subject=subject,
                                row=int(targets[i]),
                                raised=bool(states.is_raised[i]),
                                agreeing=int(states.agreeing[i]),
                            )
                            for i in changed
                        ],
                    )
                )
        return found

    def _decision(
        self,
        windows: Windows,
        measure: Measure,
        rule: AlarmRule,
        *,
        subject: str,
        row: int,
        raised: bool,
        agreeing: int,
    ) -> Decision:
        form: AlarmSettings = self.settings
        chain, step = windows.chain, windows.step
        series = chain.series
        at = np.array([row])
        start_ns, end_ns = int(series.start_ns(at)[0]), int(series.end_ns(at)[0])
        value = float(series.column(measure.column)[row])
        reasons = [
            Reason(
                code=form.code,
                measure=measure.column,
                value=value,
                threshold=rule.raise_at if raised else rule.clear_at,
                unit=measure.unit,
                version=step.version,
            )
        ]
        scored, is_fallback = scored_values(chain, measure, row)
        reasons += scored
        mode = Mode.FALLBACK if is_fallback else Mode.PRIMARY
        if form.n > 1:
            reasons.append(
                Reason(
                    code=PERSISTENCE,
                    measure="windows_agreeing",
                    value=float(agreeing),
                    threshold=float(form.m),
                    unit="1",
                    version=step.version,
                )
            )
        implausible = _implausible(chain, measure.field, row, but=measure.column)
        if implausible:
            reasons += implausible
            mode = Mode.DEGRADED if mode is Mode.PRIMARY else mode
        rate_hz = chain.stream.contract.expected_rate_hz
        if mode is Mode.PRIMARY and rate_hz is not None:
            expected_rows = rate_hz * chain.chain.width_ns / NS_PER_S
            if series.column("rows")[row] < _DEGRADED_SHARE * expected_rows:
                mode = Mode.DEGRADED
        return step.decision(
            windows.pipeline,
            subject=subject,
            group=chain.stream.groups[int(series.column("group")[row])],
            raised=raised,
            event_ns=end_ns,
            window_start_ns=start_ns,
            window_end_ns=end_ns,
            score=value,
            confidence=min(1.0, agreeing / form.n),
            reasons=tuple(reasons),
            mode=mode,
        )


def scored_values(chain: ChainView, measure: Measure, row: int) -> tuple[list[Reason], bool]:
    """The measures that ``measure`` is a score of, one under the other.

    Args:
        chain: of the stage that decides.
        measure: that it decides on.
        row: of the window.

    Returns:
        A reason SCORED_VALUE for each, the score of a score first; whether a fallback answered
        for one of them.
    """
    found: list[Reason] = []
    series = chain.series
    measured = f"{BY_FALLBACK}.max"
    is_fallback = measured in chain.chain.columns and series.column(measured)[row] == 1.0
    # A step reads only what steps before it made, so one look back over them finds the whole line.
    for step in reversed(chain.chain.steps):
        if measure not in step.adds or not step.stage.scores:
            continue
        for mode_column in step.stage.extra_columns:
            is_fallback |= bool(series.column(mode_column)[row] == 1.0)
        measure = step.reads[step.adds.index(measure)]
        found.append(
            Reason(
                code=SCORED_VALUE,
                measure=measure.column,
                value=float(series.column(measure.column)[row]),
                threshold=math.nan,
                unit=measure.unit,
                version=step.version,
            )
        )
    return found, is_fallback


def _implausible(chain: ChainView, field: str, row: int, *, but: str) -> list[Reason]:
    """Why the window's values of ``field`` should not be trusted, by the contract's plausibility.

    ``but`` is the column that is decided on: what an alarm is about does not speak against it.
    """
    found: list[Reason] = []
    for check in chain.chain.plausibility:
        if check.field != field or check.column == but:
            continue
        value = float(chain.series.column(check.column)[row])
        if value > check.above:
            found.append(
                Reason(
                    code=check.code,
                    measure=check.column,
                    value=value,
                    threshold=check.above,
                    unit=check.unit,
                    version=check.version,
                )
            )
    return found


def _check_thresholds(form: AlarmSettings, planning: Planning) -> None:
    """One raise threshold, finite, and a clear threshold on its quiet side."""
    high = form.raise_above is not None
    low = form.raise_below is not None
    if high == low:
        planning.fail("either raise_above or raise_below", "both" if high else "neither")
    clear = form.clear_below if high else form.clear_above
    other = form.clear_above if high else form.clear_below
    if other is not None:
        planning.fail("the clear threshold on the quiet side", "the other one")
    at = form.raise_above if high else form.raise_below
    assert at is not None
    if clear is not None and (clear > at if high else clear < at):
        planning.fail(
            "a clear threshold on the quiet side of the raise threshold", f"{clear:g} for {at:g}"
        )
    if not math.isfinite(at):
        planning.fail("a finite threshold", str(at))
    if form.m > form.n:
        planning.fail("m at most n", f"{form.m} of {form.n}")


def _with_threshold(
    form: AlarmSettings, reads: Sequence[Measure], planning: Planning
) -> AlarmSettings:
    """The settings with the threshold that follows from their budget of false alerts.

    The expected false alerts of one key in a day are shared evenly by the measures of the stage
    (Bonferroni: rates add however the measures depend on each other). A measure is tested once a
    block of its calibration, so a share of ``a`` a day with ``b`` blocks a day is a rarity of
    ``-log10(a / b)``. Persistence makes it less; nothing is taken back for it.
    """
    if form.false_alerts_per_day is None:
        return form
    blocks_per_day = planning.upstream(form.input).blocks_per_day(planning.slide_ns)
    if blocks_per_day is None:
        planning.fail("false_alerts_per_day: on measures of a `calibration`", form.input)
    share = allocate(
        BudgetTarget(per_satellite_day=form.false_alerts_per_day),
        np.full(len(reads), blocks_per_day),
    )
    rarity = round(-math.log10(float(share[0])), 9)
    if form.raise_below is not None or form.raise_above not in (None, rarity):
        planning.fail(f"either false_alerts_per_day (which is raise_above: {rarity:g})", "both")
    if rarity <= 0:
        planning.fail(
            f"less than one false alert per block of each of {len(reads)} measures, "
            f"{blocks_per_day * len(reads):g} a day",
            f"{form.false_alerts_per_day:g}",
        )
    found = form.model_copy(update={"raise_above": rarity})
    _check_thresholds(found, planning)
    return found

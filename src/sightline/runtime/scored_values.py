"""What was scored: from the measure that an alarm decides on down to what was measured."""

from __future__ import annotations

import math

from sightline.records.decision import Reason
from sightline.runtime.chain import ChainState, mode_column
from sightline.runtime.pipeline import CalibrationForm, NoveltyForm, ScorerForm
from sightline.runtime.plan import Measure


def scored_values(chain: ChainState, measure: Measure, row: int) -> tuple[list[Reason], bool]:
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
    is_fallback = False
    series = chain.series
    # A step reads only what steps before it made, so one look back over them finds the whole line.
    for step in reversed(chain.chain.steps):
        if measure not in step.adds or not isinstance(
            step.form, ScorerForm | NoveltyForm | CalibrationForm
        ):
            continue
        if isinstance(step.form, ScorerForm):
            is_fallback |= bool(series.column(mode_column(step.name))[row] == 1.0)
        measure = step.reads[step.adds.index(measure)]
        found.append(
            Reason(
                code="SCORED_VALUE",
                measure=measure.column,
                value=float(series.column(measure.column)[row]),
                threshold=math.nan,
                unit=measure.unit,
                version=step.version,
            )
        )
    return found, is_fallback

"""When a stream of scores is worth telling again: the rule of the published benchmarks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import types

from sightline.perceive.compiled import kernel
from sightline.records.windows import FloatArray

_V = types.Array(types.float64, 1, "C", readonly=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class TellingRule:
    """When a stream of scores is worth telling again.

    Attributes:
        hold_rows: for so long after something was told, only what is much stronger is told.
        times: how many times as strong.
        version: of the rule.
    """

    hold_rows: int = 256
    times: float = 2.0
    version: str = "telling/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TellingState:
    """The score that was told last, and rows since then; ``math.inf`` before anything was."""

    level: float = 0.0
    rows_ago: float = math.inf


def told(
    score: FloatArray, rule: TellingRule, state: TellingState | None = None
) -> tuple[FloatArray, TellingState]:
    """The scores that are told, 0 elsewhere: an engineer is woken once, and again if it is worse.

    Args:
        score: float64[n]; NaN and what is not above 0 is never told.
        rule: see there.
        state: after the row before; default: nothing was told.

    >>> told(np.array([1.0, 1.5, 2.5, 2.0, 4.0]), TellingRule(hold_rows=2))[0].tolist()
    [1.0, 0.0, 2.5, 0.0, 0.0]
    """
    before = state or TellingState()
    found, level, rows_ago = _told(
        np.ascontiguousarray(score, np.float64),
        before.level,
        before.rows_ago,
        float(rule.hold_rows),
        rule.times,
    )
    return found, TellingState(level=level, rows_ago=rows_ago)


@kernel(_V, types.float64, types.float64, types.float64, types.float64)
def _told(
    score: FloatArray, level: float, rows_ago: float, hold_rows: float, times: float
) -> tuple[FloatArray, float, float]:
    # The loop is the specification: each row depends on what was told before it.
    found = np.zeros(len(score))
    for row in range(len(score)):
        rows_ago += 1.0
        if rows_ago > hold_rows:
            level = 0.0
        if score[row] > 0.0 and score[row] > times * level:
            found[row] = level = score[row]
            rows_ago = 0.0
    return found, level, rows_ago

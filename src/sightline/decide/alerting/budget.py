"""From false alerts per satellite-day to a tail probability per channel and block of time.

A channel is tested once per block; a false alert begins where a test of a normal block is beyond
its threshold (after persistence). With the probability α of that and b blocks a day a channel has
b·α expected false alerts a day, and a satellite the sum over its channels, *however the channels
depend on each other*: expectations add (Bonferroni, exact for rates). So α_c = λ w_c / b_c, with
weights w that sum to 1, keeps the total at λ.

Where channels and blocks are independent the promise can be read as a probability instead: a day
has no false alert with probability e^-λ, as in a Poisson process of rate λ. Šidák's α_c =
1 - (e^-λ)^(w_c / b_c) = 1 - exp(-λ w_c / b_c) keeps exactly that (Z. Šidák, JASA 62, 1967). It is
the smaller of the two by less than half of α², so both keep the expectation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sightline.errors import UsageError
from sightline.records.windows import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetTarget:
    """How many false alerts are allowed.

    Attributes:
        per_satellite_day: expected false alerts of one satellite in a day, above 0.
        per_engineer_day: the same for all satellites of one engineer together; None: no limit of
            its own.
        satellites: of one engineer, 1 or more.

    Raises:
        UsageError: a number out of its range.

    >>> BudgetTarget(per_satellite_day=0.01, per_engineer_day=1.0, satellites=500).in_force
    0.002
    """

    per_satellite_day: float
    per_engineer_day: float | None = None
    satellites: int = 1

    def __post_init__(self) -> None:
        rates = (self.per_satellite_day, self.per_engineer_day or 1.0)
        if self.satellites < 1 or not all(math.isfinite(r) and r > 0 for r in rates):
            raise UsageError(
                expected="rates above 0 and at least one satellite",
                got=f"{self}",
                where="alert budget",
                action="0.01 per satellite-day is one false alert in 100 days",
            )

    @property
    def in_force(self) -> float:
        """False alerts per satellite-day that keep both limits."""
        if self.per_engineer_day is None:
            return self.per_satellite_day
        return min(self.per_satellite_day, self.per_engineer_day / self.satellites)


def allocate(
    target: BudgetTarget,
    blocks_per_day: FloatArray,
    *,
    weights: FloatArray | None = None,
    is_independent: bool = False,
) -> FloatArray:
    """Tail probability per block of each channel of one satellite.

    Args:
        target: what is allowed.
        blocks_per_day: float64[c], tests of each channel in a day, above 0.
        weights: float64[c], what share of the budget each channel gets, by severity or
            criticality; any scale, 0 or more, not all 0. A channel of weight 0 never alerts.
            None: equal.
        is_independent: take Šidák's form, for a promise on days without a false alert.

    Returns:
        float64[c], 0 to 1. A channel of so few blocks that its share is more than one alert per
        block gets 1: the total is kept all the more.

    Raises:
        UsageError: shapes that differ, or numbers out of their range.

    >>> target = BudgetTarget(per_satellite_day=0.01)
    >>> allocate(target, np.array([1440.0, 144.0])).round(9).tolist()
    [3.472e-06, 3.4722e-05]
    """
    share = np.ones(len(blocks_per_day)) if weights is None else np.asarray(weights, np.float64)
    is_sound = (
        len(share) == len(blocks_per_day)
        and bool(np.all(np.isfinite(share) & (share >= 0)))
        and bool(np.all(np.isfinite(blocks_per_day) & (np.asarray(blocks_per_day) > 0)))
        and share.sum() > 0
    )
    if not is_sound:
        raise UsageError(
            expected="blocks above 0 and weights of 0 or more, not all 0, for each channel",
            got=f"{len(blocks_per_day)} channels, {len(share)} weights",
            where="alert budget, allocate",
            action="give each channel its blocks per day and its weight",
        )
    expected = target.in_force * share / share.sum() / blocks_per_day
    tail = -np.expm1(-expected) if is_independent else np.minimum(expected, 1.0)
    return np.asarray(tail, np.float64)

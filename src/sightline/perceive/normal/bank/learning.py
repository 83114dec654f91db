"""What the beginning of a series says of it, as ``SeriesDetector.learn`` has it."""

from __future__ import annotations

import numpy as np

from sightline.perceive.normal.bank import learning_kernels, look_kernels
from sightline.perceive.normal.bank.plan import BankPlan
from sightline.perceive.normal.settings import LEAST_SPREAD
from sightline.records.windows import FloatArray, IntArray


def learn(  # noqa: PLR0917 - the state of a series, in the order of a block
    values: FloatArray,
    plan: BankPlan,
    numbers: FloatArray,
    counts: IntArray,
    vectors: FloatArray,
    used: IntArray,
) -> bool:
    """Write what a stretch says of each width; False if nothing can be known.

    Args:
        values: float64[n], evenly spaced; NaN is missing.
        plan: of the bank.
        numbers, counts, vectors, used: of one series in a block; counts of 0 mean a width of
            which nothing is known.
    """
    settings = plan.settings
    counts[:] = 0
    known = values[np.isfinite(values)]
    if len(known) < settings.least_learning:
        return False
    most, least_value = float(known.max()), float(known.min())
    least = max(
        settings.least_share_of_range * (most - least_value),
        settings.least_share_of_size * max(abs(most), abs(least_value)),
        LEAST_SPREAD,
    )
    numbers[:] = 0.0
    vectors[:] = np.inf
    used[:] = 0
    looks, begin = look_kernels.learning_looks(
        values,
        plan.kept_windows,
        plan.widths,
        plan.steps,
        plan.grid,
        plan.kept_grid,
        plan.kept_shift,
        plan.kept_mask,
        plan.kept_begin,
        plan.place_of_level,
    )
    found = False
    for place, (width, step) in enumerate(zip(settings.widths, plan.steps.tolist(), strict=True)):
        apart = max(width, round(settings.apart_share * len(values)))
        found |= learning_kernels.learnt_width(
            looks[begin[place] : begin[place + 1]],
            step,
            apart + width,
            -(-apart // step),
            settings.memory_size,
            least,
            settings.least_distance,
            settings.clip,
            settings.spacing_share,
            numbers[place],
            counts[place],
            vectors[place],
            used[place],
        )
    return found

"""Rows of a table that are unlike the others of their group: the memory of normal without time.

The rows may hold anomalies themselves and nobody knows which: so features are brought to one scale
with a bounded influence of the extreme, and a row is compared with its few nearest, not one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from sightline.errors import UsageError
from sightline.perceive.deviation import MAD_TO_SIGMA
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray

MAX_ROWS = 20_000
"""Rows that are compared with each other; more is a UsageError: the work is their square."""
Groups = npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TableScale:
    """Brings features to one scale: logarithms of those never negative, deviations, then asinh.

    Attributes:
        least: float64[d], the least value above 0 of features that are never negative; NaN for
            the others, which are not taken the logarithm of.
        middle: float64[d], medians.
        spread: float64[d], standard deviations, 1 where there is none.
    """

    least: FloatArray
    middle: FloatArray
    spread: FloatArray

    @classmethod
    def of(cls, values: FloatArray) -> Self:
        """From float64[n, d], finite, n >= 1.

        Raises:
            UsageError: no rows, too many, or values that are not finite.
        """
        if not (0 < len(values) <= MAX_ROWS and np.isfinite(values).all()):
            raise UsageError(
                expected=f"1 to {MAX_ROWS} rows of finite values",
                got=f"{len(values)} rows, {int((~np.isfinite(values)).sum())} values not finite",
                where="TableScale.of",
                action="leave incomplete rows out, and say so",
            )
        is_positive = (values >= 0).all(axis=0) & (values > 0).any(axis=0)
        least = np.where(is_positive, np.where(values > 0, values, np.inf).min(axis=0), np.nan)
        logs = _logs(values, least)
        spread = logs.std(axis=0)
        return cls(
            least=least, middle=np.median(logs, axis=0), spread=np.where(spread > 0, spread, 1.0)
        )

    def apply(self, values: FloatArray) -> FloatArray:
        """float64[n, d] without unit; the influence of far values grows as their logarithm."""
        logs = _logs(values, self.least)
        found: FloatArray = np.arcsinh((logs - self.middle) / self.spread)
        return found


def _logs(values: FloatArray, least: FloatArray) -> FloatArray:
    is_positive = np.isfinite(least)
    shifted = np.where(is_positive, np.maximum(values, 0.0) + least, 1.0)
    found: FloatArray = np.where(is_positive, np.log(shifted), values)
    return found


def table_scores(
    rows: FloatArray,
    group: Groups,
    *,
    memory: FloatArray | None = None,
    memory_group: Groups | None = None,
    neighbours: int = 3,
) -> FloatArray:
    """Mean distance of each row to its nearest rows of the same group.

    Args:
        rows: float64[n, d], scaled.
        group: str[n]; rows are compared within their group.
        memory: float64[m, d], what they are compared with; None: each other, themselves left out.
        memory_group: str[m].
        neighbours: how many nearest.

    Returns:
        float64[n]; infinity for a row whose group nobody has seen.

    >>> rows = np.array([[0.0], [1.0], [9.0], [0.5]])
    >>> table_scores(rows, np.array(["a", "a", "a", "b"]), neighbours=1).tolist()
    [1.0, 1.0, 8.0, inf]
    """
    found = np.full(len(rows), np.inf)
    others, other_group = (rows, group) if memory is None else (memory, memory_group)
    assert other_group is not None
    for name in np.unique(group):
        mine = np.flatnonzero(group == name)
        distance = cdist(rows[mine], others[other_group == name])
        if memory is None:
            np.fill_diagonal(distance, np.inf)
        nearest = np.sort(distance, axis=1)[:, :neighbours]
        known = np.isfinite(nearest)
        count = known.sum(axis=1)
        total = np.where(known, nearest, 0.0).sum(axis=1)
        found[mine] = np.where(count > 0, total / np.maximum(count, 1), np.inf)
    return found


def table_alarms(score: FloatArray, *, deviations: float = 1.5) -> BoolArray:
    """bool[n]: scores so many robust deviations (of their logarithm) above their median.

    No label is used; the threshold follows from the scores alone.
    """
    known = np.isfinite(score) & (score > 0)
    if not known.any():
        return np.isposinf(score)
    logs = np.log(score[known])
    middle = float(np.median(logs))
    spread = MAD_TO_SIGMA * float(np.median(np.abs(logs - middle)))
    found: BoolArray = score > np.exp(middle + deviations * spread)
    return found


def labelled_scores(
    rows: FloatArray,
    label: BoolArray,
    queries: FloatArray,
    *,
    width: float | None = None,
    ridge: float = 0.05,
) -> FloatArray:
    """Kernel ridge regression on labels: above 0 is more like the anomalies than like the rest.

    f(x) = k(x, X) (K + ridge I)^-1 y with a Gaussian kernel (Saunders, Gammerman and Vovk 1998,
    "Ridge regression learning algorithm in dual variables"): a memory that knows what each of its
    rows was.

    Args:
        rows: float64[n, d], scaled.
        label: bool[n].
        queries: float64[q, d].
        width: of the kernel, in distance; None: √(d / 2), about how far rows of d features lie
            apart that are alike.
        ridge: > 0.

    Returns:
        float64[q], about -1 to 1.
    """
    if len(rows) > MAX_ROWS:
        raise UsageError(
            expected=f"at most {MAX_ROWS} rows",
            got=str(len(rows)),
            where="labelled_scores",
            action="take a sample of them",
        )
    width = np.sqrt(rows.shape[1] / 2) if width is None else width
    kernel = np.exp(-(cdist(rows, rows) ** 2) / (2 * width**2))
    weights = np.linalg.solve(kernel + ridge * np.eye(len(rows)), np.where(label, 1.0, -1.0))
    found: FloatArray = np.exp(-(cdist(queries, rows) ** 2) / (2 * width**2)) @ weights
    return found

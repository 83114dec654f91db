"""The score of the Numenta Anomaly Benchmark.

A. Lavin and S. Ahmad, Evaluating Real-time Anomaly Detection Algorithms: the Numenta Anomaly
Benchmark, ICMLA 2015, and the published scorer (numenta/NAB 1.1, its sweeper), row by row:

- The first min(⌊0.15 n⌋, 750) rows of a file are probationary and not scored.
- A detection in a window of w rows with r rows to its last one, that one included, counts
  S(-r / w) / S(-1), with S(y) = 2 / (1 + e^{5 y}) - 1: exactly 1 in the first row and little above
  0 in the last. A window counts its best detection times the weight of true positives, or minus
  the weight of false negatives without any.
- A detection outside the windows, d rows behind the last row of the nearest window before it, of
  w rows, counts S(d / (w - 1)) times the weight of false positives; -1 for S beyond d / (w - 1) = 3
  or where no window is before it. Each such row counts.
- A row is a detection when its score is at or above the threshold. One threshold serves all files
  and is the best there is: every distinct score is tried, and one above all (no detections). The
  highest of equally good ones is taken. Hill climbing, which older versions did, finds the same or
  less.
- 100 · (score - null) / (perfect - null), where null finds nothing (minus the weight of false
  negatives for each window) and perfect finds each window in its first row and nothing else.

A window of one row has no scale behind it (the published code divides by 0 there): -1 is counted.
A window that is all probationary is left out of score, null and perfect alike. The published
corpus has neither.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.records.windows import FloatArray, IntArray

PROBATION, PROBATION_ROWS = 0.15, 5000
"""Share of a file that is not scored, and of how many rows at most."""
_FAR = 3.0
_NO_WINDOW = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class NabProfile:
    """What a detection is worth (``config/profiles.json``).

    Attributes:
        true_positive: of a window found in its first row.
        false_positive: of a row far from any window.
        false_negative: of a window not found.
    """

    true_positive: float = 1.0
    false_positive: float = 0.11
    false_negative: float = 1.0

    @classmethod
    def from_mapping(cls, plain: Mapping[str, object]) -> NabProfile:
        """From an entry of ``profiles.json``; the weight of true negatives is used nowhere.

        Raises:
            UsageError: if it is none.
        """
        try:
            costs = plain["CostMatrix"]
            if not isinstance(costs, Mapping):
                raise TypeError("CostMatrix is no mapping")
            names = ("tpWeight", "fpWeight", "fnWeight")
            values = {n: float(costs[n]) for n in names}
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                expected="CostMatrix with tpWeight, fpWeight and fnWeight",
                got=f"{type(error).__name__}: {error}",
                where="NAB profile",
                action="take config/profiles.json of the benchmark",
            ) from error
        return cls(
            true_positive=values["tpWeight"],
            false_positive=values["fpWeight"],
            false_negative=values["fnWeight"],
        )


NAB_STANDARD = NabProfile()


@dataclass(frozen=True, slots=True, kw_only=True)
class NabFile:
    """One file of the benchmark with a detector's scores.

    Attributes:
        score: float64[n], higher is more anomalous, no NaN; the benchmark has 0 to 1.
        windows: (first row, last row), both included, ascending and apart.
    """

    score: FloatArray
    windows: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        flat = [row for window in self.windows for row in window]
        is_apart = all(a[1] < b[0] for a, b in zip(self.windows, self.windows[1:], strict=False))
        is_within = not flat or (min(flat) >= 0 and max(flat) < len(self.score))
        if not is_apart or not is_within or any(a > b for a, b in self.windows):
            raise UsageError(
                expected=f"windows within {len(self.score)} rows, ascending and apart",
                got=f"{self.windows[:5]}",
                where="NAB file",
                action="take the windows of combined_windows.json",
            )
        if np.isnan(self.score).any():
            raise UsageError(
                expected="a score for each row",
                got=f"NaN in row {int(np.flatnonzero(np.isnan(self.score))[0])}",
                where="NAB file",
                action="let the detector say 0 where it has nothing to say",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class NabScore:
    """Score over all files at one threshold.

    Attributes:
        normalised: 0 for a detector that finds nothing, 100 for a perfect one, below 0 for one
            that is worse than none; NaN without windows.
        raw: before that.
        threshold: rows at or above it are detections; infinity for none.
        windows: windows that were scored.
    """

    normalised: float
    raw: float
    threshold: float
    windows: int


def scaled_sigmoid(position: FloatArray) -> FloatArray:
    """S(y) of the module; -1 beyond 3.

    >>> scaled_sigmoid(np.array([-1.0, -0.5, 0.0, 1.0, 3.5])).round(5).tolist()
    [0.98661, 0.84828, 0.0, -0.98661, -1.0]
    """
    near = np.minimum(position, _FAR)
    return np.where(position > _FAR, -1.0, 2 / (1 + np.exp(5 * near)) - 1)


def row_scores(
    rows: int, windows: Sequence[tuple[int, int]], profile: NabProfile = NAB_STANDARD
) -> tuple[FloatArray, IntArray]:
    """What a detection in each row is worth, and the window it lies in (-1: none).

    Returns:
        float64[n], int64[n].
    """
    row = np.arange(rows)
    value = np.full(rows, -profile.false_positive)
    inside = np.full(rows, _NO_WINDOW, np.int64)
    for index, (first, last) in enumerate(windows):
        width = last - first + 1
        within = slice(first, last + 1)
        position = -(last - row[within] + 1) / width
        best = scaled_sigmoid(np.array([-1.0]))
        value[within] = scaled_sigmoid(position) * profile.true_positive / best
        inside[within] = index
        # Until the next window, which overwrites what is its own.
        behind = row[last + 1 :]
        if width > 1:
            position = (behind - last) / (width - 1)
            value[last + 1 :] = scaled_sigmoid(position) * profile.false_positive
        else:
            value[last + 1 :] = -profile.false_positive
    return value, inside


def probationary_rows(rows: int) -> int:
    """Rows at the beginning of a file that are not scored.

    >>> [probationary_rows(n) for n in (100, 101, 5000, 22_000)]
    [15, 15, 750, 750]
    """
    return min(math.floor(PROBATION * rows), math.floor(PROBATION * PROBATION_ROWS))


def score_nab(
    files: Sequence[NabFile],
    profile: NabProfile = NAB_STANDARD,
    *,
    threshold: float | None = None,
) -> NabScore:
    """Score a detector over files.

    Args:
        files: with the detector's scores.
        profile: the weights.
        threshold: the one to score at; None for the best one, as the benchmark reports. That one
            is chosen on the data it is reported on; give one that was chosen elsewhere for a
            figure to rely on.

    Raises:
        UsageError: a threshold that is NaN.
    """
    if threshold is not None and math.isnan(threshold):
        raise UsageError(
            expected="a threshold",
            got="NaN",
            where="NAB score",
            action="leave it out for the best one",
        )
    score, value, window, count = _scored_rows(files, profile)
    null = -profile.false_negative * count
    thresholds, raw = _raw_by_threshold(score, value, window, count, profile)
    if threshold is None:
        best = int(np.argmax(raw))  # the first of the best: the highest threshold
    else:
        # Detections are those at or above it: the lowest tried one that is not below it.
        best = int(np.flatnonzero(thresholds >= threshold)[-1])
    perfect = profile.true_positive * count
    span = perfect - null
    return NabScore(
        normalised=100 * (float(raw[best]) - null) / span if span else math.nan,
        raw=float(raw[best]),
        threshold=float(thresholds[best]) if threshold is None else threshold,
        windows=count,
    )


def _scored_rows(
    files: Sequence[NabFile], profile: NabProfile
) -> tuple[FloatArray, FloatArray, IntArray, int]:
    """Score, value and window of the rows that count; the number of windows they touch."""
    scores, values, windows = [np.empty(0)], [np.empty(0)], [np.empty(0, np.int64)]
    count = 0
    for file in files:
        skipped = probationary_rows(len(file.score))
        value, inside = row_scores(len(file.score), file.windows, profile)
        inside = inside[skipped:]
        is_in = inside != _NO_WINDOW
        touched, dense = np.unique(inside[is_in], return_inverse=True)
        inside[is_in] = dense + count
        count += len(touched)
        scores.append(file.score[skipped:])
        values.append(value[skipped:])
        windows.append(inside)
    return np.concatenate(scores), np.concatenate(values), np.concatenate(windows), count


def _raw_by_threshold(
    score: FloatArray,
    value: FloatArray,
    window: IntArray,
    count: int,
    profile: NabProfile,
) -> tuple[FloatArray, npt.NDArray[np.float64]]:
    """Thresholds from infinity down over each distinct score, and the raw score at each."""
    order = np.argsort(-score, kind="stable")
    score, value, window = score[order], value[order], window[order]
    gain = np.where(window == _NO_WINDOW, value, 0.0)
    # Within a window only a row better than all before it adds, by how much it is better.
    by_window = np.argsort(window, kind="stable")
    for rows in np.split(by_window, np.flatnonzero(np.diff(window[by_window])) + 1):
        if len(rows) and window[rows[0]] != _NO_WINDOW:
            best = np.maximum.accumulate(value[rows])
            gain[rows] = np.diff(
                np.maximum(best, -profile.false_negative), prepend=-profile.false_negative
            )
    total = -profile.false_negative * count + np.cumsum(gain)
    is_last = np.append(score[1:] != score[:-1], True) if len(score) else np.empty(0, np.bool_)
    thresholds = np.concatenate([[np.inf], score[is_last]])
    return thresholds, np.concatenate([[-profile.false_negative * count], total[is_last]])

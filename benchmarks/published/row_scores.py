"""Scores over rows that are labelled one by one: SKAB and OPS-SAT-AD.

Figures without a denominator are NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.records.windows import FloatArray

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowScore:
    """Counts over rows, pooled.

    Attributes:
        true_positives, false_positives, false_negatives, true_negatives: rows.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def precision(self) -> float:
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        wrong = self.false_positives + self.false_negatives
        return _ratio(2 * self.true_positives, 2 * self.true_positives + wrong)

    @property
    def false_alarm_rate(self) -> float:
        """FAR of SKAB: FP / (FP + TN), as a share, where SKAB prints per cent."""
        return _ratio(self.false_positives, self.false_positives + self.true_negatives)

    @property
    def missing_alarm_rate(self) -> float:
        """MAR of SKAB: FN / (FN + TP), as a share."""
        return _ratio(self.false_negatives, self.false_negatives + self.true_positives)

    @property
    def mcc(self) -> float:
        """Matthews' correlation coefficient; 0 where a margin is empty, as in scikit-learn."""
        tp, fp = self.true_positives, self.false_positives
        fn, tn = self.false_negatives, self.true_negatives
        # The product of the margins outgrows int64 and is exact in Python's integers.
        margins = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        return (tp * tn - fp * fn) / math.sqrt(margins) if margins else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpssatScore:
    """What OPS-SAT-AD is compared by.

    Attributes:
        rows: segments by prediction and label; F1 and MCC are in it.
        average_precision: AUC-PR; NaN without anomalies.
    """

    rows: RowScore
    average_precision: float


def score_skab(label: BoolArray, predicted: BoolArray) -> RowScore:
    """F1, FAR and MAR as in SKAB's leaderboard for outlier detection.

    The rows of all runs are put behind each other and scored once (I. D. Katser and V. O.
    Kozitsin, Skoltech Anomaly Benchmark, 2020; the first 400 rows of each run train and are not
    given here).

    Args:
        label: bool[n], column ``anomaly``.
        predicted: bool[n].

    >>> score = score_skab(np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool))
    >>> score.f1, score.false_alarm_rate, score.missing_alarm_rate
    (0.5, 0.5, 0.5)
    """
    _check_length(label, predicted)
    return RowScore(
        true_positives=int((label & predicted).sum()),
        false_positives=int((~label & predicted).sum()),
        false_negatives=int((label & ~predicted).sum()),
        true_negatives=int((~label & ~predicted).sum()),
    )


def score_opssat(label: BoolArray, predicted: BoolArray, score: FloatArray) -> OpssatScore:
    """F1, MCC and AUC-PR over the segments of the test part (B. Ruszczak et al., The OPS-SAT
    benchmark for detecting anomalies in satellite telemetry, 2024, arXiv:2407.04730; data 2023).

    Args:
        label: bool[n], column ``anomaly`` of the rows with ``train`` = 0.
        predicted: bool[n].
        score: float64[n], higher is more anomalous.

    Raises:
        UsageError: columns of unequal length, or a score that is NaN.
    """
    return OpssatScore(
        rows=score_skab(label, predicted), average_precision=average_precision(label, score)
    )


def average_precision(label: BoolArray, score: FloatArray) -> float:
    """Area under the precision-recall curve by steps: Σ (R_k - R_{k-1}) P_k over thresholds.

    Equal scores are one threshold. No trapezes: they promise points that no threshold reaches
    (J. Davis and M. Goadrich, ICML 2006).

    Args:
        label: bool[n].
        score: float64[n], higher is more anomalous; infinite ones are in order.

    Raises:
        UsageError: columns of unequal length, or a score that is NaN.

    >>> average_precision(np.array([0, 1, 1], bool), np.array([0.8, 0.9, 0.1]))
    0.8333333333333333
    """
    _check_length(label, score)
    if np.isnan(score).any():
        raise UsageError(
            expected="a score for each row",
            got=f"NaN in row {int(np.flatnonzero(np.isnan(score))[0])}",
            where="average precision",
            action="a row that could not be scored has to be counted as one side or the other",
        )
    if not label.any():
        return math.nan
    order = np.argsort(-score, kind="stable")
    ordered, hit = score[order], label[order]
    is_last = np.append(ordered[1:] != ordered[:-1], True)
    hits = np.cumsum(hit)[is_last]
    precision = hits / (np.flatnonzero(is_last) + 1)
    return float((np.diff(hits, prepend=0) / hits[-1]) @ precision)


def _check_length(label: BoolArray, other: npt.NDArray[np.generic]) -> None:
    if len(label) != len(other):
        raise UsageError(
            expected=f"{len(label)} rows, as there are labels",
            got=f"{len(other)}",
            where="score over rows",
            action="score every labelled row",
        )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan

"""NASA SMAP and MSL: the overlap rule of Hundman et al., pooled over channels.

K. Hundman et al., Detecting Spacecraft Anomalies Using LSTMs and Nonparametric Dynamic
Thresholding, KDD 2018, section 4.2: a labelled sequence that any predicted sequence overlaps is a
true positive, once, however many do; one that none overlaps is a false negative; a predicted
sequence that overlaps no labelled one is a false positive. Both ends of a sequence are included.

Where it differs from the published code (telemanom, ``evaluate_sequences``): there a prediction
over several labelled sequences finds only the first of them; by the paper's rule it finds each.
Labels so close that it matters are rare; the paper's rule is the one here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from benchmarks.alert_scores.events import Intervals
from benchmarks.alert_scores.scoring import f_score, ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class NasaScore:
    """Pooled counts of sequences.

    Attributes:
        true_positives, false_negatives: labelled sequences.
        false_positives: predicted sequences.
    """

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        return ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        return ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        return f_score(self.precision, self.recall, beta=1)

    def as_mapping(self) -> dict[str, float]:
        """JSON-ready."""
        return {
            "true_positives": self.true_positives,
            "false_positives": self.false_positives,
            "false_negatives": self.false_negatives,
            "precision": round(self.precision, 4),
            "recall": round(self.recall, 4),
            "f1": round(self.f1, 4),
        }


def score_nasa(channels: Iterable[tuple[Intervals, Intervals]]) -> NasaScore:
    """Pool (labelled, predicted) sequences of channels, in rows of each channel's ``test`` array.

    Predicted sequences are counted as given: merge what belongs together before.

    >>> labelled, predicted = Intervals.of([(10, 20), (50, 60)]), Intervals.of([(20, 25), (70, 71)])
    >>> score_nasa([(labelled, predicted)])
    NasaScore(true_positives=1, false_positives=1, false_negatives=1)
    """
    found = missed = false = 0
    for labelled, predicted in channels:
        hit = overlaps_any(labelled, predicted)
        found += int(hit.sum())
        missed += int((~hit).sum())
        false += int((~overlaps_any(predicted, labelled)).sum())
    return NasaScore(true_positives=found, false_positives=false, false_negatives=missed)


def overlaps_any(one: Intervals, others: Intervals) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """bool[len(one)]: whether any of ``others`` shares an instant with it."""
    merged = others.merged()
    first = np.searchsorted(merged.end_ns, one.start_ns, side="left")
    past = np.searchsorted(merged.start_ns, one.end_ns, side="right")
    return np.asarray(past > first)

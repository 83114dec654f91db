"""ESA's OPS-SAT-AD: segments of telemetry as rows of features, with and without labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.published.row_scores import OpssatScore, score_opssat
from benchmarks.published.table import (
    Groups,
    TableScale,
    labelled_scores,
    table_alarms,
    table_scores,
)
from sightline.errors import SourceError
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray, IntArray

DATASET = "dataset.csv"
FOLDS, REPEATS = 5, 5
_NOT_FEATURES = ("segment", "anomaly", "train", "channel")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpssatTable:
    """The segments.

    Attributes:
        segment: int64[n].
        values: float64[n, d], features.
        channel: str[n].
        label: bool[n].
        is_training: bool[n], the published split.
    """

    segment: IntArray
    values: FloatArray
    channel: Groups
    label: BoolArray
    is_training: BoolArray

    def only(self, keep: BoolArray) -> OpssatTable:
        """The rows for which ``keep`` is true."""
        return OpssatTable(
            segment=self.segment[keep],
            values=self.values[keep],
            channel=self.channel[keep],
            label=self.label[keep],
            is_training=self.is_training[keep],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpssatResult:
    """What was found.

    Attributes:
        table: the segments that were judged: those of the test part, or all if there is none.
        score: float64[n], without labels.
        alarm: bool[n], by a threshold that follows from the scores alone.
        unsupervised: of both.
        cross_validated: F1 and AUC-PR of each repetition of the cross-validation over the
            training part, float64[r, 2].
        supervised_score: float64[n], with the labels of the training part, of rows not in it: by
            the first cross-validation where there is no test part.
        supervised: of that, above 0 being an alarm.
    """

    table: OpssatTable
    score: FloatArray
    alarm: BoolArray
    unsupervised: OpssatScore
    cross_validated: FloatArray
    supervised_score: FloatArray
    supervised: OpssatScore

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        f1, precision = self.cross_validated.T
        return {
            "segments": len(self.score),
            "anomalous_share": round(float(self.table.label.mean()), 4),
            "unsupervised": _plain(self.unsupervised),
            "supervised_cross_validated": {
                "folds": FOLDS,
                "repetitions": len(f1),
                "f1_mean": round(float(f1.mean()), 4),
                "f1_least": round(float(f1.min()), 4),
                "f1_greatest": round(float(f1.max()), 4),
                "auc_pr_mean": round(float(precision.mean()), 4),
            },
            "supervised": _plain(self.supervised),
        }


def evaluate_opssat(folder: Path, *, seed: int = 0) -> OpssatResult:
    """Score the segments without labels, and with those of the training part.

    Args:
        folder: with ``dataset.csv``.
        seed: of the folds.

    Raises:
        SourceError: the file cannot be read as that.
    """
    table = _read(folder / DATASET)
    training = table.only(table.is_training)
    has_test = not table.is_training.all()
    judged = table.only(~table.is_training) if has_test else table
    scale = TableScale.of(training.values)
    memory = scale.apply(training.values)
    if has_test:
        score = table_scores(
            scale.apply(judged.values),
            judged.channel,
            memory=memory,
            memory_group=training.channel,
        )
    else:
        score = table_scores(memory, judged.channel)
    alarm = table_alarms(score)
    rng = np.random.default_rng(seed)
    held_out = np.stack([_held_out(training, rng) for _ in range(REPEATS)])
    each = [score_opssat(training.label, s > 0, s) for s in held_out]
    supervised_score = _labelled(training, judged) if has_test else held_out[0]
    return OpssatResult(
        table=judged,
        score=score,
        alarm=alarm,
        unsupervised=score_opssat(judged.label, alarm, score),
        cross_validated=np.array([[one.rows.f1, one.average_precision] for one in each]),
        supervised_score=supervised_score,
        supervised=score_opssat(judged.label, supervised_score > 0, supervised_score),
    )


def write_opssat(path: Path, result: OpssatResult, *, is_supervised: bool) -> None:
    """``segment,score,alarm``."""
    score = result.supervised_score if is_supervised else result.score
    alarm = result.supervised_score > 0 if is_supervised else result.alarm
    pl.DataFrame(
        {"segment": result.table.segment, "score": score, "alarm": alarm.astype(np.int64)}
    ).write_csv(path)


def _held_out(table: OpssatTable, rng: np.random.Generator) -> FloatArray:
    """float64[n]: each row's score by a memory that has not seen its fold; folds by label."""
    fold = np.empty(len(table.label), np.int64)
    for value in (False, True):
        rows = rng.permutation(np.flatnonzero(table.label == value))
        fold[rows] = np.arange(len(rows)) % FOLDS
    found = np.empty(len(fold))
    for one in range(FOLDS):
        found[fold == one] = _labelled(table.only(fold != one), table.only(fold == one))
    return found


def _labelled(training: OpssatTable, judged: OpssatTable) -> FloatArray:
    scale = TableScale.of(training.values)
    names = np.unique(training.channel)
    rows, queries = (
        np.concatenate([scale.apply(t.values), (t.channel[:, None] == names).astype(float)], axis=1)
        for t in (training, judged)
    )
    return labelled_scores(rows, training.label, queries)


def _read(path: Path) -> OpssatTable:
    try:
        rows = pl.read_csv(path)
        features = [name for name in rows.columns if name not in _NOT_FEATURES]
        return OpssatTable(
            segment=rows["segment"].to_numpy().astype(np.int64),
            values=rows.select(features).cast(pl.Float64).to_numpy(),
            channel=rows["channel"].cast(pl.String).to_numpy().astype(np.str_),
            label=rows["anomaly"].to_numpy() > 0,
            is_training=rows["train"].to_numpy() > 0,
        )
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise SourceError(
            expected="a CSV file with segment, anomaly, train, channel and features",
            got=f"{type(error).__name__}: {str(error)[:200]}",
            where=str(path),
            action="take the file as it was published",
        ) from error


def _plain(score: OpssatScore) -> dict[str, float]:
    return {
        "auc_pr": round(score.average_precision, 4),
        "f1": round(score.rows.f1, 4),
        "precision": round(score.rows.precision, 4),
        "recall": round(score.rows.recall, 4),
        "mcc": round(score.rows.mcc, 4),
    }

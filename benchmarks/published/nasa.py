"""NASA's SMAP and MSL telemetry: events of every channel by one configuration, and their score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.alert_scores import Intervals
from benchmarks.published.label_files import read_nasa_labels
from benchmarks.published.nasa_score import NasaScore, score_nasa
from benchmarks.published.scored_series import series_scores
from sightline.errors import SourceError
from sightline.perceive.normal import EventRule, NormalSettings, score_events
from sightline.records.windows import FloatArray

LABELS = "labeled_anomalies.csv"
SHOWN_THRESHOLDS = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
"""The score is shown at these too, so that anybody can see how much hangs on the threshold."""
MAX_CHANNEL_ROWS = 10_000_000
_NEAR_ROWS = 128  # an onset within one widest window of a label counts as in it


@dataclass(frozen=True, slots=True, kw_only=True)
class NasaResult:
    """What was found.

    Attributes:
        events: by channel, rows of its ``test`` array, both ends included.
        scores: by channel, float64[n].
        labels: by channel; empty where there is no file of labels.
        score: pooled over channels that have labels; None without any.
        f1_at: pooled F1 by threshold, all else equal.
        onset: the same with events that count only where they begin: a long event finds no more
            than the label it began in (or within 128 rows of).
        flagged_share: of all rows, inside events.
        weaker_events: that were left out, because they are weak beside the strongest of their
            channel.
        f1_of_all: pooled F1 if they were not.
        as_it_goes: the score of events as they would have been told: left out is what is weak
            beside the strongest that came before.
    """

    events: Mapping[str, Intervals]
    scores: Mapping[str, FloatArray]
    labels: Mapping[str, Intervals]
    score: NasaScore | None
    f1_at: Mapping[float, float]
    onset: NasaScore | None
    flagged_share: float
    weaker_events: int
    f1_of_all: float | None
    as_it_goes: NasaScore | None

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        plain: dict[str, Any] = {
            "channels": len(self.events),
            "labelled_channels": len(self.labels),
            "events": sum(len(e) for e in self.events.values()),
            "weaker_events_left_out": self.weaker_events,
            "flagged_share_of_rows": round(self.flagged_share, 4),
        }
        if self.score is not None and self.onset is not None and self.as_it_goes is not None:
            plain |= {
                "pooled": self.score.as_mapping(),
                "pooled_as_it_goes": self.as_it_goes.as_mapping(),
                "pooled_by_onset": self.onset.as_mapping(),
                "f1_with_weaker_events": round(self.f1_of_all or 0.0, 4),
                "f1_at_threshold": {f"{t:g}": round(f, 4) for t, f in self.f1_at.items()},
                "by_channel": {
                    name: score_nasa([(self.labels[name], self.events[name])]).as_mapping()
                    for name in sorted(self.labels)
                },
            }
        return plain


def evaluate_nasa(
    folder: Path,
    *,
    settings: NormalSettings | None = None,
    rule: EventRule | None = None,
) -> NasaResult:
    """Find events in the ``test`` array of every ``*.npz`` of ``folder``.

    Column 0, the telemetry value, is scored; the others, commands, are not read. The first 15 %
    (at most 750 rows) of each are learnt from and not scored; ``train`` is not used: of SMAP it is
    scaled for itself, so that its levels mean nothing for ``test``.

    Args:
        folder: with ``labeled_anomalies.csv`` beside, if there are labels.
        settings, rule: default ones for every channel.

    Raises:
        SourceError: no channel, or one that cannot be read.
    """
    settings, rule = settings or NormalSettings(), rule or EventRule()
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise SourceError(
            expected="files *.npz with an array `test`",
            got="none",
            where=str(folder),
            action="give the folder of the channels",
        )
    scores: dict[str, FloatArray] = {}
    for path in paths:
        scores[path.stem] = series_scores(_test_values(path), settings)
    label_path = folder / LABELS
    labels = (
        {name: found for name, found in read_nasa_labels(label_path).items() if name in scores}
        if label_path.exists()
        else {}
    )
    events, every = _events(scores, rule), _events(scores, replace(rule, least_share=0.0))
    told = _events(scores, rule, as_it_goes=True)
    return NasaResult(
        events=events,
        scores=scores,
        labels=labels,
        score=score_nasa((labels[n], events[n]) for n in labels) if labels else None,
        f1_at={
            at: _f1(
                labels,
                _events(scores, replace(rule, threshold=at)),
            )
            for at in SHOWN_THRESHOLDS
        }
        if labels
        else {},
        onset=score_nasa((_widened(labels[n]), _onsets(events[n])) for n in labels)
        if labels
        else None,
        flagged_share=_flagged(events) / max(sum(map(len, scores.values())), 1),
        weaker_events=sum(len(every[n]) - len(events[n]) for n in scores),
        f1_of_all=_f1(labels, every) if labels else None,
        as_it_goes=score_nasa((labels[n], told[n]) for n in labels) if labels else None,
    )


def write_nasa(path: Path, events: Mapping[str, Intervals]) -> None:
    """``channel,start,end``: rows of ``test``, both ends included."""
    rows = [
        {"channel": name, "start": start, "end": end}
        for name, found in sorted(events.items())
        for start, end in found.as_pairs()
    ]
    schema = {"channel": pl.String, "start": pl.Int64, "end": pl.Int64}
    pl.DataFrame(rows, schema=schema).write_csv(path)


def _test_values(path: Path) -> FloatArray:
    """float64[n], telemetry."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            test = archive["test"]
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(
            expected="a NumPy archive with an array `test`",
            got=f"{type(error).__name__}: {error}",
            where=str(path),
            action="take the channel as it was published",
        ) from error
    values = test[:, 0] if test.ndim == 2 else test
    if values.ndim != 1 or len(values) > MAX_CHANNEL_ROWS:
        raise SourceError(
            expected=f"an array [rows, columns] of at most {MAX_CHANNEL_ROWS} rows",
            got=str(list(test.shape)),
            where=f"{path}, test",
            action="take the channel as it was published",
        )
    return np.ascontiguousarray(values, np.float64)


def _events(
    scores: Mapping[str, FloatArray], rule: EventRule, *, as_it_goes: bool = False
) -> dict[str, Intervals]:
    found = {name: score_events(one, rule, as_it_goes=as_it_goes) for name, one in scores.items()}
    return {
        name: Intervals.of([(int(a), int(b)) for a, b in events]) for name, events in found.items()
    }


def _f1(labels: Mapping[str, Intervals], events: Mapping[str, Intervals]) -> float:
    return score_nasa((labels[name], events[name]) for name in labels).f1


def _onsets(events: Intervals) -> Intervals:
    return Intervals.of([(start, start) for start, _ in events.as_pairs()])


def _widened(labels: Intervals) -> Intervals:
    return Intervals.of([(a - _NEAR_ROWS, b + _NEAR_ROWS) for a, b in labels.as_pairs()])


def _flagged(events: Mapping[str, Intervals]) -> int:
    return sum(b - a + 1 for found in events.values() for a, b in found.as_pairs())

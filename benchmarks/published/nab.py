"""The Numenta Anomaly Benchmark: scores of every file by one configuration, in NAB's form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.published.label_files import (
    read_nab_profiles,
    read_nab_windows,
    window_rows,
)
from benchmarks.published.nab_score import NAB_STANDARD, NabFile, NabProfile, NabScore, score_nab
from benchmarks.published.scored_series import series_scores
from benchmarks.published.telling import TellingRule, told
from sightline.errors import SourceError
from sightline.perceive.normal import NormalSettings
from sightline.records.windows import FloatArray

WINDOWS = Path("labels") / "combined_windows.json"
PROFILES = Path("config") / "profiles.json"
_STANDARD = "standard"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NabSeries:
    """One file: its rows as they stand, and its score, 0 to 1."""

    rows: pl.DataFrame
    anomaly_score: FloatArray
    windows: tuple[tuple[int, int], ...]

    @property
    def label(self) -> FloatArray:
        """float64[n]: 1 inside a window."""
        found = np.zeros(len(self.anomaly_score))
        for first, last in self.windows:
            found[first : last + 1] = 1.0
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class NabResult:
    """What was found.

    Attributes:
        series: by name of the file, with its folder.
        scores: by profile, over all files, at the best threshold, as the benchmark does.
        categories: of the standard profile, at the threshold of all files.
    """

    series: Mapping[str, NabSeries]
    scores: Mapping[str, NabScore]
    categories: Mapping[str, NabScore]

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "files": len(self.series),
            "windows": sum(len(s.windows) for s in self.series.values()),
            "profiles": {
                name: {"score": round(s.normalised, 2), "threshold": round(s.threshold, 6)}
                for name, s in self.scores.items()
            },
            "standard_by_category": {
                name: {"score": round(s.normalised, 2), "windows": s.windows}
                for name, s in self.categories.items()
            },
        }


def evaluate_nab(
    folder: Path,
    *,
    settings: NormalSettings | None = None,
    rule: TellingRule | None = None,
) -> NabResult:
    """Score every file of ``folder/data`` that ``labels/combined_windows.json`` names.

    A row's score uses that row and those before it. What is told once is not told again soon; the
    rest of the rows score 0.

    Args:
        folder: of the benchmark: ``data``, ``labels``, ``config``.
        settings, rule: default ones for every file.

    Raises:
        SourceError: labels or files that cannot be read, or no file at all.
    """
    settings, rule = settings or NormalSettings(), rule or TellingRule()
    series: dict[str, NabSeries] = {}
    for name, windows in sorted(read_nab_windows(folder / WINDOWS).items()):
        path = folder / "data" / name
        if path.exists():
            rows = _rows(path)
            stamps = rows["timestamp"].str.to_datetime(time_unit="us")
            values = rows["value"].to_numpy().astype(np.float64)
            level, _ = told(series_scores(values, settings), rule)
            series[name] = NabSeries(
                rows=rows,
                anomaly_score=level / (1.0 + level),
                windows=window_rows(stamps, windows, where=str(path)),
            )
    if not series:
        raise SourceError(
            expected="files named in the labels",
            got="none of them",
            where=str(folder / "data"),
            action="give the folder of the benchmark",
        )
    profiles = {_STANDARD: NAB_STANDARD}
    if (folder / PROFILES).exists():
        profiles |= read_nab_profiles(folder / PROFILES)
    scores = {name: _score(series.values(), profile) for name, profile in profiles.items()}
    threshold = scores[_STANDARD].threshold
    categories: dict[str, NabScore] = {}
    for category in sorted({Path(name).parts[0] for name in series}):
        own = [s for name, s in series.items() if Path(name).parts[0] == category]
        categories[category] = score_nab(
            [NabFile(score=s.anomaly_score, windows=s.windows) for s in own],
            profiles[_STANDARD],
            threshold=threshold,
        )
    return NabResult(series=series, scores=scores, categories=categories)


def write_nab(folder: Path, series: Mapping[str, NabSeries]) -> None:
    """``CATEGORY/sightline_FILE``: timestamp, value, anomaly_score, label."""
    for name, one in series.items():
        category, file = Path(name).parts[0], Path(name).name
        path = folder / category / f"sightline_{file}"
        path.parent.mkdir(parents=True, exist_ok=True)
        one.rows.select("timestamp", "value").with_columns(
            anomaly_score=pl.Series(one.anomaly_score), label=pl.Series(one.label).cast(pl.Int64)
        ).write_csv(path)


def _score(series: Iterable[NabSeries], profile: NabProfile) -> NabScore:
    files = [NabFile(score=one.anomaly_score, windows=one.windows) for one in series]
    return score_nab(files, profile)


def _rows(path: Path) -> pl.DataFrame:
    try:
        return pl.read_csv(path, columns=["timestamp", "value"], try_parse_dates=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(
            expected="a CSV file with timestamp and value",
            got=f"{type(error).__name__}: {str(error)[:200]}",
            where=str(path),
            action="take the file as it was published",
        ) from error

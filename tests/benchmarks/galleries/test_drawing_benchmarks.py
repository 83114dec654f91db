"""``python -m benchmarks draw``: the same predictions as ``sightline evaluate``, as pictures."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.galleries import (
    nab_series,
    nasa_series,
    opssat_series,
    skab_series,
)
from benchmarks.published import (
    evaluate_nab,
    evaluate_nasa,
    evaluate_opssat,
    evaluate_skab,
)
from sightline.errors import SourceError, UsageError
from tests.benchmarks.published.benchmark_folders import (
    nab_folder,
    nasa_folder,
    opssat_folder,
    skab_folder,
)


def test_channels_of_nasa_count_what_is_scored(tmp_path: Path) -> None:
    result = evaluate_nasa(nasa_folder(tmp_path))
    series = nasa_series(tmp_path, result)
    assert result.score is not None
    assert sum(one.hits for one in series) == result.score.true_positives
    assert sum(one.misses for one in series) == result.score.false_negatives
    assert sum(one.false_alarms for one in series) == result.score.false_positives


def test_events_of_nasa_are_where_the_score_reaches_the_threshold(tmp_path: Path) -> None:
    for one in nasa_series(tmp_path, evaluate_nasa(nasa_folder(tmp_path))):
        in_event = np.zeros(len(one.score), np.bool_)
        for start, end in one.events.as_pairs():
            in_event[start : end + 1] = True
            assert one.score[start : end + 1].max() >= one.threshold
        assert (one.score[~in_event] < one.threshold).all()


def test_channels_without_labels_are_not_judged(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="labels"):
        nasa_series(tmp_path, evaluate_nasa(nasa_folder(tmp_path, has_labels=False)))


def test_a_channel_that_changed_since_it_was_scored_is_an_error(tmp_path: Path) -> None:
    result = evaluate_nasa(nasa_folder(tmp_path))
    np.savez(tmp_path / "A-1.npz", test=np.zeros((5, 2)))
    with pytest.raises(SourceError, match=r"A-1\.npz"):
        nasa_series(tmp_path, result)


def test_events_of_nab_are_detections_at_the_standard_threshold(tmp_path: Path) -> None:
    result = evaluate_nab(nab_folder(tmp_path))
    threshold = result.scores["standard"].threshold
    for one in nab_series(result):
        rows = np.concatenate([np.arange(a, b + 1) for a, b in one.events.as_pairs()])
        expected = np.flatnonzero(result.series[one.name].anomaly_score >= threshold)
        np.testing.assert_array_equal(rows, expected[expected >= one.learnt_rows])
        assert one.time_ns is not None


def test_events_of_skab_are_its_alarms(tmp_path: Path) -> None:
    result = evaluate_skab(skab_folder(tmp_path))
    for one in skab_series(result):
        rows = np.concatenate([np.arange(a, b + 1) for a, b in one.events.as_pairs()])
        np.testing.assert_array_equal(rows, np.flatnonzero(result.runs[one.name].alarm))
        assert list(one.channels) == ["pressure", "current"]


def test_segments_of_opssat_count_what_is_scored(tmp_path: Path) -> None:
    result = evaluate_opssat(opssat_folder(tmp_path))
    series = opssat_series(tmp_path, result)
    rows = result.unsupervised.rows
    assert sum(one.hits for one in series) == rows.true_positives
    assert sum(one.misses for one in series) == rows.false_negatives
    assert sum(one.false_alarms for one in series) == rows.false_positives
    assert list(series[0].channels) == ["f0", "f1", "f2", "f3"]


@pytest.mark.parametrize(
    ("name", "make"),
    [("nasa", nasa_folder), ("nab", nab_folder), ("skab", skab_folder), ("opssat", opssat_folder)],
)
def test_each_benchmark_is_drawn_by_one_command(
    tmp_path: Path, name: str, make: Callable[[Path], Path]
) -> None:
    folder = tmp_path / "benchmark"
    folder.mkdir()
    found = CliRunner().invoke(
        app,
        ["draw", name, str(make(folder)), "-o", str(tmp_path / "out"), "--limit", "1", "--json"],
        catch_exceptions=False,
    )
    told = json.loads(found.stdout)
    assert told["pictures"] == 1
    assert Path(told["index"]).exists()
    assert told["hits"] + told["misses"] == told["labels"]


def test_without_matplotlib_the_extra_is_named_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"sightline\[report\]"):
        CliRunner().invoke(
            app,
            ["draw", "nasa", str(tmp_path / "nowhere"), "-o", str(tmp_path / "out")],
            catch_exceptions=False,
        )
    assert not (tmp_path / "out").exists()

"""The benchmarks end to end on folders of their form: what is found, scored and written."""

import json
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.published import (
    evaluate_nab,
    evaluate_nasa,
    evaluate_opssat,
    evaluate_skab,
    write_nab,
    write_nasa,
    write_opssat,
    write_skab,
)
from benchmarks.published.label_files import read_nab_windows, window_rows
from benchmarks.published.nab_score import NabFile, score_nab
from benchmarks.published.nasa_alarms import evaluate_alarms
from benchmarks.published.scored_series import series_scores
from sightline.apps.gateway import ARCHIVE_PIPELINE, PIPELINE
from sightline.errors import SourceError, UsageError
from sightline.perceive.normal import NormalSettings, learning_rows
from tests.benchmarks.published.benchmark_folders import (
    FAULT,
    ROWS,
    nab_folder,
    nasa_folder,
    opssat_folder,
    series,
    skab_folder,
)

DATA = Path(os.environ.get("SIGHTLINE_DATA", Path(__file__).parents[4] / "shared" / "data"))


def real(name):
    if not (DATA / name).exists():
        pytest.skip(f"the recordings are not here: {DATA / name}")
    return DATA / name


def written_nab(path, windows):
    """A result file as the benchmark reads it."""
    rows = pl.read_csv(path).with_columns(pl.col("timestamp").str.to_datetime(time_unit="us"))
    return NabFile(
        score=rows["anomaly_score"].to_numpy(),
        windows=window_rows(rows["timestamp"], windows, where=str(path)),
    )


# --- NASA ---------------------------------------------------------------------------------------


def test_a_fault_in_every_channel_is_found_once(tmp_path):
    result = evaluate_nasa(nasa_folder(tmp_path))
    assert (result.score.true_positives, result.score.false_negatives) == (2, 0)
    assert result.score.false_positives == 0
    assert result.as_it_goes.true_positives == 2
    starts = [start for e in result.events.values() for start, _ in e.as_pairs()]
    assert all(FAULT.start - 16 < start <= FAULT.start for start in starts)


@pytest.fixture(scope="module")
def alarms(tmp_path_factory):
    """The pipeline of archives over channels with a fault each, and what it told."""
    folder, out = tmp_path_factory.mktemp("channels"), tmp_path_factory.mktemp("out")
    return evaluate_alarms(nasa_folder(folder), ARCHIVE_PIPELINE, out / "run")


def test_alarms_of_a_run_count_from_the_row_of_test_at_which_they_were_raised(alarms):
    assert (alarms.score.true_positives, alarms.score.false_positives) == (2, 0)
    starts = [start for e in alarms.alarms.values() for start, _ in e.as_pairs()]
    assert all(FAULT.start < start < FAULT.stop for start in starts)


def test_an_alarm_ends_before_the_row_that_cleared_it(alarms):
    ends = [end for e in alarms.alarms.values() for _, end in e.as_pairs()]
    assert all(FAULT.start < end < ROWS - 1 for end in ends)


def test_a_pipeline_that_reads_no_such_archives_is_refused(tmp_path):
    with pytest.raises(UsageError, match="archives with an array `test`"):
        evaluate_alarms(nasa_folder(tmp_path), PIPELINE, tmp_path / "run")


def test_channels_without_labels_are_found_in_all_the_same(tmp_path):
    result = evaluate_nasa(nasa_folder(tmp_path, has_labels=False))
    assert result.score is None
    assert result.as_mapping()["events"] == 2


def test_predictions_are_inclusive_rows_by_channel(tmp_path):
    result = evaluate_nasa(nasa_folder(tmp_path))
    write_nasa(tmp_path / "out.csv", result.events)
    written = pl.read_csv(tmp_path / "out.csv")
    assert written.columns == ["channel", "start", "end"]
    assert written["channel"].to_list() == ["A-1", "B-2"]
    assert (written["start"] <= written["end"]).all()


def test_the_training_array_changes_nothing(tmp_path):
    before = evaluate_nasa(nasa_folder(tmp_path)).as_mapping()
    test = np.load(tmp_path / "A-1.npz")["test"]
    np.savez(tmp_path / "A-1.npz", train=np.zeros((5, 2)), test=test)
    assert evaluate_nasa(tmp_path).as_mapping() == before


def test_a_folder_without_channels_is_an_error(tmp_path):
    with pytest.raises(SourceError, match=r"\*\.npz"):
        evaluate_nasa(tmp_path)


def test_a_file_that_is_no_archive_is_named(tmp_path):
    (tmp_path / "A-1.npz").write_bytes(b"no archive")
    with pytest.raises(SourceError, match=r"A-1\.npz"):
        evaluate_nasa(tmp_path)


def test_a_pickled_archive_is_refused(tmp_path):
    np.savez(tmp_path / "A-1.npz", test=np.array([{"a": 1}], dtype=object))
    with pytest.raises(SourceError):
        evaluate_nasa(tmp_path)


# --- NAB ----------------------------------------------------------------------------------------


def test_files_that_are_there_are_scored_by_category(tmp_path):
    result = evaluate_nab(nab_folder(tmp_path))
    assert sorted(result.series) == ["made/fan.csv", "real/pump.csv"]
    assert result.scores["standard"].normalised > 80
    assert set(result.categories) == {"made", "real"}


def test_what_is_written_scores_the_same_when_it_is_read_again(tmp_path):
    result = evaluate_nab(nab_folder(tmp_path))
    write_nab(tmp_path / "out", result.series)
    windows = read_nab_windows(tmp_path / "labels" / "combined_windows.json")
    files = [
        written_nab(tmp_path / "out" / "real" / "sightline_pump.csv", windows["real/pump.csv"]),
        written_nab(tmp_path / "out" / "made" / "sightline_fan.csv", windows["made/fan.csv"]),
    ]
    assert score_nab(files).normalised == pytest.approx(result.scores["standard"].normalised)


def test_results_have_the_columns_of_the_benchmark(tmp_path):
    result = evaluate_nab(nab_folder(tmp_path))
    write_nab(tmp_path / "out", result.series)
    written = pl.read_csv(tmp_path / "out" / "real" / "sightline_pump.csv")
    assert written.columns == ["timestamp", "value", "anomaly_score", "label"]
    assert written["anomaly_score"].is_between(0, 1).all()
    assert written["label"].sum() == 201


def test_a_score_uses_no_later_row():
    values = np.sin(np.arange(ROWS) / 6)
    whole = series_scores(values, NormalSettings(), learning=300)
    values[1200:] = 9.0
    np.testing.assert_array_equal(
        series_scores(values, NormalSettings(), learning=300)[:1200], whole[:1200]
    )


# --- SKAB ---------------------------------------------------------------------------------------


def test_runs_are_found_however_deep_and_files_without_labels_left_out(tmp_path):
    result = evaluate_skab(skab_folder(tmp_path))
    assert sorted(result.runs) == ["valve/0.csv", "valve/1.csv"]
    assert result.score.missing_alarm_rate < 0.5
    assert result.score.f1 > result.f1_of_all


def test_training_rows_are_never_alarms(tmp_path):
    result = evaluate_skab(skab_folder(tmp_path))
    assert not any(run.alarm[:400].any() for run in result.runs.values())


def test_runs_are_written_with_their_rows(tmp_path):
    result = evaluate_skab(skab_folder(tmp_path))
    write_skab(tmp_path / "out", result.runs)
    written = pl.read_csv(tmp_path / "out" / "valve" / "0.csv", separator=";")
    assert written.columns[-2:] == ["score", "alarm"]
    assert written.height == ROWS


# --- OPS-SAT ------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_test", [False, True])
def test_segments_are_told_apart_with_and_without_labels(tmp_path, has_test):
    result = evaluate_opssat(opssat_folder(tmp_path, has_test=has_test))
    assert len(result.score) == (75 if has_test else 300)
    assert result.unsupervised.average_precision > 0.8
    assert result.supervised.rows.f1 > 0.7
    assert result.cross_validated[:, 0].min() > 0.7


def test_labels_do_not_enter_what_is_scored_without_them(tmp_path):
    before = evaluate_opssat(opssat_folder(tmp_path)).score
    table = pl.read_csv(tmp_path / "dataset.csv").with_columns(anomaly=pl.col("segment") % 2)
    table.write_csv(tmp_path / "dataset.csv")
    np.testing.assert_array_equal(evaluate_opssat(tmp_path).score, before)


def test_segments_are_written_with_score_and_alarm(tmp_path):
    result = evaluate_opssat(opssat_folder(tmp_path))
    write_opssat(tmp_path / "out.csv", result, is_supervised=True)
    written = pl.read_csv(tmp_path / "out.csv")
    assert written.columns == ["segment", "score", "alarm"]
    assert ((written["score"] > 0) == (written["alarm"] == 1)).all()


# --- the commands -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "make", "predictions"),
    [
        ("nasa", nasa_folder, "out.csv"),
        ("nab", nab_folder, "out"),
        ("skab", skab_folder, "out"),
        ("opssat", opssat_folder, "out.csv"),
    ],
)
def test_each_benchmark_has_a_command_that_prints_json_and_writes(
    tmp_path, name, make, predictions
):
    folder = tmp_path / "benchmark"
    folder.mkdir()
    given = [name, str(make(folder)), "--json", "--predictions", str(tmp_path / predictions)]
    found = CliRunner().invoke(app, given, catch_exceptions=False)
    assert found.exit_code == 0
    assert json.loads(found.stdout)
    assert (tmp_path / predictions).exists()


def test_no_score_uses_a_later_row():
    values = np.sin(np.arange(ROWS) / 6)
    whole = series_scores(values, NormalSettings(), learning=300)
    values[1200:] = 9.0
    changed = series_scores(values, NormalSettings(), learning=300)
    np.testing.assert_array_equal(changed[:1200], whole[:1200])


def test_a_frozen_memory_goes_on_telling_of_what_lasts():
    values = np.concatenate([series(0, fault=None), np.sin(np.arange(3000) / 1.3)])
    score = series_scores(values, NormalSettings(learns_below=0.0), learning=400)
    assert score[ROWS + 200 :].min() > 4.0


# --- the recordings -----------------------------------------------------------------------------


def test_smap_is_above_the_published_pipelines_with_one_configuration():
    assert evaluate_nasa(real("nasa_smap")).score.f1 > 0.764


def test_nab_is_above_sixty():
    assert evaluate_nab(real("nab")).scores["standard"].normalised >= 60


def test_skab_is_as_good_as_the_best_published():
    assert evaluate_skab(real("skab") / "valve1").score.f1 >= 0.78


@pytest.mark.soak  # half a minute of cross-validation
def test_opssat_is_as_good_as_the_best_published():
    result = evaluate_opssat(real("opssat_features"))
    assert result.unsupervised.average_precision >= 0.78
    assert result.cross_validated[:, 0].mean() >= 0.84


def test_a_series_that_is_too_short_to_learn_from_scores_nothing():
    assert learning_rows(40) == 6
    assert series_scores(np.arange(40.0), NormalSettings()).tolist() == [0.0] * 40

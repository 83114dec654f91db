"""The score of the Numenta Anomaly Benchmark: by hand, against a plain reference, on its files."""

from datetime import datetime

import numpy as np
import polars as pl
import pytest

from benchmarks.published.label_files import (
    read_nab_profiles,
    read_nab_windows,
    window_rows,
)
from benchmarks.published.nab_score import NabFile, NabProfile, row_scores, score_nab
from sightline.errors import SourceError, UsageError
from tests.benchmarks.published.alert_cases import DATA, plain_nab_raw

ROWS, WINDOW = 200, (100, 119)


def detector(*rows, windows=(WINDOW,), n=ROWS):
    score = np.zeros(n)
    score[list(rows)] = 1.0
    return NabFile(score=score, windows=tuple(windows))


def raw(*rows, **kwargs):
    return score_nab([detector(*rows, **kwargs)], threshold=0.5).raw


def test_a_detection_in_the_first_row_of_a_window_is_worth_the_whole_window():
    assert raw(100) == pytest.approx(1.0)


def test_a_detection_in_the_last_row_of_a_window_is_worth_almost_nothing():
    # S(-1/20) / S(-1) = 0.12435 / 0.98661
    assert raw(119) == pytest.approx(0.12604, abs=1e-5)


def test_the_earliest_detection_of_a_window_counts_and_the_others_do_not():
    assert raw(105, 110, 119) == pytest.approx(raw(105))


def test_a_window_without_a_detection_costs_one_false_negative():
    assert raw() == -1.0


def test_a_false_positive_before_any_window_costs_its_whole_weight():
    assert raw(50) == pytest.approx(-1.0 - 0.11)


def test_a_false_positive_right_behind_a_window_costs_less_than_one_far_behind():
    # 1 row behind a window of 20: S(1/19) = -0.13082; 60 rows: beyond 3 windows.
    assert raw(120) == pytest.approx(-1.0 - 0.11 * 0.13085, abs=1e-5)
    assert raw(119 + 60) == pytest.approx(-1.0 - 0.11)


def test_every_false_positive_counts():
    assert raw(40, 41, 42) == pytest.approx(-1.0 - 3 * 0.11)


def test_probationary_rows_are_not_scored():
    assert raw(0, 29) == -1.0
    assert raw(30) == pytest.approx(-1.11)


def test_a_window_that_is_all_probationary_is_left_out():
    score = score_nab([detector(5, windows=[(3, 9), WINDOW])])
    assert score.windows == 1


def test_a_detector_that_finds_nothing_has_0():
    flat = NabFile(score=np.full(ROWS, 0.5), windows=(WINDOW,))
    assert score_nab([flat]).normalised == 0.0
    assert score_nab([flat]).threshold == np.inf


def test_a_perfect_detector_has_100():
    files = [detector(100), detector(60, 150, windows=[(60, 69), (150, 150)])]
    assert score_nab(files).normalised == pytest.approx(100)


def test_the_profile_that_punishes_misses_doubles_them():
    rare = NabProfile(false_negative=2.0)
    assert score_nab([detector()], rare, threshold=0.5).raw == -2.0
    assert score_nab([detector()], rare, threshold=0.5).normalised == 0.0


def test_the_highest_of_equally_good_thresholds_is_taken():
    file = NabFile(score=np.where(np.arange(ROWS) == 100, 0.9, 0.0), windows=(WINDOW,))
    assert score_nab([file]).threshold == 0.9


def test_one_threshold_serves_all_files():
    early, late = detector(100), detector(100)
    late = NabFile(score=late.score * 0.3, windows=late.windows)
    assert score_nab([early, late]).normalised == pytest.approx(100)
    assert score_nab([early, late], threshold=0.5).normalised == pytest.approx(50)


def test_every_row_is_worth_something_inside_and_costs_something_outside():
    value, inside = row_scores(100, [(30, 39), (75, 95)])
    assert (inside >= 0).sum() == 10 + 21
    assert (value[inside >= 0] > 0).all()
    assert (value[inside < 0] < 0).all()


@pytest.mark.parametrize("seed", range(6))
def test_the_sweep_agrees_with_the_plain_reference_at_every_threshold(seed):
    rng = np.random.default_rng(seed)
    files = []
    for _ in range(4):
        n = int(rng.integers(60, 300))
        edges = np.sort(
            rng.choice(np.arange(3, n), size=2 * int(rng.integers(0, 4)), replace=False)
        )
        windows = [tuple(map(int, pair)) for pair in edges.reshape(-1, 2)]
        files.append((np.round(rng.random(n), 1), windows))
    profile = NabProfile(false_positive=0.22, false_negative=1.5)
    given = [NabFile(score=s, windows=tuple(w)) for s, w in files]
    every = [np.inf, *np.unique(np.concatenate([s for s, _ in files])), 0.55]
    plain = {t: plain_nab_raw(files, t, profile) for t in every}
    for threshold in every:
        found = score_nab(given, profile, threshold=threshold)
        assert found.raw == pytest.approx(plain[threshold])
    assert score_nab(given, profile).raw == pytest.approx(max(plain.values()))


def test_a_score_that_is_not_a_number_is_refused():
    with pytest.raises(UsageError, match="NaN in row 3"):
        NabFile(score=np.array([0, 0, 0, np.nan]), windows=())


def read_windows(tmp_path, text):
    path = tmp_path / "w.json"
    path.write_text(f'{{"x.csv": {text}}}')
    return read_nab_windows(path)["x.csv"]


def test_windows_of_times_are_put_to_rows(tmp_path):
    windows = read_windows(
        tmp_path, '[["2014-04-10 07:01:00.000000", "2014-04-10 07:03:00.000000"]]'
    )
    times = pl.Series([datetime(2014, 4, 10, 7, minute) for minute in range(5)])
    assert window_rows(times, windows, where="x.csv") == ((1, 3),)


def test_a_window_whose_end_is_no_row_is_refused(tmp_path):
    windows = read_windows(tmp_path, '[["2014-04-10 07:00:00", "2014-04-10 09:00:00"]]')
    with pytest.raises(SourceError, match="none at 2014-04-10 09:00:00"):
        window_rows(pl.Series([datetime(2014, 4, 10, 7)]), windows, where="x.csv")


def nab_or_skip():
    folder = DATA / "nab"
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}")
    return folder


def test_the_published_windows_all_lie_on_rows_and_outside_probation():
    folder = nab_or_skip()
    perfect, null, count = [], [], 0
    for name, windows in sorted(read_nab_windows(folder / "labels/combined_windows.json").items()):
        if not (folder / "data" / name).is_file():
            continue
        times = pl.read_csv(folder / "data" / name)["timestamp"].str.to_datetime(time_unit="us")
        rows = window_rows(times, windows, where=name)
        score = np.zeros(len(times))
        score[[first for first, _ in rows]] = 1.0
        perfect.append(NabFile(score=score, windows=rows))
        null.append(NabFile(score=np.full(len(times), 0.5), windows=rows))
        count += len(windows)
    for profile in read_nab_profiles(folder / "config/profiles.json").values():
        assert score_nab(perfect, profile).normalised == pytest.approx(100)
        assert score_nab(null, profile).normalised == pytest.approx(0)
        assert score_nab(perfect, profile).windows == count

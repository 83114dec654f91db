"""SKAB, OPS-SAT-AD and NASA scores, by hand and by definition."""

import math

import numpy as np
import pytest

from benchmarks.alert_scores import Intervals
from benchmarks.published.label_files import read_nasa_labels
from benchmarks.published.nasa_score import score_nasa
from benchmarks.published.row_scores import average_precision, score_opssat, score_skab
from sightline.errors import SourceError, UsageError
from tests.benchmarks.published.alert_cases import DATA


def flags(text):
    return np.array([c == "1" for c in text])


def test_skab_pools_rows():
    score = score_skab(flags("1111000000"), flags("1110000001"))
    assert score.f1 == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    assert score.false_alarm_rate == pytest.approx(1 / 6)
    assert score.missing_alarm_rate == pytest.approx(1 / 4)


def test_skab_without_anomalies_has_no_missing_alarm_rate():
    assert math.isnan(score_skab(flags("000"), flags("010")).missing_alarm_rate)


def test_labels_and_predictions_of_unequal_length_are_refused():
    with pytest.raises(UsageError, match="expected 3 rows"):
        score_skab(flags("000"), flags("01"))


def test_mcc_is_the_correlation_of_label_and_prediction():
    label, predicted = flags("110100110010"), flags("100110110001")
    score = score_opssat(label, predicted, predicted.astype(float))
    assert score.rows.mcc == pytest.approx(np.corrcoef(label, predicted)[0, 1])


def test_mcc_of_a_prediction_that_never_changes_is_0():
    assert score_skab(flags("0101"), flags("1111")).mcc == 0.0


def test_average_precision_is_the_mean_precision_at_each_anomaly():
    label = flags("1011000100")
    score = np.linspace(1, 0, 10)
    at = np.flatnonzero(label)
    by_hand = np.mean([label[: i + 1].mean() for i in at])
    assert average_precision(label, score) == pytest.approx(by_hand)


def test_equal_scores_are_one_threshold_in_whatever_order():
    score = np.array([0.5, 0.5, 0.5, 0.1])
    assert average_precision(flags("1000"), score) == average_precision(flags("0010"), score)
    assert average_precision(flags("1000"), score) == pytest.approx(1 / 3)


def test_average_precision_without_anomalies_is_undefined():
    assert math.isnan(average_precision(flags("00"), np.zeros(2)))


def test_a_missing_score_is_refused():
    with pytest.raises(UsageError, match="NaN in row 1"):
        average_precision(flags("01"), np.array([0.0, np.nan]))


def nasa(labelled, predicted):
    score = score_nasa([(Intervals.of(labelled), Intervals.of(predicted))])
    return score.true_positives, score.false_positives, score.false_negatives


def test_a_labelled_sequence_counts_once_however_many_overlap_it():
    assert nasa([(10, 20)], [(5, 10), (12, 13), (20, 30)]) == (1, 0, 0)


def test_a_prediction_over_two_labelled_sequences_finds_both():
    assert nasa([(10, 20), (30, 40)], [(15, 35)]) == (2, 0, 0)


def test_a_prediction_beside_a_labelled_sequence_is_false():
    assert nasa([(10, 20)], [(21, 22)]) == (0, 1, 1)


def test_channels_are_pooled_and_not_averaged():
    hit = (Intervals.of([(1, 2)] * 1), Intervals.of([(1, 2)]))
    miss = (Intervals.of([(1, 2), (5, 6), (8, 9)]), Intervals.of([]))
    score = score_nasa([hit, miss])
    assert score.recall == pytest.approx(1 / 4)
    assert score.precision == 1.0


def test_no_predictions_have_no_precision():
    assert math.isnan(score_nasa([]).f1)


def test_labels_of_a_channel_on_two_lines_are_joined(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(
        'chan_id,spacecraft,anomaly_sequences,class,num_values\nP-2,SMAP,"[[5, 9]]",[point],20\n'
        'P-2,SMAP,"[[1, 2]]",[point],20\n'
    )
    assert read_nasa_labels(path)["P-2"].as_pairs() == [(1, 2), (5, 9)]


def test_a_malformed_label_is_refused_by_its_line(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("chan_id,anomaly_sequences\nP-2,nothing\n")
    with pytest.raises(SourceError, match="line 2"):
        read_nasa_labels(path)


def test_the_published_labels_are_read():
    path = DATA / "nasa_smap" / "labeled_anomalies.csv"
    if not path.is_file():
        pytest.skip(f"no real recordings at {path}")
    labels = read_nasa_labels(path)
    lone = score_nasa((sequences, sequences) for sequences in labels.values())
    assert lone.precision == lone.recall == 1.0
    assert lone.true_positives == sum(len(sequences) for sequences in labels.values())

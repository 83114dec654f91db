"""Scores of small sequences, each number derived by hand beside it."""

from math import isnan, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.tracking.tracking_cases import path, random_pair, table
from sightline.errors import UsageError
from sightline.evidence.tracking import ScoringRules, score_tracks
from sightline.evidence.tracking.overlaps import iou_matrix

FAR = 100.0  # no box there overlaps one at 0


def scored(truth, tracks, **options):
    return score_tracks(table(truth), table(tracks), **options)


def test_perfect_tracks_score_one_everywhere():
    truth = path(1, range(1, 4)) + path(2, range(1, 4), at=FAR)
    score = scored(truth, path(8, range(1, 4)) + path(9, range(1, 4), at=FAR))
    # 2 identities x 3 frames = 6 boxes, each matched exactly by one track of its own.
    assert (score.hota, score.det_a, score.ass_a, score.loc_a) == (1, 1, 1, 1)
    assert (score.mota, score.motp, score.idf1, score.idp, score.idr) == (1, 1, 1, 1, 1)
    clear = score.clear
    assert (clear.tp, clear.fp, clear.fn, clear.switches, clear.fragmentations) == (6, 0, 0, 0, 0)
    assert (clear.mostly_tracked, clear.partly_tracked, clear.mostly_lost) == (2, 0, 0)
    assert (score.truth_boxes, score.track_boxes, score.truth_ids, score.track_ids) == (6, 6, 2, 2)


def test_one_switch_halves_the_association():
    score = scored(path(1, range(1, 5)), path(1, [1, 2]) + path(2, [3, 4]))
    # 4 matches, 1 switch: MOTA = 1 - (0 + 0 + 1) / 4.
    assert score.clear.switches == 1
    assert score.clear.fragmentations == 0  # tracked without interruption, by two tracks
    assert score.mota == 0.75
    # The identity is assigned to one of the tracks, which covers 2 of its 4 boxes.
    assert (score.identity.idtp, score.identity.idfp, score.identity.idfn) == (2, 2, 2)
    assert (score.idf1, score.idp, score.idr) == (0.5, 0.5, 0.5)
    # Each match: TPA = 2, FNA = 2 (the identity's other boxes), FPA = 0; A = 2 / 4.
    assert score.ass_a == 0.5
    assert score.as_mapping()["AssRe"] == 0.5  # 2 / (2 + 2)
    assert score.as_mapping()["AssPr"] == 1.0  # 2 / (2 + 0)
    assert score.det_a == 1
    assert score.hota == pytest.approx(sqrt(0.5), abs=1e-15)


def test_swapped_ids_are_two_switches():
    truth = path(1, range(1, 5)) + path(2, range(1, 5), at=FAR)
    tracks = path(1, [1, 2]) + path(2, [1, 2], at=FAR) + path(2, [3, 4]) + path(1, [3, 4], at=FAR)
    score = scored(truth, tracks)
    # 8 matches; both identities change their track once: MOTA = 1 - 2 / 8.
    assert score.clear.switches == 2
    assert score.mota == 0.75
    # Each of the 4 pairs of identity and track shares 2 frames; one to one that makes 4 of 8.
    assert (score.identity.idtp, score.idf1) == (4, 0.5)
    # A = 2 / (2 + 2 + 2): two boxes of the identity and two of the track lie elsewhere.
    assert score.ass_a == pytest.approx(1 / 3, abs=1e-15)
    assert score.hota == pytest.approx(sqrt(1 / 3), abs=1e-15)


def test_misses_and_false_boxes_are_counted_apart():
    truth = path(1, range(1, 6)) + path(2, range(1, 6), at=FAR)
    tracks = path(1, [1, 2, 4]) + path(2, range(1, 6), at=FAR) + path(3, [5], at=2 * FAR)
    score = scored(truth, tracks)
    # Identity 1 is seen in 3 of 5 frames, identity 2 always; track 3 is nobody.
    clear = score.clear
    assert (clear.tp, clear.fn, clear.fp, clear.switches) == (8, 2, 1, 0)
    assert clear.fragmentations == 1  # frame 3; nothing is tracked again after frame 5
    assert (clear.mostly_tracked, clear.partly_tracked, clear.mostly_lost) == (1, 1, 0)  # 5/5, 3/5
    assert score.mota == pytest.approx(1 - (2 + 1 + 0) / 10, abs=1e-15)
    assert score.as_mapping()["recall"] == 0.8  # 8 / 10
    assert score.as_mapping()["precision"] == pytest.approx(8 / 9, abs=1e-15)
    # IDTP = 3 + 5; IDF1 = 2 * 8 / (10 + 9).
    assert (score.identity.idtp, score.identity.idfn, score.identity.idfp) == (8, 2, 1)
    assert score.idf1 == pytest.approx(16 / 19, abs=1e-15)
    # A = 3 / 5 in three matches and 1 in five: AssA = (3 * 0.6 + 5) / 8.
    assert score.det_a == pytest.approx(8 / 11, abs=1e-15)
    assert score.ass_a == pytest.approx(0.85, abs=1e-15)
    assert score.hota == pytest.approx(sqrt(8 / 11 * 0.85), abs=1e-15)


def test_an_identity_seen_in_a_tenth_of_its_frames_is_mostly_lost():
    score = scored(path(1, range(1, 11)), path(1, [4]))
    assert (score.clear.mostly_tracked, score.clear.mostly_lost) == (0, 1)  # 1 / 10 < 0.2


def test_eighty_per_cent_is_not_mostly_tracked():
    score = scored(path(1, range(1, 6)), path(1, range(1, 5)))
    assert (score.clear.mostly_tracked, score.clear.partly_tracked) == (0, 1)  # 4 / 5 is not > 0.8


def test_hota_asks_for_more_overlap_step_by_step():
    truth, tracks = [(1, 1, 0, 0, 10, 10)], [(1, 1, 0, 0, 10, 6)]
    score = scored(truth, tracks)
    # Overlap 60 / 100 = 0.6 holds at α = 0.05, 0.10, … 0.60: 12 of 19 thresholds.
    assert score.det_a == pytest.approx(12 / 19, abs=1e-15)
    assert score.hota == pytest.approx(12 / 19, abs=1e-15)
    # LocA counts 1 at the 7 thresholds without a match, by convention.
    assert score.loc_a == pytest.approx((12 * 0.6 + 7 * 1) / 19, abs=1e-15)
    assert (score.mota, score.motp) == (1, 0.6)


def test_hota_prefers_the_track_that_stays_to_the_one_that_is_closer():
    truth = path(1, [1, 2, 3])
    tracks = [(1, 1, 0, 0, 10, 3), (2, 1, 0, 0, 10, 3), (3, 1, 0, 0, 10, 6), (3, 2, 0, 0, 10, 10)]
    score = scored(truth, tracks)
    # Chances of track 1: alone in frames 1 and 2, so 1 each; in frame 3 0.6 / (0.6 + 1) = 0.375.
    # Its alignment 2.375 / (3 + 3 - 2.375) = 0.655 times 0.6 beats that of track 2:
    # 1 / 1.6 / (3 + 1 - 0.625) = 0.185 times 1.
    # α = 0.05 … 0.30: 3 matches, track 2 false: DetA = 3 / 4, AssA = 1.
    # α = 0.35 … 0.60: 1 match, 2 missed, 3 false: DetA = 1 / 6, AssA = 1 / (3 + 3 - 1).
    # α = 0.65 … 0.95: none.
    assert score.det_a == pytest.approx((6 * 3 / 4 + 6 * 1 / 6) / 19, abs=1e-15)
    assert score.ass_a == pytest.approx((6 * 1 + 6 * 1 / 5) / 19, abs=1e-15)


def test_the_threshold_decides_what_is_a_match():
    truth, tracks = [(1, 1, 0, 0, 10, 10)], [(1, 1, 0, 0, 10, 6)]  # overlap 0.6
    score = scored(truth, tracks, min_iou=0.7)
    assert (score.clear.tp, score.clear.fp, score.clear.fn, score.identity.idtp) == (0, 1, 1, 0)
    assert score.mota == -1  # 1 - (1 + 1) / 1
    assert isnan(score.motp)
    assert score.hota == pytest.approx(12 / 19, abs=1e-15)  # has thresholds of its own


def test_an_overlap_of_exactly_the_threshold_is_a_match():
    score = scored([(1, 1, 0, 0, 10, 10)], [(1, 1, 0, 0, 10, 5)])  # 50 / 100
    assert (score.clear.tp, score.identity.idtp) == (1, 1)


def test_a_match_that_still_holds_is_kept_against_a_closer_box():
    truth = path(1, [1, 2])
    tracks = [(1, 1, 0, 0, 10, 10), (2, 1, 0, 0, 10, 6), (2, 2, 0, 0, 10, 10)]
    score = scored(truth, tracks)
    # In frame 2 track 1 overlaps by 0.6 and track 2 by 1: track 1 stays, track 2 is false.
    assert (score.clear.switches, score.clear.fp, score.clear.iou_sum) == (0, 1, 1.6)
    assert score.mota == 0.5  # 1 - (0 + 1 + 0) / 2


def test_a_match_that_no_longer_holds_is_a_switch():
    truth = path(1, [1, 2])
    tracks = [(1, 1, 0, 0, 10, 10), (2, 1, 0, 0, 10, 4), (2, 2, 0, 0, 10, 10)]
    score = scored(truth, tracks)  # in frame 2 track 1 overlaps by 0.4 only
    assert (score.clear.switches, score.clear.fp) == (1, 1)


def test_a_switch_is_seen_across_a_gap():
    truth = path(1, range(1, 6)) + path(2, range(1, 6), at=FAR)
    tracks = path(1, [1]) + path(3, [5]) + path(2, range(1, 6), at=FAR)
    score = scored(truth, tracks)  # identity 1: track 1, three frames of nothing, track 3
    assert (score.clear.switches, score.clear.fragmentations) == (1, 1)


def test_a_frame_without_any_track_interrupts_nothing():
    score = scored(path(1, range(1, 6)), path(1, [1, 2, 4, 5]))
    # As in MOTChallenge's scorer: the whole frame is missed, but it is no fragmentation.
    assert (score.clear.fn, score.clear.fragmentations) == (1, 0)


def test_without_tracks_what_can_be_said_is_zero_and_the_rest_undefined():
    score = scored(path(1, [1, 2]), [])
    assert (score.clear.fn, score.clear.fp, score.identity.idfn, score.clear.mostly_lost) == (
        2,
        0,
        2,
        1,
    )
    assert (score.mota, score.idf1, score.idr, score.hota, score.det_a, score.ass_a) == (0,) * 6
    undefined = {name for name, value in score.as_mapping().items() if value is None}
    assert undefined == {"MOTP", "LocA", "IDP", "precision", "DetPr"}


def test_without_truth_every_box_is_false_and_accuracy_is_undefined():
    score = scored([], path(1, [1, 2]))
    assert (score.clear.fp, score.clear.fn, score.identity.idfp) == (2, 0, 2)
    assert (score.hota, score.det_a, score.idf1, score.idp) == (0, 0, 0, 0)
    undefined = {name for name, value in score.as_mapping().items() if value is None}
    assert undefined == {"MOTA", "MOTP", "LocA", "IDR", "recall", "DetRe"}


def test_nothing_at_all_is_no_score():
    mapping = scored([], []).as_mapping()
    ratios = {k: v for k, v in mapping.items() if not isinstance(v, int)}
    assert len(ratios) == 15
    assert set(ratios.values()) == {None}


def test_only_the_chosen_frames_are_scored():
    truth, tracks = path(1, range(1, 5)), path(1, range(1, 9))
    assert scored(truth, tracks).clear.fp == 4  # frames 5 to 8 have no truth
    part = scored(truth, tracks, frames=(2, 4))
    assert (part.clear.fp, part.truth_boxes, part.frames) == (0, 3, 3)


@pytest.mark.parametrize("frames", [(0, 4), (5, 4)])
def test_a_range_that_cannot_be_is_refused(frames):
    with pytest.raises(UsageError, match="FIRST <= LAST"):
        scored(path(1, [1]), path(1, [1]), frames=frames)


@pytest.mark.parametrize("min_iou", [0.0, -1.0, 1.1, float("nan")])
def test_a_threshold_that_cannot_be_is_refused(min_iou):
    with pytest.raises(UsageError, match="min_iou"):
        scored(path(1, [1]), path(1, [1]), min_iou=min_iou)


def test_truth_that_is_not_to_be_considered_is_left_out():
    truth = table(path(1, [1, 2]) + path(2, [1, 2], at=FAR), scores=[1, 1, 0, 0])
    score = score_tracks(truth, table(path(1, [1, 2]) + path(2, [1, 2], at=FAR)))
    # A track on a box that is not considered is false: nothing says that it is a distractor.
    assert (score.clear.tp, score.clear.fn, score.clear.fp, score.left_out_truth) == (2, 0, 2, 2)


def test_a_track_on_a_distractor_is_neither_right_nor_wrong():
    # Classes: 1 pedestrian, 8 distractor, 3 car.
    truth = table(
        path(1, [1, 2]) + path(2, [1, 2], at=FAR) + path(3, [1, 2], at=2 * FAR),
        classes=[1, 1, 8, 8, 3, 3],
    )
    tracks = table(path(1, [1, 2]) + path(2, [1, 2], at=FAR) + path(3, [1, 2], at=2 * FAR))
    score = score_tracks(truth, tracks)  # the class column asks for the rules of MOT17
    assert (score.clear.tp, score.clear.fn, score.left_out_truth) == (2, 0, 4)
    assert score.left_out_tracks == 2  # those on the distractor
    assert score.clear.fp == 2  # those on the car


def test_other_vehicles_are_distractors_in_mot20_only():
    truth = table(path(1, [1]) + path(2, [1], at=FAR), classes=[1, 6])
    tracks = table(path(1, [1]) + path(2, [1], at=FAR))
    false = {
        name: score_tracks(truth, tracks, rules=ScoringRules.named(name)).clear.fp
        for name in ("mot17", "mot20")
    }
    assert false == {"mot17": 1, "mot20": 0}


def test_rules_with_classes_need_truth_with_classes():
    with pytest.raises(UsageError, match="class column"):
        scored(path(1, [1]), path(1, [1]), rules=ScoringRules.named("mot17"))


def test_an_unknown_benchmark_is_named():
    with pytest.raises(UsageError, match="got mot99"):
        ScoringRules.named("mot99")


def test_boxes_without_an_area_overlap_nothing():
    boxes = np.array([[0, 0, 10, 10], [5, 5, 5, 9], [9, 9, 5, 5], [3, 3, 3, 3]], np.float64)
    assert np.array_equal(iou_matrix(boxes, boxes), np.diag([1.0, 0, 0, 0]))


def _random_tables(seed):
    truth, tracks = random_pair(np.random.default_rng(seed))
    for rows in (truth, tracks):
        rows[:, 4:] += rows[:, 2:4]
    return truth, tracks


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_scores_stay_in_their_range_and_counts_add_up(seed):
    truth, tracks = _random_tables(seed)
    score = scored(truth, tracks)
    clear, identity = score.clear, score.identity
    assert clear.tp + clear.fn == identity.idtp + identity.idfn == len(truth)
    assert clear.tp + clear.fp == identity.idtp + identity.idfp == len(tracks)
    assert clear.mostly_tracked + clear.partly_tracked + clear.mostly_lost == score.truth_ids
    assert identity.idtp <= clear.tp
    assert score.mota <= 1
    assert all(0 <= x <= 1 for x in (score.hota, score.det_a, score.ass_a, score.idf1))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_names_of_tracks_do_not_matter(seed):
    truth, tracks = _random_tables(seed)
    renamed = tracks.copy()
    renamed[:, 1] = 1000 - 7 * renamed[:, 1]
    renamed[:, 1] -= renamed[:, 1].min()
    before, after = scored(truth, tracks).as_mapping(), scored(truth, renamed).as_mapping()
    assert after == pytest.approx(before, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_truth_scored_against_itself_is_perfect(seed):
    truth, _ = _random_tables(seed)
    score = scored(truth, truth)
    assert (score.hota, score.mota, score.idf1) == pytest.approx((1, 1, 1), abs=1e-12)

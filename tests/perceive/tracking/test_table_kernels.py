"""The compiled loops over boxes and over the table of tracks agree with their specification."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from perceive.tracking import reference_boxes, reference_table
from sightline.perceive.tracking import motion_plane, track_table
from sightline.perceive.tracking.track_table import TrackTable

seeds = st.integers(0, 2**32 - 1)
S = 10**9
NOW_NS = 100 * S
WEAK = (0.7, 0.2, 0.6)
"""Which score is sure, and the evidence of score 0 and just below that."""


def detections(rng):
    m = rng.integers(0, 12)
    low = rng.uniform(-10, 50, (m, 2))
    box_px = np.concatenate([low, low + rng.uniform(-5, 40, (m, 2))], axis=1)
    score = rng.random(m)
    for array in (box_px.reshape(-1), score):
        array[rng.random(len(array)) < 0.05] = rng.choice([np.nan, np.inf, -np.inf])
    return box_px, score, rng.integers(0, 3, m).astype(np.int32)


def table(rng):
    n = rng.integers(0, 9)
    root = rng.normal(0, 3, (n, 4, 4))
    return TrackTable(
        state=rng.normal(0, 3, (n, 4)),
        covariance=root @ root.transpose(0, 2, 1) + np.eye(4),
        log_size=rng.normal(3, 0.3, (n, 2)),
        size_variance=rng.uniform(0.01, 0.1, (n, 2)),
        track_id=rng.permutation(n) * rng.integers(0, 2, n),
        class_id=rng.integers(0, 3, n),
        hits=rng.integers(1, 3, n),
        evidence=rng.integers(1, 9, n) / 4,
        score=rng.random(n),
        seen_ns=NOW_NS - rng.integers(0, 4, n) * S,
        sighting=rng.integers(0, 3, n),
        began_ns=np.sort(rng.integers(0, 90, n)) * S,
        first=rng.normal(0, 3, (n, 2)),
    )


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(seeds)
def test_the_same_detections_are_usable(seed):
    given_boxes = detections(np.random.default_rng(seed))
    numbers = (0.05, 0.08, *WEAK)
    found = motion_plane.usable(*given_boxes, *numbers)
    assert_same(found, reference_boxes.usable(*given_boxes, *numbers))


@settings(deadline=None)
@given(seeds)
def test_boxes_agree(seed):
    tracks = table(np.random.default_rng(seed))
    found = motion_plane.boxes_of(tracks.state, tracks.log_size)
    np.testing.assert_allclose(found, reference_boxes.boxes_of(tracks.state, tracks.log_size))


@settings(deadline=None)
@given(seeds, st.integers(0, 9), st.sampled_from([0.0, 1.7]))
def test_the_same_tracks_end_and_begin(seed, max_tracks, assumed_height_m):
    rng = np.random.default_rng(seed)
    tracks = table(rng)
    sightings = reference_boxes.usable(*detections(rng), 0.05, 0.08, *WEAK)
    _, score, evidence, class_id, position, spread, log_size, *_ = sightings
    matched = rng.integers(-1, max(len(tracks), 1), len(score))
    asked = {
        "track_id": tracks.track_id, "hits": tracks.hits, "evidence": tracks.evidence,
        "score": tracks.score, "seen_ns": tracks.seen_ns,
        "is_out": rng.random(len(tracks)) < 0.2, "now_ns": NOW_NS, "max_unseen_s": 2.0,
        "miss_share": 0.5, "kept_share": 0.3, "fade_share": 0.05, "sure_score": WEAK[0],
        "at_0": WEAK[1], "at_sure": WEAK[2],
        "matched": matched, "max_tracks": max_tracks,
    }  # fmt: skip
    lasting = {**asked, "evidence": tracks.evidence.copy()}
    found = track_table.ended_and_begun(*lasting.values())
    kept, begun, once, _ = expected = reference_table.ended_and_begun(**asked)
    assert_same(found, expected)
    assert lasting["evidence"].tolist() == tracks.evidence.tolist()
    many = rng.integers(0, 3) if len(once) and len(begun) else 0
    leapt, landed = rng.choice(once, many), rng.choice(begun, many)
    numbers = (0.15, 1.5, assumed_height_m, NOW_NS)
    carried = track_table.carried_over(
        *tracks.columns(), position, spread, log_size, class_id, evidence, score, kept, begun,
        leapt, landed, *WEAK, *numbers,
    )  # fmt: skip
    columns = reference_table.carried_over(
        tracks.arrays(),
        seen={"position": position, "spread": spread, "log_size": log_size, "class_id": class_id,
              "evidence": evidence, "score": score},
        kept=kept, begun=begun, leapt=leapt, landed=landed, evidence_by=WEAK,
        size_sd=0.15, start_speed_m_s=1.5, assumed_height_m=assumed_height_m, now_ns=NOW_NS,
    )  # fmt: skip
    assert_same(carried, [columns[name] for name in tracks.arrays()])


@settings(deadline=None)
@given(seeds, st.booleans())
def test_the_same_tracks_are_reported(seed, on_ground):
    rng = np.random.default_rng(seed)
    tracks = table(rng)
    tracks.track_id[:] = rng.permutation(len(tracks)) * (rng.random(len(tracks)) < 0.7)
    box_px = reference_boxes.boxes_of(tracks.state, tracks.log_size)
    box_px.reshape(-1)[rng.random(box_px.size) < 0.05] = np.nan
    found = track_table.reported(
        tracks.track_id, box_px, tracks.score, tracks.class_id, tracks.seen_ns, tracks.began_ns,
        tracks.state, tracks.covariance, tracks.first, NOW_NS + S, NOW_NS, 2.0, on_ground,
    )  # fmt: skip
    expected = reference_table.reported(
        tracks.arrays(), box_px=box_px, capture_ns=NOW_NS + S, now_ns=NOW_NS,
        report_unseen_s=2.0, on_ground=on_ground,
    )  # fmt: skip
    assert_same(found, expected.values())


def test_ids_are_given_in_the_order_of_the_table():
    track_id, evidence = np.array([3, 0, 0, 0]), np.array([9.0, 3.0, 2.0, 4.0])
    following = track_table.confirm_in_place(track_id, evidence, np.array([9, 3, 2, 5]), 3.0, 7)
    assert (track_id.tolist(), following) == ([3, 7, 0, 8], (9, 8))


@settings(deadline=None)
@given(seeds)
def test_of_explanations_of_one_sighting_the_same_hold(seed):
    rng = np.random.default_rng(seed)
    tracks = table(rng)
    matched = np.full(12, -1)
    rows = rng.permutation(len(tracks))[: rng.integers(0, len(tracks) + 1)]
    matched[rng.permutation(12)[: len(rows)]] = rows
    asked = (tracks.track_id, tracks.seen_ns, tracks.sighting, matched)
    assert_same(track_table.only_one_holds(*asked), reference_table.only_one_holds(*asked))


@settings(deadline=None)
@given(seeds, st.integers(0, 3), st.booleans())
def test_the_same_leaps_are_thought_of(seed, most, by_class):
    rng = np.random.default_rng(seed)
    tracks, sightings = table(rng), reference_boxes.usable(*detections(rng), 0.05, 0.08, *WEAK)
    _, score, _, class_id, position, _, log_size, *_ = sightings
    once = np.flatnonzero(rng.random(len(tracks)) < 0.8)
    begun = np.flatnonzero(rng.random(len(score)) < 0.8)
    found = track_table.leaps(
        once, begun, tracks.state, tracks.log_size, tracks.size_variance, tracks.class_id,
        position, log_size, class_id, by_class, 0.15, 4.0, most,
    )  # fmt: skip
    expected = reference_table.leaps(
        tracks.arrays(),
        seen={"position": position, "log_size": log_size, "class_id": class_id},
        once=once, begun=begun, by_class=by_class, size_sd=0.15, size_gate=4.0, most=most,
    )  # fmt: skip
    assert_same(found, expected)

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
    return TrackTable(
        state=rng.normal(0, 3, (n, 4)),
        covariance=rng.normal(0, 3, (n, 4, 4)),
        log_size=rng.normal(3, 0.3, (n, 2)),
        size_variance=rng.uniform(0.01, 0.1, (n, 2)),
        track_id=rng.permutation(n) * rng.integers(0, 2, n),
        class_id=rng.integers(0, 3, n),
        hits=rng.integers(1, 6, n),
        score=rng.random(n),
        seen_ns=NOW_NS - rng.integers(0, 4, n) * S,
        began_ns=np.sort(rng.integers(0, 90, n)) * S,
    )


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_allclose(a, b, rtol=1e-12)


@settings(deadline=None)
@given(seeds)
def test_the_same_detections_are_usable(seed):
    given_boxes = detections(np.random.default_rng(seed))
    numbers = (0.2, 0.05, 0.08)
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
    sightings = reference_boxes.usable(*detections(rng), 0.2, 0.05, 0.08)
    _, score, class_id, position, spread, log_size, *_ = sightings
    matched = rng.integers(-1, max(len(tracks), 1), len(score))
    asked = (tracks.track_id, tracks.seen_ns, NOW_NS, 2.0, matched, score, 0.5, max_tracks)
    names = (
        "track_id", "seen_ns", "now_ns", "max_unseen_s", "matched", "score", "new_score",
        "max_tracks",
    )  # fmt: skip
    found = track_table.ended_and_begun(*asked)
    kept, begun, _ = expected = reference_table.ended_and_begun(
        **dict(zip(names, asked, strict=True))
    )
    assert_same(found, expected)
    numbers = (0.15, 1.5, assumed_height_m, NOW_NS)
    carried = track_table.carried_over(
        *tracks.columns(), position, spread, log_size, class_id, score, kept, begun, *numbers
    )
    columns = reference_table.carried_over(
        tracks.arrays(),
        seen={"position": position, "spread": spread, "log_size": log_size, "class_id": class_id,
              "score": score},
        kept=kept, begun=begun, size_sd=0.15, start_speed_m_s=1.5,
        assumed_height_m=assumed_height_m, now_ns=NOW_NS,
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
        tracks.state, tracks.covariance, NOW_NS + S, NOW_NS, 2.0, on_ground,
    )  # fmt: skip
    expected = reference_table.reported(
        tracks.arrays(), box_px=box_px, capture_ns=NOW_NS + S, now_ns=NOW_NS,
        report_unseen_s=2.0, on_ground=on_ground,
    )  # fmt: skip
    assert_same(found, expected.values())


def test_ids_are_given_in_the_order_of_the_table():
    track_id = np.array([3, 0, 0, 0])
    following = track_table.confirm_in_place(track_id, np.array([9, 3, 2, 4]), 3, 7)
    assert (track_id.tolist(), following) == ([3, 7, 0, 8], 9)

"""The tracker: identities over time, with true elapsed time, whatever the detector does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.errors import UsageError
from sightline.perceive.tracking import Tracker, TrackerSettings
from sightline.records import Detections
from sightline.records.camera import CameraModel

S = 10**9


def boxes_at(foot_x, foot_y=300.0, height=100.0, width=40.0):
    x = np.atleast_1d(np.asarray(foot_x, np.float64))
    y = np.broadcast_to(np.asarray(foot_y, np.float64), x.shape)
    return np.stack([x - width / 2, y - height, x + width / 2, y], axis=1)


def seen(time_s, foot_x, foot_y=300.0, *, score=0.9, **size):
    box = boxes_at(foot_x, foot_y, **size)
    return Detections.of("yard", round(time_s * S), box_px=box, score=np.full(len(box), score))


def nothing(time_s):
    return Detections.of("yard", round(time_s * S), box_px=[], score=[])


def walk(tracker, times_s, speed_px_s=60.0, **kw):
    """One person walking; the tracks after each frame."""
    return [tracker.update(seen(t, 100 + speed_px_s * t, **kw)) for t in times_s]


def test_a_thing_gets_its_id_with_its_third_detection():
    counts = [len(t) for t in walk(Tracker("yard"), [0.0, 0.1, 0.2, 0.3])]
    assert counts == [0, 0, 1, 1]


def test_a_thing_seen_once_is_nothing():
    tracker = Tracker("yard")
    tracker.update(seen(0.0, 100))
    assert all(len(tracker.update(nothing(t))) == 0 for t in (0.1, 0.2, 0.3))
    assert tracker.update(seen(0.4, 100)).track_id.tolist() == []


def test_an_identity_lasts_through_an_occlusion():
    tracker = Tracker("yard")
    before = walk(tracker, np.arange(0, 2, 0.1))[-1]
    for t in np.arange(2, 3.5, 0.1):
        tracker.update(nothing(t))
    after = tracker.update(seen(3.5, 100 + 60 * 3.5))
    assert after.track_id.tolist() == before.track_id.tolist()


def test_an_identity_ends_when_it_was_not_seen_for_too_long():
    tracker = Tracker("yard", settings=TrackerSettings(max_unseen_s=1.0))
    walk(tracker, np.arange(0, 2, 0.1))
    tracker.update(nothing(3.5))
    again = [tracker.update(seen(3.6 + i / 10, 316 + 6 * i)) for i in range(3)][-1]
    assert again.track_id.tolist() == [2]


def test_elapsed_time_counts_and_not_the_number_of_frames():
    def position_after_gap(times_s):
        tracker = Tracker("yard")
        walk(tracker, times_s)
        return tracker.predict_to(round((times_s[-1] + 0.5) * S)).box_px

    even = position_after_gap(np.arange(0, 2.01, 0.1))
    uneven = position_after_gap(np.array([0, 0.1, 0.2, 0.5, 0.6, 1.0, 1.1, 1.2, 1.7, 1.9, 2.0]))
    np.testing.assert_allclose(even, uneven, atol=3.0)
    np.testing.assert_allclose(even[0, 0], 100 + 60 * 2.5 - 20, atol=3.0)


def test_two_who_pass_each_other_keep_their_identities():
    tracker = Tracker("yard")
    for t in np.arange(0, 4, 0.1):
        x = np.array([100 + 60 * t, 340 - 60 * t])
        tracks = tracker.update(seen(t, x, np.array([300.0, 310.0])))
        if len(tracks) == 2 and t < 0.5:
            first = dict(zip(tracks.track_id.tolist(), tracks.box_px[:, 0], strict=True))
    last = dict(zip(tracks.track_id.tolist(), tracks.box_px[:, 0], strict=True))
    assert set(first) == set(last)
    assert all((first[i] < 200) == (last[i] > 240) for i in first)


def test_an_unsure_detection_continues_a_track_and_begins_none():
    tracker = Tracker("yard")
    walk(tracker, np.arange(0, 1, 0.1))
    unsure = seen(1.0, [160, 500], score=0.3)
    assert tracker.update(unsure).unseen_s.tolist() == [0.0]
    for i in range(1, 6):
        tracks = tracker.update(seen(1 + i / 10, [160 + 6 * i, 500], score=0.3))
    assert len(tracks) == 1


def test_one_missed_frame_at_ten_hertz_is_bridged_and_says_so():
    tracker = Tracker("yard")
    walk(tracker, np.arange(0, 1, 0.1))
    bridged = tracker.update(nothing(1.0))
    assert bridged.unseen_s.tolist() == pytest.approx([0.1])
    assert len(tracker.update(nothing(1.1))) == 0


def test_propagating_changes_nothing_of_what_follows():
    straight, asked = Tracker("yard"), Tracker("yard")
    for t in np.arange(0, 2, 0.1):
        a = straight.update(seen(t, 100 + 60 * t))
        asked.predict_to(round((t + 0.05) * S)) if t > 0 else None
        b = asked.update(seen(t, 100 + 60 * t))
    assert a.box_px.tobytes() == b.box_px.tobytes()


def test_things_of_another_class_are_other_things():
    tracker = Tracker("yard")
    for i in range(8):
        detections = Detections.of(
            "yard", i * S // 10, box_px=boxes_at([100.0, 101.0]), score=[0.9, 0.9],
            class_id=[0, 1], class_names=("person", "vehicle"),
        )  # fmt: skip
        tracks = tracker.update(detections)
    assert sorted(tracks.class_id.tolist()) == [0, 1]


def test_a_belt_that_moves_everything_is_no_motion_of_the_things():
    still, carried = Tracker("yard"), Tracker("yard")
    for i in range(10):
        a = still.update(seen(i / 10, 100.0))
        b = carried.update(seen(i / 10, 100.0 + 30 * i), shift=(30.0 if i else 0.0, 0.0))
    np.testing.assert_allclose(b.box_px - [270, 0, 270, 0], a.box_px, atol=1e-6)
    assert b.track_id.tolist() == a.track_id.tolist() == [1]


def test_with_a_camera_model_tracks_are_in_metres():
    camera = CameraModel.homography(np.diag([0.01, 0.01, 1.0]), image_size_px=(640, 480))
    tracker = Tracker("yard", camera)
    for t in np.arange(0, 3, 0.1):
        tracks = tracker.update(seen(t, 100 + 60 * t))
    np.testing.assert_allclose(tracks.ground_m, [[1 + 0.6 * 2.9, 3.0]], atol=0.02)
    np.testing.assert_allclose(tracks.velocity_m_s, [[0.6, 0.0]], atol=0.05)
    assert np.linalg.eigvalsh(tracks.ground_covariance[0]).min() > 0


def test_without_one_metres_are_not_a_number():
    tracks = walk(Tracker("yard"), [0.0, 0.1, 0.2])[-1]
    assert np.isnan(tracks.ground_m).all()


def test_ids_are_never_used_again_not_even_after_a_reset():
    tracker = Tracker("yard")
    walk(tracker, [0.0, 0.1, 0.2])
    tracker.reset()
    assert walk(tracker, [1.0, 1.1, 1.2])[-1].track_id.tolist() == [2]


def test_two_trackers_count_for_themselves():
    one, two = Tracker("yard"), Tracker("yard")
    assert walk(one, [0, 0.1, 0.2])[-1].track_id.tolist() == [1]
    assert walk(two, [0, 0.1, 0.2])[-1].track_id.tolist() == [1]


BAD = {
    "a box that is not a number": ([[np.nan, 0, 1, 1]], [0.9], "not_finite"),
    "a score that is not a number": ([[0, 0, 1, 1]], [np.nan], "not_finite"),
    "an infinite box": ([[0, 0, np.inf, 1]], [0.9], "not_finite"),
    "a box without width": ([[5, 0, 5, 9]], [0.9], "no_area"),
    "a box upside down": ([[0, 9, 5, 0]], [0.9], "no_area"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_tracked_is_counted_and_left_out(name):
    box, score, why = BAD[name]
    tracker = Tracker("yard")
    for i in range(4):
        bad = Detections.of("yard", i * S // 10, box_px=box, score=score)
        assert len(tracker.update(bad)) == 0
    assert tracker.refused == {why: 4}


def test_a_box_above_the_horizon_is_counted_and_left_out():
    horizon = CameraModel.homography(
        np.array([[0.01, 0, 0], [0, 0.01, 0], [0, 0.01, -1.0]]), image_size_px=(640, 480)
    )
    tracker = Tracker("yard", horizon)
    tracker.update(seen(0.0, 100, 90.0, height=50.0))
    assert tracker.refused == {"off_plane": 1}


@pytest.mark.parametrize("time_s", [0.2, 0.1, -1.0])
def test_a_time_that_does_not_go_forward_is_refused_and_changes_nothing(time_s):
    tracker = Tracker("yard")
    walk(tracker, [0.0, 0.1, 0.2])
    before = tracker.snapshot()
    with pytest.raises(UsageError, match="in order of capture"):
        tracker.update(seen(time_s, 100))
    assert str(tracker.snapshot()) == str(before)


def test_another_stream_is_refused():
    with pytest.raises(UsageError, match="stream gate"):
        Tracker("yard").update(Detections.of("gate", 0, box_px=[], score=[]))


def test_at_the_bound_nothing_new_begins_and_it_is_counted():
    tracker = Tracker("yard", settings=TrackerSettings(max_tracks=2))
    for i in range(4):
        tracks = tracker.update(seen(i / 10, [100.0, 300.0, 500.0]))
    assert len(tracks) == 2
    assert tracker.refused["too_many"] > 0


def crowd(rng, frames):
    """Random walkers with misses and false detections."""
    x, y = rng.uniform(0, 600, 8), rng.uniform(200, 470, 8)
    vx = rng.normal(0, 50, 8)
    found = []
    for i in range(frames):
        x = x + vx / 10
        there = rng.random(8) > 0.2
        feet_x = np.append(x[there] + rng.normal(0, 3, there.sum()), rng.uniform(0, 600))
        feet_y = np.append(y[there] + rng.normal(0, 3, there.sum()), rng.uniform(200, 470))
        box = boxes_at(feet_x, feet_y)
        score = rng.uniform(0.05, 1, len(box))
        found.append(Detections.of("yard", i * S // 10, box_px=box, score=score))
    return found


def all_bytes(tracks):
    return tracks.track_id.tobytes() + tracks.box_px.tobytes() + tracks.score.tobytes()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(1, 39))
def test_a_stream_cut_anywhere_equals_the_whole(seed, cut):
    frames = crowd(np.random.default_rng(seed), 40)
    whole, first, second = Tracker("yard"), Tracker("yard"), Tracker("yard")
    expected = [all_bytes(whole.update(f)) for f in frames]
    for frame in frames[:cut]:
        first.update(frame)
    second.restore(*first.snapshot())
    assert [all_bytes(second.update(f)) for f in frames[cut:]] == expected[cut:]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_ids_ascend_and_none_is_given_twice(seed):
    tracker, last_seen, known = Tracker("yard"), {}, set()
    for i, frame in enumerate(crowd(np.random.default_rng(seed), 60)):
        ids = tracker.update(frame).track_id.tolist()
        assert ids == sorted(set(ids))
        new = set(ids) - known
        assert not new or min(new) > max(known, default=0)
        known |= new
        last_seen.update(dict.fromkeys(ids, i))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_detections_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    a, b = Tracker("yard"), Tracker("yard")
    for frame in crowd(rng, 30):
        order = rng.permutation(len(frame))
        shuffled = Detections.of(
            "yard", frame.capture_ns, box_px=frame.box_px[order], score=frame.score[order]
        )
        first, second = a.update(frame), b.update(shuffled)
        assert len(first) == len(second)
        near = np.sort(first.box_px[:, 0]) - np.sort(second.box_px[:, 0])
        np.testing.assert_allclose(near, 0, atol=1e-9)


def test_boxes_may_be_columns_of_a_wider_table():
    tracker = Tracker("yard")
    for t in (0.0, 0.1, 0.2):
        wide = np.concatenate([[[7.0]], boxes_at(100 + 60 * t), [[0.9]]], axis=1)
        seen_wide = Detections.of("yard", round(t * S), box_px=wide[:, 1:5], score=wide[:, 5])
        tracks = tracker.update(seen_wide)
    assert tracks.track_id.tolist() == [1]


def walkers(time_s, camera_px):
    """Six people in a row, each at a speed of their own, as a camera sees them that has moved."""
    x = 60.0 + 90 * np.arange(6) + np.linspace(-40, 40, 6) * time_s
    return x + camera_px


def swinging(time_s):
    return 40 * np.sin(2 * np.pi * 0.8 * time_s)


def test_a_camera_that_swings_loses_nobody():
    still, swung = Tracker("yard"), Tracker("yard")
    for i in range(40):
        t = i / 10
        expected = still.update(seen(t, walkers(t, 0.0)))
        found = swung.update(seen(t, walkers(t, swinging(t))))
    assert found.track_id.tolist() == expected.track_id.tolist()
    off_px = found.box_px[:, 0] - expected.box_px[:, 0] - swinging(t)
    assert np.abs(off_px).max() < 8


def test_without_learning_the_camera_s_motion_people_are_lost():
    blind = Tracker("yard", settings=TrackerSettings(camera_memory_s=0.0))
    ids = set()
    for i in range(40):
        ids |= set(blind.update(seen(i / 10, walkers(i / 10, swinging(i / 10)))).track_id.tolist())
    assert len(ids) > 6


def test_a_camera_that_stands_still_is_learned_to_stand_still():
    tracker, blind = (
        Tracker("yard", settings=TrackerSettings(camera_memory_s=memory_s))
        for memory_s in (1.0, 0.0)
    )
    for i in range(40):
        frame = seen(i / 10, walkers(i / 10, 0.0))
        assert all_bytes(tracker.update(frame)) == all_bytes(blind.update(frame))
    assert tracker.snapshot()[0]["camera_variance_px2"] == [0.0, 0.0]


def test_one_who_turns_does_not_pass_for_the_camera():
    tracker = Tracker("yard")
    for i in range(40):
        turned = walkers(i / 10, 0.0)
        turned[2] += 4 * swinging(i / 10) / 10
        tracks = tracker.update(seen(i / 10, turned))
    assert len(tracks) == 6
    assert tracker.snapshot()[0]["camera_variance_px2"] == [0.0, 0.0]


def test_a_detection_far_from_where_a_lost_track_may_be_is_someone_new():
    def ids_after_gap(foot_x):
        tracker = Tracker("yard")
        walk(tracker, np.arange(0, 2, 0.1), speed_px_s=0.0)
        return [tracker.update(seen(4.0 + i / 10, foot_x)) for i in range(3)][-1].track_id.tolist()

    assert ids_after_gap(100.0) == [1]
    assert ids_after_gap(400.0) == [2]

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


def test_an_unsure_detection_continues_a_track():
    tracker = Tracker("yard")
    walk(tracker, np.arange(0, 1, 0.1))
    assert tracker.update(seen(1.0, 160, score=0.3)).unseen_s.tolist() == [0.0]


def frames_until_reported(score, pattern="1", most=100):
    """Frames until a walker is reported whom the detector sees in the frames marked with 1."""
    tracker = Tracker("yard")
    for i in range(most):
        is_seen = pattern[i % len(pattern)] == "1"
        frame = seen(i / 10, 100 + 6 * i, score=score) if is_seen else nothing(i / 10)
        if len(tracker.update(frame)):
            return i + 1
    return None


@pytest.mark.parametrize("score", [0.0, 0.05, 0.1, 0.25, 0.4, 0.5, 0.6, 0.65, 0.69])
def test_weak_evidence_over_several_frames_begins_a_track(score):
    assert 3 < frames_until_reported(score) <= 15


def test_the_weaker_the_evidence_the_more_of_it_is_needed():
    frames = [frames_until_reported(score) for score in np.linspace(0, 1, 21)]
    assert frames == sorted(frames, reverse=True)
    assert frames[-1] == 3


@pytest.mark.parametrize("pattern", ["10", "110", "01", "1101"])
def test_who_flickers_is_followed_later(pattern):
    assert 3 < frames_until_reported(0.9, pattern) <= 20


@pytest.mark.parametrize("pattern", ["100", "1000", "10000", "100000", "1000010100"])
def test_who_is_seen_surely_in_few_frames_is_followed_after_some_of_them(pattern):
    assert 20 < frames_until_reported(0.9, pattern) <= 50


@pytest.mark.parametrize("every", [7, 10])
def test_what_is_seen_too_seldom_is_no_track_and_is_counted(every):
    tracker = Tracker("yard")
    for i in range(100):
        tracks = tracker.update(seen(i / 10, 100) if i % every == 0 else nothing(i / 10))
        assert not len(tracks)
    assert tracker.left_aside == {"no_track": 100 // every + (100 % every > 0)}


def test_what_a_track_began_with_is_not_left_aside():
    tracker = Tracker("yard")
    walk(tracker, [0.0, 0.1])
    assert tracker.left_aside == {"no_track": 2}
    walk(tracker, [0.2, 0.3])
    assert tracker.left_aside == {}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_detection_is_in_a_track_or_counted_as_left_aside(seed):
    tracker, given_boxes, in_tracks = Tracker("yard"), 0, 0
    for frame in crowd(np.random.default_rng(seed), 40):
        tracker.update(frame)
        given_boxes += len(frame)
        in_tracks += int((tracker.sighting_ids > 0).sum())
    left = sum(tracker.left_aside.values())
    assert 0 <= left <= given_boxes - in_tracks  # the first of each track came before its id


# --- whatever moves, however fast -----------------------------------------------------------------

GROUND = CameraModel.homography(np.diag([0.03, 0.03, 1.0]), image_size_px=(1920, 1080))
RATES_HZ = [1, 2, 5, 10, 15, 25, 60]


def frames_reported(left_px, *, rate_hz, camera=None, size_px=(150, 50), top_px=200.0, score=0.9):
    """In how many frames something at these places is reported, and under how many ids."""
    tracker, frames, ids = Tracker("yard", camera), 0, set()
    wide, high = size_px
    left = np.asarray(left_px, np.float64)
    top = np.broadcast_to(np.asarray(top_px, np.float64), left.shape)
    for i, (x, y) in enumerate(zip(left, top, strict=True)):
        box = [[x, y, x + wide, y + high]]
        tracks = tracker.update(
            Detections.of("yard", round(i * S / rate_hz), box_px=box, score=[score])
        )
        frames += len(tracks)
        ids |= set(tracks.track_id.tolist())
    return frames, len(ids)


@pytest.mark.parametrize("camera", [None, GROUND], ids=["pixels", "metres"])
@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("speed_km_h", [5, 20, 30, 40, 50, 80, 100])
def test_a_lone_car_is_followed_at_any_speed_and_frame_rate(speed_km_h, rate_hz, camera):
    step_px = speed_km_h / 3.6 / 0.03 / rate_hz
    left_px = 50 + step_px * np.arange(30)
    assert frames_reported(left_px, rate_hz=rate_hz, camera=camera) == (28, 1)


@settings(max_examples=60, deadline=None)
@given(
    box_heights_s=st.floats(0, 60), rate_hz=st.floats(2, 60), angle=st.floats(0, 2 * np.pi),
    size_px=st.tuples(st.floats(8, 300), st.floats(8, 300)), score=st.floats(0.7, 1),
)  # fmt: skip
def test_whatever_moves_evenly_is_followed_from_its_third_frame(
    box_heights_s, rate_hz, angle, size_px, score
):
    step_px = box_heights_s * size_px[1] / rate_hz
    along = step_px * np.arange(12)
    found = frames_reported(
        1e4 + along * np.cos(angle), rate_hz=rate_hz, size_px=size_px,
        top_px=1e4 + along * np.sin(angle), score=score,
    )  # fmt: skip
    assert found == (10, 1)


@pytest.mark.parametrize(
    ("braking_m_s2", "rate_hz"), [(2, 5), (5, 5), *[(b, r) for b in (2, 5, 8) for r in (10, 25)]]
)
def test_a_car_that_brakes_from_90_km_h_keeps_its_identity(braking_m_s2, rate_hz):
    time_s = np.minimum(np.arange(40) / rate_hz, 25 / braking_m_s2)
    way_m = 25 * time_s - braking_m_s2 * time_s**2 / 2
    assert frames_reported(50 + way_m / 0.03, rate_hz=rate_hz) == (38, 1)


def test_a_car_in_an_emergency_stop_at_5_hz_is_lost_for_two_frames():
    # To hold it, vehicles of 5 m/s would have to be as unsure of their speed as to be stopped for
    # people far away (7 needless stops in 150 scenes).
    time_s = np.minimum(np.arange(40) / 5, 25 / 8)
    way_m = 25 * time_s - 8 * time_s**2 / 2
    assert frames_reported(50 + way_m / 0.03, rate_hz=5) == (36, 2)


@pytest.mark.parametrize("rate_hz", [10, 25, 60])
@pytest.mark.parametrize("speed_m_s", [5, 15, 30])
def test_a_ball_that_is_thrown_keeps_its_identity(speed_m_s, rate_hz):
    time_s, px_per_m = np.arange(30) / rate_hz, 20 / 0.22
    along_m = 0.7 * speed_m_s * time_s
    found = frames_reported(
        along_m * px_per_m, top_px=900 - (along_m - 4.9 * time_s**2) * px_per_m,
        rate_hz=rate_hz, size_px=(20, 20),
    )  # fmt: skip
    assert found == (28, 1)


@pytest.mark.parametrize("rate_hz", [5, 10, 25])
@pytest.mark.parametrize("speed_km_h", [30, 50, 130])
def test_cars_in_a_queue_keep_their_identities(speed_km_h, rate_hz):
    tracker, ids = Tracker("yard"), set()
    for i in range(30):
        left = 50 + speed_km_h / 3.6 / 0.03 / rate_hz * i - 600.0 * np.arange(5)
        box = np.stack([left, left * 0 + 200, left + 150, left * 0 + 250], axis=1)
        seen_now = Detections.of("yard", round(i * S / rate_hz), box_px=box, score=np.full(5, 0.9))
        tracks = tracker.update(seen_now)
        ids |= set(tracks.track_id.tolist())
    assert (len(tracks), ids) == (5, {1, 2, 3, 4, 5})


def test_a_person_a_bicycle_and_a_train_are_followed_at_once():
    tracker = Tracker("yard")
    speeds_px_s = np.array([50.0, 400.0, 9000.0])
    heights = np.array([90.0, 100.0, 300.0])
    for i in range(10):
        left = 100 + speeds_px_s * i / 10
        top = np.array([200.0, 500.0, 900.0])
        box = np.stack([left, top, left + heights, top + heights], axis=1)
        tracks = tracker.update(
            Detections.of(
                "yard", i * S // 10, box_px=box, score=np.full(3, 0.9), class_id=[0, 1, 2],
                class_names=("person", "bicycle", "train"),
            )
        )  # fmt: skip
    assert (tracks.track_id.tolist(), sorted(tracks.class_id)) == ([1, 2, 3], [0, 1, 2])


def test_a_detection_that_jumps_about_is_no_fast_thing():
    tracker, rng = Tracker("yard"), np.random.default_rng(3)
    reported = sum(len(tracker.update(seen(i / 10, rng.uniform(0, 1900)))) for i in range(100))
    assert reported < 10


def after(frames, **kw):
    """The tracker after frames (x of the feet, or None) at 10 Hz, with boxes of that score."""
    tracker = Tracker("yard")
    for i, x in enumerate(frames):
        tracker.update(nothing(i / 10) if x is None else seen(i / 10, x, **kw))
    return tracker


def test_what_is_no_track_is_told_with_its_evidence_and_sightings():
    found = after([100, 100]).unconfirmed
    np.testing.assert_allclose(found.box_px, boxes_at(100), atol=1e-6)
    assert (found.evidence.tolist(), found.sightings.tolist()) == ([2 / 3], [2])
    assert found.seen_ns.tolist() == [S // 10]


@pytest.mark.parametrize("frames", [[100, 100, 100], [100, 100, *[None] * 20], []])
def test_what_is_a_track_or_is_gone_is_not_unconfirmed(frames):
    assert len(after(frames).unconfirmed) == 0


def test_two_sightings_anywhere_are_not_one_thing_that_was_seen_twice():
    found = after([100, 1500]).unconfirmed
    assert len(found) > 2 and set(found.sightings.tolist()) == {1}


def test_what_is_unconfirmed_is_told_where_nothing_is_seen_for_a_frame():
    assert after([100, 102, None]).unconfirmed.sightings.tolist() == [2]


def test_with_a_camera_model_the_unconfirmed_are_in_metres():
    tracker = Tracker("yard", GROUND)
    for t in (0.0, 0.1):
        tracker.update(seen(t, 320))
    found = tracker.unconfirmed
    assert np.isfinite(found.ground_m).all() and np.isfinite(found.ground_covariance).all()


def test_a_second_sighting_that_noise_explains_makes_nobody_fast():
    # Of a height of 100 px the feet are 18 lower, then 4 back: a detector errs by 8 each time.
    tracker = Tracker("yard", GROUND)
    for t, y in ((0.0, 300.0), (1 / 15, 318.0), (2 / 15, 314.0)):
        tracks = tracker.update(seen(t, 320, y))
    assert np.hypot(*tracks.velocity_m_s[0]) < 1.0


@pytest.mark.parametrize(("steps_in_all", "is_fast"), [(1.0, False), (2.0, True)])
def test_a_second_sighting_far_from_where_a_walker_is_leaves_it_to_the_third(steps_in_all, is_fast):
    # The feet are 36 lower than in the frame before: less than one walker in a hundred is seen so.
    tracker = Tracker("yard", GROUND)
    for t, steps in ((0.0, 0.0), (1 / 15, 1.0), (2 / 15, steps_in_all)):
        tracks = tracker.update(seen(t, 320, 300.0 + 36 * steps))
    speed_m_s = np.hypot(*tracks.velocity_m_s[0])
    assert speed_m_s > 15 if is_fast else speed_m_s < 2.5


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

import cv2
import numpy as np
import pytest

from perceive.detect.detect_cases import FRAME_NS, frame, noisy, overlap, with_person, yard
from sightline.errors import UsageError
from sightline.perceive.detect import (
    CameraPersonSize,
    Detector,
    MotionDetector,
    MotionSettings,
    RowPersonSize,
)
from sightline.perceive.detect.motion import SceneCondition
from sightline.records import Detections
from sightline.records.camera import CameraModel, Pose
from sightline.records.lens import Lens

TALL_PX = 50.0
SIZE = RowPersonSize(at_top_px=TALL_PX, at_bottom_px=TALL_PX)


def detector_that_knows(picture, *, frames=10, size=SIZE, **settings):
    detector = MotionDetector(size=size, settings=MotionSettings(**settings))
    for number in range(frames):
        detector.detect(frame(noisy(picture, number), number))
    return detector


def walk(detector, picture, *, start=10, frames=10, step_px=3, foot=(40, 100), tall_px=TALL_PX):
    """Detections of somebody who walks to the right."""
    return [
        detector.detect(
            frame(
                noisy(
                    with_person(
                        picture, foot=(foot[0] + step_px * number, foot[1]), tall_px=tall_px
                    ),
                    start + number,
                ),
                start + number,
            )
        )
        for number in range(frames)
    ]


def test_an_empty_yard_shows_nobody():
    picture = yard()
    detector = detector_that_knows(picture)
    assert len(detector.detect(frame(noisy(picture, 10), 10))) == 0


def test_somebody_who_walks_is_seen_where_they_are():
    picture = yard()
    for number, seen in enumerate(walk(detector_that_knows(picture), picture)):
        assert len(seen) == 1
        x = 40 + 3 * number
        assert overlap(seen.box_px[0], np.array([x - 8, 50, x + 8, 100])) > 0.7
        assert seen.score[0] > 0.7
        assert seen.class_names == ("person",)


def test_detections_carry_the_stream_and_time_of_the_frame():
    detector = detector_that_knows(yard())
    seen = detector.detect(frame(yard(), 10, capture_ns=123_456_789_000))
    assert isinstance(seen, Detections)
    assert (seen.stream, seen.capture_ns) == ("yard", 123_456_789_000)


def test_people_side_by_side_are_told_apart():
    picture = yard()
    both = with_person(
        with_person(picture, foot=(70, 100), tall_px=TALL_PX), foot=(84, 100), tall_px=TALL_PX
    )
    assert len(detector_that_knows(picture).detect(frame(both, 10))) == 2


def test_a_shadow_on_the_ground_is_not_part_of_a_person():
    picture = yard()
    shaded = picture.copy()
    shaded[90:100, 90:130] = (shaded[90:100, 90:130] * 0.7).astype(np.uint8)
    seen = detector_that_knows(picture).detect(
        frame(with_person(shaded, foot=(80, 100), tall_px=TALL_PX), 10)
    )
    assert len(seen) == 1
    assert seen.box_px[0, 2] < 96


def gravel():
    """A ground of one colour with fine texture."""
    grains = np.random.default_rng(4).normal(0, 14, yard().shape[:2])
    return np.clip(110 + grains[:, :, None], 0, 255).repeat(3, axis=2).astype(np.uint8)


def test_somebody_as_dark_as_a_shadow_is_seen_by_their_own_texture():
    ground = gravel()
    folds = np.random.default_rng(5).normal(0, 12, ground.shape[:2])[:, :, None]
    clothes = np.clip(80 + folds, 0, 255).repeat(3, axis=2)
    is_person = with_person(np.zeros_like(ground), foot=(80, 100), tall_px=TALL_PX) > 0
    seen = frame(np.where(is_person, clothes, ground).astype(np.uint8), 10)
    assert len(detector_that_knows(ground).detect(seen)) == 1


def test_a_shadow_in_the_shape_of_somebody_is_nobody_where_the_ground_shows_through():
    ground = gravel()
    is_dark = with_person(np.zeros_like(ground), foot=(80, 100), tall_px=TALL_PX) > 0
    shaded = np.where(is_dark, ground * 0.7, ground).astype(np.uint8)
    assert len(detector_that_knows(ground).detect(frame(noisy(shaded, 10), 10))) == 0


def test_who_steps_behind_a_sign_is_seen_for_as_long_as_a_third_of_them_shows():
    picture = yard()
    sign = (slice(62, 94), slice(76, 104))
    picture[sign] = (60, 160, 160)
    detector = detector_that_knows(picture)
    found = []
    for step in range(30):
        seen = with_person(picture, foot=(62 + min(step, 18), 100), tall_px=TALL_PX)
        seen[sign] = picture[sign]
        found.append(len(detector.detect(frame(noisy(seen, 10 + step), 10 + step))))
    assert set(found) == {1}


def test_who_stands_still_is_seen_for_as_long_as_they_stand():
    picture = yard()
    standing = with_person(picture, foot=(80, 100), tall_px=TALL_PX)
    detector = detector_that_knows(picture)
    found = [
        len(detector.detect(frame(noisy(standing, n), n, capture_ns=n * 10 * FRAME_NS)))
        for n in range(10, 3610)
    ]
    assert set(found) == {1}


def test_who_was_there_from_the_start_leaves_no_ghost():
    picture = yard()
    detector = MotionDetector(size=SIZE)
    detector.detect(frame(with_person(picture, foot=(40, 100), tall_px=TALL_PX), 0))
    seen = [
        detector.detect(frame(with_person(picture, foot=(40 + 4 * n, 100), tall_px=TALL_PX), n))
        for n in range(1, 25)
    ]
    assert all(len(found) == 1 for found in seen[12:])
    assert all(found.foot_px[0, 0] > 80 for found in seen[12:])


def test_a_cloud_over_the_whole_scene_is_no_motion():
    picture = yard()
    detector = detector_that_knows(picture)
    for number in range(10, 40):
        light = 1.0 - 0.3 * (number - 10) / 30
        dimmed = np.clip(picture * light, 0, 255).astype(np.uint8)
        assert len(detector.detect(frame(noisy(dimmed, number), number))) == 0
        assert detector.report.condition is SceneCondition.STEADY


def test_a_black_frame_says_changed_and_is_forgotten():
    picture = yard()
    detector = detector_that_knows(picture)
    assert len(detector.detect(frame(np.zeros_like(picture), 10))) == 0
    assert detector.report.condition is SceneCondition.CHANGED
    seen = walk(detector, picture, start=11, frames=1)[0]
    assert len(seen) == 1
    assert detector.report.condition is SceneCondition.STEADY


def test_another_scene_is_the_background_once_it_lasts():
    detector = detector_that_knows(yard(seed=1))
    other = 255 - yard(seed=2)
    conditions = []
    for number in range(10, 40):
        detector.detect(frame(other, number))
        conditions.append(detector.report.condition)
    assert conditions[:20] == [SceneCondition.CHANGED] * 20
    assert conditions[20] is SceneCondition.STARTED
    assert set(conditions[21:]) == {SceneCondition.STEADY}


def test_a_video_that_begins_black_recovers():
    picture = yard()
    detector = detector_that_knows(np.zeros_like(picture), frames=5)
    for number in range(5, 35):
        detector.detect(frame(picture, number))
    assert len(walk(detector, picture, start=35, frames=1)[0]) == 1


def test_grey_frames_are_looked_at():
    picture = yard()[:, :, 1].copy()
    detector = detector_that_knows(picture)
    person = with_person(picture[:, :, None].repeat(3, axis=2), foot=(80, 100), tall_px=TALL_PX)
    seen = detector.detect(frame(np.ascontiguousarray(person[:, :, 0]), 10))
    assert len(seen) == 1


def test_a_frame_of_another_size_starts_anew_and_says_so():
    picture = yard()
    detector = detector_that_knows(picture)
    larger = yard(width_px=320, height_px=240)
    assert len(detector.detect(frame(larger, 10))) == 0
    assert detector.report.size_changed
    assert detector.report.condition is SceneCondition.STARTED
    person = with_person(larger, foot=(160, 200), tall_px=TALL_PX)
    assert len(detector.detect(frame(person, 11))) == 1
    assert not detector.report.size_changed


def test_large_frames_give_boxes_in_their_own_pixels():
    picture = yard(width_px=1600, height_px=1200)
    size = RowPersonSize(at_top_px=400, at_bottom_px=400)
    detector = detector_that_knows(picture, frames=3, size=size)
    seen = walk(detector, picture, frames=1, foot=(800, 1000), tall_px=400)[0]
    assert len(seen) == 1
    assert overlap(seen.box_px[0], np.array([736.0, 600, 864, 1000])) > 0.7


def test_boxes_are_clipped_to_the_image_and_counted():
    picture = yard()
    detector = detector_that_knows(picture)
    seen = walk(detector, picture, frames=1, foot=(4, 100))[0]
    assert len(seen) == 1
    assert seen.box_px.min() >= 0
    assert detector.counts == {"BOX_CLIPPED": 1}


def test_without_sizes_what_moves_is_a_region():
    picture = yard()
    detector = detector_that_knows(picture, size=None)
    moved = picture.copy()
    moved[20:50, 30:90] = 15
    seen = detector.detect(frame(moved, 10))
    assert seen.class_names == ("moving",)
    assert overlap(seen.box_px[0], np.array([30.0, 20, 90, 50])) > 0.9


def test_the_larger_a_region_the_surer():
    picture = yard()
    detector = detector_that_knows(picture, size=None, least_blob_share=0.005)  # 96 px
    moved = picture.copy()
    moved[20:50, 20:60] = 15
    moved[80:90, 100:110] = 15
    large, small = detector.detect(frame(moved, 10)).score
    assert 0.5 <= small < 0.6
    assert 0.9 < large < 1.0


def test_a_camera_model_gives_the_sizes():
    # 6 m above the ground, tilted down by 20°; a person 12 m away.
    tilt_rad = np.deg2rad(20.0)
    forward = np.array([0.0, np.cos(tilt_rad), -np.sin(tilt_rad)])
    right = np.array([1.0, 0.0, 0.0])
    rotation = np.stack([right, np.cross(forward, right), forward])
    pose = Pose(rotation=rotation, translation_m=-rotation @ np.array([0.0, 0.0, 6.0]))
    lens = Lens(focal_px=(300.0, 300.0), centre_px=(160.0, 120.0))
    camera = CameraModel.pinhole(image_size_px=(320, 240), lens=lens, pose=pose)
    foot, head = camera.pixel_from_world(np.array([[0.5, 12.0, 0.0], [0.5, 12.0, 1.7]]))
    picture = yard(width_px=320, height_px=240)
    detector = detector_that_knows(picture, size=CameraPersonSize(camera=camera))
    seen = walk(detector, picture, frames=1, foot=foot, tall_px=foot[1] - head[1])[0]
    assert len(seen) == 1
    assert camera.ground_from_pixel(seen.foot_px)[0] == pytest.approx([0.5, 12.0], abs=0.4)


def test_a_camera_that_knows_the_ground_only_is_refused():
    camera = CameraModel.homography(np.diag([0.01, 0.01, 1.0]), image_size_px=(320, 240))
    with pytest.raises(UsageError, match="full camera"):
        CameraPersonSize(camera=camera)


def test_frames_of_another_aspect_ratio_than_the_camera_are_refused():
    class Camera:
        image_size_px = (320, 240)
        digest = "00"

        def image_height_px(self, foot_px, height_m):
            return np.full(len(foot_px), 50.0 * height_m)

    detector = MotionDetector(size=CameraPersonSize(camera=Camera()))
    with pytest.raises(UsageError, match="aspect ratio"):
        detector.detect(frame(yard(width_px=240, height_px=240)))


def test_another_stream_is_refused():
    detector = detector_that_knows(yard())
    with pytest.raises(UsageError, match="one detector per camera"):
        detector.detect(frame(yard(), 10, stream="gate"))


def test_old_frames_are_looked_at_and_teach_nothing():
    picture = yard()
    detector = detector_that_knows(picture)
    person = with_person(picture, foot=(80, 100), tall_px=TALL_PX)
    before = detector.snapshot()[1]["weight"]
    assert len(detector.detect(frame(person, 0))) == 1
    assert np.array_equal(before, detector.snapshot()[1]["weight"])


def test_frames_are_not_written_to():
    picture = yard()
    picture.flags.writeable = False
    detector = detector_that_knows(yard())
    detector.detect(frame(picture, 10))
    assert np.array_equal(picture, yard())


def test_a_batch_is_one_frame_after_the_other():
    picture = yard()
    frames = [frame(picture, 0)] + [
        frame(with_person(picture, foot=(40 + n, 100), tall_px=TALL_PX), n) for n in range(1, 4)
    ]
    batch = MotionDetector(size=SIZE).detect_batch(frames)
    single = MotionDetector(size=SIZE)
    for one, many in zip((single.detect(f) for f in frames), batch, strict=True):
        assert np.array_equal(one.box_px, many.box_px)


def test_the_version_follows_from_settings_and_sizes():
    same = MotionDetector(size=SIZE).version
    assert MotionDetector(size=SIZE).version == same
    others = {
        MotionDetector().version,
        MotionDetector(size=RowPersonSize(at_top_px=1, at_bottom_px=50)).version,
        MotionDetector(size=SIZE, settings=MotionSettings(least_visible=0.4)).version,
        same,
    }
    assert len(others) == 4


def test_it_is_a_detector():
    detector: Detector = MotionDetector()
    assert detector.name == "motion"


def test_blurred_edges_of_a_video_codec_do_not_matter():
    picture = yard(width_px=320, height_px=240)
    size = RowPersonSize(at_top_px=80, at_bottom_px=80)
    detector = MotionDetector(size=size)
    found = []
    for number in range(20):
        image = picture if number < 10 else with_person(picture, foot=(100, 180), tall_px=80)
        _, packed = cv2.imencode(".jpg", noisy(image, number), [cv2.IMWRITE_JPEG_QUALITY, 40])
        found.append(detector.detect(frame(cv2.imdecode(packed, cv2.IMREAD_COLOR), number)))
    assert [len(seen) for seen in found] == [0] * 10 + [1] * 10


@pytest.mark.parametrize("wrong", [{"work_px": 10}, {"gain_range": (1.5, 2.0)}, {"settle_s": 0}])
def test_motion_settings_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match="motion detector settings"):
        MotionSettings(**wrong)


def test_capture_times_may_lie_far_apart():
    picture = yard()
    detector = detector_that_knows(picture)
    person = with_person(picture, foot=(80, 100), tall_px=TALL_PX)
    day_ns = 864_000 * FRAME_NS
    assert len(detector.detect(frame(person, 10, capture_ns=day_ns))) == 1
    assert len(detector.detect(frame(person, 11, capture_ns=day_ns + FRAME_NS))) == 1


def test_what_may_be_the_head_of_somebody_taller_is_reported_with_half_its_score():
    # Feet at row 50 are of people 40 px tall, at row 115 of people 92 px tall.
    size = RowPersonSize(at_top_px=0, at_bottom_px=96)
    picture = yard()
    near = with_person(picture, foot=(60, 115), tall_px=92)
    alone = with_person(picture, foot=(77, 50), tall_px=40)
    beside = with_person(near, foot=(77, 50), tall_px=40)
    of_one, of_two = (
        detector_that_knows(picture, size=size).detect(frame(noisy(drawn, 10), 10))
        for drawn in (alone, beside)
    )
    smaller = np.argmin(of_two.box_px[:, 3])
    assert (len(of_one), len(of_two)) == (1, 2)
    assert of_two.score[1 - smaller] > 0.7
    assert of_two.score[smaller] < 0.6 * of_one.score[0]

import numpy as np
import pytest

from perceive.detect.detect_cases import frame
from perceive.detect.onnx_models import NAMES, digest, model_bytes, yolo_rows
from sightline.errors import UsageError
from sightline.perceive.detect import Detector, DetectorFailed, OnnxDetector, OnnxSettings
from sightline.perceive.detect.detector import NotFiniteOutput

BOXES = [[10.0, 20.0, 30.0, 44.0], [40.0, 5.0, 60.0, 15.0]]
SCORES = [[0.9, 0.1, 0.0], [0.2, 0.05, 0.6]]
GREY = np.full((48, 64, 3), 128, np.uint8)


def model(**changes):
    return model_bytes(yolo_rows(BOXES, SCORES), **changes)


def detector(data=None, **settings):
    data = data or model()
    return OnnxDetector(data, digest=digest(data), settings=OnnxSettings(**settings))


def test_boxes_are_in_pixels_of_the_frame():
    # 200 x 100 in 64 x 48: scaled by 0.32, eight rows of grey above and below.
    seen = detector().detect(frame(np.zeros((100, 200, 3), np.uint8)))
    expected = (np.array(BOXES[0]) - [0, 8, 0, 8]) / 0.32
    assert seen.box_px[0] == pytest.approx([*expected[:3], 100])


def test_a_stretched_frame_scales_each_axis():
    seen = detector(fit="stretch").detect(frame(np.zeros((96, 64, 3), np.uint8)))
    assert seen.box_px[0] == pytest.approx([10, 40, 30, 88])


def test_grey_frames_are_taken():
    assert len(detector().detect(frame(GREY[:, :, 0].copy()))) == 2


def test_less_sure_boxes_are_left_out():
    assert detector(min_score=0.7).detect(frame(GREY)).score == pytest.approx([0.9])


def test_only_wanted_classes_are_reported():
    seen = detector(keep_classes=("bicycle",)).detect(frame(GREY))
    assert [seen.class_names[i] for i in seen.class_id] == ["bicycle"]


def test_no_more_than_most_objects_are_reported():
    one = detector(most_objects=1)
    found = one.detect(frame(GREY))
    assert (len(found), found.doubt.code) == (1, "AT_BOUND")
    assert one.counts == {"BOX_AT_BOUND": 1}


def test_class_names_come_from_the_metadata():
    assert detector().class_names == NAMES


def test_class_names_of_the_settings_win():
    assert detector(class_names=("a", "b", "c")).class_names == ("a", "b", "c")


def test_class_names_may_be_a_list():
    data = model_bytes(yolo_rows(BOXES, SCORES), names=None, metadata={"names": "['x','y','z']"})
    assert detector(data).class_names == ("x", "y", "z")


@pytest.mark.parametrize("names", ["{0: 'a', 2: 'b'}", "[1, 2]", "__import__('os')", "{"])
def test_unreadable_class_names_are_refused(names):
    data = model_bytes(yolo_rows(BOXES, SCORES), names=None, metadata={"names": names})
    with pytest.raises(UsageError, match="metadata entry `names`"):
        detector(data)


def test_a_model_without_class_names_is_refused():
    with pytest.raises(UsageError, match="give class_names"):
        detector(model(names=None))


def test_an_unknown_wanted_class_is_refused():
    with pytest.raises(UsageError, match="got dog"):
        detector(keep_classes=("dog",))


def test_a_batch_gives_what_single_frames_give():
    data = model(batch="batch")
    frames = [frame(np.zeros((40 + 10 * n, 80, 3), np.uint8), n) for n in range(5)]
    many = detector(data, most_batch=2).detect_batch(frames)
    single = detector(model())
    for one, found in zip(frames, many, strict=True):
        assert found.capture_ns == one.capture_ns
        assert found.box_px == pytest.approx(single.detect(one).box_px)


def test_a_fixed_batch_is_filled_up():
    rows = np.repeat(yolo_rows(BOXES, SCORES), 4, axis=0)
    seen = detector(model_bytes(rows, batch=4)).detect_batch([frame(GREY, n) for n in range(6)])
    assert [len(found) for found in seen] == [2] * 6


def test_an_empty_batch_is_empty():
    assert detector().detect_batch([]) == []


def test_a_model_that_leaves_its_size_open_needs_one():
    data = model(input_px=("width", "height"))
    with pytest.raises(UsageError, match="give input_px"):
        detector(data)
    seen = detector(data, input_px=(64, 48)).detect(frame(GREY))
    assert seen.box_px[0] == pytest.approx(BOXES[0])


def test_another_size_than_the_model_says_is_refused():
    with pytest.raises(UsageError, match="64 x 48"):
        detector(input_px=(32, 32))


def test_nan_is_a_failure_of_its_own_type():
    sensitive = detector(model(sensitive=True))
    assert len(sensitive.detect(frame(GREY))) == 2
    with pytest.raises(NotFiniteOutput, match="that are not") as raised:
        sensitive.detect(frame(np.zeros_like(GREY)))
    assert isinstance(raised.value, DetectorFailed)


def test_boxes_that_cannot_be_are_refused_and_counted():
    rows = yolo_rows([*BOXES, [70, 60, 90, 80]], [*SCORES, [0, 0.8, 0]])
    rows[0, 1, 2] = 0.0  # a width of nothing
    rows[0, 0, :4] = [0, 20, 20, 10]
    one = detector(model_bytes(rows))
    assert one.detect(frame(GREY)).box_px.tolist() == [[0, 15, 10, 25]]
    assert one.counts == {"BOX_CLIPPED": 1, "BOX_NO_AREA": 1, "BOX_OUTSIDE_IMAGE": 1}


def test_mean_and_deviation_are_applied():
    # (0.5 - 0.4) / 0.1 = 1 for grey, but the model is blind below a third: 0.5 - 0.4 is.
    data = model(sensitive=True)
    assert len(detector(data, mean_rgb=(0.4,) * 3, std_rgb=(0.1,) * 3).detect(frame(GREY))) == 2
    with pytest.raises(NotFiniteOutput):
        detector(data, mean_rgb=(0.4,) * 3)


def test_a_file_with_the_right_digest_is_loaded(tmp_path):
    path = tmp_path / "yard.onnx"
    path.write_bytes(model())
    loaded = OnnxDetector.load(path, sha256=digest(model()).upper())
    assert len(loaded.detect(frame(GREY))) == 2


def test_a_file_with_another_digest_is_refused_before_it_is_loaded(tmp_path):
    path = tmp_path / "yard.onnx"
    path.write_bytes(b"no model at all")
    with pytest.raises(UsageError, match="expected SHA-256"):
        OnnxDetector.load(path, sha256=digest(model()))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"gone\.onnx"):
        OnnxDetector.load(tmp_path / "gone.onnx")


def test_a_file_that_is_no_model_is_refused(tmp_path):
    path = tmp_path / "yard.onnx"
    path.write_bytes(b"no model at all")
    with pytest.raises(UsageError, match="an ONNX model in one file"):
        OnnxDetector.load(path)


def test_a_model_that_takes_something_else_is_refused():
    with pytest.raises(UsageError, match="channels first"):
        detector(model(channels=5))


def test_the_version_follows_from_weights_and_settings():
    assert detector().version == detector().version
    others = {
        detector().version,
        detector(min_score=0.3).version,
        detector(model(metadata={"author": "somebody"})).version,
    }
    assert len(others) == 3


def test_where_the_file_lies_does_not_change_the_version(tmp_path):
    versions = set()
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).write_bytes(model())
        versions.add(OnnxDetector.load(tmp_path / name).version)
    assert versions == {detector().version}


def test_it_is_a_detector_too():
    one: Detector = detector()
    assert one.name == "onnx"


@pytest.mark.parametrize("wrong", [{"min_score": 1.5}, {"threads": 0}, {"std_rgb": (1, 0, 1)}])
def test_onnx_settings_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match="ONNX detector settings"):
        OnnxSettings(**wrong)

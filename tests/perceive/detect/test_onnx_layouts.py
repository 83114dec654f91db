"""Each export layout, as a model that puts out two known boxes."""

import numpy as np
import pytest

from perceive.detect.detect_cases import frame
from perceive.detect.onnx_models import NAMES, detr_boxes, digest, model_bytes, yolo_rows
from sightline.errors import UsageError
from sightline.perceive.detect import DetectorFailed, OnnxDetector, OnnxSettings
from sightline.perceive.detect.onnx_outputs import (
    BoxForm,
    BoxUnit,
    Layout,
    NamedOutput,
    decode,
    known_picture,
    settle,
)

BOXES = [[10.0, 20.0, 30.0, 44.0], [40.0, 5.0, 60.0, 15.0]]
SCORES = [[0.9, 0.1, 0.0], [0.2, 0.05, 0.6]]
BLACK = np.zeros((48, 64, 3), np.uint8)  # as large as the models' input: boxes stay as they are


def seen_by(data, **settings):
    detector = OnnxDetector(data, digest=digest(data), settings=OnnxSettings(**settings))
    return detector.detect(frame(BLACK)), detector.layout


def logit(share):
    return np.log(share) - np.log1p(-share)


def softmax_logits():
    shares = np.array([[0.9, 0.05, 0.01, 0.04], [0.2, 0.05, 0.6, 0.15]])
    return np.log(shares)[None].astype(np.float32)


def sigmoid_logits():
    return logit(np.clip(np.array(SCORES), 1e-6, 1 - 1e-6))[None].astype(np.float32)


def suppressed():
    rows = np.zeros((1, 30, 6), np.float32)
    rows[0, 0] = [*BOXES[0], 0.9, 0]
    rows[0, 1] = [*BOXES[1], 0.6, 2]
    return rows


ROWS = yolo_rows(BOXES, SCORES)
OBJECTNESS = yolo_rows(BOXES, [[1.0, 0.1, 0.0], [0.2, 0.0, 0.75]], objectness=[0.9, 0.8])
OUTPUTS = {
    Layout.YOLO_COLUMNS: [ROWS.transpose(0, 2, 1)],
    Layout.YOLO_COLUMNS_OBJECTNESS: [OBJECTNESS.transpose(0, 2, 1)],
    Layout.YOLO_ROWS: [ROWS],
    Layout.YOLO_ROWS_OBJECTNESS: [OBJECTNESS],
    Layout.YOLO_COLUMNS_ANGLE: [
        np.concatenate([ROWS, np.zeros((1, 40, 1), np.float32)], axis=2).transpose(0, 2, 1)
    ],
    Layout.SUPPRESSED: [suppressed()],
    Layout.NUMBERED: [
        np.array([[0, *BOXES[0], 0, 0.9], [0, *BOXES[1], 2, 0.6]], np.float32),
    ],
    Layout.BOXES_AND_SCORES: [np.array([BOXES], np.float32), np.array([SCORES], np.float32)],
    Layout.LISTED: [
        np.array([BOXES], np.float32),
        np.array([[0.9, 0.6]], np.float32),
        np.array([[0, 2]], np.float32),
    ],
    Layout.DETR_SIGMOID: [sigmoid_logits(), detr_boxes(BOXES)],
    Layout.DETR_SOFTMAX: [softmax_logits(), detr_boxes(BOXES)],
}


METADATA = {Layout.YOLO_COLUMNS_ANGLE: {"task": "obb"}}
GIVEN = {Layout.YOLO_COLUMNS_OBJECTNESS: {"layout": Layout.YOLO_COLUMNS_OBJECTNESS}}
OUTPUT_NAMES = {Layout.LISTED: ("boxes", "scores", "labels")}


def test_every_layout_has_a_model():
    assert set(OUTPUTS) == set(Layout)


@pytest.mark.parametrize("layout", Layout)
def test_known_boxes_come_out(layout):
    data = model_bytes(
        *OUTPUTS[layout], metadata=METADATA.get(layout), output_names=OUTPUT_NAMES.get(layout)
    )
    seen, recognised = seen_by(data, **GIVEN.get(layout, {}))
    assert recognised is layout
    assert seen.box_px == pytest.approx(np.array(BOXES), abs=1e-4)
    assert seen.score == pytest.approx([0.9, 0.6], abs=1e-5)
    assert [seen.class_names[i] for i in seen.class_id] == ["person", "bicycle"]


def test_logits_and_boxes_may_come_in_either_order():
    logits, boxes = OUTPUTS[Layout.DETR_SIGMOID]
    seen, layout = seen_by(model_bytes(boxes, logits))
    assert layout is Layout.DETR_SIGMOID
    assert seen.score == pytest.approx([0.9, 0.6], abs=1e-5)


def test_large_logits_do_not_overflow():
    logits = np.full((1, 2, 3), -1e30, np.float32)
    logits[0, 0, 1] = 1e30
    seen, _ = seen_by(model_bytes(logits, detr_boxes(BOXES)))
    assert seen.score.tolist() == [1.0]
    assert seen.class_id.tolist() == [1]


def test_half_precision_models_are_run():
    seen, _ = seen_by(model_bytes(ROWS, dtype=np.float16))
    assert seen.box_px == pytest.approx(np.array(BOXES), abs=0.1)


def test_boxes_of_one_class_are_suppressed():
    rows = yolo_rows([*BOXES, [11, 20, 31, 44]], [*SCORES, [0.8, 0, 0]])
    assert len(seen_by(model_bytes(rows))[0]) == 2


def test_boxes_that_were_suppressed_already_are_not_again():
    rows = suppressed()
    rows[0, 2] = [11, 20, 31, 44, 0.8, 0]
    assert len(seen_by(model_bytes(rows))[0]) == 3


def test_one_class_and_six_columns_are_ambiguous():
    data = model_bytes(yolo_rows(BOXES, [[0.9], [0.6]], objectness=[1, 1]), names=("person",))
    with pytest.raises(UsageError, match="give the layout"):
        seen_by(data)
    seen, layout = seen_by(data, layout=Layout.YOLO_ROWS_OBJECTNESS)
    assert layout is Layout.YOLO_ROWS_OBJECTNESS
    assert seen.score == pytest.approx([0.9, 0.6])


@pytest.mark.parametrize("entry", [{"end2end": "True"}, {"args": "{'batch': 1, 'nms': True}"}])
def test_metadata_tells_suppressed_boxes_of_one_class(entry):
    rows = suppressed()
    rows[0, :, 5] = 0
    seen, layout = seen_by(model_bytes(rows, names=("person",), metadata=entry))
    assert layout is Layout.SUPPRESSED
    assert len(seen) == 2


def test_a_layout_that_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="outputs of layout detr_sigmoid for 3 classes"):
        seen_by(model_bytes(ROWS), layout=Layout.DETR_SIGMOID)


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 99, 40)],
        [(1, 40, 99)],
        [(1, 9)],
        [(1, 3, 20, 20, 8)],
        [(1, 10, 3), (1, 9, 4)],
        [(1, 10, 3), (1, 10, 5)],
        [(1, 10, 3), (1, 10, 4), (1, 10, 1)],
        [],
    ],
)
def test_unknown_outputs_say_what_was_expected_and_what_came(shapes):
    outputs = [NamedOutput(name="o", values=np.full(shape, 2.0, np.float32)) for shape in shapes]
    with pytest.raises(UsageError) as raised:
        settle(outputs, classes=len(NAMES), metadata={}, input_px=(64, 48), where="yard.onnx")
    assert raised.value.where == "yard.onnx"
    assert "c = 3" in raised.value.expected
    assert all(str(list(shape)) in raised.value.got for shape in shapes)
    assert "class names" in raised.value.action


def test_a_class_the_model_should_not_know_is_an_error():
    rows = suppressed()
    rows[0, 1, 5] = 7
    with pytest.raises(Exception, match="class 7"):
        seen_by(model_bytes(rows))


# --- the known picture, and what the numbers themselves can be ------------------------------------

INPUT_PX = (320, 256)
THING_PX = np.array([48.0, 77.0, 96.0, 192.0])


def in_form(corners, form, unit):
    """float64[4] of corners in px, as a model of this form and unit writes them."""
    left, top, right, bottom = np.asarray(corners) / (
        np.array(INPUT_PX * 2) if unit is BoxUnit.SHARES else 1.0
    )
    wide, high = right - left, bottom - top
    return {
        BoxForm.CORNERS: [left, top, right, bottom],
        BoxForm.CENTRE: [left + wide / 2, top + high / 2, wide, high],
        BoxForm.CORNER: [left, top, wide, high],
        BoxForm.CORNERS_YX: [top, left, bottom, right],
    }[form]


def outputs_of(layout, box, score, classes, *, rows=300):
    """What an export of this layout puts out that has found one thing of class 0."""
    zeros = [0.0] * (classes - 1)
    plain = {
        Layout.YOLO_COLUMNS: [*box, score, *zeros],
        Layout.YOLO_COLUMNS_OBJECTNESS: [*box, score, 1.0, *zeros],
        Layout.YOLO_COLUMNS_ANGLE: [*box, score, *zeros, 0.0],
        Layout.YOLO_ROWS: [*box, score, *zeros],
        Layout.YOLO_ROWS_OBJECTNESS: [*box, score, 1.0, *zeros],
        Layout.SUPPRESSED: [*box, score, 0.0],
    }
    if layout in plain:
        table = np.zeros((1, rows, len(plain[layout])), np.float32)
        table[0, 0] = plain[layout]
        if "columns" in layout:
            table = table.transpose(0, 2, 1)
        return [NamedOutput(name="output0", values=table)]
    if layout is Layout.NUMBERED:
        table = np.array([[0, *box, 0, score]], np.float32)
        return [NamedOutput(name="output", values=table)]
    boxes = np.zeros((1, rows, 4), np.float32)
    boxes[0, 0] = box
    if layout is Layout.LISTED:
        scores, labels = np.zeros((1, rows), np.float32), np.zeros((1, rows), np.int64)
        scores[0, 0] = score
        return [
            NamedOutput(name="labels", values=labels),
            NamedOutput(name="boxes", values=boxes),
            NamedOutput(name="scores", values=scores),
        ]
    share = np.zeros((1, rows, classes), np.float32)
    share[0, 0, 0] = score
    values = share
    if layout is Layout.DETR_SIGMOID:
        values = logit(np.clip(share, 1e-6, 1 - 1e-6))
    elif layout is Layout.DETR_SOFTMAX:
        nothing = 1 - share.sum(axis=2, keepdims=True)
        values = np.log(np.clip(np.concatenate([share, nothing], axis=2), 1e-9, 1))
    return [
        NamedOutput(name="logits", values=values.astype(np.float32)),
        NamedOutput(name="pred_boxes", values=boxes),
    ]


def settled(outputs, classes, metadata=None, **given):
    return settle(
        outputs, classes=classes, metadata=metadata or {}, input_px=INPUT_PX, where="a.onnx",
        **given,
    )  # fmt: skip


@pytest.mark.parametrize("unit", BoxUnit)
@pytest.mark.parametrize("form", BoxForm)
@pytest.mark.parametrize("classes", [1, 2, 3, 80])
@pytest.mark.parametrize("layout", Layout)
def test_what_a_model_finds_in_the_known_picture_tells_how_it_is_read(layout, classes, form, unit):
    metadata = METADATA.get(layout, {"task": "detect"} if classes == 80 else {})
    given = {"layout": layout} if layout is Layout.YOLO_COLUMNS_OBJECTNESS else {}
    found = outputs_of(layout, in_form(THING_PX, form, unit), 0.9, classes)
    reading = settled(found, classes, metadata, **given)
    corners = [100.0, 40.0, 180.0, 200.0]
    later = outputs_of(layout, in_form(corners, form, unit), 0.8, classes)
    raw = decode(
        [one.values for one in later], reading, picture=0, input_px=INPUT_PX, min_score=0.25
    )
    assert raw.box_px == pytest.approx(np.array([corners]), abs=1e-3)
    assert raw.score == pytest.approx([0.8], abs=1e-5)
    assert raw.class_id.tolist() == [0]


def test_the_thing_in_the_known_picture_is_where_it_is_looked_for():
    left, top, right, bottom = THING_PX.astype(int)
    thing = (known_picture(INPUT_PX) == (10, 10, 250)).all(axis=2)
    assert thing[top:bottom, left:right].all()
    assert thing.sum() == (bottom - top) * (right - left)


def test_boxes_within_0_to_1_are_shares_also_where_nothing_was_found():
    table = np.zeros((1, 84, 1680), np.float32)
    table[0, :4] = np.random.default_rng(0).uniform(0.05, 0.95, (4, 1680))
    assert settled([NamedOutput(name="o", values=table)], 80).unit is BoxUnit.SHARES


def test_where_nothing_tells_the_unit_each_picture_does():
    empty = outputs_of(Layout.SUPPRESSED, [0, 0, 0, 0], 0.0, 80)
    reading = settled(empty, 80, {"end2end": "True"})
    assert reading.unit is None
    for unit in BoxUnit:
        later = outputs_of(Layout.SUPPRESSED, in_form(THING_PX, BoxForm.CORNERS, unit), 0.9, 80)
        raw = decode([later[0].values], reading, picture=0, input_px=INPUT_PX, min_score=0.25)
        assert raw.box_px == pytest.approx(THING_PX[None], abs=1e-3)


@pytest.mark.parametrize(
    "metadata", [{"head": "RTDETRDecoder"}, {"description": "Ultralytics RT-DETR-l model"}]
)
def test_metadata_tell_the_boxes_of_rt_detr(metadata):
    empty = outputs_of(Layout.YOLO_ROWS, [0, 0, 0, 0], 0.0, 80)
    reading = settled(empty, 80, metadata)
    assert (reading.layout, reading.unit) == (Layout.YOLO_ROWS, BoxUnit.SHARES)
    assert reading.is_suppressed


def test_oriented_boxes_and_objectness_are_not_told_apart_by_their_shape():
    empty = outputs_of(Layout.YOLO_COLUMNS_ANGLE, [0, 0, 0, 0], 0.0, 15)
    with pytest.raises(UsageError, match="give the layout"):
        settled(empty, 15)
    assert settled(empty, 15, {"task": "obb"}).layout is Layout.YOLO_COLUMNS_ANGLE


def test_a_turned_box_is_reported_as_the_upright_one_around_it():
    found = outputs_of(Layout.YOLO_COLUMNS_ANGLE, [100, 100, 60, 20], 0.9, 3)
    found[0].values[0, -1, 0] = np.pi / 2
    reading = settled(found, 3, {"task": "obb"})
    raw = decode([found[0].values], reading, picture=0, input_px=INPUT_PX, min_score=0.25)
    assert raw.box_px == pytest.approx(np.array([[90.0, 70.0, 110.0, 130.0]]), abs=1e-3)


@pytest.mark.parametrize("task", ["segment", "pose"])
def test_columns_of_masks_and_key_points_are_no_classes(task):
    extra = {"segment": 32, "pose": 51}[task]
    table = np.zeros((1, 4 + 1 + extra, 1680), np.float32)
    table[0, :5, 0] = [100, 100, 60, 20, 0.9]
    table[0, 5:] = 7.0
    outputs = [NamedOutput(name="output0", values=table)]
    if task == "segment":
        outputs.append(NamedOutput(name="output1", values=np.ones((1, 32, 64, 80), np.float32)))
    reading = settled(outputs, 1, {"task": task, "kpt_shape": "[17, 3]"})
    raw = decode([o.values for o in outputs], reading, picture=0, input_px=INPUT_PX, min_score=0.25)
    assert raw.score == pytest.approx([0.9])


def test_boxes_that_are_not_decoded_are_refused():
    table = np.random.default_rng(0).normal(0, 1, (1, 1680, 85)).astype(np.float32)
    table[0, :, 2:4] -= 3
    with pytest.raises(UsageError, match="--decode_in_inference"):
        settled([NamedOutput(name="output", values=table)], 80)


def test_a_classifier_is_refused():
    with pytest.raises(UsageError, match="task=classify"):
        settled([NamedOutput(name="o", values=np.ones((1, 80), np.float32))], 80,
                {"task": "classify"})  # fmt: skip


def test_a_row_for_each_place_of_a_grid_was_not_suppressed():
    table = np.zeros((1, 3 * 1680, 6), np.float32)
    table[0, :, 2:4] = 30
    reading = settled([NamedOutput(name="o", values=table)], 1)
    assert reading.layout is Layout.YOLO_ROWS_OBJECTNESS


def test_boxes_of_which_none_has_an_area_are_a_failure_and_not_silence():
    rows = suppressed()
    rows[0, :2, 2:4] = 0  # corners that are no corners
    with pytest.raises(DetectorFailed, match="give layout, box_form"):
        seen_by(model_bytes(rows))


def test_what_is_below_min_score_is_counted_as_left_aside():
    seen, _ = seen_by(model_bytes(OUTPUTS[Layout.YOLO_COLUMNS][0]), min_score=0.7)
    assert seen.left_aside == {"BOX_BELOW_MIN_SCORE": 1}

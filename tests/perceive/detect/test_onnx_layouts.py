"""Each export layout, as a model that puts out two known boxes."""

import numpy as np
import pytest

from perceive.detect.detect_cases import frame
from perceive.detect.onnx_models import NAMES, detr_boxes, digest, model_bytes, yolo_rows
from sightline.errors import UsageError
from sightline.perceive.detect import OnnxDetector, OnnxSettings
from sightline.perceive.detect.onnx_detector import Layout, recognise

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
    Layout.SUPPRESSED: [suppressed()],
    Layout.DETR_SIGMOID: [sigmoid_logits(), detr_boxes(BOXES)],
    Layout.DETR_SOFTMAX: [softmax_logits(), detr_boxes(BOXES)],
}


def test_every_layout_has_a_model():
    assert set(OUTPUTS) == set(Layout)


@pytest.mark.parametrize("layout", Layout)
def test_known_boxes_come_out(layout):
    seen, recognised = seen_by(model_bytes(*OUTPUTS[layout]))
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
        [(1, 7)],
        [(1, 3, 20, 20, 8)],
        [(1, 10, 3), (1, 9, 4)],
        [(1, 10, 3), (1, 10, 5)],
        [(1, 10, 3), (1, 10, 4), (1, 10, 1)],
        [],
    ],
)
def test_unknown_outputs_say_what_was_expected_and_what_came(shapes):
    with pytest.raises(UsageError) as raised:
        recognise(shapes, classes=len(NAMES), metadata={}, where="yard.onnx")
    assert raised.value.where == "yard.onnx"
    assert "c = 3" in raised.value.expected
    assert all(str(list(shape)) in raised.value.got for shape in shapes)
    assert "class names" in raised.value.action


def test_a_class_the_model_should_not_know_is_an_error():
    rows = suppressed()
    rows[0, 1, 5] = 7
    with pytest.raises(Exception, match="class 7"):
        seen_by(model_bytes(rows))

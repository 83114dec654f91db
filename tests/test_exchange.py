"""Detections go to the forms of others and come back the same; what is wrong is refused by name."""

import json

import numpy as np
import pytest

from sightline import Detections, exchange
from sightline.errors import UsageError

NAMES = ("person", "vehicle")


def some():
    return Detections.of(
        "yard",
        0,
        box_px=[[10.0, 20, 40.5, 100], [200, 20, 230, 110.25]],
        score=[0.5, 0.75],
        class_id=[0, 1],
        class_names=NAMES,
    )


def assert_same(found, wanted):
    assert found.box_px == pytest.approx(wanted.box_px, abs=1e-4)
    assert found.score.tolist() == wanted.score.tolist()
    assert [found.class_names[i] for i in found.class_id] == [
        wanted.class_names[i] for i in wanted.class_id
    ]


def test_supervision_takes_them_and_gives_them_back():
    supervision = pytest.importorskip("supervision", reason="no supervision: pip install it")
    theirs = exchange.to_supervision(some())
    assert isinstance(theirs, supervision.Detections)
    assert theirs.area.tolist() == pytest.approx([30.5 * 80, 30 * 90.25])
    assert_same(exchange.from_supervision(theirs, stream="yard"), some())
    assert len(exchange.from_supervision(supervision.Detections.empty())) == 0


class Theirs:
    """What of ``supervision.Detections`` is read."""

    def __init__(self, **parts):
        self.xyxy = np.array([[1.0, 2, 3, 4], [5, 6, 7, 9]], np.float32)
        self.confidence, self.class_id, self.data = None, None, {}
        self.__dict__.update(parts)


def test_without_confidence_scores_are_1_and_without_classes_there_is_one():
    found = exchange.from_supervision(Theirs())
    assert (found.score.tolist(), found.class_names) == ([1.0, 1.0], ("class 0",))


def test_names_come_from_the_data_that_come_with_the_boxes():
    theirs = Theirs(class_id=np.array([2, 0]), data={"class_name": np.array(["bus", "man"])})
    assert exchange.from_supervision(theirs).class_names == ("man", "class 1", "bus")


def test_coco_results_are_json_and_come_back():
    plain = json.loads(json.dumps(exchange.to_coco(some(), image_id=3)))
    other = exchange.to_coco(some(), image_id=4)
    assert plain[1]["bbox"] == [200, 20, 30, 90.25]
    found = exchange.from_coco([*other, *plain], image_id=3, categories={1: "person", 2: "vehicle"})
    assert_same(found, some())


def test_yolo_text_comes_back():
    text = exchange.to_yolo(some(), size_px=(640, 480))
    assert_same(exchange.from_yolo(text, size_px=(640, 480), class_names=NAMES), some())
    assert len(exchange.from_yolo("", size_px=(640, 480), class_names=NAMES)) == 0


def test_mot_text_comes_back_with_times_and_with_frames_in_which_nothing_was_seen(tmp_path):
    path = tmp_path / "det.txt"
    nothing = Detections.of("yard", 0, box_px=[], score=[])
    people = some().only(some().class_id == 0)
    path.write_text(exchange.to_mot([people, nothing, people]))
    found = exchange.from_mot(path, rate_hz=25)
    assert [len(one) for one in found] == [1, 0, 1]
    assert [one.capture_ns for one in found] == [0, 40_000_000, 80_000_000]
    assert_same(found[2], people)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: exchange.from_supervision(Theirs(confidence=[0.5, 1.5])), "row 1.*0 to 1.*1.5"),
        (lambda: exchange.from_supervision(Theirs(class_id=[0, 3]), class_names=NAMES), "class 3"),
        (lambda: exchange.from_yolo("0 .5 .5 .1", size_px=(9, 9), class_names=NAMES), "line 1"),
        (
            lambda: exchange.from_yolo("0 .5 .5 0 .1", size_px=(9, 9), class_names=NAMES),
            "row 0.*an area",
        ),
        (lambda: exchange.to_coco(some(), image_id=1, category_ids={"person": 1}), "vehicle"),
        (
            lambda: exchange.from_coco(
                exchange.to_coco(some(), image_id=1), image_id=1, categories={1: "person"}
            ),
            r"categories with \[2\]",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(make, problem):
    with pytest.raises(UsageError, match=problem):
        make()


def test_a_row_of_mot_text_that_cannot_be_used_is_named(tmp_path):
    path = tmp_path / "det.txt"
    path.write_text("1,-1,10,20,20,60,0.5\n2,-1,10,20,-5,60,0.5\n")
    with pytest.raises(UsageError, match="row 1"):
        exchange.from_mot(path, rate_hz=25)

import numpy as np
import pytest

from perceive.detect import reference_placement
from perceive.detect.detect_cases import HEIGHT_PX, WIDTH_PX, with_person
from sightline.perceive.detect import regions
from sightline.perceive.detect.people import (
    explain_foreground,
    keep_in_sight,
    measure_people,
    person_boxes,
)
from sightline.perceive.detect.regions import clean, connected_blobs

SIZES = np.array([1.45, 1.7, 1.9]) / 1.7
LEAST = np.array([12.0, 0.3])


def labels_of(*people):
    """Foreground as it would be seen: (foot, height) of each."""
    drawn = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    for foot, tall_px in people:
        drawn = with_person(drawn, foot=foot, tall_px=tall_px, colour=(2, 2, 2))
    return np.ascontiguousarray(drawn[:, :, 0])


def heights(tall_px, *, slope=0.0):
    """Height by row of the feet: ``tall_px`` in the middle, ``slope`` px more per row."""
    rows = np.arange(HEIGHT_PX + 16) - HEIGHT_PX / 2
    column = np.maximum(tall_px + slope * rows, 0.0)
    return np.ascontiguousarray(np.repeat(column[:, None], WIDTH_PX, axis=1), np.float32)


def explain(labels, height_px, least=LEAST, most=16):
    people = np.zeros((most, 4))
    found = explain_foreground(labels, height_px, SIZES, least, people)
    return people[:found]


def random_labels(seed, *, scale=4):
    """Patches of background, shadow and foreground."""
    rng = np.random.default_rng(seed)
    coarse = rng.choice([0, 0, 0, 1, 2], (12, 16)).astype(np.uint8)
    return np.ascontiguousarray(coarse.repeat(scale, axis=0).repeat(scale, axis=1))


@pytest.mark.parametrize("seed", range(6))
def test_placing_agrees_with_its_specification_to_the_bit(seed):
    labels = random_labels(seed)
    height_px = np.ascontiguousarray(
        np.linspace(8, 34, labels.shape[0] + 6)[:, None].repeat(labels.shape[1], axis=1), np.float32
    )
    fast, plain = np.zeros((6, 4)), np.zeros((6, 4))
    least = np.array([12.0, 0.2])
    found = explain_foreground(labels, height_px, SIZES, least, fast)
    assert found == reference_placement.explain_foreground(labels, height_px, SIZES, least, plain)
    assert found > 0
    assert np.array_equal(fast, plain)


@pytest.mark.parametrize("seed", range(6))
def test_keeping_agrees_with_its_specification_to_the_bit(seed):
    labels = random_labels(seed)
    height_px = np.ascontiguousarray(
        np.linspace(8, 34, labels.shape[0] + 6)[:, None].repeat(labels.shape[1], axis=1), np.float32
    )
    rng = np.random.default_rng(seed)
    before = np.column_stack([rng.integers(4, 60, 12), rng.integers(1, 50, 12)]).astype(float)
    tall = height_px[before[:, 1].astype(int), 0] * rng.choice([0.9, 1.0, 1.1], 12)
    before = np.column_stack([before, tall])
    fast = np.zeros((16, 4))
    found = explain_foreground(labels, height_px, SIZES, np.array([12.0, 0.5]), fast)
    plain = fast.copy()
    kept = keep_in_sight(labels, height_px, 12.0, before, fast, found)
    assert kept == reference_placement.keep_in_sight(labels, height_px, 12.0, before, plain, found)
    assert kept > found
    assert np.array_equal(fast, plain)


@pytest.mark.parametrize("seed", range(6))
def test_measuring_agrees_with_its_specification_to_the_bit(seed):
    labels = random_labels(seed)
    cleaned = clean(labels)
    rng = np.random.default_rng(seed)
    people = np.column_stack(
        [rng.uniform(0, 64, 5), rng.uniform(5, 50, 5), rng.uniform(8, 40, 5), np.ones(5)]
    )
    answers = []
    for measure in (measure_people, reference_placement.measure_people):
        owner, extent = np.empty(labels.shape, np.int32), np.empty((5, 5))
        measure(cleaned, labels, people, owner, extent)
        answers.append((owner, extent))
    assert np.array_equal(answers[0][0], answers[1][0])
    assert np.array_equal(answers[0][1], answers[1][1])


def test_contour_contrast_agrees_with_its_specification():
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    picture = rng.uniform(0, 255, (40, 50, 3, 3)).astype(np.float32)[:, :, 0]
    _, owner = connected_blobs(random_labels(3)[:40, :50], least_px=1, most=20)
    fast, plain = np.zeros((owner.max() + 1, 2)), np.zeros((owner.max() + 1, 2))
    regions.contour_contrast(image, picture, owner, fast)
    reference_placement.contour_contrast(image, picture, owner, plain)
    assert fast.min() > 0
    assert np.allclose(fast, plain, rtol=1e-12)


def test_a_person_is_placed_at_the_feet():
    people = explain(labels_of(((80, 100), 50)), heights(50))
    assert people.shape == (1, 4)
    assert people[0, :2] == pytest.approx([80, 100], abs=2)
    assert people[0, 3] > 0.9


def test_pieces_of_one_person_are_one_person():
    labels = labels_of(((80, 100), 50))
    labels[72:80] = 0
    assert len(explain(labels, heights(50))) == 1


def test_two_people_side_by_side_in_one_blob_are_two():
    people = explain(labels_of(((70, 100), 50), ((84, 100), 50)), heights(50))
    assert sorted(people[:, 0]) == pytest.approx([70, 84], abs=3)


def test_two_people_behind_each_other_in_one_blob_are_two():
    # Eighty pixels from the head of one to the feet of the other: too tall for one person.
    people = explain(labels_of(((80, 75), 50), ((84, 105), 50)), heights(50))
    # By their heads: how far down somebody hidden reaches is as unsure as their height.
    assert sorted(people[:, 1] - people[:, 2]) == pytest.approx([25, 55], abs=3)


def test_the_perspective_says_whether_a_blob_is_one_person():
    blob = labels_of(((80, 110), 60))
    near = explain(blob, heights(60))
    assert len(near) == 1
    assert near[0, 2] == pytest.approx(60, rel=0.1)
    # Where people appear half as tall, the same blob is not one person.
    far = explain(blob, heights(30))
    assert len(far) > 1
    assert far[:, 2].max() <= 30 * SIZES[-1] + 1e-6


def test_of_two_heights_that_explain_as_much_the_usual_one_is_chosen():
    # The feet are out of sight below the image, so the foreground does not tell how tall this is.
    blob = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    blob[80:, 70:90] = 2
    tall_px = explain(blob, heights(60), most=1)[0, 2]
    assert tall_px == pytest.approx(60)


def test_a_speck_is_nobody():
    labels = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    labels[60:70, 80:86] = 2
    assert len(explain(labels, heights(50))) == 0


def test_a_shadow_alone_is_nobody():
    shadow = np.minimum(labels_of(((80, 100), 50)), 1).astype(np.uint8)
    assert len(explain(shadow, heights(50))) == 0


def test_people_too_small_to_be_told_from_noise_are_not_looked_for():
    labels = labels_of(((80, 60), 20))
    assert len(explain(labels, heights(20), least=np.array([26.0, 0.3]))) == 0


def test_feet_below_the_image_are_found():
    people = explain(labels_of(((80, 128), 60)), heights(60))
    assert len(people) == 1
    assert people[0, 1] > HEIGHT_PX


def test_no_more_than_asked_for_are_placed():
    crowd = labels_of(*(((x, 100), 50) for x in range(15, 150, 18)))
    assert len(explain(crowd, heights(50), most=3)) == 3


def test_a_hidden_person_gets_the_box_of_the_whole_body():
    people = np.array([[80.0, 100.0, 50.0, 0.4]])
    seen = np.array([[74.0, 51.0, 87.0, 70.0, 200.0]])
    assert person_boxes(people, seen)[0, [1, 3]].tolist() == [50.0, 100.0]


def test_stray_pixels_do_not_move_a_box():
    labels = labels_of(((80, 100), 50))
    people = explain(labels, heights(50))
    boxes = []
    for stray in (False, True):
        if stray:
            labels[75, 92] = 2
        owner, extent = np.empty(labels.shape, np.int32), np.empty((1, 5))
        measure_people(labels, labels, people, owner, extent)
        boxes.append(person_boxes(people, extent))
    assert np.array_equal(*boxes)


def half_hidden(labels):
    """A sign before all but the head, one side and the shoes."""
    hidden = labels.copy()
    hidden[62:94, 76:100] = 0
    return hidden


def test_who_steps_behind_a_sign_is_kept_by_what_still_shows_of_them():
    labels = half_hidden(labels_of(((80, 100), 50)))
    assert len(explain(labels, heights(50))) == 0
    people = np.zeros((4, 4))
    before = np.array([[81.0, 99.0, 50.0]])
    assert keep_in_sight(labels, heights(50), 12.0, before, people, 0) == 1
    assert people[0, :3] == pytest.approx([80, 100, 50], abs=4)
    assert 0 < people[0, 3] < LEAST[1]


@pytest.mark.parametrize(("x_px", "is_kept"), [(WIDTH_PX - 13, True), (WIDTH_PX - 12, False)])
def test_who_leaves_by_a_side_is_not_kept_by_what_still_shows_of_them(x_px, is_kept):
    labels = labels_of(((x_px, 100), 50))
    before = np.array([[x_px, 100.0, 50.0]])
    kept = keep_in_sight(labels, heights(50), 12.0, before, np.zeros((4, 4)), 0)
    assert kept == is_kept


def test_nobody_is_kept_where_nothing_shows():
    labels = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    labels[60:64, 78:82] = 2
    before = np.array([[81.0, 99.0, 50.0]])
    assert keep_in_sight(labels, heights(50), 12.0, before, np.zeros((4, 4)), 0) == 0


def test_who_is_found_again_is_not_kept_as_well():
    labels = labels_of(((80, 100), 50))
    people = np.zeros((4, 4))
    found = explain_foreground(labels, heights(50), SIZES, LEAST, people)
    before = np.array([[84.0, 99.0, 50.0]])
    assert keep_in_sight(labels, heights(50), 12.0, before, people, found) == found == 1


def test_where_the_usual_height_is_too_small_nobody_is_taken_for_taller():
    labels = labels_of(((80, 100), 24))
    assert len(explain(labels, heights(24), least=np.array([24.0, 0.3]))) == 1
    assert len(explain(labels, heights(24), least=np.array([26.0, 0.3]))) == 0

"""The strongest echo of B-scans, and what probability of detection comes of it."""

import numpy as np
import pytest

from perceive.inspection.scan_cases import drawn_scan
from sightline.evidence.detection_probability import fit_hit_miss
from sightline.perceive.inspection.b_scan import Echo, scan_picture, strongest_echo

THRESHOLD = 3.2


def signals(sizes, random):
    return np.array([strongest_echo(drawn_scan(size, random)).signal for size in sizes])


def test_the_echo_of_a_flaw_is_where_it_was_drawn():
    random = np.random.default_rng(0)
    scan = drawn_scan(0.0, random).astype(np.int64)
    scan[30:44, 20:26] += 3000
    found = strongest_echo(scan.astype(np.uint16))
    assert abs(found.row - 37) <= 5
    assert abs(found.column - 23) <= 3


def test_layers_under_every_place_are_no_echo():
    scan = drawn_scan(0.0, np.random.default_rng(1)).astype(np.int64)
    layered = scan.copy()
    layered[20:30] += 4000
    assert strongest_echo(layered.astype(np.uint16)).signal == pytest.approx(
        strongest_echo(scan.astype(np.uint16)).signal, rel=1e-6
    )


def test_a_scan_of_zeros_has_no_signal():
    assert strongest_echo(np.zeros((32, 32), np.uint16)).signal == 0.0


def test_a_called_echo_is_framed_in_red():
    scan = drawn_scan(6.0, np.random.default_rng(2))
    picture = scan_picture(scan, Echo(signal=9.0, row=32, column=30), is_called=True)
    assert picture.shape == (64, 64, 3)
    assert (picture == (0, 0, 230)).all(axis=2).sum() > 60


def true_a90(random, *, scans):
    """Size that is called in 9 of 10 scans, between sizes that bracket it."""
    sizes = np.linspace(1.5, 10.0, 12)
    called = [(signals([size] * scans, random) >= THRESHOLD).mean() for size in sizes]
    return float(np.interp(0.9, np.maximum.accumulate(called), sizes))


def covered(sets, *, seed, truth):
    """How often the a90/95 of 60 flaws is not below the truth, of the sets that have an answer."""
    random = np.random.default_rng(seed)
    hits = answered = 0
    for _ in range(sets):
        sizes = np.exp(random.uniform(np.log(0.8), np.log(12), 60))
        called = signals(sizes, random) >= THRESHOLD
        if called[np.argsort(sizes)].tolist() == sorted(called.tolist()):
            continue  # refused: nothing between all missed and all found
        answered += 1
        hits += fit_hit_miss(sizes, called, is_log=True).a90_95 >= truth
    assert answered >= 0.8 * sets
    return hits / answered


@pytest.mark.soak
def test_a90_95_of_drawn_scans_covers_the_truth_as_often_as_it_should():
    truth = true_a90(np.random.default_rng(10), scans=600)
    assert covered(200, seed=11, truth=truth) >= 0.92


def test_a90_95_of_a_few_sets_of_drawn_scans_covers_the_truth():
    truth = true_a90(np.random.default_rng(10), scans=60)
    assert covered(6, seed=11, truth=truth) >= 0.8

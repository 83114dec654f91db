"""The bounded memory: what it keeps and forgets, and that the kernels keep what is specified.

The properties are asked of the specification; the last test says that a bank holds the same.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from perceive.normal.plain_detector import PlainDetector, PlainMemory
from sightline.perceive.normal import NormalSettings, SeriesDetector

VALUES = st.floats(-100, 100, width=16)
VECTORS = st.integers(1, 4).flatmap(
    lambda d: arrays(np.float64, st.tuples(st.integers(1, 25), st.just(d)), elements=VALUES)
)


def scattered(n=400, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def distances(memory, vectors):
    return np.array([memory.nearest(vector)[0] for vector in vectors])


def test_a_small_set_is_remembered_whole():
    vectors = scattered(5)
    memory = PlainMemory(vectors, size=10)
    assert sorted(map(tuple, memory.vectors)) == sorted(map(tuple, vectors))
    assert memory.spacing == 0.0


@given(vectors=VECTORS, size=st.integers(1, 6))
def test_everything_normal_is_within_the_spacing(vectors, size):
    memory = PlainMemory(vectors, size=size)
    assert len(memory.vectors) <= size
    assert (distances(memory, vectors) <= memory.spacing + 1e-9).all()


def test_a_rare_mode_is_kept_however_few_its_vectors_are():
    vectors = np.concatenate([scattered(1000), [[50.0, 50.0, 50.0]]])
    assert distances(PlainMemory(vectors, size=10), vectors[-1:]) == 0.0


def test_what_is_not_finite_is_neither_remembered_nor_near_to_anything():
    vectors = scattered(20)
    vectors[3, 1] = np.nan
    memory = PlainMemory(vectors, size=30)
    assert len(memory.vectors) == 19
    assert np.isnan(distances(memory, vectors[3:4])).all()


@given(start=arrays(np.float64, (4, 2), elements=VALUES), seed=st.integers(0, 50))
def test_a_memory_that_does_not_forget_covers_all_that_was_ever_normal(start, seed):
    more = np.random.default_rng(seed).normal(scale=60, size=(40, 2))
    memory = PlainMemory(start, size=5)
    for vector in more:
        memory.take_in(vector)
    everything = np.concatenate([start, more])
    # What was merged away lay within the spacing of that time; those double, so twice covers all.
    assert (distances(memory, everything) <= 2 * memory.spacing + 1e-9).all()
    assert len(memory.vectors) <= 5
    assert memory.seen == len(everything)


def test_a_memory_that_forgets_loses_what_was_not_needed_for_longest():
    memory = PlainMemory(np.array([[0.0], [10.0], [20.0]]), size=3, forgets=True)
    for value in (0.0, 20.0, 30.0):
        memory.take_in(np.array([value]))
    assert sorted(vector[0] for vector in memory.vectors) == [0.0, 20.0, 30.0]


@pytest.mark.parametrize("forgets", [True, False])
@pytest.mark.parametrize("rows", [300, 1000])
def test_a_detector_holds_the_memory_that_is_specified(forgets, rows):
    how = NormalSettings(widths=(8, 32), memory_size=12, forgets=forgets)
    values = np.sin(np.arange(rows) / 7) + np.random.default_rng(4).normal(0, 0.2, rows)
    plain = PlainDetector(values[:300], how)
    plain.follow(values[300:])
    found = SeriesDetector.learn(values[:300], how).follow(values[300:])[1].known()
    assert [one.width for one in found] == [one.width for one in plain.widths] == [8, 32]
    for mine, specified in zip(found, plain.widths, strict=True):
        np.testing.assert_array_equal(mine.vectors, np.array(specified.memory.vectors))
        np.testing.assert_array_equal(mine.spread, specified.spread)
        assert mine.usual == specified.usual.mean

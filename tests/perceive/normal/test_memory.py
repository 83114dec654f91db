"""A bounded memory of normal: what it keeps, finds, takes in and forgets."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sightline.errors import UsageError
from sightline.perceive.normal import memory_kernels, memory_reference
from sightline.perceive.normal.memory import NormalMemory

VALUES = st.floats(-100, 100, width=16)
VECTORS = st.integers(1, 4).flatmap(
    lambda d: arrays(np.float64, st.tuples(st.integers(1, 25), st.just(d)), elements=VALUES)
)


def scattered(n=400, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


# --- kernels ------------------------------------------------------------------------------------


@given(memory=VECTORS, seed=st.integers(0, 99))
def test_the_kernel_finds_the_nearest_as_specified(memory, seed):
    queries = np.random.default_rng(seed).normal(scale=50, size=(7, memory.shape[1]))
    queries[3, 0] = np.nan
    queries[5] = memory[-1]
    for ours, plain in zip(
        memory_kernels.nearest(memory, queries),
        memory_reference.nearest(memory, queries),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, plain)


@given(vectors=VECTORS, size=st.integers(1, 10))
def test_the_kernel_chooses_centres_as_specified(vectors, size):
    ours, radius = memory_kernels.k_centre(vectors, size)
    plain, plain_radius = memory_reference.k_centre(vectors, size)
    # The first depends on the last bit of a mean; it may be one of equally near ones.
    if ours[0] == plain[0]:
        assert ours.tolist() == plain.tolist()
        assert radius == pytest.approx(plain_radius)


@given(
    start=arrays(np.float64, (3, 2), elements=VALUES),
    seed=st.integers(0, 200),
    size=st.integers(3, 6),
    forgets=st.booleans(),
    is_gridded=st.booleans(),
)
def test_the_kernel_follows_a_stream_as_specified(start, seed, size, forgets, is_gridded):
    rng = np.random.default_rng(seed)
    queries, normal = rng.normal(scale=40, size=(2, 30, 2))
    if is_gridded:  # with ties, and with vectors that come again
        queries, normal = np.round(queries / 20), np.round(normal / 20)
    queries[4, 1] = normal[7, 0] = np.nan
    memory = NormalMemory.of(start, size=size, forgets=forgets)
    room = size + 1 - len(memory)
    columns = (
        np.concatenate([memory.vectors, np.zeros((room, 2))]),
        np.concatenate([memory.count, np.zeros(room, np.int64)]),
        np.concatenate([memory.used, np.zeros(room, np.int64)]),
        len(memory),
        memory.seen,
        memory.spacing,
    )
    plain, after = memory_reference.followed(columns, size, forgets, queries, normal)
    ours, followed = memory.follow(queries, normal)
    np.testing.assert_array_equal(ours, plain)
    vectors, count, used, filled, seen, spacing = after
    assert followed.vectors.tolist() == vectors[:filled].tolist()
    assert followed.count.tolist() == count[:filled].tolist()
    assert followed.used.tolist() == used[:filled].tolist()
    assert (followed.seen, followed.spacing) == (seen, spacing)


# --- what is kept -------------------------------------------------------------------------------


def test_a_small_set_is_remembered_whole():
    vectors = scattered(5)
    memory = NormalMemory.of(vectors, size=10)
    assert sorted(map(tuple, memory.vectors)) == sorted(map(tuple, vectors))
    assert memory.spacing == 0.0


@given(vectors=VECTORS, size=st.integers(1, 6))
def test_everything_normal_is_within_the_spacing(vectors, size):
    memory = NormalMemory.of(vectors, size=size)
    assert len(memory) <= size
    assert (memory.nearest(vectors)[0] <= memory.spacing + 1e-9).all()
    assert memory.count.sum() == memory.seen == len(vectors)


def test_a_rare_mode_is_kept_however_few_its_vectors_are():
    vectors = np.concatenate([scattered(1000), [[50.0, 50.0, 50.0]]])
    memory = NormalMemory.of(vectors, size=10)
    assert memory.nearest(vectors[-1:])[0][0] == 0.0


def test_what_is_not_finite_is_neither_remembered_nor_near_to_anything():
    vectors = scattered(20)
    vectors[3, 1] = np.nan
    memory = NormalMemory.of(vectors, size=30)
    assert len(memory) == 19
    distance, index = memory.nearest(vectors[3:4])
    assert np.isnan(distance[0])
    assert index[0] == -1


def test_without_anything_normal_there_is_no_memory():
    with pytest.raises(UsageError, match="nothing is known to be normal"):
        NormalMemory.of(np.full((3, 2), np.nan), size=4)


def test_queries_of_another_dimension_are_refused():
    with pytest.raises(UsageError, match=r"float64\[n, 3\]"):
        NormalMemory.of(scattered(5), size=4).nearest(np.zeros((2, 2)))


# --- taking in ----------------------------------------------------------------------------------


@given(
    start=arrays(np.float64, (4, 2), elements=VALUES),
    more=arrays(np.float64, (12, 2), elements=VALUES),
    cut=st.integers(0, 12),
    forgets=st.booleans(),
)
def test_a_stream_that_is_cut_anywhere_gives_the_same_memory(start, more, cut, forgets):
    memory = NormalMemory.of(start, size=5, forgets=forgets)
    whole = memory.with_normal(more)
    parts = memory.with_normal(more[:cut]).with_normal(more[cut:])
    assert whole.as_mapping() == parts.as_mapping()
    assert len(whole) <= 5


@given(start=arrays(np.float64, (4, 2), elements=VALUES), seed=st.integers(0, 50))
def test_a_memory_that_does_not_forget_covers_all_that_was_ever_normal(start, seed):
    more = np.random.default_rng(seed).normal(scale=60, size=(40, 2))
    memory = NormalMemory.of(start, size=5).with_normal(more)
    everything = np.concatenate([start, more])
    # What was merged away lay within the spacing of that time; those double, so twice covers all.
    assert (memory.nearest(everything)[0] <= 2 * memory.spacing + 1e-9).all()
    assert memory.count.sum() == memory.seen == len(everything)


def test_a_memory_that_forgets_loses_what_was_not_needed_for_longest():
    memory = NormalMemory.of(np.array([[0.0], [10.0], [20.0]]), size=3, forgets=True)
    later = memory.with_normal(np.array([[0.0], [20.0], [30.0]]))
    assert sorted(later.vectors.ravel()) == [0.0, 20.0, 30.0]


def test_a_memory_survives_json():
    memory = NormalMemory.of(scattered(50), size=8).with_normal(scattered(9, seed=1))
    again = NormalMemory.from_mapping(json.loads(json.dumps(memory.as_mapping())))
    assert again.as_mapping() == memory.as_mapping()


def test_a_memory_of_another_format_is_refused():
    plain = NormalMemory.of(scattered(5), size=4).as_mapping() | {"format": 99}
    with pytest.raises(UsageError, match="format"):
        NormalMemory.from_mapping(plain)

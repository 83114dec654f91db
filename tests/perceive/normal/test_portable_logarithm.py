"""Logarithm and exponential that do not depend on the processor."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.perceive.normal.portable_logarithm import expm1, log1p

KNOWN_LOG = [
    "0x1.8663f793c46ccp-4",
    "0x1.d5240f0e0e077p-1",
    "0x1.0e1b775589bd9p+1",
    "0x1.34bba22cd5df4p+2",
    "0x1.6eba542821a44p+4",
]
KNOWN_EXP = [
    "0x1.aec7b35a00d3ap-4",
    "0x1.bda7fcc9f8a83p+1",
    "0x1.5fc6b5d53e8d9p+10",
    "0x1.226af33a9fdcdp+33",
]
SCORES = st.lists(st.floats(0, 1e150), min_size=1, max_size=20).map(np.array)


@settings(max_examples=200)
@given(values=SCORES)
def test_the_logarithm_is_that_of_numpy_but_for_its_last_bits(values):
    np.testing.assert_allclose(log1p(values), np.log1p(values), rtol=1e-14, atol=3e-16)


@settings(max_examples=200)
@given(values=st.lists(st.floats(-50, 400), min_size=1, max_size=20).map(np.array))
def test_the_exponential_is_that_of_numpy_but_for_its_last_bits(values):
    np.testing.assert_allclose(expm1(values), np.expm1(values), rtol=2e-13, atol=3e-16)


@settings(max_examples=100)
@given(values=SCORES)
def test_a_value_has_the_same_bits_alone_and_among_others(values):
    alone = np.concatenate([log1p(values[i : i + 1]) for i in range(len(values))])
    np.testing.assert_array_equal(log1p(values), alone)


def test_what_is_unknown_or_endless_stays_so():
    values = np.array([np.nan, np.inf, 0.0])
    np.testing.assert_array_equal(log1p(values), values)
    np.testing.assert_array_equal(expm1(np.array([np.nan, 1e4, -1e4])), [np.nan, np.inf, -1.0])


def test_known_bits_stay():
    # Of a version that passed the tests above: on every machine the same.
    values = np.array([0.1, 1.5, 7.25, 123.456, 9e9])
    assert [v.hex() for v in log1p(values).tolist()] == KNOWN_LOG
    assert [v.hex() for v in expm1(np.array([0.1, 1.5, 7.25, 23.0])).tolist()] == KNOWN_EXP

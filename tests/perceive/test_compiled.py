"""Kernels become machine code when they are needed, and never while something waits."""

import threading

import numpy as np
import pytest
from numba import types

from sightline.perceive import compiled, presence


@pytest.fixture
def doubled():
    @compiled.kernel(types.Array(types.float64, 1, "C", readonly=True))
    def double(values):
        """Twice each value."""
        found = np.empty(len(values))
        for i in range(len(values)):
            found[i] = 2.0 * values[i]
        return found

    return double


def test_a_kernel_is_compiled_by_its_first_call(doubled):
    assert not doubled.signatures
    assert doubled(np.array([1.5])).tolist() == [3.0]
    assert len(doubled.signatures) == 1


def test_whatever_is_warm_does_not_wait_for_its_first_call():
    compiled.warm(presence.__name__)
    assert presence._runs.signatures


def test_a_kernel_takes_no_other_types_than_its_own(doubled):
    with pytest.raises(TypeError):
        doubled(np.array([1, 2]))


def test_threads_that_call_a_cold_kernel_at_once_all_get_answers(doubled):
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(doubled(np.array([1.0])).tolist()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [[2.0]] * 4


def test_a_kernel_keeps_its_name_and_what_it_says_of_itself(doubled):
    assert (doubled.__name__, doubled.__doc__) == ("double", "Twice each value.")

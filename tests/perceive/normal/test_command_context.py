"""What was commanded of late."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sightline.errors import UsageError
from sightline.perceive.normal.command_context import command_context

COMMANDS = arrays(
    np.float64, st.tuples(st.integers(0, 40), st.integers(0, 3)), elements=st.sampled_from([0, 1.0])
)


@given(commands=COMMANDS)
def test_it_counts_each_command_in_each_window_and_says_how_recent_it_is(commands):
    found = command_context(commands, widths=(3, 7))
    c = commands.shape[1]
    for row in range(len(commands)):
        for k in range(c):
            assert found[row, k] == commands[max(row - 2, 0) : row + 1, k].sum()
            window = commands[max(row - 6, 0) : row + 1, k]
            assert found[row, c + k] == window.sum()
            ago = np.flatnonzero(window[::-1])
            assert found[row, 2 * c + k] == (1 / (1 + ago[0]) if len(ago) else 0.0)


@given(commands=COMMANDS, cut=st.integers(0, 40))
def test_a_stream_that_is_cut_anywhere_has_the_same_context(commands, cut):
    parts = [
        command_context(commands[:cut], widths=(2, 9)),
        command_context(commands[cut:], widths=(2, 9), before=commands[:cut]),
    ]
    np.testing.assert_array_equal(np.concatenate(parts), command_context(commands, widths=(2, 9)))


def test_what_a_command_is_worth_makes_no_difference():
    np.testing.assert_array_equal(
        command_context(np.array([[0.0], [-7.0]])), command_context(np.array([[0.0], [1.0]]))
    )


@pytest.mark.parametrize("widths", [(), (4, 2), (0,), (3, 3)])
def test_other_widths_are_refused(widths):
    with pytest.raises(UsageError, match="command_context"):
        command_context(np.zeros((5, 1)), widths=widths)


def test_other_columns_before_the_cut_are_refused():
    with pytest.raises(UsageError, match="before the cut"):
        command_context(np.zeros((5, 1)), before=np.zeros((5, 2)))

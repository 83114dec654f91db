"""Compiled evidence agrees with its plain reference."""

import numpy as np
import pytest

from benchmarks.fleet import kernels, reference

N = 700


def series():
    """Coarse noise with equal values in runs, gaps and a step."""
    rng = np.random.default_rng(3)
    values = np.round(1.5 * rng.standard_normal(N))
    values[300:] += 6
    values[120:140] = np.nan
    values[400] = np.nan
    return values


def settling():
    flags = np.zeros(N, np.bool_)
    flags[[*range(30, 45), *range(200, 260), 500]] = True
    return flags


SINCE = np.minimum(np.arange(N), np.abs(np.arange(N) - 350))
NOISE = np.linspace(0.5, 2.0, N)
AT_S, GOAL = np.array([0.0, 90.5, 400.0]), np.array([0.0, 2.0, -1.0])

CASES = [
    ("median_of_5", (series(),)),
    ("running_median", (series(), 7)),
    ("jump", (series(), SINCE, NOISE, 40, 10)),
    ("jump", (series(), SINCE, NOISE, 6, 3)),
    ("run_length", (series(),)),
    ("missing_length", (series(),)),
    ("moving_mean", (series(), 9)),
    ("held_level", (series(), settling(), 10)),
    ("known_mean", (series(), settling(), 50)),
    ("relaxed", (np.arange(N) * 1.0, AT_S, GOAL, np.array([50.0, 20.0, 90.0]))),
]


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=lambda case: str(case)[:12])
def test_a_kernel_agrees_with_its_reference(name, arguments):
    fast, plain = (getattr(module, name)(*arguments) for module in (kernels, reference))
    np.testing.assert_allclose(fast, plain, rtol=0, atol=1e-9)


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_a_slope_is_no_step(shift):
    values = 0.1 * np.arange(100.0)
    values[90:] += shift
    score = kernels.jump(values, np.arange(100), np.ones(100), 40, 10)
    assert abs(score[-1]) > 5 if shift else abs(score[-1]) < 1e-6

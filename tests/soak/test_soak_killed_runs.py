"""Fifty kills at random points: the bytes may be anywhere between memory and disk."""

import numpy as np
import pytest

from simulation.killing import kill_at_random, run_to_the_end

pytestmark = pytest.mark.soak
KILLS = 5
OPTIONS = [
    (),
    ("--durable",),
    ("--reference",),
    ("--workers", "2"),
    ("--workers", "2", "--durable"),
]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return run_to_the_end(tmp_path_factory.mktemp("uninterrupted") / "run")


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_soak_a_killed_run_comes_to_the_same_end(tmp_path, uninterrupted, options, seed):
    out = tmp_path / "run"
    rng = np.random.default_rng([seed, len(options)])
    assert kill_at_random(out, *options, rng=rng, kills=KILLS) > 0
    assert run_to_the_end(out, *options) == uninterrupted

"""Releases on a small simulated fleet, through both halves of the stage."""

import pytest

from benchmarks.releases import AT_DAY, told_of, trial

pytestmark = pytest.mark.soak


def test_a_release_that_makes_noise_grow_is_told_and_not_before_it_goes_out():
    one = trial(2000, satellites=24, breaks=True)
    assert (one.broken, one.kind) == ("temperature_c", "noise growth")
    (decision,) = told_of(one)
    assert decision.reasons[0].measure == "noise of temperature_c.mean"
    assert decision.event_ns > one.scene.start_ns + AT_DAY * 86_400 * 10**9


def test_a_release_that_breaks_nothing_is_not_told():
    assert not told_of(trial(2000, satellites=24, breaks=False))

"""The figures of safety trials do not depend on how they are computed."""

import pytest

from benchmarks.safety.evaluation import evaluate_safety
from benchmarks.safety.trial import Deployment
from sightline.errors import UsageError

pytestmark = pytest.mark.soak


def without_times(figures):
    return {
        kind: {name: value for name, value in figures[kind].items() if name != "wall_s"}
        for kind in ("conflict", "clear")
    }


def test_two_processes_give_the_figures_of_one():
    one, two = (evaluate_safety(runs=2, first_seed=20, workers=n) for n in (1, 2))
    assert without_times(one) == without_times(two)


def test_rules_of_ones_own_are_refused_for_several_processes():
    with pytest.raises(UsageError, match="one worker"):
        evaluate_safety(runs=1, first_seed=20, workers=2, deployment=Deployment())

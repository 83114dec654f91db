"""No machine is told to work on while somebody is where nobody may be, in sight of no sign.

Fifty scenes, and two in which somebody is seen too weakly and too seldom to be a track for long; a
thousand others are in the soak.
"""

import pytest

from simulation.calm import draw_scene, judge, run_scene

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", [*range(50), 40_790, 40_920])
def test_a_machine_is_never_calm_while_somebody_is_in_the_pit(tmp_path, seed):
    scene = draw_scene(seed)
    run_scene(scene, tmp_path / "run")
    verdict = judge(scene, tmp_path / "run")
    assert not verdict.is_false_calm, verdict

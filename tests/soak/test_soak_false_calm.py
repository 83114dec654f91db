"""A thousand scenes in which it is hard to tell; other seeds than the suite's."""

import pytest

from simulation.calm import draw_scene, judge, run_scene, shares

CHUNK = 60

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("first", range(1_000, 2_000, CHUNK))
def test_soak_no_machine_is_calm_while_somebody_is_in_the_pit(tmp_path, first):
    verdicts = []
    for seed in range(first, min(first + CHUNK, 2_000)):
        scene = draw_scene(seed)
        run_scene(scene, tmp_path / str(seed))
        verdicts.append(judge(scene, tmp_path / str(seed)))
    print(*shares(verdicts), sep="\n")
    assert not [v for v in verdicts if v.is_false_calm]

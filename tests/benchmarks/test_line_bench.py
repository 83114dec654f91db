"""The benchmarks of a line: that each trigger of the scene is counted, and a short one whole."""

import polars as pl
import pytest

from benchmarks.line import bench_line, faulty_scene
from benchmarks.line_skab import SENSORS, process_rows, skab_plan


def test_the_scene_tells_of_each_part_that_the_barrier_saw():
    scene = faulty_scene(60, 1)
    assert len(scene.triggers_ns) == (~scene.truth["lost_triggers"]).sum()
    assert scene.triggers_ns == sorted(scene.triggers_ns)


def test_a_sensor_of_skab_that_falls_silent_has_no_values_from_then_on():
    times = pl.datetime_range(
        pl.datetime(2020, 3, 9), pl.datetime(2020, 3, 9, 0, 12), "1s", eager=True
    )
    file = pl.DataFrame(
        {"datetime": times.dt.to_string("%Y-%m-%d %H:%M:%S"), **dict.fromkeys(SENSORS, 1.0)}
    )
    rows, _ = process_rows(file, ("pressure",))
    rig = rows.filter(pl.col("unit") == "rig")
    assert rig["pressure"].is_null().sum() == rig.height - 600
    assert rig["flow"].null_count() == 0
    assert set(rows.columns) >= set(skab_plan().contracts["process"].fields)


@pytest.mark.soak
def test_a_short_line_loses_and_doubles_nothing_and_replays():
    found = bench_line(parts=120, paced_parts=0, kills=1, seed=2)
    assert (found["lost"], found["doubled"], found["after_their_deadline"]) == (0, 0, 0)
    assert found["replays"]
    assert found["killed_digest_equal"]
    assert found["genealogy_complete"]

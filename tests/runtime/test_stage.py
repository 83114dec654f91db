"""What a stage on windows may look back on."""

import polars as pl
import pytest

from sightline.errors import UsageError
from sightline.runtime import RunOptions, run_pipeline
from sightline.sense import MemorySource
from simulation.camera_plans import camera_plan

NS = 1_000_000_000
ROWS = pl.DataFrame(
    {
        "belt": ["b"] * 20,
        "hall": ["h"] * 20,
        "at": [10**18 + i * NS for i in range(20)],
        "speed": [1.0] * 20,
        "slip": [0.0] * 20,
    }
)


def run(out, length):
    """A stage with a lookback of three windows that asks for so many."""
    stages = {
        "w": {"use": "windows", "input": "belts", "width_s": 1, "statistics": ["mean"]},
        "sum": {
            "use": "sum_of_history", "input": "w", "measures": ["speed.mean"], "length": length,
        },
        "high": {
            "use": "alarm", "input": "sum", "measure": "sum.speed", "unit": "m/s",
            "raise_above": 2.5, "code": "HIGH",
        },
    }  # fmt: skip
    return run_pipeline(
        camera_plan(stages, cameras=(), rows=True),
        {"belts": MemorySource("belts", {"f": ROWS})},
        out,
        options=RunOptions(durable=False),
    )


def test_a_history_within_the_lookback_is_given(tmp_path):
    assert run(tmp_path / "run", 3).decisions == {"high raised issued": 1}


def test_a_history_beyond_the_lookback_is_refused_with_the_stage(tmp_path):
    with pytest.raises(UsageError, match="stage sum: expected a history within the lookback of 3"):
        run(tmp_path / "run", 4)

"""A live run under kills of everything, again and again: nothing lost, nothing twice."""

from pathlib import Path

import pytest

from benchmarks.disturbances import disturb
from sightline.errors import UsageError


@pytest.mark.soak
def test_kills_and_restarts_of_everything_change_no_decision_and_no_kpi(tmp_path: Path) -> None:
    try:
        found = disturb(
            records=400_000, kills=9, restarts=2, kpi_kills=3, seconds_most=1200, seed=5,
            folder=tmp_path, progress=print,
        )  # fmt: skip
    except UsageError as error:
        pytest.skip(f"kills of everything not tested: {error}")
    assert found["decisions_equal"]
    assert found["ledger_equal"]
    assert found["nothing_lost"]
    assert found["kpi"]["rows_equal"]

"""The benchmark of a constellation, at the smallest size that still goes through all of it."""

import pytest

from benchmarks.constellation import bench_constellation
from sightline.errors import UsageError

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def found():
    return bench_constellation(
        satellites=12, channels=4, duration_s=1500, workers=0, learn_windows=384, memory_size=8
    )


def test_every_packet_is_accounted_for(found):
    assert found["balanced"]
    assert found["received"] == found["packets"]


def test_the_share_of_each_stage_is_told(found):
    assert {"telemetry", "seconds", "unlike", "unusual"} <= set(found["stage_share"])
    assert all(0 <= share < 1 for share in found["stage_share"].values())


def test_alerts_come_no_sooner_than_their_windows_may_close(found):
    assert found["alerts"] > 0
    assert found["event_to_alert_s"]["p50"] >= 20.0


def test_the_stage_that_learns_from_days_is_not_run_over_an_hour():
    with pytest.raises(UsageError, match="more than 3 days"):
        bench_constellation(satellites=1, channels=1, expectation=True)

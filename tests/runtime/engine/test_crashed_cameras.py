"""Power that goes out at any moment: a run of cameras goes on and ends in the same bytes."""

import numpy as np
import pytest

from sightline.records import Detections, Frame
from sightline.records.signals import NS_PER_S
from simulation.engine import FaultyAnswers, SimulatedEngine
from simulation.schedules import EngineFaults
from simulation.site_cases import plan_of, two_cameras
from simulation.trials import unaccounted

PICTURE = np.full((24, 32, 3), 90, np.uint8)
MOST_CRASHES = 5


class Recorded:
    def __init__(self, stream):
        self.stream = stream

    def __iter__(self):
        for n in range(40):
            at_ns = n * NS_PER_S // 10 + (7_000_000 if self.stream == "west" else 0)
            yield Frame(
                stream=self.stream, index=n, capture_ns=at_ns, received_ns=at_ns, pixels=PICTURE
            )


def small_plan():
    plain = two_cameras(clear_s=0.2)
    for camera in plain["cameras"].values():
        camera["contract"].update(width_px=32, height_px=24)
        camera["contract"]["health"] = {"frozen": None, "covered": None}
    plain["zones"]["pit"]["polygon_px"] = [[16, 0], [32, 0], [32, 24], [16, 24]]
    return plan_of(plain)


def somebody(capture_ns):
    """Walks through the zone from 1.5 s to 2.5 s."""
    left = 2 + capture_ns / NS_PER_S * 8
    return [[left, 4, left + 6, 20]] if NS_PER_S < capture_ns < 3 * NS_PER_S else []


def engine():
    plan = small_plan()

    def sees(stage, frame):
        boxes = somebody(frame.capture_ns)
        return Detections.of(
            frame.stream, frame.capture_ns, box_px=boxes, score=np.ones(len(boxes))
        )

    return SimulatedEngine(
        plan,
        {},
        guard=FaultyAnswers(plan, 0, 0.0, sees=sees),
        cameras=[Recorded("east"), Recorded("west")],
    )


@pytest.fixture(scope="module")
def whole():
    built = engine()
    return built, built.run_through()


def test_there_is_something_to_lose(whole):
    built, undisturbed = whole
    assert undisturbed.commands
    assert undisturbed.decisions
    assert not unaccounted(undisturbed, built)
    assert undisturbed.replay({})


@pytest.mark.parametrize("seed", range(12))
def test_a_crash_at_any_moment_changes_nothing_that_is_said_in_the_end(whole, seed):
    built, undisturbed = whole
    rng = np.random.default_rng([seed, 3])
    crashes = tuple(rng.random(int(rng.integers(1, MOST_CRASHES + 1))).tolist())
    faults = EngineFaults(crashes=crashes, checkpoint_epochs=7, seed=seed)
    found = built.run_through(faults, like=undisturbed)
    assert found.lives > 1
    assert (found.digest, found.commands) == (undisturbed.digest, undisturbed.commands)
    assert found.accounts == undisturbed.accounts
    assert found.replay({})

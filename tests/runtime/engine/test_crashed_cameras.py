"""Power that goes out at any moment: a site's run goes on and ends in the same bytes."""

import time

import numpy as np
import pytest
from sightline.runtime.frames.frame_host import SITE_PARTITION, FrameHost

from runtime_frames.site_cases import plan_of, told, two_cameras
from sightline.recorder import read_entries
from sightline.records import EntryKind, Frame
from sightline.records.decision import Decision, decisions_digest
from sightline.records.signals import NS_PER_S
from sightline.runtime.engine.feeds import recorded_moments
from sightline.runtime.engine.guarding import FrameGuard
from sightline.runtime.engine.logged_core import HostClocks
from simulation.disk import SimulatedCrash, SimulatedDisk

PICTURE = np.full((24, 32, 3), 90, np.uint8)
MOST_LIVES = 6


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


def live(plan, disk):
    """One life: to the end, or to the crash."""
    clocks = HostClocks(wall_ns=lambda: 10**18, monotonic_s=time.monotonic)
    guard = FrameGuard(told(plan, somebody), monotonic_s=time.monotonic)
    try:
        host = FrameHost(plan, disk, guard=guard, versions={}, clocks=clocks, checkpoint_ticks=7)
        sources = [Recorded("east"), Recorded("west")]
        for moment in recorded_moments(sources, tick_ns=plan.tick_ns):
            fresh = [item for item in moment.items if not host.knows(item)]
            if fresh:
                host.feed(fresh)
            elif not moment.items and not host.knows_tick(moment.at_ns):
                host.tick(moment.at_ns, is_final=moment.is_final)
            host.commit()
        host.close()
    finally:
        guard.close()


def said(disk):
    kinds = {EntryKind.DECISION, EntryKind.COMMAND}
    entries = list(read_entries(disk, SITE_PARTITION, kinds=kinds))
    decisions = [Decision.from_bytes(e.payload) for e in entries if e.kind is EntryKind.DECISION]
    commands = [e.payload for e in entries if e.kind is EntryKind.COMMAND]
    return decisions_digest(decisions), commands


@pytest.fixture(scope="module")
def whole():
    disk = SimulatedDisk()
    live(small_plan(), disk)
    return said(disk), disk.operations


@pytest.mark.parametrize("seed", range(12))
def test_a_crash_at_any_moment_changes_nothing_that_is_said_in_the_end(whole, seed):
    expected, operations = whole
    assert expected[1]
    rng = np.random.default_rng([seed, 3])
    disk = SimulatedDisk()
    for _ in range(MOST_LIVES):
        disk.crash_at_operation = disk.operations + int(rng.integers(1, operations))
        try:
            live(small_plan(), disk)
        except SimulatedCrash:
            disk = disk.crash(rng)
            continue
        break
    disk.crash_at_operation = None
    live(small_plan(), disk)
    assert said(disk) == expected

"""Detectors that stall, crash and answer nonsense, on a fake clock: all are answered in time."""

from collections import Counter, deque
from dataclasses import dataclass

import numpy as np
import pytest

from sightline.act import RunMetrics
from sightline.limits import DEFAULT_LIMITS
from sightline.recorder import read_entries
from sightline.records import Detections, EntryKind, Frame
from sightline.records.command import CommandLevel
from sightline.records.decision import Mode
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory, RunOptions, replay_run
from sightline.runtime.engine.camera_inbox import Arrival
from sightline.runtime.engine.driving import EpochDriver
from sightline.runtime.engine.feeds import NoRows, clocked_feed
from sightline.runtime.engine.guard import Outcome, OutcomeStatus
from sightline.runtime.engine.hosting import HostSettings, LocalHosting, partition_name
from sightline.runtime.engine.logged_core import HostClocks
from sightline.runtime.engine.loop import RunLoop
from sightline.runtime.ledger_keeping import LedgerKeeper
from sightline.runtime.publishing import Publisher
from sightline.runtime.run_options import RunClocks
from simulation.disk import SimulatedDisk
from simulation.site_cases import plan_of, two_cameras

BUDGET_S, DETECTION_S = 0.1, 0.02
FAULT_SHARE = 0.05
CAMERAS = ("east", "west", "north", "south")
RATE_HZ = 15.0
PICTURE = np.full((24, 32, 3), 90, np.uint8)


class FakeTime:
    def __init__(self):
        self.now_ns = 1_000 * NS_PER_S

    def wall_ns(self):
        return self.now_ns

    def monotonic_s(self):
        return self.now_ns / NS_PER_S

    def sleep_s(self, seconds):
        self.now_ns += max(round(seconds * NS_PER_S), 1)


class FaultyGuard:
    """Answers in 20 ms; in 5 % of the frames it stalls for 50 ms to 5 s, crashes or says NaN."""

    def __init__(self, time, seed):
        self.time = time
        self.rng = np.random.default_rng([seed, 77])
        self.free_at_ns = 0
        self.faults = Counter()
        self.took_s = []

    def hold(self, frame):
        pass

    def close(self):
        pass

    def warm(self, frame):
        pass

    def run(self, requests):
        began_ns = self.time.now_ns
        deadline_ns = began_ns + round(BUDGET_S * NS_PER_S)
        outcomes = [self._answer(request, deadline_ns) for request in requests]
        self.took_s.append((self.time.now_ns - began_ns) / NS_PER_S)
        return outcomes

    def _answer(self, request, deadline_ns):
        if not request.ask_primary:
            return self._outcome(request, OutcomeStatus.SKIPPED)
        if self.free_at_ns > self.time.now_ns:
            return self._outcome(request, OutcomeStatus.TIMEOUT)
        takes_s, status = DETECTION_S, OutcomeStatus.OK
        if self.rng.random() < FAULT_SHARE:
            kind = ["stall", "crash", "nan"][int(self.rng.integers(3))]
            self.faults[kind] += 1
            if kind == "stall":
                takes_s = self.rng.uniform(0.05, 5.0)
            else:
                status = OutcomeStatus(kind)
        done_ns = self.time.now_ns + round(takes_s * NS_PER_S)
        if done_ns > deadline_ns:
            self.free_at_ns = done_ns
            self.time.now_ns = deadline_ns
            return self._outcome(request, OutcomeStatus.TIMEOUT)
        self.time.now_ns = done_ns
        return self._outcome(request, status)

    def _outcome(self, request, status):
        is_ok = status is OutcomeStatus.OK
        _, camera, index = request.request_id.rsplit(":", 2)
        # Nobody has a fallback detector here: tracks are carried on.
        found = None
        if is_ok:
            at_ns = self.captures[(camera, int(index))]
            found = Detections.of(camera, at_ns, box_px=[[1, 2, 8, 20]], score=[0.9])
        return Outcome(
            request_id=request.request_id,
            stage=request.stage,
            status=status,
            mode=Mode.PRIMARY if is_ok else Mode.FALLBACK,
            answer=found,
            batch=(request.request_id,),
        )


@dataclass
class Camera:
    name: str
    first_ns: int
    frames: int
    given: int = 0

    def due_ns(self):
        return self.first_ns + round(self.given * NS_PER_S / RATE_HZ)


class SimulatedInbox:
    """Cameras on the fake clock: newest wins, as with threads."""

    def __init__(self, time, cameras, guard):
        self.time, self.cameras, self.guard = time, cameras, guard
        self.newest = {}
        self.superseded = Counter()
        self.order = deque(c.name for c in cameras)
        guard.captures = {}

    def _arrive(self):
        for camera in self.cameras:
            while camera.given < camera.frames and camera.due_ns() <= self.time.now_ns:
                at_ns = camera.due_ns()
                if camera.name in self.newest:
                    self.superseded[camera.name] += 1
                self.guard.captures[(camera.name, camera.given)] = at_ns
                self.newest[camera.name] = Frame(
                    stream=camera.name,
                    index=camera.given,
                    capture_ns=at_ns,
                    received_ns=at_ns,
                    pixels=PICTURE,
                )
                camera.given += 1

    @property
    def waiting(self):
        self._arrive()
        return len(self.newest)

    @property
    def is_finished(self):
        self._arrive()
        return not self.newest and all(c.given == c.frames for c in self.cameras)

    def wait(self, timeout_s):
        until_ns = self.time.now_ns + max(round(timeout_s * NS_PER_S), 1)
        due = [c.due_ns() for c in self.cameras if c.given < c.frames]
        self.time.now_ns = max(min([until_ns, *due]), self.time.now_ns)

    def missing(self, cameras):
        return False

    def stop(self):
        pass

    def take(self):
        self._arrive()
        items = tuple(self.newest.pop(n) for n in tuple(self.order) if n in self.newest)
        self.order.rotate(-1)
        superseded, self.superseded = dict(self.superseded), Counter()
        return Arrival(items=items, superseded=superseded)


class OnDisk(RunDirectory):
    """A run directory on a simulated disk."""

    disk = None

    @property
    def storage(self):
        return type(self).disk


def faulty_run(tmp_path, *, frames, seed=1):
    """(report parts) of ``frames`` frames from four cameras at 15 per second."""
    plain = two_cameras(clear_s=0.2)
    for name in CAMERAS:
        plain["cameras"][name] = {
            **plain["cameras"]["east"],
            "contract": {"width_px": 32, "height_px": 24, "rate_hz": RATE_HZ, "max_age_s": 1.0},
        }
    plain["detectors"]["motion"]["budget_s"] = BUDGET_S
    plain["machines"]["saw"]["cameras"] = list(CAMERAS)
    plain["zones"] = {"corner": {"camera": "east", "polygon_px": [[0, 0], [4, 0], [4, 4], [0, 4]]}}
    plain["machines"]["saw"]["zones"] = ["corner"]
    plan = plan_of(plain)
    time = FakeTime()
    guard = FaultyGuard(time, seed)
    cameras = [
        Camera(name, time.now_ns + i * 7_000_000, frames // len(CAMERAS))
        for i, name in enumerate(CAMERAS)
    ]
    inbox = SimulatedInbox(time, cameras, guard)
    disk = SimulatedDisk()
    clocks = RunClocks(wall_ns=time.wall_ns, monotonic_s=time.monotonic_s, sleep_s=time.sleep_s)
    settings = HostSettings(
        configuration=b"{}",
        references=frozenset(),
        models={},
        checkpoint_epochs=200,
        limits=DEFAULT_LIMITS,
    )
    host_clocks = HostClocks(wall_ns=time.wall_ns, monotonic_s=time.monotonic_s)
    hosting = LocalHosting(plan, [0], disk, settings, clocks=host_clocks, guard=guard)
    driver = EpochDriver(plan, hosting, None)
    run = type("Run", (OnDisk,), {"disk": disk})(path=tmp_path, plan=plan, sources={})
    with LedgerKeeper(run, ()) as keeper:
        publisher = Publisher(
            run, keeper, RunMetrics(), monotonic_s=time.monotonic_s, is_by_the_clock=True
        )
        loop = RunLoop(
            plan=plan,
            run=run,
            driver=driver,
            publisher=publisher,
            senders={},
            clocks=clocks,
            on_progress=None,
            options=RunOptions(is_live=True),
            limits=DEFAULT_LIMITS,
            is_stopped=lambda: False,
            camera_trouble=None,
            on_tallies=lambda tallies: None,
            on_tick=lambda tick_ns: None,
            clock_reports=None,
        )
        feed = clocked_feed(
            plan,
            inbox,
            NoRows(),
            first_number=0,
            now_ns=time.wall_ns,
            monotonic_s=time.monotonic_s,
            sleep_s=time.sleep_s,
            is_stopped=lambda: False,
        )
        loop.go(feed, lambda kept: None, list)
        driver.close()
    return run, loop, hosting.hosts[0], guard


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    return faulty_run(tmp_path_factory.mktemp("faulty"), frames=2_000)


def test_every_frame_is_decided_or_superseded(ran):
    _, _, host, _ = ran
    accounts = host.core.accounts()
    assert accounts.received == 2_000
    assert accounts.decided + accounts.superseded == 2_000
    assert accounts.decided > 500


def test_no_answer_takes_longer_than_its_budget(ran):
    _, loop, _, guard = ran
    assert sum(guard.faults.values()) > 20
    assert max(guard.took_s) <= BUDGET_S + 1e-6
    assert loop.latency_s.worst_s <= loop.age_s.worst_s + BUDGET_S + 1e-6


def test_every_fallback_is_flagged_in_the_log_and_in_the_decisions(ran):
    run, _, _, _ = ran
    outcomes = [
        Outcome.from_bytes(e.payload)
        for e in read_entries(run.storage, partition_name(0), kinds={EntryKind.OUTCOME})
    ]
    assert {o.mode for o in outcomes if o.status is not OutcomeStatus.OK} == {Mode.FALLBACK}
    said = [d for d in run.decisions() if d.kind == "detector_fallback"]
    assert said
    assert {d.mode for d in said if d.transition == "raised"} == {Mode.FALLBACK}


def test_what_took_longer_than_the_pipeline_allows_is_in_the_log(ran):
    run, loop, _, _ = ran
    missed = [
        e
        for e in read_entries(run.storage, partition_name(0), kinds={EntryKind.DEADLINE_MISSED})
        if e.name == "capture-to-command"
    ]
    assert len(missed) == loop.missed


def test_no_camera_starves(ran):
    run, _, _, _ = ran
    asked = Counter(
        Outcome.from_bytes(e.payload).request_id.rsplit(":", 2)[1]
        for e in read_entries(run.storage, partition_name(0), kinds={EntryKind.OUTCOME})
    )
    assert set(asked) == set(CAMERAS)
    assert min(asked.values()) > 0.8 * max(asked.values())


def test_frames_that_are_looked_at_are_fresh(ran):
    _, loop, _, _ = ran
    # The newest of each camera: older than one round and one frame's time it cannot be.
    assert loop.age_s.worst_s <= BUDGET_S + 1 / RATE_HZ + 0.01


def test_detectors_are_asked_again_when_they_have_recovered(ran):
    run, _, _, _ = ran
    statuses = [
        Outcome.from_bytes(e.payload).status
        for e in read_entries(run.storage, partition_name(0), kinds={EntryKind.OUTCOME})
    ]
    assert OutcomeStatus.OK in statuses[-200:]
    assert Counter(statuses)[OutcomeStatus.OK] > len(statuses) / 3


def test_the_run_replays_to_the_same_bytes(ran):
    assert replay_run(ran[0])


def test_a_machine_without_sight_is_stopped_by_the_next_look(ran):
    run, _, _, _ = ran
    changes = [d for d in run.decisions() if d.kind.startswith("command_")]
    assert {d.kind for d in changes} >= {"command_stop", "command_none"}
    assert changes[0].kind == f"command_{CommandLevel.STOP}"


@pytest.mark.soak
def test_ten_thousand_frames_are_all_accounted_for(tmp_path):
    run, _, host, guard = faulty_run(tmp_path, frames=10_000, seed=2)
    accounts = host.core.accounts()
    assert (accounts.received, accounts.decided + accounts.superseded) == (10_000, 10_000)
    assert max(guard.took_s) <= BUDGET_S + 1e-6
    assert replay_run(run)

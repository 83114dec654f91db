"""Detectors in processes that really crash, hang and are killed: the run goes on, and says so."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.errors import PipelineError, SourceError, UsageError
from sightline.limits import Limits
from sightline.perceive.detect import DetectorFailed
from sightline.recorder import read_entries
from sightline.records import Detections, EntryKind, Frame
from sightline.records.decision import Mode
from sightline.runtime import RunDirectory, RunOptions, replay_run, run_pipeline
from sightline.runtime.engine.answerers import lookers
from sightline.runtime.engine.exchange import encode_found, read_found
from sightline.runtime.engine.guard import FrameRequest, Outcome, OutcomeStatus
from sightline.runtime.engine.guarding import Guard, Lookers
from sightline.runtime.engine.isolated import Isolated
from sightline.runtime.pictures.logged_pictures import looked_at_again
from sightline.runtime.planner import plan_as_mapping
from simulation import faulty_process
from simulation.site_cases import Told, by_camera, camera, plan_of, walker, yard

HERE = Path(faulty_process.__file__).parent
QUICK = Limits(detector_hang_s=0.2, detector_restart_s=0.01)
LONG_S = 60.0  # only where a test would fail
INSIDE = [200.0, 100.0, 220.0, 160.0]


@pytest.fixture
def isolated():
    """Makes isolated detectors that do as they are told, and ends them."""
    made = []

    def make(
        *,
        slots=1,
        slot_bytes=320 * 240 * 3,
        budget_s=1.0,
        has_deadlines=True,
        remembers=True,
        limits=QUICK,
        **recipe,
    ):
        detector = Isolated(
            recipe,
            where="detectors.faulty",
            slots=slots,
            slot_bytes=slot_bytes,
            budget_s=budget_s,
            has_deadlines=has_deadlines,
            remembers=remembers,
            limits=limits,
            program=(str(HERE / "faulty_process.py"),),
        )
        made.append(detector)
        return detector

    yield make
    for one in made:
        one.close()


def frame(index=0, stream="yard", shape=(4, 4, 3)):
    pixels = np.full(shape, index, np.uint8)
    return Frame(stream=stream, index=index, capture_ns=index * 10**8, received_ns=0, pixels=pixels)


def guard_of(primary, fallback=None, **options):
    primary.await_built()  # as a run does, before the first frame
    one = Lookers(primary=primary, fallback=fallback, budget_s=LONG_S)
    looking = {("people", "yard"): one}
    return Guard(plan_of(yard()), looking, monotonic_s=time.monotonic, **options)


def ask(guard, index):
    guard.hold(frame(index))
    request = FrameRequest(
        request_id=f"people:yard:{index}", stage="people", camera="yard", ask_primary=True
    )
    return guard.run([request])[0]


def is_gone(pid):
    """Whether a process has ended; waits for it."""
    until_s = time.monotonic() + LONG_S
    while time.monotonic() < until_s:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


# --- as without a process -------------------------------------------------------------------------


def isolate(plain, **options):
    for detector in plain["detectors"].values():
        detector |= {"isolated": True, **options}
    return plan_of(plain)


def run(plan, out, source, looking, **options):
    is_stopped = options.pop("is_stopped", lambda: False)
    return run_pipeline(
        plan,
        {source.stream: source},
        out,
        looking=looking,
        options=RunOptions(durable=False, **options),
        is_stopped=is_stopped,
    )


def outcomes(out):
    storage = RunDirectory.open(out).storage
    return [
        Outcome.from_bytes(entry.payload)
        for entry in read_entries(storage, "p000", kinds={EntryKind.OUTCOME})
    ]


def test_isolated_a_resumed_run_gives_the_bytes_of_a_whole_one_on_threads(tmp_path):
    plan = plan_of(yard(images={"keep": "full"}))
    alone = isolate(yard(images={"keep": "full"}))
    assert alone.digest == plan.digest
    assert plan_as_mapping(alone) == plan_as_mapping(plan)

    def east():
        return camera(seconds=5, things=(walker(from_s=1, until_s=4),))

    threaded, processes = lookers(plan), lookers(alone)
    pids = {processes["east_detect", "east"].primary.pid}
    for what in ("version", "class_names"):
        assert getattr(processes["east_detect", "east"].primary, what) == getattr(
            threaded["east_detect", "east"].primary, what
        )
    whole = run(plan, tmp_path / "whole", east(), threaded)
    looks = iter(range(100))
    run(alone, tmp_path / "cut", east(), processes, is_stopped=lambda: next(looks) >= 35)
    again = lookers(alone)
    pids.add(again["east_detect", "east"].primary.pid)
    resumed = run(alone, tmp_path / "cut", east(), again, resume=True)

    assert (whole.digest, whole.fallbacks) == (resumed.digest, resumed.fallbacks)
    assert [o.to_bytes() for o in outcomes(tmp_path / "whole")] == [
        o.to_bytes() for o in outcomes(tmp_path / "cut")
    ]
    assert any(len(o.answer) for o in outcomes(tmp_path / "cut"))
    opened = RunDirectory.open(tmp_path / "cut")
    assert list(looked_at_again(opened, lookers(opened.plan))) == []
    assert len(pids) == 2
    assert all(is_gone(pid) for pid in pids)


def test_the_statuses_of_a_broken_detector_are_those_without_a_process(isolated):
    faults = {0: "raise", 1: "nan", 2: "no detections", 3: "no list"}
    guard = guard_of(isolated(faults=faults), Told())
    found = [ask(guard, index) for index in range(5)]
    guard.close()
    crash, nan, ok = OutcomeStatus.CRASH, OutcomeStatus.NAN, OutcomeStatus.OK
    assert [o.status for o in found] == [crash, nan, nan, nan, ok]
    assert "RuntimeError: no such layer" in found[0].detail
    assert found[4].detail == ""
    assert found[4].answer.score.tolist() == [0.005]  # the same process, all along


def test_frames_of_cameras_that_share_a_process_are_one_batch(isolated):
    detector = isolated(slots=2)
    found = detector.look([frame(1, "east"), frame(2, "west", (3, 5))])
    assert [(one.stream, one.capture_ns) for one in found] == [("east", 10**8), ("west", 2 * 10**8)]


def test_a_frame_too_large_for_the_memory_is_refused_and_the_process_goes_on(isolated):
    detector = isolated(slot_bytes=48)
    with pytest.raises(UsageError, match="at most 1 pictures of at most 48 bytes"):
        detector.look([frame(0, shape=(5, 4, 3))])
    with pytest.raises(UsageError, match="got 2"):
        detector.look([frame(0), frame(1)])
    assert (len(detector.look([frame(2)])[0]), detector.instance) == (1, 1)


# --- what cannot begin ----------------------------------------------------------------------------


def test_what_cannot_be_built_is_told_as_without_a_process(isolated):
    with pytest.raises(UsageError, match="m: expected a good model, got a bad one; mend it"):
        isolated(build="refuse").await_built()


def test_a_process_that_dies_of_building_is_an_error_before_the_first_frame(isolated):
    with pytest.raises(PipelineError, match=r"detectors\.faulty: .* died: SIGSEGV"):
        isolated(build="segfault").await_built()


def test_a_missing_file_of_an_isolated_detector_is_the_error_it_is_on_threads(tmp_path):
    told = {"use": "given", "file": str(tmp_path / "nowhere.txt"), "budget_s": 0.1}
    plain = yard(detectors={"motion": told})
    said = []
    for plan in (plan_of(plain), isolate(plain)):
        with pytest.raises((PipelineError, SourceError)) as caught:
            lookers(plan)
        said.append((type(caught.value), str(caught.value)))
    assert said[0] == said[1]


# --- what dies or hangs ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def survived(tmp_path_factory):
    """A run in which the process crashes, is killed and hangs; with what happened meanwhile."""
    out = tmp_path_factory.mktemp("survived") / "run"
    plan = plan_of(yard(breaker={"open_after": 3, "retry_after_ticks": 2, "close_after": 1}))
    primary = Isolated(
        {"box": INSIDE, "faults": {"5": "segfault", "45": "hang"}},
        where="detectors.faulty",
        slots=1,
        slot_bytes=320 * 240 * 3,
        budget_s=0.5,
        limits=QUICK,
        program=(str(HERE / "faulty_process.py"),),
    )
    pids = []

    class East:
        """The camera, which waits at some frames until there is a process again."""

        stream = "east"

        def __iter__(self):
            for one in camera(seconds=8):
                if one.index % 20 == 0:
                    await_instance(primary, 1 + one.index // 20)
                    pids.append(primary.pid)
                if one.index == 26:
                    os.kill(primary.pid, signal.SIGKILL)
                yield one

    both = Lookers(primary=primary, fallback=Told(lambda _: [INSIDE]), budget_s=0.5)
    report = run(plan, out, East(), by_camera(east=both), deadlines=True)
    return out, report, {int(o.request_id.rpartition(":")[2]): o for o in outcomes(out)}, pids


def await_instance(detector, instance):
    until_s = time.monotonic() + LONG_S
    while detector.instance < instance and time.monotonic() < until_s:
        time.sleep(0.01)
    assert detector.await_ready(LONG_S)


def await_spare(detector):
    until_s = time.monotonic() + LONG_S
    while not detector.has_spare and time.monotonic() < until_s:
        time.sleep(0.01)
    assert detector.has_spare


def failed(found, frames):
    return [found[index] for index in frames if found[index].status is not OutcomeStatus.OK]


def test_the_run_goes_on_whatever_becomes_of_the_process(survived):
    _, report, found, pids = survived
    assert (report.accounts.received, report.accounts.decided) == (80, 80)
    assert len(found) == 80
    assert len(set(pids)) == 4
    assert all(is_gone(pid) for pid in pids)


@pytest.mark.parametrize(
    ("first", "until", "status", "detail"),
    [
        (5, 20, OutcomeStatus.CRASH, "died: SIGSEGV"),
        # The source is read a few frames ahead of the detector, so it is killed that much earlier.
        (23, 40, OutcomeStatus.CRASH, "died: SIGKILL"),
        (45, 60, OutcomeStatus.TIMEOUT, "0.5 s"),
    ],
    ids=["crashes", "is-killed", "hangs"],
)
def test_the_outcome_says_what_became_of_it(survived, first, until, status, detail):
    bad = failed(survived[2], range(first, until))
    assert bad[0].status is status
    assert detail in bad[0].detail


def test_meanwhile_the_fallback_answers_and_is_flagged(survived):
    out, _, found, _ = survived
    bad = failed(found, range(80))
    assert {o.mode for o in bad} == {Mode.FALLBACK}
    assert all(len(o.answer) == 1 for o in bad)
    assert {OutcomeStatus.CRASH, OutcomeStatus.SKIPPED} <= {o.status for o in bad}
    said = [d for d in RunDirectory.open(out).decisions() if d.kind == "detector_fallback"]
    assert (said[0].transition, said[-1].transition) == ("raised", "cleared")
    assert {d.mode for d in said if d.transition == "raised"} == {Mode.FALLBACK}


def test_while_it_is_started_again_asking_fails_at_once_and_says_why(isolated):
    detector = isolated(faults={0: "segfault"}, has_deadlines=False)
    with pytest.raises(DetectorFailed, match="died: SIGSEGV"):
        detector.look([frame(0)])
    with pytest.raises(DetectorFailed, match="died: SIGSEGV, and is being started again"):
        detector.look([frame(1)])


def test_a_spare_answers_the_request_after_the_one_that_killed_the_process(isolated):
    detector = isolated(faults={0: "segfault"})
    detector.await_built()
    await_spare(detector)
    with pytest.raises(DetectorFailed, match="died: SIGSEGV"):
        detector.look([frame(0)])
    assert len(detector.look([frame(1)])) == 1
    assert detector.instance == 2


def test_a_process_that_is_stopped_by_a_signal_gives_way_when_its_budget_is_over(isolated):
    detector = isolated(budget_s=0.05, limits=replace(QUICK, detector_hang_s=LONG_S))
    detector.await_built()
    os.kill(detector.pid, signal.SIGSTOP)
    with pytest.raises(DetectorFailed, match="was stopped by a signal"):
        detector.look([frame()])


def test_when_the_spare_has_taken_its_place_another_is_built(isolated):
    detector = isolated(faults={0: "segfault"})
    detector.await_built()
    await_spare(detector)
    with pytest.raises(DetectorFailed):
        detector.look([frame(0)])
    await_spare(detector)
    assert len(detector.look([frame(1)])) == 1


def test_the_spare_ends_with_the_run(isolated):
    detector = isolated()
    detector.await_built()
    await_spare(detector)
    spare = detector._spare.pid
    detector.close()
    assert is_gone(spare)


def test_where_no_deadline_holds_a_process_that_died_is_waited_for(isolated):
    detector = isolated(faults={0: "segfault"}, has_deadlines=False)
    guard = guard_of(detector, has_deadlines=False)
    found = [ask(guard, index) for index in range(3)]
    assert [o.status for o in found] == [OutcomeStatus.CRASH, OutcomeStatus.OK, OutcomeStatus.OK]
    guard.close()


def until(is_so):
    until_s = time.monotonic() + LONG_S
    while not is_so():
        assert time.monotonic() < until_s
        time.sleep(0.02)


def test_one_that_remembers_nothing_gives_way_to_the_spare_when_its_budget_is_over(isolated):
    limits = replace(QUICK, detector_hang_s=LONG_S)
    detector = isolated(faults={1: "hang"}, remembers=False, budget_s=0.3, limits=limits)
    detector.await_built()
    until(lambda: detector.has_spare)
    first = detector.pid
    with pytest.raises(DetectorFailed, match="none in time"):
        detector.look([frame(1)])
    assert (detector.instance, detector.has_spare) == (2, False)
    assert len(detector.look([frame(2)])) == 1
    detector.close()
    assert is_gone(first)


def test_one_that_was_late_and_comes_back_is_the_spare(isolated):
    limits = replace(QUICK, detector_hang_s=LONG_S)
    detector = isolated(faults={1: "late"}, remembers=False, budget_s=0.2, limits=limits)
    detector.await_built()
    until(lambda: detector.has_spare)
    first = detector.pid
    with pytest.raises(DetectorFailed):
        detector.look([frame(1)])
    until(lambda: detector.has_spare)
    assert not is_gone_now(first)
    os.kill(detector.pid, signal.SIGKILL)
    with pytest.raises(DetectorFailed):
        detector.look([frame(2)])
    assert detector.pid == first
    assert len(detector.look([frame(3)])) == 1


def is_gone_now(pid):
    return not Path(f"/proc/{pid}").exists()


def test_where_no_deadline_holds_a_process_that_hangs_for_ever_is_asked_once(isolated):
    limits = replace(QUICK, answer_s=0.3)
    detector = isolated(faults={1: "hang"}, has_deadlines=False, limits=limits)
    guard = guard_of(detector, has_deadlines=False, limits=limits)
    found = [ask(guard, index) for index in range(4)]
    assert [o.status for o in found] == [OutcomeStatus.OK, *[OutcomeStatus.TIMEOUT] * 3]
    assert is_gone(detector.pid)


def test_it_recovers_and_its_answers_say_that_it_remembers_nothing(survived):
    found = survived[2]
    last = found[79]
    assert (last.status, last.mode) == (OutcomeStatus.OK, Mode.PRIMARY)
    assert last.detail == "from process 4, which remembers nothing from before it"
    assert found[4].detail == ""
    assert found[4].answer.score.tolist() == [0.005]
    assert last.answer.score[0] < 0.03  # it counts the frames that it has seen


def test_the_run_replays_to_the_same_bytes(survived):
    out, report, _, _ = survived
    verdict = replay_run(RunDirectory.open(out))
    assert verdict
    assert verdict.digest == report.digest


def test_a_process_that_comes_back_as_another_version_is_not_asked(isolated, tmp_path):
    file = tmp_path / "version"
    file.write_text("a@1")
    slow = replace(QUICK, detector_restart_s=LONG_S)
    detector = isolated(
        build="another version each time",
        file=str(file),
        faults={0: "segfault"},
        has_deadlines=False,  # no spare of the first version
        limits=slow,
    )
    assert detector.version == "a@1"
    file.write_text("b@1")
    with pytest.raises(DetectorFailed, match="died: SIGSEGV"):
        detector.look([frame(0)])
    until_s = time.monotonic() + LONG_S
    said = ""
    while "began with another version, b@1" not in said and time.monotonic() < until_s:
        time.sleep(0.01)
        with pytest.raises(DetectorFailed) as caught:
            detector.look([frame(1)])
        said = str(caught.value)
    assert "began with another version, b@1" in said
    assert detector.instance == 1


def test_warming_waits_for_a_process_that_is_started_again(isolated):
    detector = isolated(faults={0: "segfault"})
    guard = guard_of(detector)
    guard.warm(frame(0))
    guard.warm(frame(1))
    assert ask(guard, 2).answer.score.tolist() == [0.002]
    guard.close()
    assert is_gone(detector.pid)


def test_processes_that_wait_or_hang_end_when_the_run_is_killed():
    parent = subprocess.Popen(
        [sys.executable, str(HERE / "leaving_parent.py")], stdout=subprocess.PIPE, text=True
    )
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    parent.kill()
    parent.wait(LONG_S)
    parent.stdout.close()
    assert len(pids) == 2
    assert all(is_gone(pid) for pid in pids)


# --- messages -------------------------------------------------------------------------------------


@given(
    boxes=st.lists(st.tuples(*[st.floats(0, 1e4)] * 4, st.floats(0, 1)), min_size=1, max_size=5),
    cut=st.integers(1, 60),
)
def test_an_answer_survives_the_pipe_and_one_that_lost_bytes_is_refused(boxes, cut):
    seen = Detections.of(
        "yard", 5, box_px=[b[:4] for b in boxes], score=[b[4] for b in boxes], class_names=("a",)
    )
    message = encode_found([seen, None, seen])
    first, none, last = read_found(message)
    assert none is None
    for one in (first, last):
        assert one.box_px.tobytes() == seen.box_px.tobytes()
        assert one.score.tobytes() == seen.score.tobytes()
        assert (one.stream, one.capture_ns, one.class_names) == ("yard", 5, ("a",))
    with pytest.raises(ValueError, match=r"."):
        read_found(message[:-cut])


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"[]\n",
        b"7\n",
        b'{"found": 3}\n',
        b'{"found": [["a", 0, -1, []]]}\n',
        b'{"found": [{}]}\n',
    ],
)
def test_what_is_no_answer_is_refused(message):
    with pytest.raises(ValueError, match=r"."):
        read_found(message)

"""Guarded series stages on threads and processes that are late or die; the breaker that follows."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from sightline.limits import Limits
from sightline.runtime.engine.answerers import isolated_scorers
from sightline.runtime.engine.guard import (
    ArraysRequest,
    BreakerPhase,
    BreakerState,
    Outcome,
    OutcomeStatus,
)
from sightline.runtime.engine.guarding import Guard
from sightline.runtime.engine.isolated import Isolated
from sightline.runtime.settings import Breaker
from simulation import faulty_process
from simulation.engine import own_answer
from simulation.small_world import PIPELINE, small_plan

LATE_S = 0.1


def request(number=0):
    asked = {
        "history": np.arange(12.0).reshape(2, 6),
        "current": np.array([3.0, 50.0]),
        "floor": np.full(2, 0.1),
    }
    return ArraysRequest(request_id=f"{number}:odd", stage="odd", asked=asked)


def plan(*, run_on="thread", budget_s=30.0):
    guarded = {**PIPELINE["stages"]["odd"]["guarded"], "budget_s": budget_s, "run_on": run_on}
    return small_plan(partitions=1, latency_budget_s=60, stages={"odd": {"guarded": guarded}})


@pytest.fixture
def guarding():
    """Makes guards, by what breaks: the function that answers, or the process that does."""
    made = []

    def make(answering=None, *, budget_s=30.0, in_process=None):
        scorers = {}
        if in_process is not None:
            scorers["odd"] = Isolated(
                {"windows": in_process},
                where="stages.odd",
                slots=1,
                slot_bytes=1,
                budget_s=budget_s,
                limits=Limits(detector_hang_s=0.1, detector_restart_s=0.01),
                program=(str(Path(faulty_process.__file__)),),
            )
            scorers["odd"].await_built()
        made.append(
            Guard(
                plan(budget_s=budget_s),
                monotonic_s=time.monotonic,
                scorers=scorers,
                answering=answering,
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


def stalls(stage, asked):
    time.sleep(1.5)
    return stage.answer(asked, stage.use)


def raises(stage, asked):
    raise RuntimeError("the model is broken")


def answers_nan(stage, asked):
    return {"scores": np.full(len(asked["current"]), np.nan)}


def answers_short(stage, asked):
    return {"scores": np.zeros(1)}


def answers_nothing(stage, asked):
    return None


def test_a_punctual_answer_is_the_stage_s_own(guarding):
    outcome = guarding().run([request()])[0]
    assert outcome.status is OutcomeStatus.OK
    expected = own_answer(plan(), request())["scores"]
    assert outcome.arrays["scores"].tolist() == expected.tolist()


def test_a_process_answers_as_a_thread_does_and_its_start_is_no_part_of_its_budget():
    # Nobody imports Python within a twentieth of a second.
    planned = plan(run_on="process", budget_s=0.05)
    guard = Guard(planned, monotonic_s=time.monotonic, scorers=isolated_scorers(planned))
    try:
        found = [guard.run([request(n)])[0] for n in range(20)]
    finally:
        guard.close()
    in_time = [o for o in found if o.status is OutcomeStatus.OK]
    assert in_time
    expected = own_answer(planned, request())["scores"]
    assert in_time[0].arrays["scores"].tolist() == expected.tolist()


def test_a_late_answer_is_a_timeout(guarding):
    outcome = guarding(stalls, budget_s=LATE_S).run([request()])[0]
    assert (outcome.status, outcome.answer) == (OutcomeStatus.TIMEOUT, None)


def test_a_late_process_is_a_timeout(guarding):
    outcome = guarding(in_process="stall", budget_s=LATE_S).run([request()])[0]
    assert (outcome.status, outcome.answer) == (OutcomeStatus.TIMEOUT, None)


def test_an_exception_is_a_crash_with_its_message(guarding):
    outcome = guarding(raises).run([request()])[0]
    assert outcome.status is OutcomeStatus.CRASH
    assert "the model is broken" in outcome.detail


def test_an_exception_in_a_process_is_a_crash_with_its_message(guarding):
    outcome = guarding(in_process="raise").run([request()])[0]
    assert outcome.status is OutcomeStatus.CRASH
    assert "the model is broken" in outcome.detail


def test_a_process_that_dies_is_a_crash_and_is_replaced(guarding):
    guard = guarding(in_process="die")
    assert "exit code 9" in guard.run([request()])[0].detail
    end_s = time.monotonic() + 60
    number = 1
    while "exit code 9" not in (outcome := guard.run([request(number)])[0]).detail or (
        "started again" in outcome.detail
    ):
        assert outcome.status is OutcomeStatus.CRASH
        assert time.monotonic() < end_s
        number += 1
        time.sleep(0.02)


@pytest.mark.parametrize("answering", [answers_nan, answers_short, answers_nothing])
def test_an_unusable_answer_is_none(guarding, answering):
    outcome = guarding(answering).run([request()])[0]
    assert (outcome.status, outcome.answer) == (OutcomeStatus.NAN, None)


def test_while_it_is_stuck_requests_time_out_at_once(guarding):
    guard = guarding(stalls, budget_s=LATE_S)
    guard.run([request()])
    outcome = guard.run([request(1)])[0]
    assert outcome.status is OutcomeStatus.TIMEOUT
    assert outcome.detail == "still busy with earlier windows"


def test_an_outcome_survives_the_log():
    answer = {"scores": np.array([1.5, np.nan]), "mask": np.array([[True], [False]])}
    outcome = Outcome(request_id="1:s", stage="s", status=OutcomeStatus.OK, answer=answer)
    again = Outcome.from_bytes(outcome.to_bytes())
    assert again.to_bytes() == outcome.to_bytes()
    assert {n: (a.dtype, a.shape) for n, a in again.arrays.items()} == {
        n: (a.dtype, a.shape) for n, a in answer.items()
    }


RULE = Breaker(open_after=2, retry_after_ticks=3, close_after=2)


def phases(*events):
    state = BreakerState()
    for event in events:
        state = state.ticked(RULE) if event == "tick" else state.after(event == "ok", RULE)
    return state.phase


def test_a_breaker_opens_after_failures_in_a_row():
    assert phases("bad") is BreakerPhase.CLOSED
    assert phases("bad", "bad") is BreakerPhase.OPEN


def test_a_success_between_failures_keeps_it_closed():
    assert phases("bad", "ok", "bad") is BreakerPhase.CLOSED


def test_an_open_breaker_lets_a_trial_through_after_its_ticks():
    assert phases("bad", "bad", "tick", "tick") is BreakerPhase.OPEN
    assert phases("bad", "bad", "tick", "tick", "tick") is BreakerPhase.HALF_OPEN


def test_a_failed_trial_opens_it_again():
    assert phases("bad", "bad", "tick", "tick", "tick", "bad") is BreakerPhase.OPEN


def test_it_closes_only_after_several_good_trials():
    half = ("bad", "bad", "tick", "tick", "tick")
    assert phases(*half, "ok") is BreakerPhase.HALF_OPEN
    assert phases(*half, "ok", "ok") is BreakerPhase.CLOSED


@pytest.mark.parametrize("run_on", ["thread", "process"])
def test_without_deadlines_a_late_answer_about_windows_is_waited_for(run_on):
    planned = plan(run_on=run_on, budget_s=0.000001)
    scorers = isolated_scorers(planned, has_deadlines=False)
    guard = Guard(planned, monotonic_s=time.monotonic, scorers=scorers, has_deadlines=False)
    try:
        found = [guard.run([request(n)])[0] for n in range(3)]
    finally:
        guard.close()
    assert {o.status for o in found} == {OutcomeStatus.OK}


def test_without_deadlines_who_hangs_over_windows_is_asked_once():
    asked = []

    def hangs(stage, windows):
        asked.append(windows)
        threading.Event().wait()

    limits = Limits(answer_s=0.1, worker_end_s=0.0)
    guard = Guard(
        plan(), monotonic_s=time.monotonic, answering=hangs, has_deadlines=False, limits=limits
    )
    found = [guard.run([request(n)])[0] for n in range(3)]
    guard.close()
    assert {o.status for o in found} == {OutcomeStatus.TIMEOUT}
    assert len(asked) == 1

"""Real threads and processes that are late or die, and the breaker that follows."""

import os
import time

import numpy as np
import pytest
from sightline.runtime.deciding import run_scorer

from sightline.runtime.engine.guard import (
    BreakerPhase,
    BreakerState,
    Outcome,
    OutcomeStatus,
    ScoreRequest,
)
from sightline.runtime.engine.guarding import DeadlineScoring
from sightline.runtime.pipeline import Breaker


def request(run_on="thread", budget_s=5.0, number=0):
    return ScoreRequest(
        request_id=f"1:s:{number}",
        stage="s",
        scorer="robust_deviation",
        history=np.arange(12.0).reshape(2, 6),
        current=np.array([3.0, 50.0]),
        floor=np.full(2, 0.1),
        min_history=2,
        budget_s=budget_s,
        run_on=run_on,
    )


def stalls(request, scorer):
    time.sleep(1.5)
    return run_scorer(request, scorer)


def raises(request, scorer):
    raise RuntimeError("the model is broken")


def dies(request, scorer):
    os._exit(9)


def answers_nan(request, scorer):
    return np.full(len(request.current), np.nan)


def answers_short(request, scorer):
    return np.zeros(1)


@pytest.fixture
def scoring():
    made = []

    def make(scorer=run_scorer, **options):
        made.append(DeadlineScoring(scorer=scorer, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("run_on", ["thread", "process"])
def test_a_punctual_answer_is_the_scorers(scoring, run_on):
    outcome = scoring().run([request(run_on)])[0]
    assert outcome.status is OutcomeStatus.OK
    assert outcome.scores.tolist() == run_scorer(request(), "robust_deviation").tolist()


@pytest.mark.parametrize("run_on", ["thread", "process"])
def test_a_late_answer_is_a_timeout(scoring, run_on):
    outcome = scoring(stalls).run([request(run_on, budget_s=0.1)])[0]
    assert (outcome.status, len(outcome.scores)) == (OutcomeStatus.TIMEOUT, 0)


@pytest.mark.parametrize("run_on", ["thread", "process"])
def test_an_exception_is_a_crash_with_its_message(scoring, run_on):
    outcome = scoring(raises).run([request(run_on)])[0]
    assert outcome.status is OutcomeStatus.CRASH
    assert "the model is broken" in outcome.detail


def test_a_process_that_dies_is_a_crash_and_is_replaced(scoring):
    runner = scoring(dies)
    found = [runner.run([request("process", number=n)])[0].status for n in range(2)]
    assert found == [OutcomeStatus.CRASH, OutcomeStatus.CRASH]


@pytest.mark.parametrize("scorer", [answers_nan, answers_short])
def test_an_unusable_answer_is_none(scoring, scorer):
    assert scoring(scorer).run([request()])[0].status is OutcomeStatus.NAN


def test_while_all_threads_are_stuck_requests_time_out_at_once(scoring):
    runner = scoring(stalls, threads=1)
    runner.run([request(budget_s=0.05)])
    outcome = runner.run([request(budget_s=30.0, number=1)])[0]
    assert (outcome.status, outcome.detail) == (OutcomeStatus.TIMEOUT, "1 threads stuck")


def test_an_outcome_survives_the_log():
    outcome = Outcome(
        request_id="1:s", stage="s", status=OutcomeStatus.OK, scores=np.array([1.5, np.nan])
    )
    again = Outcome.from_bytes(outcome.to_bytes())
    assert again.to_bytes() == outcome.to_bytes()


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

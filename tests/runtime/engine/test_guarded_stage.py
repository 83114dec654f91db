"""A guarded stage that is late or broken: its fallback answers, flagged, and the run goes on."""

import threading
import time
from itertools import pairwise

import pytest

from sightline.perceive.deviation import level_deviation, robust_deviation
from sightline.records.decision import Mode
from sightline.runtime.engine.guard import Outcome, OutcomeStatus
from sightline.runtime.engine.guarding import Guard
from simulation.engine import FaultyAnswers, own_answer
from simulation.small_runs import of_kind, readings, run_small, windows
from simulation.small_world import PIPELINE, small_plan

QUIET = (0.0, 0.2, -0.1, 0.1)
SPIKE_WINDOW = 4
LEVELS = windows(*QUIET, 40.0, *QUIET)
"""A spike after enough history to judge it, raised by both scorers."""


class ScriptedAnswers(FaultyAnswers):
    """Fails the requests that the script names by their number, from 0; remembers all of them."""

    def __init__(self, failures):
        super().__init__(one_partition(), 0, 0.0)
        self._failures = failures
        self.asked = []

    def _answer(self, request):
        number = len(self.asked)
        self.asked.append(request)
        status = self._failures.get(number, OutcomeStatus.OK)
        return Outcome(
            request_id=request.request_id,
            stage=request.stage,
            status=status,
            answer=own_answer(self._plan, request) if status is OutcomeStatus.OK else None,
        )

    @property
    def epochs_between(self):
        """Epochs from each request to the next."""
        epochs = [int(request.request_id.split(":")[0]) for request in self.asked]
        return [b - a for a, b in pairwise(epochs)]


def one_partition(**breaker):
    guarded = PIPELINE["stages"]["odd"]["guarded"]
    rule = {**guarded["breaker"], **breaker}
    return small_plan(partitions=1, stages={"odd": {"guarded": {**guarded, "breaker": rule}}})


def spike(guard):
    result = run_small(readings(LEVELS), plan=one_partition(), guard=guard)
    raised = [d for d in of_kind(result, "unusual") if str(d.transition) == "raised"]
    assert len(raised) == 1
    return raised[0], result


def test_the_stage_itself_answers_while_it_can():
    decision, result = spike(ScriptedAnswers({}))
    assert decision.mode is Mode.PRIMARY
    assert result.fallbacks == ()


@pytest.mark.parametrize("status", [OutcomeStatus.TIMEOUT, OutcomeStatus.CRASH, OutcomeStatus.NAN])
def test_the_fallback_answers_with_the_same_type_and_says_so(status):
    decision, result = spike(ScriptedAnswers({SPIKE_WINDOW: status}))
    assert decision.mode is Mode.FALLBACK
    assert result.fallbacks == (f"odd:{status}",)


def test_the_fallback_is_the_declared_scorer():
    guard = ScriptedAnswers({SPIKE_WINDOW: OutcomeStatus.TIMEOUT})
    decision, _ = spike(guard)
    asked = guard.asked[SPIKE_WINDOW].asked
    scores = {
        name: scorer(
            history=asked["history"],
            current=asked["current"],
            floor=asked["floor"],
            min_history=2,
        )
        for name, scorer in (("level", level_deviation), ("robust", robust_deviation))
    }
    assert scores["level"][0] != scores["robust"][0]
    assert decision.score == scores["level"][0]


def test_after_a_failure_the_stage_is_asked_again():
    decision, result = spike(ScriptedAnswers({1: OutcomeStatus.CRASH}))
    assert decision.mode is Mode.PRIMARY
    assert result.fallbacks == ("odd:crash",)


def phases(result):
    """Phases of the breaker, each change once."""
    return [p for i, p in enumerate(result.phases) if i == 0 or p != result.phases[i - 1]]


def test_failures_in_a_row_open_the_breaker_and_a_good_trial_closes_it():
    guard = ScriptedAnswers({1: OutcomeStatus.TIMEOUT, 2: OutcomeStatus.TIMEOUT})
    result = run_small(readings(windows(*QUIET, *QUIET, *QUIET)), plan=one_partition(), guard=guard)
    assert phases(result) == ["closed", "open", "closed"]


def test_a_breaker_that_closes_after_two_successes_is_half_open_after_the_first():
    guard = ScriptedAnswers({1: OutcomeStatus.TIMEOUT, 2: OutcomeStatus.TIMEOUT})
    plan = one_partition(close_after=2)
    result = run_small(readings(windows(*QUIET, *QUIET, *QUIET)), plan=plan, guard=guard)
    assert phases(result) == ["closed", "open", "half_open", "closed"]


def test_an_open_breaker_asks_nobody_until_its_trial():
    guard = ScriptedAnswers({1: OutcomeStatus.TIMEOUT, 2: OutcomeStatus.TIMEOUT})
    plan = one_partition(retry_after_ticks=4)
    run_small(readings(windows(*QUIET, *QUIET, *QUIET)), plan=plan, guard=guard)
    assert guard.epochs_between[:5] == [1, 1, 4, 1, 1]


def test_a_failed_trial_opens_the_breaker_again():
    guard = ScriptedAnswers(dict.fromkeys((1, 2, 3), OutcomeStatus.CRASH))
    plan = one_partition(retry_after_ticks=4)
    result = run_small(readings(windows(*QUIET, *QUIET, *QUIET)), plan=plan, guard=guard)
    assert guard.epochs_between == [1, 1, 4, 4]
    assert len(result.fallbacks) == 3


def test_what_an_open_breaker_answers_is_marked_as_fallback():
    failing = {2: OutcomeStatus.TIMEOUT, 3: OutcomeStatus.TIMEOUT}
    decision, _ = spike(ScriptedAnswers(failing))  # open when the spike comes
    assert decision.mode is Mode.FALLBACK


def test_a_run_with_a_truly_stuck_thread_goes_on_with_the_fallback():
    released = threading.Event()

    def stuck(stage, asked):
        released.wait()
        return stage.answer(asked, stage.use)

    guarded = {**PIPELINE["stages"]["odd"]["guarded"], "budget_s": 0.02}
    plan = small_plan(partitions=1, stages={"odd": {"guarded": guarded}})
    guard = Guard(plan, monotonic_s=time.monotonic, answering=stuck)
    try:
        result = run_small(readings(LEVELS), plan=plan, guard=guard)
    finally:
        released.set()
        guard.close()
    assert {d.mode for d in of_kind(result, "unusual")} == {Mode.FALLBACK}
    assert set(result.fallbacks) == {"odd:timeout"}

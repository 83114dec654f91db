"""Passes: the stages of each chain, run over the windows that changed at a tick.

A pass that reaches a guarded stage waits for its outcome and goes on from there; the circuit
breaker decides whether it asks at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sightline.errors import InvariantViolation, LogError
from sightline.records.decision import Mode
from sightline.records.windows import IntArray
from sightline.runtime.chain import ChainState
from sightline.runtime.deciding import (
    SubjectTransitions,
    alarm_transitions,
    put_loss_ratio,
    put_scores,
    run_scorer,
    score_request,
)
from sightline.runtime.guard import BreakerState, Outcome, OutcomeStatus, ScoreRequest
from sightline.runtime.learning_stages import LEARNING_FORMS
from sightline.runtime.outputs import StepOutput
from sightline.runtime.pipeline import AlarmForm, PacketLossForm, ScorerForm
from sightline.runtime.plan import Plan, Step
from sightline.runtime.stage_timer import StageTimer

Say = Callable[[Step, SubjectTransitions, StepOutput], None]
Wrote = Callable[[Step, ChainState, IntArray, StepOutput], None]


class StagePasses:
    """Passes of one partition; empty between two ticks.

    Args:
        plan: the checked pipeline.
        partition: number of the partition, for messages.
        say: told what changed for a subject.
        wrote: told which rows a stage wrote.
        timer: told where stages begin and end.
    """

    def __init__(
        self, plan: Plan, *, partition: int, say: Say, wrote: Wrote, timer: StageTimer
    ) -> None:
        self._plan = plan
        self._partition = partition
        self._say = say
        self._wrote = wrote
        self._timer = timer
        self._parked: list[tuple[ChainState, int, IntArray]] = []
        self._asked: dict[str, tuple[ChainState, int, IntArray, ScoreRequest]] = {}
        self._rules = {
            name: form.guarded.breaker
            for name, form in plan.pipeline.stages.items()
            if isinstance(form, ScorerForm) and form.guarded is not None
        }
        self.breakers: dict[str, BreakerState] = {}
        self._epoch = -1

    @property
    def is_waiting(self) -> bool:
        """Whether an outcome must come before the tick is done."""
        return bool(self._asked)

    def tick(self, epoch: int) -> None:
        """A tick begins.

        Raises:
            InvariantViolation: if outcomes of the tick before have not come.
        """
        if self._asked:
            raise InvariantViolation(
                expected="all outcomes before the next tick",
                got=f"open requests {sorted(self._asked)}",
                where=f"partition {self._partition}, epoch {epoch}",
                action="this is a defect of Sightline: keep the run directory and report it",
            )
        self._epoch = epoch
        for name, breaker in self.breakers.items():
            self.breakers[name] = breaker.ticked(self._rules[name])

    def add(self, chain: ChainState, targets: IntArray) -> None:
        """Let all stages of ``chain`` run over the windows ``targets``."""
        self._parked.append((chain, 0, targets))

    def run(self, output: StepOutput) -> None:
        """Run every pass until it is done or waits for an outcome."""
        while self._parked:
            chain, first, targets = self._parked.pop(0)
            self._run(chain, first, targets, output)

    def answer(self, outcome: Outcome, output: StepOutput) -> None:
        """Take the outcome of a guarded stage, and go on with the pass that waited for it.

        Raises:
            LogError: if nobody asked.
        """
        asked = self._asked.pop(outcome.request_id, None)
        if asked is None:
            raise LogError(
                expected="the outcome of an open request",
                got=outcome.request_id,
                where=f"partition {self._partition}",
                action="run `sightline verify` on the run",
            )
        chain, index, targets, request = asked
        step = chain.chain.steps[index]
        form = step.form
        assert isinstance(form, ScorerForm)
        ok = outcome.status is OutcomeStatus.OK
        breaker = self.breakers.get(step.name, BreakerState())
        self.breakers[step.name] = breaker.after(ok, self._rules[step.name])
        if ok:
            put_scores(step, chain.series, targets, outcome.scores, Mode.PRIMARY)
        else:
            self._fall_back(step, form, chain, targets, request)
        self._wrote(step, chain, targets, output)
        self._parked.append((chain, index + 1, targets))
        self.run(output)

    def _run(self, chain: ChainState, first: int, targets: IntArray, output: StepOutput) -> None:
        for at in range(first, len(chain.chain.steps)):
            step = chain.chain.steps[at]
            form = step.form
            if isinstance(form, ScorerForm):
                request = score_request(
                    step, chain.series, targets, request_id=f"{self._epoch}:{step.name}"
                )
                if form.guarded is None:
                    with self._timer.span(step.name):
                        scores = run_scorer(request, form.use)
                        put_scores(step, chain.series, targets, scores, Mode.PRIMARY)
                elif self.breakers.get(step.name, BreakerState()).lets_through:
                    self._asked[request.request_id] = (chain, at, targets, request)
                    output.requests.append(request)
                    return
                else:
                    self._fall_back(step, form, chain, targets, request)
                self._wrote(step, chain, targets, output)
            elif isinstance(form, LEARNING_FORMS):
                with self._timer.span(step.name):
                    chain.learning[step.name].score(chain.series, targets, chain.stream.keys)
                self._wrote(step, chain, targets, output)
            elif isinstance(form, PacketLossForm):
                with self._timer.span(step.name):
                    put_loss_ratio(step, chain.series, targets)
                self._wrote(step, chain, targets, output)
            elif isinstance(form, AlarmForm):
                with self._timer.span(step.name):
                    for change in alarm_transitions(self._plan, step, chain, targets):
                        self._say(step, change, output)
                self._wrote(step, chain, targets, output)

    def _fall_back(
        self,
        step: Step,
        form: ScorerForm,
        chain: ChainState,
        targets: IntArray,
        request: ScoreRequest,
    ) -> None:
        assert form.guarded is not None
        assert form.guarded.fallback is not None  # the planner has checked it
        with self._timer.span(step.name):
            scores = run_scorer(request, form.guarded.fallback)
            put_scores(step, chain.series, targets, scores, Mode.FALLBACK)

    def snapshot(self) -> dict[str, Any]:
        """JSON-ready; to be called between two ticks."""
        return {name: breaker.as_mapping() for name, breaker in self.breakers.items()}

    def restore(self, plain: dict[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        self.breakers = {n: BreakerState.from_mapping(b) for n, b in plain.items()}

"""Running guarded stages with a deadline: on a thread, or in a process that may be killed."""

from __future__ import annotations

import multiprocessing
import queue
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Protocol

import numpy as np

from sightline.records.windows import FloatArray
from sightline.runtime.deciding import run_scorer
from sightline.runtime.guard import Outcome, OutcomeStatus, ScoreRequest, checked_scores

_NO_SCORES = np.empty(0, np.float64)


class Scoring(Protocol):
    """Answers requests; never raises for a scorer that is late or broken."""

    def run(self, requests: Sequence[ScoreRequest]) -> list[Outcome]:
        """One outcome per request, in their order, each within its budget."""

    def close(self) -> None:
        """Release processes; stuck threads end with the interpreter."""


class DeadlineScoring:
    """Runs each request on a thread or in a process, whichever its stage asked for.

    A thread that overruns cannot be stopped: it is left to finish, and its answer is thrown away.
    While ``threads`` of them are stuck, further requests time out at once. None of them keeps the
    interpreter from ending. A process that overruns is killed and replaced.

    Args:
        threads: threads that may be busy or stuck.
        scorer: the function to run; given so that tests can break it.
    """

    def __init__(
        self,
        *,
        threads: int = 4,
        scorer: Callable[[ScoreRequest, str], FloatArray] = run_scorer,
    ) -> None:
        self._scorer = scorer
        self._threads = threads
        self._stuck: list[threading.Thread] = []
        self._process: _ScorerProcess | None = None

    def run(self, requests: Sequence[ScoreRequest]) -> list[Outcome]:
        return [
            self._on_thread(r) if r.run_on == "thread" else self._in_process(r) for r in requests
        ]

    def _on_thread(self, request: ScoreRequest) -> Outcome:
        self._stuck = [t for t in self._stuck if t.is_alive()]
        if len(self._stuck) >= self._threads:
            return _failed(request, OutcomeStatus.TIMEOUT, f"{len(self._stuck)} threads stuck")
        answers: queue.SimpleQueue[FloatArray | str] = queue.SimpleQueue()
        # A daemon, unlike the threads of an executor: one that hangs must not outlive the run.
        thread = threading.Thread(
            target=_score, args=(self._scorer, request, answers), name="scorer", daemon=True
        )
        thread.start()
        try:
            answer = answers.get(timeout=request.budget_s)
        except queue.Empty:
            self._stuck.append(thread)
            return _failed(request, OutcomeStatus.TIMEOUT, f"{request.budget_s:g} s")
        if isinstance(answer, str):
            return _failed(request, OutcomeStatus.CRASH, answer)
        return _answered(request, answer)

    def _in_process(self, request: ScoreRequest) -> Outcome:
        if self._process is None:
            self._process = _ScorerProcess(self._scorer)
        outcome = self._process.ask(request)
        if not self._process.is_alive:
            self._process = None
        return outcome

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()


def _score(
    scorer: Callable[[ScoreRequest, str], FloatArray],
    request: ScoreRequest,
    answers: queue.SimpleQueue[FloatArray | str],
) -> None:
    """Main of a scorer thread."""
    try:
        answers.put(scorer(request, request.scorer))
    except Exception as error:  # noqa: BLE001 - whatever a scorer raises is its CRASH outcome
        answers.put(f"{type(error).__name__}: {error}")


class _ScorerProcess:
    """A spawned process that answers one request at a time."""

    _START_S = 30.0  # importing in a fresh interpreter is not the scorer's budget

    def __init__(self, scorer: Callable[[ScoreRequest, str], FloatArray]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, scorer), daemon=True)
        self._process.start()
        theirs.close()
        self.is_alive = self._pipe.poll(self._START_S) and self._pipe.recv() == "ready"

    def ask(self, request: ScoreRequest) -> Outcome:
        try:
            self._pipe.send(request)
            deadline_s = time.monotonic() + request.budget_s
            if not self._pipe.poll(max(deadline_s - time.monotonic(), 0)):
                self.kill()
                return _failed(request, OutcomeStatus.TIMEOUT, f"{request.budget_s:g} s, killed")
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            self.kill()
            return _failed(request, OutcomeStatus.CRASH, f"process died ({type(error).__name__})")
        if isinstance(answer, str):
            return _failed(request, OutcomeStatus.CRASH, answer)
        return _answered(request, answer)

    def kill(self) -> None:
        self.is_alive = False
        self._process.kill()
        self._process.join(5)
        self._pipe.close()


def _serve(pipe: Connection, scorer: Callable[[ScoreRequest, str], FloatArray]) -> None:
    """Main of the scorer process."""
    pipe.send("ready")
    while True:
        try:
            request = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(scorer(request, request.scorer))
        except Exception as error:  # noqa: BLE001 - reported to the parent as CRASH
            pipe.send(f"{type(error).__name__}: {error}")


def _answered(request: ScoreRequest, scores: FloatArray) -> Outcome:
    status = checked_scores(scores, request)
    if status is not OutcomeStatus.OK:
        return _failed(request, status, "unusable answer")
    return Outcome(request_id=request.request_id, stage=request.stage, status=status, scores=scores)


def _failed(request: ScoreRequest, status: OutcomeStatus, detail: str) -> Outcome:
    return Outcome(
        request_id=request.request_id,
        stage=request.stage,
        status=status,
        scores=_NO_SCORES,
        detail=detail,
    )

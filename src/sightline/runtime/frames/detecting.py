"""Running detectors with a deadline: the fallback has its answer ready before it comes.

The primary detector runs on a thread of its own. The fallback runs here at once, on the caller's
time, so that by the deadline one of them has answered. A primary that overruns cannot be stopped:
it is left to finish, what it then says is thrown away, and until then it is not asked again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sightline.records import Detections, Frame
from sightline.records.decision import Mode
from sightline.runtime.frames.entries import DetectionOutcome, DetectionStatus


class Detecting(Protocol):
    """Looks at one frame and says what is there."""

    def detect(self, frame: Frame) -> Detections:
        """Things seen in ``frame``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionRequest:
    """Ask for the detections of one frame.

    Attributes:
        request_id: ``camera:index``.
        stage: the detecting stage.
        camera: whose frame.
        ask_primary: False while the circuit breaker is open: only the fallback is asked.
    """

    request_id: str
    stage: str
    camera: str
    ask_primary: bool


class DeadlineDetection:
    """Answers requests about frames, each within the budget.

    Args:
        primary: the detector.
        fallback: answers when the primary does not; None: nobody does, and the core propagates
            its tracks.
        budget_s: time for one answer, from the moment it is asked.
        monotonic_s: clock of the budget.

    A fallback that raises counts as no answer at all.
    """

    def __init__(
        self,
        primary: Detecting,
        fallback: Detecting | None,
        *,
        budget_s: float,
        monotonic_s: Callable[[], float],
    ) -> None:
        self._primary = primary
        self._fallback = fallback
        self._budget_s = budget_s
        self._monotonic_s = monotonic_s
        self._worker: _Worker | None = None
        self._stuck: _Worker | None = None

    def run(self, request: DetectionRequest, frame: Frame) -> DetectionOutcome:
        """The outcome of one request; never raises for a detector that is late or broken."""
        deadline_s = self._monotonic_s() + self._budget_s
        asked = self._ask(frame) if request.ask_primary else None
        second = self._second(frame)
        if asked is None:
            status = DetectionStatus.TIMEOUT if request.ask_primary else DetectionStatus.SKIPPED
            detail = "still busy with an earlier frame" if request.ask_primary else "breaker open"
            return _answer(request, status, second, detail)
        try:
            answer = asked.answers.get(timeout=max(deadline_s - self._monotonic_s(), 0.0))
        except queue.Empty:
            self._stuck, self._worker = asked, None
            detail = f"{self._budget_s:g} s"
            return _answer(request, DetectionStatus.TIMEOUT, second, detail)
        if isinstance(answer, str):
            return _answer(request, DetectionStatus.CRASH, second, answer)
        problem = unusable(answer, frame)
        if problem or not isinstance(answer, Detections):
            return _answer(request, DetectionStatus.NAN, second, problem)
        return DetectionOutcome(
            request_id=request.request_id,
            stage=request.stage,
            status=DetectionStatus.OK,
            mode=Mode.PRIMARY,
            detections=answer,
            batch=(request.request_id,),
        )

    def close(self) -> None:
        """End the worker thread, unless it hangs."""
        if self._worker is not None:
            self._worker.frames.put(None)
            self._worker = None

    def _ask(self, frame: Frame) -> _Worker | None:
        """Hand the frame to a worker; None while the only one there may be is stuck."""
        if self._stuck is not None:
            if self._stuck.answers.empty():
                return None
            self._stuck.answers.get()  # too late: nobody waits for it any more
            self._worker, self._stuck = self._stuck, None
        if self._worker is None:
            self._worker = _Worker(self._primary)
        self._worker.frames.put(frame)
        return self._worker

    def _second(self, frame: Frame) -> Detections | None:
        if self._fallback is None:
            return None
        try:
            answer = self._fallback.detect(frame)
        except Exception:  # noqa: BLE001 - a broken fallback is no answer; the outcome says so
            return None
        return None if unusable(answer, frame) else answer


def unusable(answer: object, frame: Frame) -> str:
    """What is wrong with an answer; empty if it can be used."""
    if not isinstance(answer, Detections):
        return f"no detections but {type(answer).__name__}"
    if answer.capture_ns != frame.capture_ns:
        return "detections of another frame"
    if not (np.isfinite(answer.box_px).all() and np.isfinite(answer.score).all()):
        return "boxes or scores that are not finite"
    return ""


class _Worker:
    """A daemon thread that looks at one frame after the other."""

    def __init__(self, detector: Detecting) -> None:
        self._detector = detector
        self.frames: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[object] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="detector", daemon=True).start()

    def _work(self) -> None:
        while (frame := self.frames.get()) is not None:
            try:
                self.answers.put(self._detector.detect(frame))
            except Exception as error:  # noqa: BLE001 - whatever it raises is its CRASH outcome
                self.answers.put(f"{type(error).__name__}: {error}")


def _answer(
    request: DetectionRequest, status: DetectionStatus, second: Detections | None, detail: str
) -> DetectionOutcome:
    return DetectionOutcome(
        request_id=request.request_id,
        stage=request.stage,
        status=status,
        mode=Mode.FALLBACK,
        detections=second,
        detail=detail,
        batch=(request.request_id,),
    )

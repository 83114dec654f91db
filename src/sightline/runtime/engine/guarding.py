"""Running guarded stages: the answerer, its fallback beside it, and a deadline where time is real.

Each answerer (a detector, a model of a stage of one's own, a scorer) has a thread of its own. A
frame goes to the first one and to its fallback at once, so that by the deadline the fallback has
its answer ready. One that overruns cannot be stopped: it is left to finish, what it then says is
thrown away, and until then it is not asked again. One in a process (:mod:`.isolated`) is killed
some time after its deadline, and another takes its place.

A recording that is read at the speed of the machine has no deadlines: nothing is lost by waiting,
and what is decided must not depend on how busy the machine is. Then every answer is waited for, of
the fallback too, and a process that died is waited for as well. Only who gives nothing within
``Limits.answer_s`` counts as hung: it is not asked again, and the fallback answers from then on.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import Detections, Frame
from sightline.records.decision import Mode
from sightline.records.readings import Arrays, Readings
from sightline.runtime.engine.guard import (
    Answer,
    ArraysRequest,
    FrameRequest,
    Outcome,
    OutcomeStatus,
    Request,
)
from sightline.runtime.engine.isolated import Isolated
from sightline.runtime.plan import Plan
from sightline.runtime.stage import Stage


class Looking(Protocol):
    """Looks at frames and says what is there."""

    @property
    def version(self) -> str:
        """Changes with whatever could change an answer."""

    def look(self, frames: Sequence[Frame]) -> list[Any]:
        """What is seen in each of ``frames``, in their order; one failure fails them all."""


@runtime_checkable
class Restarted(Protocol):
    """An answerer in a process; another takes its place when it has died."""

    @property
    def instance(self) -> int:
        """1 for the first process; a later one remembers nothing from before it."""

    def await_ready(self, timeout_s: float) -> bool:
        """Wait for a process that is being started; whether it is there."""

    def close(self) -> None:
        """End the process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookers:
    """Who looks at the frames of one camera for one stage.

    Attributes:
        primary: one object may serve many cameras, whose frames then share batches.
        fallback: answers when the primary does not; None: nobody does.
        budget_s: time for one answer, from the moment it is asked.
        finds: names of the numbers that an answer must have; None: an answer is ``Detections``.
    """

    primary: Looking
    fallback: Looking | None
    budget_s: float
    finds: tuple[str, ...] | None = None


class Answers(Protocol):
    """Answers requests; never raises for one that is late or broken. :class:`Guard` in a run."""

    def hold(self, frame: Frame) -> None:
        """Keep a frame until it was asked about."""

    def run(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        """One outcome per request, in their order, each within its budget."""

    def warm(self, frame: Frame) -> None:
        """Show a frame to those who remember frames."""

    def close(self) -> None:
        """Release threads and processes."""


class Guard:
    """Answers the requests of a core, each within its budget.

    Args:
        plan: the checked pipeline: its guarded series stages answer for themselves.
        lookers: who looks, by (stage, camera).
        monotonic_s: clock of the budgets.
        scorers: series stages that run in a process of their own, by name.
        answering: the function that answers about windows; given so that tests can break it.
        has_deadlines: False for recordings read at the speed of the machine: answers are waited
            for.
        limits: ``answer_s``, ``worker_end_s``.
    """

    def __init__(
        self,
        plan: Plan,
        lookers: Mapping[tuple[str, str], Lookers] | None = None,
        *,
        monotonic_s: Callable[[], float],
        scorers: Mapping[str, Isolated] | None = None,
        answering: Callable[[Stage, Arrays], Arrays] | None = None,
        has_deadlines: bool = True,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._has_deadlines = has_deadlines
        self._limits = limits
        self._monotonic_s = monotonic_s
        self._lookers = dict(lookers or {})
        everyone = [o for k in self._lookers.values() for o in (k.primary, k.fallback) if o]
        self._workers = {id(one): _Worker(one.look, one) for one in everyone}
        self._stages = {
            step.name: step.stage
            for chain in plan.chains
            for step in chain.steps
            if step.stage.guard is not None
        }
        self._answering = answering or _own_answer
        self._scorers = {n: _Worker(one.answer, one) for n, one in (scorers or {}).items()}
        self._watching: dict[str, list[str]] = {}
        for stage, camera in self._lookers:
            self._watching.setdefault(camera, []).append(stage)
        self._held: dict[str, Frame] = {}

    @property
    def lookers(self) -> Mapping[tuple[str, str], Lookers]:
        """Who looks, by (stage, camera)."""
        return self._lookers

    def hold(self, frame: Frame) -> None:
        """Keep a frame until its camera has a newer one."""
        self._held[frame.stream] = frame

    def run(self, requests: Sequence[Request]) -> list[Outcome]:
        """One outcome per request, in their order; never raises for who is late or broken.

        Frames that are for the same answerer, in whatever role, are given to it as one batch.

        Raises:
            UsageError: a request about a frame that is not held.
        """
        frames = [r for r in requests if isinstance(r, FrameRequest)]
        found = {o.request_id: o for o in self._look(frames)} if frames else {}
        for request in requests:
            if isinstance(request, ArraysRequest):
                found[request.request_id] = self._score(request)
        return [found[request.request_id] for request in requests]

    # --- frames -----------------------------------------------------------------------------------

    def _look(self, requests: Sequence[FrameRequest]) -> list[Outcome]:
        frames = [self._frame(request) for request in requests]
        batches = self._batches(requests)
        if not self._has_deadlines:
            for key in batches:
                self._workers[key].await_ready(self._limits.answer_s)
        began_s = self._monotonic_s()
        asked = {
            key: (self._workers[key].ask([frames[i] for i in members]), members)
            for key, members in batches.items()
        }
        if not self._has_deadlines:
            for key in asked:  # also who is not needed must be free for the next frame
                self._workers[key].await_answer(self._limits.answer_s)
        return [
            self._outcome(request, i, frames[i], requests, asked, began_s=began_s)
            for i, request in enumerate(requests)
        ]

    def _batches(self, requests: Sequence[FrameRequest]) -> dict[int, list[int]]:
        """Which requests each answerer is to look at, in whatever role: it can be asked once."""
        found: dict[int, list[int]] = {}
        for i, request in enumerate(requests):
            lookers = self._lookers[request.stage, request.camera]
            if request.ask_primary:
                found.setdefault(id(lookers.primary), []).append(i)
            if lookers.fallback is not None:
                found.setdefault(id(lookers.fallback), []).append(i)
        return found

    def warm(self, frame: Frame) -> None:
        """Show a frame to those who look at its camera and wait; what they say does not matter."""
        for stage in self._watching.get(frame.stream, ()):
            lookers = self._lookers[stage, frame.stream]
            for looker in (lookers.primary, lookers.fallback):
                if looker is not None:
                    worker = self._workers[id(looker)]
                    worker.await_ready(self._limits.answer_s)  # it died of an earlier frame
                    asked = worker.ask([frame])
                    if asked is None or asked.wait(self._limits.answer_s) is None:
                        raise UsageError(
                            expected=f"an answer within {self._limits.answer_s:g} s",
                            got="none",
                            where=f"frame {frame.index} of {frame.stream}, shown again on resume",
                            action="mend the detector, then resume again",
                        )

    def close(self) -> None:
        """End the threads and the processes; may be called again.

        A thread in the midst of an answer is waited for: native code must not outlive the
        interpreter. One that hangs is left behind (:func:`sightline.cli.main.main` leaves without
        its leave).
        """
        workers = (*self._workers.values(), *self._scorers.values())
        for worker in workers:
            worker.end()
        until_s = time.monotonic() + self._limits.worker_end_s
        for worker in workers:
            worker.join(until_s - time.monotonic())

    def _frame(self, request: FrameRequest) -> Frame:
        frame = self._held.get(request.camera)
        if frame is None or request.request_id.rpartition(":")[2] != str(frame.index):
            raise UsageError(
                expected=f"the frame {request.request_id} to be held",
                got="none" if frame is None else f"{frame.stream}:{frame.index}",
                where=f"stage {request.stage}",
                action="hold each frame before its header is fed",
            )
        return frame if request.empty_ns < 0 else replace(frame, empty_ns=request.empty_ns)

    def _outcome(
        self,
        request: FrameRequest,
        place: int,
        frame: Frame,
        requests: Sequence[FrameRequest],
        asked: Mapping[int, tuple[_Asked | None, list[int]]],
        *,
        began_s: float,
    ) -> Outcome:
        lookers = self._lookers[request.stage, request.camera]
        allowed_s = lookers.budget_s if self._has_deadlines else self._limits.answer_s
        deadline_s = began_s + allowed_s
        status, detail, members = OutcomeStatus.SKIPPED, "breaker open", [place]
        found: Answer | None = None
        if request.ask_primary:
            first, members = asked[id(lookers.primary)]
            answer = None if first is None else first.wait(deadline_s - self._monotonic_s())
            if first is None:
                status, detail = OutcomeStatus.TIMEOUT, "still busy with an earlier frame"
            elif answer is None:
                status, detail = OutcomeStatus.TIMEOUT, f"{allowed_s:g} s"
            elif isinstance(answer, str):
                status, detail = OutcomeStatus.CRASH, answer
            else:
                found, detail = _usable(answer, members.index(place), frame, lookers.finds)
                status = OutcomeStatus.NAN if found is None else OutcomeStatus.OK
                detail = detail or first.note
        mode = Mode.PRIMARY
        if found is None:
            mode = Mode.FALLBACK
            if lookers.fallback is not None:
                # It began with the primary, so by now it is done, or late itself.
                second, places = asked[id(lookers.fallback)]
                answer = None if second is None else second.wait(deadline_s - self._monotonic_s())
                if second is not None and isinstance(answer, list):
                    found, _ = _usable(answer, places.index(place), frame, lookers.finds)
                    detail += f"; fallback {second.note}" if second.note else ""
        return Outcome(
            request_id=request.request_id,
            stage=request.stage,
            status=status,
            mode=mode,
            answer=found,
            detail=detail,
            batch=tuple(requests[member].request_id for member in members),
            empty_ns=request.empty_ns,
        )

    # --- windows ----------------------------------------------------------------------------------

    def _score(self, request: ArraysRequest) -> Outcome:
        stage = self._stages[request.stage]
        guard = stage.guard
        assert guard is not None
        worker = self._scorers.get(request.stage)
        if worker is None:
            worker = _Worker(lambda asked: [self._answering(stage, asked)], stage)
            self._scorers[request.stage] = worker
        allowed_s = guard.budget_s
        if not self._has_deadlines:
            allowed_s = self._limits.answer_s
            worker.await_ready(allowed_s)
        asked = worker.ask(request.asked)
        status, detail, found = OutcomeStatus.TIMEOUT, "still busy with earlier windows", None
        if asked is not None:
            answer = asked.wait(allowed_s)
            if answer is None:
                detail = f"{allowed_s:g} s"
                if not self._has_deadlines:
                    worker.give_up()
            elif isinstance(answer, str):
                status, detail = OutcomeStatus.CRASH, answer
            else:
                given = cast("list[Any]", answer)[0]
                is_usable = isinstance(given, Mapping) and stage.is_usable(given, request.asked)
                status = OutcomeStatus.OK if is_usable else OutcomeStatus.NAN
                detail = "" if is_usable else "unusable answer"
                found = given if is_usable else None
        return Outcome(
            request_id=request.request_id,
            stage=request.stage,
            status=status,
            answer=found,
            detail=detail,
        )


def _own_answer(stage: Stage, asked: Arrays) -> Arrays:
    return stage.answer(asked, stage.use)


def _usable(
    answer: object, place: int, frame: Frame, finds: tuple[str, ...] | None
) -> tuple[Answer | None, str]:
    """What was seen in one frame of a batch, or what is wrong with it."""
    if not isinstance(answer, list) or len(answer) <= place:
        return None, f"no list of answers but {type(answer).__name__}"
    found = answer[place]
    if finds is not None:
        return _usable_readings(found, frame, finds)
    if not isinstance(found, Detections):
        return None, f"no detections but {type(found).__name__}"
    if (found.stream, found.capture_ns) != (frame.stream, frame.capture_ns):
        return None, "detections of another frame"
    wrong = _wrong_boxes(found, frame)
    if wrong:
        return None, wrong
    size = np.array([frame.width_px, frame.height_px] * 2, np.float64)
    within = np.clip(found.box_px, 0.0, size)
    # Where somebody's feet are below the picture they stand at its edge, as far as anybody knows.
    return (found if (within == found.box_px).all() else replace(found, box_px=within)), ""


def _wrong_boxes(found: Detections, frame: Frame) -> str:
    """What about the boxes cannot be, so that nothing is known from them; empty if all can be."""
    if not (np.isfinite(found.box_px).all() and np.isfinite(found.score).all()):
        return "boxes or scores that are not finite"
    left, top, right, bottom = found.box_px.T
    if ((right < left) | (bottom < top)).any():
        return "boxes whose right or lower edge comes first"
    names = len(found.class_names)
    if len(found) and not 0 <= found.class_id.min() <= found.class_id.max() < names:
        return f"classes beyond the {names} with a name"
    has_area = (right > left) & (bottom > top)
    is_outside = (right <= 0) | (bottom <= 0) | (left >= frame.width_px) | (top >= frame.height_px)
    if has_area.any() and (is_outside | ~has_area).all():
        return f"boxes outside the picture of {frame.width_px} x {frame.height_px} px"
    return ""


def _usable_readings(
    found: object, frame: Frame, finds: tuple[str, ...]
) -> tuple[Readings | None, str]:
    if isinstance(found, Mapping):
        found = Readings(stream=frame.stream, capture_ns=frame.capture_ns, values=found)
    if not isinstance(found, Readings):
        return None, f"no readings but {type(found).__name__}"
    missing = [name for name in finds if name not in found.values]
    if missing:
        return None, f"readings without {', '.join(missing)}"
    try:
        is_finite = all(np.isfinite(float(value)) for value in found.values.values())
    except (TypeError, ValueError):
        return None, "readings that are no numbers"
    return (found, "") if is_finite else (None, "readings that are not finite")


class _Asked:
    """One batch that a worker was given; its answer comes once."""

    def __init__(self, batch: Any) -> None:
        self.batch = batch
        self.note = ""
        self._answer: object = None
        self._is_there = threading.Event()

    def give(self, answer: object, *, note: str = "") -> None:
        self.note = note
        self._answer = answer
        self._is_there.set()

    def wait(self, timeout_s: float) -> object:
        """The answer, the text of what was raised, or None if neither came in time."""
        # Even at the deadline a look costs nothing.
        return self._answer if self._is_there.wait(max(timeout_s, 0.0)) else None

    @property
    def is_answered(self) -> bool:
        return self._is_there.is_set()


class _Worker:
    """A daemon thread that gives one batch after the other to an answerer."""

    def __init__(self, answer: Callable[[Any], object], of: object) -> None:
        self._answer = answer
        self._of = of
        self._batches: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._last: _Asked | None = None
        self._is_given_up = False
        # A daemon: an answer that never comes must not keep the interpreter from ending.
        self._thread = threading.Thread(target=self._work, name="guarded", daemon=True)
        self._thread.start()

    def ask(self, batch: Any) -> _Asked | None:
        """Hand a batch over; None while it is still busy with an earlier one, or given up."""
        if self._is_given_up or (self._last is not None and not self._last.is_answered):
            return None
        self._last = _Asked(batch)
        self._batches.put(self._last)
        return self._last

    def await_ready(self, timeout_s: float) -> None:
        """Wait for a process that is being started again."""
        if isinstance(self._of, Restarted) and not self._is_given_up:
            self._of.await_ready(timeout_s)

    def await_answer(self, timeout_s: float) -> None:
        """Wait for the newest answer; who gives none is never asked again."""
        if not self._is_given_up and self._last is not None and self._last.wait(timeout_s) is None:
            self.give_up()

    def give_up(self) -> None:
        """Never ask it again: whether it comes back would depend on the machine."""
        self._is_given_up = True
        if isinstance(self._of, Restarted):
            self._of.close()

    def end(self) -> None:
        """Begin to end the thread and the process."""
        self._batches.put(None)
        if isinstance(self._of, Restarted):
            self._of.close()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread, unless it hangs."""
        self._thread.join(max(timeout_s, 0.0))

    def _work(self) -> None:
        while (asked := self._batches.get()) is not None:
            try:
                asked.give(self._answer(asked.batch), note=self._note())
            except Exception as error:  # noqa: BLE001 - whatever it raises is its CRASH outcome
                asked.give(f"{type(error).__name__}: {error}")

    def _note(self) -> str:
        """What is to be known of an answer beside it: whose memory began later than the run's."""
        if not isinstance(self._of, Restarted) or self._of.instance == 1:
            return ""
        return f"from process {self._of.instance}, which remembers nothing from before it"

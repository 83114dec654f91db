"""Running detectors with a deadline: primary and fallback side by side, and whoever has answered.

Each detector has a thread of its own. A frame goes to the primary and to the fallback at once, so
that by the deadline the fallback has its answer ready. One that overruns cannot be stopped: it is
left to finish, what it then says is thrown away, and until then it is not asked again. One in a
process (:mod:`.isolated_detector`) is killed some time after its deadline, and started again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from sightline.errors import UsageError
from sightline.records import Detections, Frame
from sightline.records.decision import Mode
from sightline.runtime.frames.entries import DetectionOutcome, DetectionStatus

MOST_WARMING_S = 60.0
"""Time for one frame that is shown again on resume: there a deadline has no meaning."""


class Detecting(Protocol):
    """Looks at frames and says what is there."""

    @property
    def version(self) -> str:
        """Changes with whatever could change an answer."""

    def detect_batch(self, frames: Sequence[Frame]) -> list[Detections]:
        """Things seen in each of ``frames``, in their order; one failure fails them all."""


@runtime_checkable
class Restarted(Protocol):
    """A detector in a process that is started again when it has died."""

    @property
    def instance(self) -> int:
        """1 for the first process; a later one remembers no frame from before it."""

    def await_ready(self, timeout_s: float) -> bool:
        """Wait for a process that is being started; whether it is there."""

    def close(self) -> None:
        """End the process."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraDetectors:
    """Who looks at the frames of one camera.

    Attributes:
        primary: the detector; one object may serve many cameras, whose frames then share batches.
        fallback: answers when the primary does not; None: nobody does, and tracks are carried on.
        budget_s: time for one answer, from the moment it is asked.
    """

    primary: Detecting
    fallback: Detecting | None
    budget_s: float


class FrameAnswers(Protocol):
    """What a host asks for detections; :class:`FrameGuard` with real detectors."""

    def hold(self, frame: Frame) -> None: ...
    def run(self, requests: Sequence[DetectionRequest]) -> Sequence[DetectionOutcome]: ...
    def warm(self, frame: Frame) -> None: ...


class FrameGuard:
    """Answers requests about frames, each within the budget of its camera.

    Args:
        cameras: who looks at whose frames.
        monotonic_s: clock of the budgets.
    """

    def __init__(
        self, cameras: Mapping[str, CameraDetectors], *, monotonic_s: Callable[[], float]
    ) -> None:
        self._cameras = dict(cameras)
        self._monotonic_s = monotonic_s
        detectors = [d for c in cameras.values() for d in (c.primary, c.fallback) if d is not None]
        self._workers = {id(detector): _Worker(detector) for detector in detectors}
        self._held: dict[str, Frame] = {}

    def hold(self, frame: Frame) -> None:
        """Keep a frame until it is asked about, or its camera has a newer one."""
        self._held[frame.stream] = frame

    def run(self, requests: Sequence[DetectionRequest]) -> list[DetectionOutcome]:
        """One outcome per request, in their order; never raises for a late or broken detector.

        Frames that are for the same detector, in whatever role, are given to it as one batch.

        Raises:
            UsageError: a request about a frame that is not held.
        """
        began_s = self._monotonic_s()
        frames = [self._frame(request) for request in requests]
        asked = {
            key: (self._workers[key].ask([frames[i] for i in members]), members)
            for key, members in self._batches(requests).items()
        }
        return [
            self._outcome(request, i, frames[i], requests, asked, began_s=began_s)
            for i, request in enumerate(requests)
        ]

    def _batches(self, requests: Sequence[DetectionRequest]) -> dict[int, list[int]]:
        """Which requests each detector is to look at, in whatever role: it can be asked once."""
        found: dict[int, list[int]] = {}
        for i, request in enumerate(requests):
            detectors = self._cameras[request.camera]
            if request.ask_primary:
                found.setdefault(id(detectors.primary), []).append(i)
            if detectors.fallback is not None:
                found.setdefault(id(detectors.fallback), []).append(i)
        return found

    def warm(self, frame: Frame) -> None:
        """Show a frame to the detectors of its camera and wait; what they say does not matter."""
        detectors = self._cameras[frame.stream]
        for detector in (detectors.primary, detectors.fallback):
            if detector is not None:
                if isinstance(detector, Restarted):
                    detector.await_ready(MOST_WARMING_S)  # it died of an earlier frame
                asked = self._workers[id(detector)].ask([frame])
                if asked is None or asked.wait(MOST_WARMING_S) is None:
                    raise UsageError(
                        expected=f"an answer within {MOST_WARMING_S:g} s",
                        got="none",
                        where=f"frame {frame.index} of {frame.stream}, shown again on resume",
                        action="mend the detector, then resume again",
                    )

    def close(self) -> None:
        """End the threads, unless they hang, and the processes of detectors that have one."""
        for worker in self._workers.values():
            worker.end()

    def _frame(self, request: DetectionRequest) -> Frame:
        frame = self._held.pop(request.camera, None)
        if frame is None or request.request_id != f"{frame.stream}:{frame.index}":
            raise UsageError(
                expected=f"the frame {request.request_id} to be held",
                got="none" if frame is None else f"{frame.stream}:{frame.index}",
                where=f"stage {request.stage}",
                action="hold each frame before its header is fed",
            )
        return frame

    def _outcome(
        self,
        request: DetectionRequest,
        place: int,
        frame: Frame,
        requests: Sequence[DetectionRequest],
        asked: Mapping[int, tuple[_Asked | None, list[int]]],
        *,
        began_s: float,
    ) -> DetectionOutcome:
        detectors = self._cameras[request.camera]
        deadline_s = began_s + detectors.budget_s
        status, detail, found, members = DetectionStatus.SKIPPED, "breaker open", None, [place]
        if request.ask_primary:
            first, members = asked[id(detectors.primary)]
            answer = None if first is None else first.wait(deadline_s - self._monotonic_s())
            if first is None:
                status, detail = DetectionStatus.TIMEOUT, "still busy with an earlier frame"
            elif answer is None:
                status, detail = DetectionStatus.TIMEOUT, f"{detectors.budget_s:g} s"
            elif isinstance(answer, str):
                status, detail = DetectionStatus.CRASH, answer
            else:
                found, detail = _usable(answer, members.index(place), frame)
                status = DetectionStatus.NAN if found is None else DetectionStatus.OK
                detail = detail or first.note
        mode = Mode.PRIMARY
        if found is None:
            mode = Mode.FALLBACK
            if detectors.fallback is not None:
                # It began with the primary, so by now it is done, or late itself.
                second, places = asked[id(detectors.fallback)]
                answer = None if second is None else second.wait(deadline_s - self._monotonic_s())
                if second is not None and isinstance(answer, list):
                    found, _ = _usable(answer, places.index(place), frame)
                    detail += f"; fallback {second.note}" if second.note else ""
        return DetectionOutcome(
            request_id=request.request_id,
            stage=request.stage,
            status=status,
            mode=mode,
            detections=found,
            detail=detail,
            batch=tuple(requests[member].request_id for member in members),
        )


def _usable(answer: object, place: int, frame: Frame) -> tuple[Detections | None, str]:
    """The detections of one frame of a batch, or what is wrong with them."""
    if not isinstance(answer, list) or len(answer) <= place:
        return None, f"no list of detections but {type(answer).__name__}"
    found = answer[place]
    if not isinstance(found, Detections):
        return None, f"no detections but {type(found).__name__}"
    if (found.stream, found.capture_ns) != (frame.stream, frame.capture_ns):
        return None, "detections of another frame"
    if not (np.isfinite(found.box_px).all() and np.isfinite(found.score).all()):
        return None, "boxes or scores that are not finite"
    return found, ""


class _Asked:
    """One batch that a worker was given; its answer comes once."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.frames = frames
        self.note = ""
        self._answer: object = None
        self._is_there = threading.Event()

    def give(self, answer: object, *, note: str = "") -> None:
        self.note = note
        self._answer = answer
        self._is_there.set()

    def wait(self, timeout_s: float) -> object:
        """The answer, a text for what was raised, or None where there is none in time."""
        # Even at the deadline a look costs nothing.
        return self._answer if self._is_there.wait(max(timeout_s, 0.0)) else None

    @property
    def is_answered(self) -> bool:
        return self._is_there.is_set()


class _Worker:
    """A daemon thread that gives one batch after the other to a detector."""

    def __init__(self, detector: Detecting) -> None:
        self._detector = detector
        self._batches: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._last: _Asked | None = None
        threading.Thread(target=self._work, name="detector", daemon=True).start()

    def ask(self, frames: Sequence[Frame]) -> _Asked | None:
        """Hand frames over; None while it is still busy with earlier ones."""
        if self._last is not None and not self._last.is_answered:
            return None
        self._last = _Asked(frames)
        self._batches.put(self._last)
        return self._last

    def end(self) -> None:
        self._batches.put(None)
        if isinstance(self._detector, Restarted):
            self._detector.close()

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                batch.give(self._detector.detect_batch(batch.frames), note=self._note())
            except Exception as error:  # noqa: BLE001 - whatever it raises is its CRASH outcome
                batch.give(f"{type(error).__name__}: {error}")

    def _note(self) -> str:
        """What is to be known of an answer beside it: whose memory began later than the run's."""
        if not isinstance(self._detector, Restarted) or self._detector.instance == 1:
            return ""
        return f"from process {self._detector.instance}, which remembers nothing from before it"

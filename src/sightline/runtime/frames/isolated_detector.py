"""A detector in a process of its own, which may hang or crash without taking the run with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from sightline.errors import PipelineError, SightlineError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.perceive.detect import DetectorFailed
from sightline.records import Detections, Frame
from sightline.runtime.frames.detector_child import (
    ChildLost,
    DetectorChild,
    DetectorRaised,
    Ready,
)

SITE_PROGRAM = ("-m", "sightline.runtime.frames.site_detector_process")
"""What the process of a detector of a site pipeline runs."""
_FIRST_WAIT_S = 1.0
"""Before the second start in a row; the first is at once, each further wait twice as long."""


class IsolatedDetector:
    """Asks a detector in a process, and starts the process again when it has died.

    Answers are those of the same detector without a process. One that gives none within
    ``budget_s`` and ``Limits.detector_hang_s`` is killed. Until a process that died is there again
    (building takes seconds), asking fails at once, so that a fallback has all the time there is.
    Starts are tried again for ever, with waits that double up to ``Limits.detector_restart_s``.

    What a detector remembers dies with its process: the background of a motion detector is learnt
    anew, and who stands still at that moment is part of it until they move. ``instance`` tells.

    Args:
        recipe: what the process builds the detector from, JSON-ready.
        where: the detector's name in errors.
        slots: frames of one batch, at most.
        slot_bytes: of one picture, at most.
        budget_s: time for one answer before the fallback answers.
        limits: bounds.
        program: what the process runs; given so that tests can break it.
        monotonic_s: clock of its lives.
    """

    def __init__(
        self,
        recipe: Mapping[str, Any],
        *,
        where: str,
        slots: int,
        slot_bytes: int,
        budget_s: float,
        limits: Limits = DEFAULT_LIMITS,
        program: Sequence[str] = SITE_PROGRAM,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recipe = dict(recipe)
        self._where = where
        self._limits = limits
        self._monotonic_s = monotonic_s
        self._make: Callable[[], DetectorChild] = lambda: DetectorChild(
            program,
            slots=slots,
            slot_bytes=slot_bytes,
            answer_s=budget_s + limits.detector_hang_s,
            limits=limits,
        )
        self._lock = threading.Lock()
        self._is_closed = threading.Event()
        self._is_there = threading.Event()
        self._ready: Ready | None = None
        self._instance = 1
        self._short_lives = 0
        self._began_s = 0.0
        self._end = ""
        # Started here and awaited later, so that several of them start side by side.
        try:
            self._child = self._make()
        except ChildLost as lost:
            raise self._cannot_be_built(lost) from lost

    def await_built(self) -> None:
        """Wait until the first process has built its detector.

        Raises:
            PipelineError, UsageError, ContractError, SourceError: it cannot be built; as it would
                have been raised without the process.
        """
        if self._ready is not None:
            return
        try:
            self._ready = self._child.begin(self._recipe)
        except ChildLost as lost:
            raise self._cannot_be_built(lost) from lost
        self._began_s = self._monotonic_s()
        self._is_there.set()

    @property
    def version(self) -> str:
        """As the detector says it, in whatever process: of settings, weights and program."""
        return self._built.version

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes it reports."""
        return self._built.class_names

    @property
    def instance(self) -> int:
        """1 for the first process, one more for each that took its place."""
        return self._instance

    @property
    def pid(self) -> int:
        """Of the newest process."""
        return self._child.pid

    def await_ready(self, timeout_s: float) -> bool:
        """Wait for a process that is being started again; whether it is there."""
        self.await_built()
        return self._is_there.wait(timeout_s)

    def detect_batch(self, frames: Sequence[Frame]) -> list[Detections]:
        """What the detector says; from one thread at a time.

        What is no detections is in the answer as None.

        Raises:
            DetectorFailed: the detector raised, its process died or was killed, or is being
                started again.
            UsageError: there is no room for these frames.
        """
        self.await_built()
        if not self._is_there.is_set():
            raise self._failed(f"a process that {self._end}, and is being started again")
        try:
            # That all of it is detections is for whoever asked to see, as with any detector.
            return cast("list[Detections]", self._child.ask(frames, where=self._where))
        except DetectorRaised as raised:
            raise self._failed(str(raised)) from raised
        except ChildLost as lost:
            self._end = str(lost)
            self._start_again()
            raise self._failed(f"a process that {lost}") from lost

    def close(self) -> None:
        """End the process; safe from any thread, and more than once."""
        with self._lock:
            self._is_closed.set()
            self._child.kill("was no longer needed")

    @property
    def _built(self) -> Ready:
        self.await_built()
        assert self._ready is not None
        return self._ready

    def _cannot_be_built(self, lost: ChildLost) -> PipelineError:
        return PipelineError(
            expected="a detector that can be built in its process",
            got=f"a process that {lost}",
            where=self._where,
            action="see what it printed; leave `isolated` out to see where it fails",
        )

    def _failed(self, got: str) -> DetectorFailed:
        return DetectorFailed(
            expected="detections",
            got=got,
            where=self._where,
            action="mend the detector; until then the fallback answers",
        )

    # --- starting again ---------------------------------------------------------------------------

    def _start_again(self) -> None:
        self._is_there.clear()
        if self._monotonic_s() - self._began_s >= self._limits.detector_restart_s:
            self._short_lives = 0
        threading.Thread(target=self._starting, name="detector-restart", daemon=True).start()

    def _starting(self) -> None:
        """Main of the thread that starts the process again, until there is one or we are closed."""
        most_s = self._limits.detector_restart_s
        while not self._is_closed.wait(restart_wait_s(self._short_lives, most_s=most_s)):
            self._short_lives += 1
            if self._has_begun():
                return

    def _has_begun(self) -> bool:
        try:
            with self._lock:
                if self._is_closed.is_set():
                    return True
                self._child = child = self._make()
            ready = child.begin(self._recipe)
        except (ChildLost, SightlineError) as error:
            self._end = f"could not begin ({error})"
            return False
        if ready != self._ready:
            self._end = child.kill(f"began with another version, {ready.version},")
            return False
        self._instance += 1
        self._began_s = self._monotonic_s()
        self._is_there.set()
        return True


def restart_wait_s(short_lives: int, *, most_s: float) -> float:
    """Seconds until a process is started again that has died so many times in a row.

    >>> [restart_wait_s(lives, most_s=60.0) for lives in (0, 1, 2, 3, 6, 7, 10**6)]
    [0.0, 1.0, 2.0, 4.0, 32.0, 60.0, 60.0]
    """
    if short_lives == 0:
        return 0.0
    return min(_FIRST_WAIT_S * 2.0 ** min(short_lives - 1, 30), most_s)

"""An answerer in a process of its own, which may hang or crash without taking the run with it.

An answerer is whatever a guarded stage asks: a detector, a model of a stage of one's own, a scorer.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sightline.errors import (
    ContractError,
    PipelineError,
    SightlineError,
    SourceError,
    UsageError,
)
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.perceive.detect import DetectorFailed
from sightline.records import Frame
from sightline.records.readings import Arrays
from sightline.runtime.engine.exchange import (
    SharedPictures,
    encode_asked,
    open_memory,
    read_found,
)

# --- one life of the process ----------------------------------------------------------------------

_THREADS = ("OMP", "OPENBLAS", "MKL", "NUMBA")
ONE_THREAD = {"POLARS_MAX_THREADS": "1", **{f"{name}_NUM_THREADS": "1" for name in _THREADS}}
"""Threads of the libraries in the process: the processes are the parallelism."""
_KNOWN_ERRORS: tuple[type[SightlineError], ...] = (
    UsageError,
    ContractError,
    PipelineError,
    SourceError,
)


class ChildLost(Exception):
    """The process is dead, or was killed because it hung or sent what is no message."""


class ChildLate(Exception):
    """No answer by when it was wanted; the process goes on, and its answer is still to come."""


class AnswererRaised(Exception):
    """The answerer raised; its process goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What a process says of its answerer when it is built."""

    version: str
    class_names: tuple[str, ...]


class Child:
    """A fresh interpreter that builds an answerer and answers one batch at a time.

    It is started as a program, not through ``multiprocessing``: then the main module of the run is
    not imported again, nothing is pickled, and the library thread counts are set for it alone.

    Args:
        program: what Python is to run; gets the descriptors of pipe and memory as arguments.
        slots: pictures of one batch, at most.
        slot_bytes: of one picture, at most.
        budget_s: after it, a process that is stopped (SIGSTOP) is killed: it will not answer.
        answer_s: time for one answer; the process is killed after it.
        limits: bounds.

    Raises:
        ChildLost: the operating system does not let it start.
    """

    def __init__(
        self,
        program: Sequence[str],
        *,
        slots: int,
        slot_bytes: int,
        budget_s: float,
        answer_s: float,
        limits: Limits,
    ) -> None:
        self._slots, self._slot_bytes = slots, slot_bytes
        self._budget_s = budget_s
        self._answer_s = answer_s
        self._limits = limits
        try:
            self._start(program)
        except OSError as error:  # no memory, no descriptors, or no processes left
            raise ChildLost(f"could not be started ({error})") from error

    def _start(self, program: Sequence[str]) -> None:
        size = {"slots": self._slots, "slot_bytes": self._slot_bytes}
        self._pipe, theirs = multiprocessing.Pipe()
        with theirs, open_memory(self._slots * self._slot_bytes) as memory:
            self._pictures = SharedPictures(memory.fileno(), **size, is_writer=True)
            given = (theirs.fileno(), memory.fileno())
            self._process = subprocess.Popen(
                # -P: what lies in the folder of the run is no module of ours.
                [sys.executable, "-P", *program, *map(str, given)],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what native code prints must not get into a document of the run
                pass_fds=given,
                env={**os.environ, **ONE_THREAD},
                process_group=0,  # the interrupt of a terminal is for the run
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def begin(self, recipe: Mapping[str, Any]) -> Ready:
        """Have the answerer built; waits for it.

        Raises:
            ChildLost: the process died, or was not there within ``detector_start_s``.
            SightlineError: the answerer cannot be built; as raised in the process.
        """
        start = {
            "slots": self._slots,
            "slot_bytes": self._slot_bytes,
            "alarm_s": self._answer_s + self._limits.detector_alarm_s,
            "recipe": recipe,
        }
        start_s = self._limits.detector_start_s
        self._receive(start_s)  # its hello: from here on it reads, so sending cannot block
        self._send(json.dumps(start).encode())
        message = self._receive(start_s)
        try:
            said: dict[str, Any] = json.loads(message)
            if "error" not in said:
                return Ready(version=said["version"], class_names=tuple(said["class_names"]))
            error = _raised_again(said["error"])
        except (ValueError, KeyError, TypeError) as problem:
            raise ChildLost(self.kill(f"sent what is no message ({problem})")) from problem
        self.kill("")
        raise error

    def ask(
        self, batch: Sequence[Frame] | Arrays, *, where: str, is_urgent: bool = False
    ) -> list[Any]:
        """The answers to a batch, None for what was none.

        Args:
            batch: what is asked.
            where: name of the answerer in errors.
            is_urgent: whether an answer is of no use after ``budget_s``.

        Raises:
            UsageError: there is no room for these frames; the process goes on.
            ChildLate: no answer within ``budget_s``, of an urgent one.
            AnswererRaised: with what it raised, as text.
            ChildLost: the process died, or gave no answer in time and was killed.
        """
        if not isinstance(batch, Mapping):
            self._pictures.put([frame.pixels for frame in batch], where=where)
        self._send(encode_asked(batch))
        if is_urgent and not self._has_message(self._budget_s) and not self._is_stopped():
            raise ChildLate
        message = self._receive(self._answer_s)
        try:
            answer = read_found(message)
        except ValueError as error:
            raise ChildLost(self.kill(f"sent what is no message ({error})")) from error
        if isinstance(answer, str):
            raise AnswererRaised(answer)
        return answer

    def comes_back(self, timeout_s: float) -> bool:
        """Wait for an answer that is late, and throw it away; whether it came. Else it is killed.

        No longer than ``timeout_s``.
        """
        try:
            self._receive(timeout_s)
        except ChildLost:
            return False
        return True

    def kill(self, why: str) -> str:
        """End the process, unless it has ended; says how it came to its end, for people."""
        self._process.kill()
        return f"{why} and was killed: {self._end()}"

    def _send(self, message: bytes) -> None:
        try:
            self._pipe.send_bytes(message)
        except OSError as error:
            raise ChildLost(self._died()) from error

    def _has_message(self, timeout_s: float) -> bool:
        try:
            return self._pipe.poll(timeout_s)
        except (EOFError, OSError) as error:
            raise ChildLost(self._died()) from error

    def _receive(self, timeout_s: float) -> bytes:
        look_s = min(self._budget_s, timeout_s)
        until_s = time.monotonic() + timeout_s
        try:
            while not self._pipe.poll(look_s):
                if self._is_stopped():
                    raise ChildLost(self.kill("was stopped by a signal"))
                look_s = min(self._limits.detector_look_s, until_s - time.monotonic())
                if look_s <= 0:
                    raise ChildLost(self.kill(f"gave no answer within {timeout_s:g} s"))
            return self._pipe.recv_bytes(self._limits.detector_message_bytes)
        except (EOFError, OSError) as error:
            raise ChildLost(self._died()) from error

    def _is_stopped(self) -> bool:
        """Whether the process stands still until somebody continues it."""
        try:
            asked = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self._process.pid, asked) is not None
        except (ChildProcessError, AttributeError):  # it has ended; or a system without waitid
            return False

    def _died(self) -> str:
        """How the process ended, once its pipe is closed."""
        try:
            self._process.wait(self._limits.detector_reap_s)
        except subprocess.TimeoutExpired:
            return self.kill("closed its pipe")
        return f"died: {self._end()}"

    def _end(self) -> str:
        # The pipe is closed with this object: another thread may be waiting at it.
        try:
            code = self._process.wait(self._limits.detector_reap_s)
        except subprocess.TimeoutExpired:
            return f"still there after {self._limits.detector_reap_s:g} s"
        if code >= 0:
            return f"exit code {code}"
        known = {int(one): one.name for one in signal.Signals}
        return known.get(-code, f"signal {-code}")


def _raised_again(parts: Mapping[str, str]) -> SightlineError:
    known = {kind.__name__: kind for kind in _KNOWN_ERRORS}
    return known.get(parts["kind"], PipelineError)(
        expected=parts.get("expected", "an answerer that can be built"),
        got=parts["got"],
        where=parts.get("where", "the process of an answerer"),
        action=parts.get("action", "leave `isolated` out to see where it fails"),
    )


# --- life after life ------------------------------------------------------------------------------

PROGRAM = ("-m", "sightline.runtime.engine.isolated_process")
"""What the process of an isolated answerer runs."""


class Isolated:
    """Asks an answerer in a process; when it dies, a spare that is already built takes its place.

    Answers are those of the same answerer without a process. One that gives none within
    ``budget_s`` and ``Limits.detector_hang_s`` is killed, and one that a signal has stopped after
    ``budget_s``. The spare answers the next request, and another one is built beside it: never
    inside a request, as building takes seconds. Until there is one, asking fails at once, so that a
    fallback has all the time there is. Starts are tried again for ever, with waits that double up
    to ``Limits.detector_restart_s``. The price is the memory of a second answerer.

    One that remembers nothing between requests is not waited for so long: the spare answers from
    when its ``budget_s`` is over, and if it comes back, it is the spare.

    Where no deadline holds, the caller waits: then there is no spare, a process has
    ``Limits.answer_s`` for an answer, and starts do not wait.

    What a detector remembers dies with its process: the background of a motion detector is learnt
    anew, and who stands still at that moment is part of it until they move. ``instance`` tells.

    Args:
        recipe: what the process builds the answerer from, JSON-ready.
        where: its name in errors.
        slots: frames of one batch, at most.
        slot_bytes: of one picture, at most.
        budget_s: time for one answer before the fallback answers.
        remembers: whether an answer depends on the requests before it.
        has_deadlines: False for recordings read at the speed of the machine.
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
        remembers: bool = True,
        has_deadlines: bool = True,
        limits: Limits = DEFAULT_LIMITS,
        program: Sequence[str] = PROGRAM,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recipe = dict(recipe)
        self._where = where
        self._has_spare = has_deadlines
        self._limits = limits if has_deadlines else replace(limits, detector_first_wait_s=0.0)
        self._monotonic_s = monotonic_s
        self._make: Callable[[], Child] = lambda: Child(
            program,
            slots=slots,
            slot_bytes=slot_bytes,
            budget_s=budget_s,
            answer_s=(budget_s if has_deadlines else limits.answer_s) + limits.detector_hang_s,
            limits=limits,
        )
        self._lock = threading.Lock()  # guards the processes: who answers, spare, being built
        self._spare: Child | None = None
        self._late: Child | None = None
        self._remembers = remembers
        self._building: Child | None = None
        self._is_building = False
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
        if self._has_spare:
            with self._lock:
                self._build_another()

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
        """Of the process that answers."""
        return self._child.pid

    @property
    def has_spare(self) -> bool:
        """Whether another process is built and waits to take its place."""
        return self._spare is not None

    def await_ready(self, timeout_s: float) -> bool:
        """Wait for a process that is being started again; whether it is there."""
        self.await_built()
        return self._is_there.wait(timeout_s)

    def look(self, frames: Sequence[Frame]) -> list[Any]:
        """As :meth:`answer`, of frames."""
        return self.answer(frames)

    def answer(self, batch: Sequence[Frame] | Arrays) -> list[Any]:
        """What the answerer says; from one thread at a time. What is no answer is None in it.

        Raises:
            DetectorFailed: the detector raised, its process died or was killed, or is being
                started again.
            UsageError: there is no room for these frames.
        """
        self.await_built()
        if not self._is_there.is_set():
            raise self._failed(f"a process that {self._end}, and is being started again")
        try:
            is_urgent = not self._remembers and self._spare is not None
            return self._child.ask(batch, where=self._where, is_urgent=is_urgent)
        except ChildLate:
            self._set_aside()
            raise self._failed("none in time; the spare process answers from now on") from None
        except AnswererRaised as raised:
            raise self._failed(str(raised)) from raised
        except ChildLost as lost:
            self._end = str(lost)
            self._replace_child()
            raise self._failed(f"a process that {lost}") from lost

    def close(self) -> None:
        """End the processes; safe from any thread, and more than once."""
        with self._lock:
            self._is_closed.set()
            for child in (self._child, self._spare, self._late, self._building):
                if child is not None:
                    child.kill("was no longer needed")

    @property
    def _built(self) -> Ready:
        self.await_built()
        assert self._ready is not None
        return self._ready

    def _cannot_be_built(self, lost: ChildLost) -> PipelineError:
        return PipelineError(
            expected="an answerer that can be built in its process",
            got=f"a process that {lost}",
            where=self._where,
            action="see what it printed; leave `isolated` out to see where it fails",
        )

    def _failed(self, got: str) -> DetectorFailed:
        return DetectorFailed(
            expected="an answer",
            got=got,
            where=self._where,
            action="mend the detector; until then the fallback answers",
        )

    # --- taking its place -------------------------------------------------------------------------

    def _replace_child(self) -> None:
        """The spare takes the place of a process that was lost; without one the next that is built.

        Whichever it is, another one is built.
        """
        with self._lock:
            if self._monotonic_s() - self._began_s >= self._limits.detector_restart_s:
                self._short_lives = 0
            spare, self._spare = self._spare, None
            if spare is None:
                self._is_there.clear()
            else:
                self._begin_life(spare)
            self._build_another()

    def _set_aside(self) -> None:
        """The spare takes the place of a process that is late, which may come back.

        Until that is known there is no spare, so that there is never more than one that is late.
        """
        with self._lock:
            late, spare = self._child, self._spare
            assert spare is not None
            self._late, self._spare = late, None
            self._begin_life(spare)
        threading.Thread(
            target=self._await_late, args=[late], name="answerer-late", daemon=True
        ).start()

    def _await_late(self, late: Child) -> None:
        """Main of that thread."""
        comes_back = late.comes_back(self._limits.detector_hang_s)
        with self._lock:
            self._late = None
            if comes_back and self._spare is None and not self._is_closed.is_set():
                self._spare = late
            elif comes_back:
                late.kill("was no longer needed")
            else:
                self._build_another()

    def _begin_life(self, child: Child) -> None:
        self._child = child
        self._instance += 1
        self._began_s = self._monotonic_s()
        self._is_there.set()

    def _build_another(self) -> None:
        """Build a process on a thread of its own, unless one is being built."""
        if self._is_building or self._is_closed.is_set():
            return
        self._is_building = True
        threading.Thread(target=self._building_more, name="answerer-start", daemon=True).start()

    def _building_more(self) -> None:
        """Main of that thread: until somebody answers, and a spare waits where there is to be one.

        The first process after a life of some length is built at once, the next ones are held back.
        """
        while not self._is_closed.wait(restart_wait_s(self._short_lives, self._limits)):
            self._short_lives += 1
            child = self._built_child()
            with self._lock:
                self._building = None
                if child is not None and self._is_closed.is_set():
                    child.kill("was no longer needed")
                elif child is not None and not self._is_there.is_set():
                    self._begin_life(child)
                elif child is not None:
                    self._spare = child
                is_enough = self._is_there.is_set() and (
                    self._spare is not None or not self._has_spare
                )
                if is_enough:
                    self._is_building = False
                    return

    def _built_child(self) -> Child | None:
        """A new process that has built the same answerer; None where it could not."""
        try:
            with self._lock:
                if self._is_closed.is_set():
                    return None
                self._building = child = self._make()
            ready = child.begin(self._recipe)
        except (ChildLost, SightlineError) as error:
            self._end = f"could not begin ({error})"
            return None
        if ready != self._ready:
            self._end = child.kill(f"began with another version, {ready.version},")
            return None
        return child


def restart_wait_s(short_lives: int, limits: Limits = DEFAULT_LIMITS) -> float:
    """Seconds until a process is started again that has died so many times in a row.

    >>> [restart_wait_s(lives) for lives in (0, 1, 2, 3, 6, 7, 10**6)]
    [0.0, 1.0, 2.0, 4.0, 32.0, 60.0, 60.0]
    """
    if short_lives == 0:
        return 0.0
    longer = 2.0 ** min(short_lives - 1, 30)
    return min(limits.detector_first_wait_s * longer, limits.detector_restart_s)

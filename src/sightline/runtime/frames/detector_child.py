"""One life of the process of an isolated detector, as seen from the run."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sightline.errors import (
    ContractError,
    PipelineError,
    SightlineError,
    SourceError,
    UsageError,
)
from sightline.limits import Limits
from sightline.records import Detections, Frame
from sightline.runtime.frames.frame_exchange import (
    SharedPictures,
    encode_request,
    open_memory,
    read_answer,
)

_THREADS = ("OMP", "OPENBLAS", "MKL", "NUMBA")
ONE_THREAD = {"POLARS_MAX_THREADS": "1", **{f"{name}_NUM_THREADS": "1" for name in _THREADS}}
"""Threads of the libraries in the process: the processes are the parallelism."""
_REAP_S = 5.0
"""Time for the operating system to end a process that was killed or has closed its pipe."""
_ALARM_LATER_S = 1.0
"""How much later than the run the process ends itself: only where there is no run any more."""
_KNOWN_ERRORS: tuple[type[SightlineError], ...] = (
    UsageError,
    ContractError,
    PipelineError,
    SourceError,
)


class ChildLost(Exception):
    """The process is dead, or was killed because it hung or said what is no message."""


class DetectorRaised(Exception):
    """The detector raised; its process goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What a process says of its detector when it is built."""

    version: str
    class_names: tuple[str, ...]


class DetectorChild:
    """A fresh interpreter that builds a detector and answers one batch at a time.

    It is started as a program, not through ``multiprocessing``: then the main module of the run is
    not imported again, nothing is pickled, and the library thread counts are set for it alone.

    Args:
        program: what Python is to run; gets the descriptors of pipe and memory as arguments.
        slots: pictures of one batch, at most.
        slot_bytes: of one picture, at most.
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
        answer_s: float,
        limits: Limits,
    ) -> None:
        self._slots, self._slot_bytes = slots, slot_bytes
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
        """Have the detector built; waits for it.

        Raises:
            ChildLost: the process died, or was not there within ``detector_start_s``.
            SightlineError: the detector cannot be built; as raised in the process.
        """
        start = {
            "slots": self._slots,
            "slot_bytes": self._slot_bytes,
            "alarm_s": self._answer_s + _ALARM_LATER_S,
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
            raise ChildLost(self.kill(f"said what is no message ({problem})")) from problem
        self.kill("")
        raise error

    def ask(self, frames: Sequence[Frame], *, where: str) -> list[Detections | None]:
        """Detections per frame, None for what was none.

        Raises:
            UsageError: there is no room for these frames; the process goes on.
            DetectorRaised: with what the detector raised, as text.
            ChildLost: the process died, or gave no answer in time and was killed.
        """
        self._pictures.put([frame.pixels for frame in frames], where=where)
        self._send(encode_request(frames))
        message = self._receive(self._answer_s)
        try:
            answer = read_answer(message)
        except ValueError as error:
            raise ChildLost(self.kill(f"said what is no message ({error})")) from error
        if isinstance(answer, str):
            raise DetectorRaised(answer)
        return answer

    def kill(self, why: str) -> str:
        """End the process, unless it has ended; says how it came to its end, for people."""
        self._process.kill()
        return f"{why} and was killed: {self._end()}"

    def _send(self, message: bytes) -> None:
        try:
            self._pipe.send_bytes(message)
        except OSError as error:
            raise ChildLost(self._died()) from error

    def _receive(self, timeout_s: float) -> bytes:
        try:
            if self._pipe.poll(timeout_s):
                return self._pipe.recv_bytes(self._limits.detector_message_bytes)
        except (EOFError, OSError) as error:
            raise ChildLost(self._died()) from error
        raise ChildLost(self.kill(f"gave no answer within {timeout_s:g} s"))

    def _died(self) -> str:
        """How a process ended of which the pipe is closed."""
        try:
            self._process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            return self.kill("closed its pipe")
        return f"died: {self._end()}"

    def _end(self) -> str:
        # The pipe is closed with this object: another thread may be waiting at it.
        try:
            code = self._process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            return f"still there after {_REAP_S:g} s"
        if code >= 0:
            return f"exit code {code}"
        known = {int(one): one.name for one in signal.Signals}
        return known.get(-code, f"signal {-code}")


def _raised_again(parts: Mapping[str, str]) -> SightlineError:
    known = {kind.__name__: kind for kind in _KNOWN_ERRORS}
    return known.get(parts["kind"], PipelineError)(
        expected=parts.get("expected", "a detector that can be built"),
        got=parts["got"],
        where=parts.get("where", "the process of a detector"),
        action=parts.get("action", "leave `isolated` out to see where it fails"),
    )

"""``python -m`` this: the process of an isolated answerer: build it, answer until the run is gone.

The process ends by itself when the run ends, however that ends. While it waits, the end of the
pipe tells it. While an answerer hangs, even in native code that lets no other thread of Python run,
an alarm of the operating system ends it: it is set before each frame, to a little more than what
the run itself waits before it kills.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import cv2

from sightline.errors import SightlineError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.runtime.engine.exchange import (
    SharedPictures,
    encode_failure,
    encode_found,
    read_asked,
)

if TYPE_CHECKING:
    from sightline.runtime.engine.answerers import Answering

HELLO = b"hello"
"""First message of the process: it has imported what it needs, and waits for what to build."""

Build = Callable[[Mapping[str, Any]], "Answering"]


def serve(
    pipe_descriptor: int, memory_descriptor: int, *, build: Build, limits: Limits = DEFAULT_LIMITS
) -> None:
    """Main of the process; never returns.

    Args:
        pipe_descriptor: of the pipe to the run.
        memory_descriptor: of the shared memory with the pictures.
        build: makes the answerer from the run's description of it.
        limits: bounds.
    """
    faulthandler.enable()  # where native code crashed, to standard error, for people
    # Whoever stops a run stops all its processes at once; but the run still ends in order then,
    # and needs its detectors until it is done.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, limits.detector_start_s)
    pipe = Connection(pipe_descriptor)
    try:
        pipe.send_bytes(HELLO)
        start = json.loads(pipe.recv_bytes(limits.detector_message_bytes))
        pictures = SharedPictures(
            memory_descriptor,
            slots=start["slots"],
            slot_bytes=start["slot_bytes"],
            is_writer=False,
        )
        os.close(memory_descriptor)
        try:
            answerer = build(start["recipe"])
            ready = {"version": answerer.version, "class_names": list(answerer.class_names)}
        except Exception as error:  # noqa: BLE001 - the run tells the user why nothing can start
            pipe.send_bytes(json.dumps({"error": _as_mapping(error)}).encode())
            os._exit(0)
        pipe.send_bytes(json.dumps(ready).encode())
        signal.setitimer(signal.ITIMER_REAL, 0)
        while True:
            message = pipe.recv_bytes(limits.detector_message_bytes)
            signal.setitimer(signal.ITIMER_REAL, start["alarm_s"])
            pipe.send_bytes(_answer(answerer, message, pictures, limits))
            signal.setitimer(signal.ITIMER_REAL, 0)
    except (EOFError, OSError):
        os._exit(0)  # the run is gone; at once, as what a detector left behind may hang


def _answer(answerer: Answering, message: bytes, pictures: SharedPictures, limits: Limits) -> bytes:
    try:
        answer = encode_found(answerer.answer(read_asked(message, pictures)))
        if len(answer) > limits.detector_message_bytes:
            raise ValueError(
                f"{len(answer)} bytes of answer, at most {limits.detector_message_bytes}"
            )
    except Exception as error:  # noqa: BLE001 - whatever it raises is its CRASH outcome
        return encode_failure(error)
    return answer


def _as_mapping(error: Exception) -> dict[str, str]:
    """An error that the run can raise again, for the user."""
    if isinstance(error, SightlineError):
        parts = {"expected": error.expected, "got": error.got, "action": error.action}
        parts |= {"kind": type(error).__name__, "where": error.where}
    else:
        parts = {"kind": "", "got": f"{type(error).__name__}: {error}"}
    return {name: text[: DEFAULT_LIMITS.max_raised_chars] for name, text in parts.items()}


if __name__ == "__main__":
    from sightline.runtime.engine.answerers import built_answerer

    cv2.setNumThreads(1)  # further threads are set in the environment, before any import
    serve(int(sys.argv[1]), int(sys.argv[2]), build=built_answerer)

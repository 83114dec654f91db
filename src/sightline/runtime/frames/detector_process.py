"""The process of an isolated detector, from within: build it, then answer until the run is gone.

The process ends by itself when the run ends, however that ends. While it waits, the end of the
pipe tells it. While a detector hangs, even in native code that lets no other thread of Python run,
an alarm of the operating system ends it: it is set before each frame, to a little more than what
the run itself waits before it kills.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from sightline.errors import SightlineError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.runtime.frames.detecting import Detecting
from sightline.runtime.frames.frame_exchange import (
    MOST_TEXT_CHARS,
    SharedPictures,
    encode_answer,
    encode_failure,
    read_request,
)

HELLO = b"hello"
"""First message of the process: it has imported what it needs, and waits for what to build."""

Build = Callable[[Mapping[str, Any]], Detecting]


def serve(
    pipe_descriptor: int, memory_descriptor: int, *, build: Build, limits: Limits = DEFAULT_LIMITS
) -> None:
    """Main of the process; never returns.

    Args:
        pipe_descriptor: of the pipe to the run.
        memory_descriptor: of the shared memory with the pictures.
        build: makes the detector from the run's description of it.
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
            detector = build(start["recipe"])
            ready = {"version": detector.version, "class_names": _class_names(detector)}
        except Exception as error:  # noqa: BLE001 - the run tells the user why nothing can start
            pipe.send_bytes(json.dumps({"error": _as_mapping(error)}).encode())
            os._exit(0)
        pipe.send_bytes(json.dumps(ready).encode())
        signal.setitimer(signal.ITIMER_REAL, 0)
        while True:
            message = pipe.recv_bytes(limits.detector_message_bytes)
            signal.setitimer(signal.ITIMER_REAL, start["alarm_s"])
            pipe.send_bytes(_answer(detector, message, pictures, limits))
            signal.setitimer(signal.ITIMER_REAL, 0)
    except (EOFError, OSError):
        os._exit(0)  # the run is gone; at once, as what a detector left behind may hang


def _answer(detector: Detecting, message: bytes, pictures: SharedPictures, limits: Limits) -> bytes:
    try:
        answer = encode_answer(detector.detect_batch(read_request(message, pictures)))
        if len(answer) > limits.detector_message_bytes:
            raise ValueError(
                f"{len(answer)} bytes of detections, at most {limits.detector_message_bytes}"
            )
    except Exception as error:  # noqa: BLE001 - whatever it raises is its CRASH outcome
        return encode_failure(error)
    return answer


def _class_names(detector: Detecting) -> list[str]:
    return list(getattr(detector, "class_names", ()))


def _as_mapping(error: Exception) -> dict[str, str]:
    """An error that the run can raise again, for the user."""
    if isinstance(error, SightlineError):
        parts = {"expected": error.expected, "got": error.got, "action": error.action}
        parts |= {"kind": type(error).__name__, "where": error.where}
    else:
        parts = {"kind": "", "got": f"{type(error).__name__}: {error}"}
    return {name: text[:MOST_TEXT_CHARS] for name, text in parts.items()}

"""What a run and the process of an isolated detector hand to each other: pictures and messages.

Pictures lie in shared memory, one batch at a time: whoever asks puts them there, sends a message
about them, and puts no others there before the answer has come. The memory has no name: it is
handed to the process as an open file, so nothing is left behind however the two end. Messages are
JSON, with numbers of detections behind it as in the log; nothing is pickled.
"""

from __future__ import annotations

import json
import mmap
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np

from sightline.errors import UsageError
from sightline.records import Detections, Frame
from sightline.records.frames import Image

MOST_TEXT_CHARS = 2_000
"""Of what a detector raised; the rest is cut."""
_BYTES_PER_DETECTION = 44  # four float64 of a box, a float64 score, an int32 class


def open_memory(size_bytes: int) -> IO[bytes]:
    """Anonymous shared memory as an open file; it is gone when nobody has it open. POSIX only."""
    file: IO[bytes]
    if hasattr(os, "memfd_create"):
        file = os.fdopen(os.memfd_create("sightline-frames"), "w+b", buffering=0)
    else:  # not Linux: a file that has no name any more
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by the caller
    file.truncate(size_bytes)
    return file


class SharedPictures:
    """The pictures of one batch, each in a slot of its own.

    Args:
        descriptor: of the memory; may be closed afterwards.
        slots: pictures of one batch, at most.
        slot_bytes: of one picture, at most: height × width × channels.
        is_writer: only the run writes; the process of the detector cannot.

    >>> with open_memory(2 * 12) as file:
    ...     ours, theirs = (
    ...         SharedPictures(file.fileno(), slots=2, slot_bytes=12, is_writer=is_writer)
    ...         for is_writer in (True, False)
    ...     )
    >>> ours.put([np.full((2, 2, 3), 7, np.uint8)], where="doctest")
    >>> int(theirs.take(0, (2, 2, 3)).sum())
    84
    """

    def __init__(self, descriptor: int, *, slots: int, slot_bytes: int, is_writer: bool) -> None:
        access = mmap.ACCESS_WRITE if is_writer else mmap.ACCESS_READ
        memory = mmap.mmap(descriptor, slots * slot_bytes, access=access)
        self._slots = np.frombuffer(memory, np.uint8).reshape(slots, slot_bytes)

    def put(self, pictures: Sequence[Image], *, where: str) -> None:
        """Lay ``pictures`` into the slots, from the first.

        Raises:
            UsageError: there are more of them, or larger ones, than there is room for.
        """
        slots, slot_bytes = self._slots.shape
        largest_bytes = max((picture.nbytes for picture in pictures), default=0)
        if len(pictures) > slots or largest_bytes > slot_bytes:
            raise UsageError(
                expected=f"at most {slots} pictures of at most {slot_bytes} bytes",
                got=f"{len(pictures)} of up to {largest_bytes} bytes",
                where=where,
                action="give pictures of the size in the camera's contract",
            )
        for slot, picture in zip(self._slots, pictures, strict=False):
            np.copyto(slot[: picture.nbytes].reshape(picture.shape), picture)

    def take(self, slot: int, shape: Sequence[int]) -> Image:
        """A copy of the picture in ``slot``: a detector may keep it, the slot is used again.

        Raises:
            ValueError, IndexError: there is no such slot, or not so much room in it.
        """
        size = int(np.prod(shape))
        found: Image = self._slots[slot, :size].reshape(shape).copy()
        return found


# --- messages: a run asks ------------------------------------------------------------------------


def encode_request(frames: Sequence[Frame]) -> bytes:
    """Which frames lie in the slots, as JSON."""
    heads = [[f.stream, f.index, f.capture_ns, f.received_ns, list(f.pixels.shape)] for f in frames]
    return json.dumps(heads).encode()


def read_request(message: bytes, pictures: SharedPictures) -> list[Frame]:
    """The frames that ``message`` tells of, with their pictures."""
    return [
        Frame(
            stream=stream,
            index=index,
            capture_ns=capture_ns,
            received_ns=received_ns,
            pixels=pictures.take(slot, shape),
        )
        for slot, (stream, index, capture_ns, received_ns, shape) in enumerate(json.loads(message))
    ]


# --- messages: a detector answers ----------------------------------------------------------------


def encode_answer(answer: object) -> bytes:
    """A JSON line, then for each frame boxes, scores (float64) and class ids (int32).

    Whatever is no detections goes over as null, and no list at all as an empty one: the run then
    finds the answer unusable, as it would have without the process.
    """
    given = answer if isinstance(answer, list) else []
    heads: list[list[object] | None] = []
    body: list[bytes] = []
    for found in given:
        if not isinstance(found, Detections):
            heads.append(None)
            continue
        heads.append([found.stream, found.capture_ns, len(found), list(found.class_names)])
        body += [
            np.asarray(found.box_px, "<f8").tobytes(),
            np.asarray(found.score, "<f8").tobytes(),
            np.asarray(found.class_id, "<i4").tobytes(),
        ]
    return json.dumps({"found": heads}).encode() + b"\n" + b"".join(body)


def encode_failure(error: BaseException) -> bytes:
    """What a detector raised, for people."""
    text = f"{type(error).__name__}: {error}"
    return json.dumps({"raised": text[:MOST_TEXT_CHARS]}).encode() + b"\n"


def read_answer(message: bytes) -> list[Detections | None] | str:
    """Detections per frame, None for what was none; or the text of what was raised.

    Raises:
        ValueError: the message is no answer.

    >>> seen = Detections.of("yard", 5, box_px=[[1, 2, 3, 4]], score=[0.5])
    >>> [one.box_px.tolist() for one in read_answer(encode_answer([seen]))]
    [[[1.0, 2.0, 3.0, 4.0]]]
    >>> read_answer(encode_failure(RuntimeError("no such layer")))
    'RuntimeError: no such layer'
    """
    line, _, body = message.partition(b"\n")
    try:
        head: Mapping[str, Any] = json.loads(line)
        if "raised" in head:
            return str(head["raised"])
        found: list[Detections | None] = []
        at = 0
        for one in head["found"]:
            if one is None:
                found.append(None)
                continue
            stream, capture_ns, n, names = one
            end = at + n * _BYTES_PER_DETECTION
            if n < 0 or end > len(body):
                raise ValueError(f"{len(body)} bytes for {n} detections and more")
            found.append(
                Detections(
                    stream=str(stream),
                    capture_ns=int(capture_ns),
                    box_px=np.frombuffer(body, "<f8", 4 * n, at).astype(np.float64).reshape(n, 4),
                    score=np.frombuffer(body, "<f8", n, at + 32 * n).astype(np.float64),
                    class_id=np.frombuffer(body, "<i4", n, at + 40 * n).astype(np.int32),
                    class_names=tuple(names),
                )
            )
            at = end
        if at != len(body):
            raise ValueError(f"{len(body) - at} bytes too many")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no answer of a detector ({type(error).__name__}: {error})") from error
    return found

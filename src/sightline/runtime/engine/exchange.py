"""What a run and the process of an isolated answerer hand to each other: pictures and messages.

Pictures lie in shared memory, one batch at a time: the run puts them there, sends a message
about them, and puts no others there before the answer has come. The memory has no name: it is
handed to the process as an open file, so nothing is left behind however the two end. Messages are
JSON, with raw numbers behind it as in the log; nothing is pickled.
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
from sightline.limits import DEFAULT_LIMITS
from sightline.records import Detections, Frame
from sightline.records.frames import Image
from sightline.records.readings import Arrays
from sightline.runtime.engine.guard import decode_answer, decode_part, encode_answer


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


# --- messages ------------------------------------------------------------------------------------


def encode_asked(batch: Sequence[Frame] | Arrays) -> bytes:
    """Which frames lie in the slots, as JSON; or arrays, as a JSON line and raw numbers."""
    if isinstance(batch, Mapping):
        head, body = encode_answer(batch)
        return json.dumps({"arrays": head}).encode() + b"\n" + body
    heads = [
        [f.stream, f.index, f.capture_ns, f.received_ns, f.empty_ns, list(f.pixels.shape)]
        for f in batch
    ]
    return json.dumps({"frames": heads}).encode() + b"\n"


def read_asked(message: bytes, pictures: SharedPictures) -> list[Frame] | Arrays:
    """The frames that ``message`` tells of, with their pictures; or arrays."""
    line, _, body = message.partition(b"\n")
    head = json.loads(line)
    if "arrays" in head:
        found = decode_answer(head["arrays"], body)
        assert isinstance(found, Mapping)  # it was encoded from arrays
        return found
    return [
        Frame(
            stream=stream,
            index=index,
            capture_ns=capture_ns,
            received_ns=received_ns,
            pixels=pictures.take(slot, shape),
            empty_ns=empty_ns,
        )
        for slot, (stream, index, capture_ns, received_ns, empty_ns, shape) in enumerate(
            head["frames"]
        )
    ]


def encode_found(answer: object) -> bytes:
    """A JSON line with a head for each answer, then their numbers.

    Whatever is no answer goes over as null, and no list at all as an empty one: the run then finds
    it unusable, as it would have without the process.
    """
    heads: list[dict[str, Any] | None] = []
    bodies: list[bytes] = []
    for found in answer if isinstance(answer, list) else []:
        if isinstance(found, Mapping) and not all(
            isinstance(v, np.ndarray) for v in found.values()
        ):
            try:
                values = {str(name): float(value) for name, value in found.items()}
            except (TypeError, ValueError):
                heads.append(None)
                continue
            heads.append({"kind": "values", "values": {n: repr(v) for n, v in values.items()}})
        elif isinstance(found, Detections | Mapping):
            head, body = encode_answer(found)
            heads.append(head)
            bodies.append(body)
        else:
            heads.append(None)
    return json.dumps({"found": heads}).encode() + b"\n" + b"".join(bodies)


def encode_failure(error: BaseException) -> bytes:
    """What an answerer raised, for people."""
    text = f"{type(error).__name__}: {error}"
    return json.dumps({"raised": text[: DEFAULT_LIMITS.max_raised_chars]}).encode() + b"\n"


def read_found(message: bytes) -> list[Any] | str:
    """The answers, None for what was none; or the text of what was raised.

    Raises:
        ValueError: the message is no answer.

    >>> seen = Detections.of("yard", 5, box_px=[[1, 2, 3, 4]], score=[0.5])
    >>> [one.box_px.tolist() for one in read_found(encode_found([seen]))]
    [[[1.0, 2.0, 3.0, 4.0]]]
    >>> read_found(encode_failure(RuntimeError("no such layer")))
    'RuntimeError: no such layer'
    """
    line, _, body = message.partition(b"\n")
    try:
        head: Mapping[str, Any] = json.loads(line)
        if "raised" in head:
            return str(head["raised"])
        found: list[Any] = []
        at = 0
        for one in head["found"]:
            if one is None:
                found.append(None)
            elif one["kind"] == "values":
                found.append({name: float(value) for name, value in one["values"].items()})
            else:
                answer, at = decode_part(one, body, at)
                found.append(answer)
        if at != len(body):
            raise ValueError(f"{len(body) - at} bytes too many")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no answer ({type(error).__name__}: {error})") from error
    return found

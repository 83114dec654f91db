"""Asking again who looks at pictures, on those in the log of a run, and comparing the answers."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping

from sightline.errors import LogError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries
from sightline.records import Detections, EntryKind, Frame
from sightline.records.decision import Mode
from sightline.records.readings import Readings
from sightline.runtime.engine.guard import Answer, Outcome, encode_answer
from sightline.runtime.engine.guarding import Lookers, Looking
from sightline.runtime.engine.headers import FrameHeader
from sightline.runtime.engine.hosting import partition_name
from sightline.runtime.pictures.logged_pictures import (
    PICTURE_KINDS,
    LoggedPicture,
    LoggedPictures,
)
from sightline.runtime.run_directory import RunDirectory

_KINDS = PICTURE_KINDS | {EntryKind.FRAME, EntryKind.OUTCOME, EntryKind.TICK}
_MAX_WAITING = 1024
"""Frames whose picture may still come: a decoder holds back tens, and so does the log."""


def looked_at_again(
    run: RunDirectory,
    lookers: Mapping[tuple[str, str], Lookers],
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[tuple[int, str]]:
    """Ask the lookers again about every picture, in order; where they now say something else.

    The pictures must all be there, and bit by bit what they were: ``images: {keep: full}`` without
    a quality, as PNG or as packets, which are decoded again. A detector that had not answered in
    time is asked all the same, because some remember the frames they have seen; what it says then
    is not compared.

    Args:
        run: a run of cameras.
        lookers: new ones, by (stage, camera).
        limits: bounds.

    Yields:
        (log sequence of the outcome, what differs), for people.

    Raises:
        LogError: a picture is missing, or is not the one that was looked at.
        UsageError: packets, and no decoder for them is installed.
    """
    headers: dict[str, FrameHeader] = {}
    waiting = {at: _Waiting() for at in lookers}
    pictures = LoggedPictures()
    is_final = False
    for entry in read_entries(run.storage, partition_name(0), kinds=_KINDS, limits=limits):
        if entry.kind is EntryKind.FRAME:
            header = FrameHeader.from_bytes(entry.payload)
            headers[header.camera] = header
        elif entry.kind is EntryKind.OUTCOME:
            outcome = Outcome.from_bytes(entry.payload)
            stage, _, rest = outcome.request_id.partition(":")
            camera = rest.rpartition(":")[0]
            at = (stage, camera)  # of a request about windows there is no camera
            if at in waiting:
                waiting[at].add(entry.sequence, headers[camera], outcome)
        elif entry.kind is EntryKind.TICK:
            is_final = bool(json.loads(entry.payload)["final"])
        else:
            for picture in pictures.take(entry):
                yield from _compared(waiting, lookers, entry.name, picture)
    for picture in pictures.rest():
        yield from _compared(waiting, lookers, picture.camera, picture)
    for one in waiting.values():
        one.check_end(is_final=is_final)


def _compared(
    waiting: Mapping[tuple[str, str], _Waiting],
    lookers: Mapping[tuple[str, str], Lookers],
    camera: str,
    picture: LoggedPicture,
) -> Iterator[tuple[int, str]]:
    for at, one in waiting.items():
        if at[1] == camera:
            yield from one.compared(lookers[at], picture)


class _Waiting:
    """What was answered about one camera's frames whose pictures have not come yet."""

    def __init__(self) -> None:
        self._outcomes: deque[tuple[int, FrameHeader, Outcome]] = deque()
        self._has_seen = False

    def add(self, sequence: int, header: FrameHeader, outcome: Outcome) -> None:
        if len(self._outcomes) >= _MAX_WAITING:
            raise self._missing()
        self._outcomes.append((sequence, header, outcome))

    def compared(self, lookers: Lookers, picture: LoggedPicture) -> Iterator[tuple[int, str]]:
        if not self._outcomes:
            return
        sequence, header, outcome = self._outcomes[0]
        if picture.capture_ns < header.capture_ns:
            return  # nobody was asked about it, or a resumed run has logged it again
        if picture.capture_ns > header.capture_ns:
            raise self._missing()
        self._outcomes.popleft()
        self._has_seen = True
        frame = picture.frame(
            index=header.index, received_ns=header.received_ns, digest=header.digest
        )
        difference = _difference(lookers, frame, outcome)
        if difference:
            yield sequence, difference

    def check_end(self, *, is_final: bool) -> None:
        """Pictures follow with later commits: of a run that was cut off the last may be missing."""
        if self._outcomes and (is_final or not self._has_seen):
            raise self._missing()

    def _missing(self) -> LogError:
        sequence, _, outcome = self._outcomes[0]
        return LogError(
            expected="every picture that was looked at",
            got="none",
            where=f"{outcome.request_id}, log sequence {sequence}",
            action="record with images: {keep: full}; then detectors can be run again",
        )


def _difference(lookers: Lookers, frame: Frame, outcome: Outcome) -> str:
    """What differs, for people; empty if nothing does."""
    first = _answer(lookers.primary, frame)
    second = None if lookers.fallback is None else _answer(lookers.fallback, frame)
    answer = first if outcome.mode is Mode.PRIMARY else second
    if outcome.answer is None:
        return ""  # why nobody answered cannot be done again
    if isinstance(answer, str):
        return f"{outcome.request_id}: an answer in the log, now {answer}"
    if answer is None or encode_answer(answer) == encode_answer(outcome.answer):
        return ""
    return f"{outcome.request_id}: another answer than in the log"


def _answer(looker: Looking, frame: Frame) -> Answer | str:
    try:
        found = looker.look([frame])[0]
    except Exception as error:  # noqa: BLE001 - whatever it raises is its answer
        return f"{type(error).__name__}: {error}"
    if isinstance(found, Detections | Readings):
        return found
    return Readings(stream=frame.stream, capture_ns=frame.capture_ns, values=found)

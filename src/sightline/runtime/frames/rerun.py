"""Running the detectors of a run again on the pictures in its log, and comparing their answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping

import cv2
import numpy as np

from sightline.errors import LogError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries
from sightline.records import Detections, EntryKind, Frame
from sightline.records.decision import Mode
from sightline.runtime.frames.detecting import CameraDetectors, Detecting
from sightline.runtime.frames.entries import DetectionOutcome, FrameHeader
from sightline.runtime.frames.frame_host import SITE_PARTITION
from sightline.runtime.frames.intake import pixel_digest
from sightline.runtime.run_directory import RunDirectory

_KINDS = frozenset({EntryKind.FRAME, EntryKind.OUTCOME, EntryKind.IMAGE})


def detected_anew(
    run: RunDirectory,
    detectors: Mapping[str, CameraDetectors],
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[tuple[int, str]]:
    """Ask the detectors again about every picture, in order; where they now say something else.

    The pictures must all be there, and bit by bit what they were: ``images: {keep: full}`` without
    a quality. A detector that had not answered in time is asked all the same, because some
    remember the frames they have seen; what it says then is not compared.

    Args:
        run: a run of cameras.
        detectors: new ones, by camera.
        limits: bounds.

    Yields:
        (log sequence of the outcome, what differs), for people.

    Raises:
        LogError: a picture is missing, or is not the one that was looked at.
    """
    headers: dict[str, FrameHeader] = {}
    outcomes: dict[str, tuple[int, DetectionOutcome]] = {}
    seen: set[str] = set()
    for entry in read_entries(run.storage, SITE_PARTITION, kinds=_KINDS, limits=limits):
        if entry.kind is EntryKind.FRAME:
            header = FrameHeader.from_bytes(entry.payload)
            _check_no_picture_is_missing(outcomes, header)
            headers[header.camera] = header
        elif entry.kind is EntryKind.OUTCOME:
            outcome = DetectionOutcome.from_bytes(entry.payload)
            outcomes[outcome.request_id.rpartition(":")[0]] = (entry.sequence, outcome)
        elif entry.name in outcomes:
            seen.add(entry.name)
            sequence, outcome = outcomes.pop(entry.name)
            frame = _frame(headers[entry.name], entry.payload, entry.sequence)
            difference = _difference(detectors[entry.name], frame, outcome)
            if difference:
                yield sequence, difference
    # Pictures follow with the next commit: of a run that was cut off the last may be missing.
    for camera, (sequence, _) in outcomes.items():
        if camera not in seen:
            raise _missing(f"{camera}, log sequence {sequence}")


def _check_no_picture_is_missing(
    outcomes: Mapping[str, tuple[int, DetectionOutcome]], header: FrameHeader
) -> None:
    if header.camera in outcomes:
        raise _missing(outcomes[header.camera][1].request_id)


def _missing(where: str) -> LogError:
    return LogError(
        expected="every picture that was looked at",
        got="none",
        where=where,
        action="record with images: {keep: full}; then detectors can be run again",
    )


def _frame(header: FrameHeader, payload: bytes, sequence: int) -> Frame:
    data = base64.b64decode(json.loads(payload)["data"])
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        pixels = np.zeros((1, 1), np.uint8)
    frame = Frame(
        stream=header.camera,
        index=header.index,
        capture_ns=header.capture_ns,
        received_ns=header.received_ns,
        pixels=np.asarray(pixels, np.uint8),
    )
    if pixel_digest(frame) != header.digest:
        raise LogError(
            expected=f"the picture with digest {header.digest}",
            got=pixel_digest(frame),
            where=f"image of {header.camera}:{header.index}, log sequence {sequence}",
            action="record without a quality (PNG): JPEG is not the picture that was looked at",
        )
    return frame


def _difference(detectors: CameraDetectors, frame: Frame, outcome: DetectionOutcome) -> str:
    """What differs, for people; empty if nothing does."""
    first = _answer(detectors.primary, frame)
    second = None if detectors.fallback is None else _answer(detectors.fallback, frame)
    answer = first if outcome.mode is Mode.PRIMARY else second
    if outcome.detections is None:
        return ""  # why nobody answered cannot be done again
    if isinstance(answer, str):
        return f"{outcome.request_id}: an answer in the log, now {answer}"
    if answer is None or _bytes(answer) == _bytes(outcome.detections):
        return ""
    return (
        f"{outcome.request_id}: {len(outcome.detections)} detections in the log, "
        f"{len(answer)} now, or others"
    )


def _answer(detector: Detecting, frame: Frame) -> Detections | str:
    try:
        return detector.detect_batch([frame])[0]
    except Exception as error:  # noqa: BLE001 - whatever it raises is its answer
        return f"{type(error).__name__}: {error}"


def _bytes(found: Detections) -> bytes:
    return found.box_px.tobytes() + found.score.tobytes() + found.class_id.tobytes()

"""What the core of a frame pipeline reads: headers of frames, and what detectors answered.

The core never sees a pixel. Whatever was measured on pixels is in the entry, so that a decision
replays whether the images were kept or not.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from sightline.errors import LogError
from sightline.records import Detections, Entry
from sightline.records.decision import Mode
from sightline.records.plain_json import plain_json


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSign:
    """Something that is wrong with a frame: reason code, measured value, threshold and unit.

    JSON has no infinity: an infinite value counts as NaN, from the start.
    """

    code: str
    measure: str
    value: float
    threshold: float
    unit: str

    def __post_init__(self) -> None:
        for name in ("value", "threshold"):
            object.__setattr__(self, name, _number(_or_null(float(getattr(self, name)))))


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameHeader:
    """A frame without its pixels.

    Attributes:
        camera: name of the stream.
        index: the camera's own frame counter.
        capture_ns: when it was taken, UTC ns.
        received_ns: when it reached us, UTC ns.
        width_px, height_px: of the picture.
        digest: 32 hex digits over the pixels.
        signs: what its contract found wrong; empty for a healthy frame.
        is_usable: whether a detector should look at it.
    """

    camera: str
    index: int
    capture_ns: int
    received_ns: int
    width_px: int
    height_px: int
    digest: str
    signs: tuple[HealthSign, ...] = ()
    is_usable: bool = True

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        plain = {
            "camera": self.camera,
            "index": self.index,
            "capture_ns": self.capture_ns,
            "received_ns": self.received_ns,
            "size_px": [self.width_px, self.height_px],
            "digest": self.digest,
            "signs": [
                [s.code, s.measure, _or_null(s.value), _or_null(s.threshold), s.unit]
                for s in self.signs
            ],
            "usable": self.is_usable,
        }
        return plain_json(plain)

    @classmethod
    def from_bytes(cls, payload: bytes) -> FrameHeader:
        """Inverse of :meth:`to_bytes`.

        Raises:
            LogError: if the payload is no header.
        """
        try:
            plain = json.loads(payload)
            width_px, height_px = plain["size_px"]
            return cls(
                camera=plain["camera"],
                index=int(plain["index"]),
                capture_ns=int(plain["capture_ns"]),
                received_ns=int(plain["received_ns"]),
                width_px=int(width_px),
                height_px=int(height_px),
                digest=plain["digest"],
                signs=tuple(
                    HealthSign(code=c, measure=m, value=_number(v), threshold=_number(t), unit=u)
                    for c, m, v, t, u in plain["signs"]
                ),
                is_usable=bool(plain["usable"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise _unreadable("a frame header", payload, error) from error

    @classmethod
    def of(cls, entry: Entry) -> FrameHeader:
        """The header that an entry holds: as it was given, or read from the payload.

        Raises:
            LogError: if the payload is no header.
        """
        given = entry.decoded
        return given if isinstance(given, cls) else cls.from_bytes(entry.payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFaultNote:
    """Frames that could not be read, or a change of the stream; see ``sense.frames.FrameFault``.

    Attributes:
        camera: name of the stream.
        index: place in the camera's frame counter.
        reason: why.
        detail: for a person.
        origin: what was read.
        frames: how many frames were lost by it.
        capture_ns: when it was taken, UTC ns; -1 where that is not known.
    """

    camera: str
    index: int
    reason: str
    detail: str
    origin: str
    frames: int
    capture_ns: int

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return plain_json(asdict(self))

    @classmethod
    def from_bytes(cls, payload: bytes) -> FrameFaultNote:
        """Inverse of :meth:`to_bytes`.

        Raises:
            LogError: if the payload is no such note.
        """
        try:
            return cls(**json.loads(payload))
        except (ValueError, TypeError) as error:
            raise _unreadable("a fault of a frame", payload, error) from error


class DetectionStatus(StrEnum):
    """What became of asking the detector."""

    OK = "ok"
    TIMEOUT = "timeout"
    CRASH = "crash"
    NAN = "nan"
    """An answer that is no detections: NaN, infinite, or of the wrong shape."""
    SKIPPED = "skipped"
    """It was not asked, because its circuit breaker is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionOutcome:
    """What came of a request for detections.

    Attributes:
        request_id: ``camera:index``.
        stage: the detecting stage.
        status: of the primary detector.
        mode: who answered: primary, or the fallback detector.
        detections: the answer; None when nobody answered in time.
        detail: what went wrong, for people.
        batch: request ids that shared a batch with this one, itself included.
    """

    request_id: str
    stage: str
    status: DetectionStatus
    mode: Mode
    detections: Detections | None
    detail: str = ""
    batch: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """A JSON line, then boxes, scores (little-endian float64) and class ids (int32)."""
        found = self.detections
        head: dict[str, Any] = {
            "request": self.request_id,
            "stage": self.stage,
            "status": str(self.status),
            "mode": str(self.mode),
            "detail": self.detail,
            "batch": list(self.batch),
            "detections": None
            if found is None
            else {
                "stream": found.stream,
                "capture_ns": found.capture_ns,
                "count": len(found),
                "class_names": list(found.class_names),
            },
        }
        body = b""
        if found is not None:
            body = (
                found.box_px.astype("<f8").tobytes()
                + found.score.astype("<f8").tobytes()
                + found.class_id.astype("<i4").tobytes()
            )
        return plain_json(head) + b"\n" + body

    @classmethod
    def from_bytes(cls, payload: bytes) -> DetectionOutcome:
        """Inverse of :meth:`to_bytes`.

        Raises:
            LogError: if the payload is no such outcome.
        """
        line, _, body = payload.partition(b"\n")
        try:
            head: dict[str, Any] = json.loads(line)
            plain = head["detections"]
            found = None
            if plain is not None:
                n = int(plain["count"])
                if len(body) != n * 44:
                    raise ValueError(f"{len(body)} bytes for {n} detections")
                found = Detections(
                    stream=plain["stream"],
                    capture_ns=int(plain["capture_ns"]),
                    box_px=np.frombuffer(body, "<f8", 4 * n).astype(np.float64).reshape(n, 4),
                    score=np.frombuffer(body, "<f8", n, 32 * n).astype(np.float64),
                    class_id=np.frombuffer(body, "<i4", n, 40 * n).astype(np.int32),
                    class_names=tuple(plain["class_names"]),
                )
            return cls(
                request_id=head["request"],
                stage=head["stage"],
                status=DetectionStatus(head["status"]),
                mode=Mode(head["mode"]),
                detections=found,
                detail=head["detail"],
                batch=tuple(head["batch"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise _unreadable("the outcome of a detector", payload, error) from error

    @classmethod
    def of(cls, entry: Entry) -> DetectionOutcome:
        """The outcome that an entry holds: as it was given, or read from the payload.

        A detector may go on writing into arrays that it gave away, so they are copied.

        Raises:
            LogError: if the payload is no such outcome.
        """
        given = entry.decoded
        if not isinstance(given, cls):
            return cls.from_bytes(entry.payload)
        found = given.detections
        if found is None:
            return given
        return cls(
            request_id=given.request_id,
            stage=given.stage,
            status=given.status,
            mode=given.mode,
            detections=Detections(
                stream=found.stream,
                capture_ns=found.capture_ns,
                box_px=np.array(found.box_px, np.float64, order="C"),
                score=np.array(found.score, np.float64, order="C"),
                class_id=np.array(found.class_id, np.int32, order="C"),
                class_names=found.class_names,
            ),
            detail=given.detail,
            batch=given.batch,
        )


def _or_null(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _unreadable(what: str, payload: bytes, error: Exception) -> LogError:
    return LogError(
        expected=what,
        got=f"{len(payload)} bytes that are none ({error})",
        where="log entry of a frame pipeline",
        action="run `sightline verify` on the run",
    )

"""What the core reads of frames: their headers, and what became of those that cannot be read.

The core never sees a pixel. Whatever was measured on pixels is in the entry, so that a decision
replays whether the images were kept or not.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from sightline.errors import LogError
from sightline.records import Entry
from sightline.records.plain_json import null_or_number, number_or_null, plain_json
from sightline.sense.frames.unseen_parts import unpacked

CLOCK_SKEW = "CLOCK_SKEW"
"""A frame that was taken after it reached us. Value: by how much."""


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
            object.__setattr__(
                self, name, null_or_number(number_or_null(float(getattr(self, name))))
            )


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
        is_doubtful: whether the picture may show nothing of what is before the camera, for too
            short a time to be a sign; see ``sense.frames.FrameHealth``. Such a one is no sight.
        unseen: parts of it that show nothing, as ``sense.frames.unseen_parts.packed``; "": none.
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
    is_doubtful: bool = False
    unseen: str = ""

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        plain: dict[str, Any] = {
            "camera": self.camera,
            "index": self.index,
            "capture_ns": self.capture_ns,
            "received_ns": self.received_ns,
            "size_px": [self.width_px, self.height_px],
            "digest": self.digest,
            "signs": [
                [s.code, s.measure, number_or_null(s.value), number_or_null(s.threshold), s.unit]
                for s in self.signs
            ],
            "usable": self.is_usable,
        }
        if self.is_doubtful:
            plain["doubtful"] = True
        if self.unseen:
            plain["unseen"] = self.unseen
        return plain_json(plain)

    @classmethod
    def from_bytes(cls, payload: bytes) -> FrameHeader:
        """Inverse of :meth:`to_bytes`.

        Raises:
            LogError: if the payload is no header.
        """
        try:
            plain = json.loads(payload)
            unseen = str(plain.get("unseen", ""))
            unpacked(unseen)
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
                    HealthSign(
                        code=c,
                        measure=m,
                        value=null_or_number(v),
                        threshold=null_or_number(t),
                        unit=u,
                    )
                    for c, m, v, t, u in plain["signs"]
                ),
                is_usable=bool(plain["usable"]),
                is_doubtful=bool(plain.get("doubtful", False)),
                unseen=unseen,
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


def _unreadable(what: str, payload: bytes, error: Exception) -> LogError:
    return LogError(
        expected=what,
        got=f"{len(payload)} bytes that cannot be read ({error})",
        where="log entry of a frame",
        action="run `sightline verify` on the run",
    )

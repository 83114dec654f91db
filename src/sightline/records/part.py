"""Parts: what was seen and measured of one, what was decided of it, and who looked at it again.

A part has one :class:`PartRecord`, made when it is decided, and any number of :class:`PartReview`
after it. Neither is ever changed: a person who thinks otherwise adds a review.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sightline.errors import LogError
from sightline.records.decision import Mode, Reason
from sightline.records.plain_json import (
    canonical_json,
    null_or_number,
    plain_fields,
    read_json,
)

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in px of the picture."""


class Disposition(StrEnum):
    """Where a part goes."""

    ACCEPT = "accept"
    REWORK = "rework"
    SCRAP = "scrap"
    REVIEW = "review"
    """A person decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartPicture:
    """One picture of a part, by its digest, and what was seen in it.

    Attributes:
        station: the stage that looked at it.
        camera: its stream.
        index: the camera's own frame counter.
        digest: 32 hex digits over the pixels, as in the log.
        capture_ns: when it was taken, UTC ns.
        code: why it counts for nothing, for example UNSEEN or BLACK; ``""``: it was looked at.
        score: of the inspector; NaN where nobody has looked.
        reject_from, review_from: thresholds of the inspector.
        box_px: of the most striking area; all 0 for none.
        novelty: how unlike good parts it is, in deviations: the reasons that a memory gives.
        likeness: how much it looks like a defect, in deviations: the reasons of the other opinion.
    """

    station: str
    camera: str
    index: int
    digest: str
    capture_ns: int
    code: str
    score: float
    reject_from: float
    review_from: float
    box_px: Box
    novelty: float
    likeness: float

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready; NaN becomes null."""
        return plain_fields(self)

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> PartPicture:
        """Inverse of :meth:`as_mapping`."""
        x1, y1, x2, y2 = map(float, plain["box_px"])
        numbers = {name: null_or_number(plain[name]) for name in _PICTURE_NUMBERS}
        return cls(**{**plain, **numbers, "box_px": (x1, y1, x2, y2)})


_PICTURE_NUMBERS = ("score", "reject_from", "review_from", "novelty", "likeness")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessValue:
    """What a process sensor said while the part was there.

    Attributes:
        name: of the sensor in the pipeline.
        value: in ``unit``; NaN: nothing was known by the deadline.
        unit: as the contract says.
        window_end_ns: end of the window that the value is of, UTC ns; -1 for none.
    """

    name: str
    value: float
    unit: str
    window_end_ns: int

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready; NaN becomes null."""
        return plain_fields(self)

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> ProcessValue:
        """Inverse of :meth:`as_mapping`."""
        return cls(**{**plain, "value": null_or_number(plain["value"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRecord:
    """What is known of one part, and what was decided of it.

    Attributes:
        part_id: line and number, unique in a run, for example ``line-1/00000042``.
        serial: as it was read; ``""`` for none. Not unique: a label may be read twice.
        part_number: what kind of part it is; ``""`` where nobody said.
        recipe: of the line's settings.
        born_ns: when its trigger came, UTC ns.
        decided_ns: event time of the tick that decided it, UTC ns.
        disposition: where it goes.
        mode: primary; degraded: on less evidence; fallback: the deadline decided.
        is_held: the line was held meanwhile.
        reasons: at least one, the one that decided first.
        pictures: those of its stations, in the order of the stations.
        process: of the sensors, in the order of the pipeline.
        probability: of a defect, 0 to 1; NaN where no odds are given.
        costs: expected, by disposition; empty where none are given.
        pipeline: its digest, 16 hex digits.
        versions: of each stage that had a say, by name.
    """

    part_id: str
    serial: str
    part_number: str
    recipe: str
    born_ns: int
    decided_ns: int
    disposition: Disposition
    mode: Mode
    is_held: bool
    reasons: tuple[Reason, ...]
    pictures: tuple[PartPicture, ...]
    process: tuple[ProcessValue, ...]
    probability: float
    costs: Mapping[str, float]
    pipeline: str
    versions: Mapping[str, str]

    @property
    def last_picture_ns(self) -> int:
        """When its last picture was taken, UTC ns; -1 without one."""
        return max((p.capture_ns for p in self.pictures), default=-1)

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready; NaN becomes null."""
        return plain_fields(self)

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> PartRecord:
        """Inverse of :meth:`as_mapping`.

        Raises:
            KeyError, ValueError, TypeError: if ``plain`` is not such a mapping.
        """
        values = dict(plain)
        values["disposition"] = Disposition(values["disposition"])
        values["mode"] = Mode(values["mode"])
        values["reasons"] = tuple(Reason.from_mapping(one) for one in values["reasons"])
        values["pictures"] = tuple(PartPicture.from_mapping(one) for one in values["pictures"])
        values["process"] = tuple(ProcessValue.from_mapping(one) for one in values["process"])
        values["probability"] = null_or_number(values["probability"])
        if not values["reasons"]:
            raise ValueError("no reasons")
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartReview:
    """What a person said of a part afterwards.

    Attributes:
        part_id: of the part.
        verdict: ``good`` or ``defect``.
        kind: of defect, in the reviewer's words; ``""`` for a good one.
        station: of the picture that was judged; ``""``: of the part as a whole.
        box_px: around the painted defect; all 0 where none was painted.
        size_px: longest extent of the painted defect, in px; 0 where none was painted.
        mask_sha256: of the painted mask in the run's ``reviews`` folder; ``""`` for none.
        reviewer: who.
        given_ns: when, UTC ns.
        review_id: of the operator input that said it: a second one of the same id is not taken.
    """

    part_id: str
    verdict: str
    kind: str
    station: str
    box_px: Box
    size_px: float
    mask_sha256: str
    reviewer: str
    given_ns: int
    review_id: str

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return plain_fields(self)

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> PartReview:
        """Inverse of :meth:`as_mapping`.

        Raises:
            KeyError, ValueError, TypeError: if ``plain`` is not such a mapping.
        """
        if plain["verdict"] not in ("good", "defect"):
            raise ValueError(f"verdict {plain['verdict']!r}, not good or defect")
        x1, y1, x2, y2 = map(float, plain["box_px"])
        return cls(**{**plain, "box_px": (x1, y1, x2, y2)})


PartNote = PartRecord | PartReview
"""What a log and a ledger hold of parts."""


def note_bytes(note: PartNote) -> bytes:
    """The bytes that replay must reproduce: UTF-8 JSON, sorted keys, shortest floats."""
    name = "record" if isinstance(note, PartRecord) else "review"
    return canonical_json({name: note.as_mapping()})


def note_of(payload: bytes) -> PartNote:
    """Inverse of :func:`note_bytes`.

    Raises:
        LogError: if the payload is no such note.
    """
    try:
        plain = read_json(payload)
        if "record" in plain:
            return PartRecord.from_mapping(plain["record"])
        return PartReview.from_mapping(plain["review"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LogError(
            expected="the canonical bytes of a part or of a review",
            got=f"{len(payload)} bytes that cannot be read ({type(error).__name__}: {error})",
            where="a log entry of kind part, or the ledger",
            action="run `sightline verify` on the run",
        ) from error


def parts_digest(notes: Iterable[PartNote]) -> str:
    """SHA-256 over all of them, sorted by their bytes: equal runs, equal digests."""
    digest = hashlib.sha256()
    for payload in sorted(map(note_bytes, notes)):
        digest.update(len(payload).to_bytes(8, "big"))
        digest.update(payload)
    return digest.hexdigest()

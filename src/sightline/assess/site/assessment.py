"""What was found on a site at one time: risks of subjects and pairs, with reason codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.records.decision import Reason
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray, IntArray

NOBODY = -1
"""In ``subject``, ``other`` and ``zone`` where there is none."""


class RiskCode(StrEnum):
    """Stable reason codes; the comment says what ``value`` and ``threshold`` are."""

    IN_FORBIDDEN_ZONE = "IN_FORBIDDEN_ZONE"
    """Somebody is in a forbidden zone, or was and has not surely left it. Probability of being
    inside."""
    LOST_IN_ZONE = "LOST_IN_ZONE"
    """Last seen there. Time unseen, against the time after which it is forgotten; NaN: never."""
    ZONE_OCCUPANCY = "ZONE_OCCUPANCY"
    """Too many in a zone, the lost included."""
    DWELL = "DWELL"
    """Too long in a zone."""
    OVERSPEED = "OVERSPEED"
    """Too fast in a zone."""
    TOO_CLOSE = "TOO_CLOSE"
    """Distance between footprints, at its lower bound of the rule's probability."""
    IN_STOPPING_PATH = "IN_STOPPING_PATH"
    """Probability of being where the machine would be before it could stand."""
    COLLISION_COURSE = "COLLISION_COURSE"
    """Probability of coming too close before the machine could stand, both going on as now."""
    APPROACHING = "APPROACHING"
    """The same, somewhat later."""
    LOST_NEAR_MACHINE = "LOST_NEAR_MACHINE"
    """At risk from a machine when last seen. Time unseen, against the time after which it is
    forgotten; NaN: never."""
    UNLOCATED = "UNLOCATED"
    """Seen, but not where: no distance can be told. Value NaN."""
    ZONE_UNSEEN = "ZONE_UNSEEN"
    """The picture shows nothing where a zone lies; NOBODY for a zone: somewhere. Time since all of
    it was seen."""
    UNCONFIRMED_IN_ZONE = "UNCONFIRMED_IN_ZONE"
    """Something was seen there in two frames or more, and is no track yet. Share of the evidence
    that makes one."""
    UNCONFIRMED_NEAR_MACHINE = "UNCONFIRMED_NEAR_MACHINE"
    """The same where a machine would have to stop for somebody who stands there."""


_MEASURES: dict[RiskCode, tuple[str, str]] = {
    RiskCode.IN_FORBIDDEN_ZONE: ("inside_probability", "1"),
    RiskCode.LOST_IN_ZONE: ("unseen", "s"),
    RiskCode.ZONE_OCCUPANCY: ("occupancy", "1"),
    RiskCode.DWELL: ("dwell", "s"),
    RiskCode.OVERSPEED: ("speed", "m/s"),
    RiskCode.TOO_CLOSE: ("least_separation", "m"),
    RiskCode.IN_STOPPING_PATH: ("path_probability", "1"),
    RiskCode.COLLISION_COURSE: ("conflict_probability", "1"),
    RiskCode.APPROACHING: ("conflict_probability", "1"),
    RiskCode.LOST_NEAR_MACHINE: ("unseen", "s"),
    RiskCode.UNLOCATED: ("position", "m"),
    RiskCode.ZONE_UNSEEN: ("unseen", "s"),
    RiskCode.UNCONFIRMED_IN_ZONE: ("evidence", "1"),
    RiskCode.UNCONFIRMED_NEAR_MACHINE: ("evidence", "1"),
}
_CODES = tuple(RiskCode)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SiteAssessment:
    """m risks at one time, in an order that does not depend on the order of the tracks.

    Attributes:
        stream: whose track ids these are.
        capture_ns: capture time they were measured at, UTC ns.
        code: int8[m], index into ``tuple(RiskCode)``.
        subject: int64[m], track id of whom it is about, mostly a person; NOBODY for a whole zone.
        other: int64[m], track id of the machine of a pair; NOBODY for one without.
        zone: int64[m], index of the zone; NOBODY for a pair.
        value: float64[m], what was measured; measure and unit follow from the code.
        threshold: float64[m], what it was compared with.
        contact_s: float64[m], for pairs the time to contact if both go on as now; inf for never,
            NaN where it has no meaning.
    """

    stream: str
    capture_ns: int
    code: npt.NDArray[np.int8]
    subject: IntArray
    other: IntArray
    zone: IntArray
    value: FloatArray
    threshold: FloatArray
    contact_s: FloatArray

    def __len__(self) -> int:
        return len(self.code)

    @classmethod
    def none(cls, stream: str, capture_ns: int) -> SiteAssessment:
        """Nothing wrong."""
        return cls(
            stream=stream,
            capture_ns=capture_ns,
            code=np.empty(0, np.int8),
            subject=np.empty(0, np.int64),
            other=np.empty(0, np.int64),
            zone=np.empty(0, np.int64),
            value=np.empty(0),
            threshold=np.empty(0),
            contact_s=np.empty(0),
        )

    @classmethod
    def of_code(
        cls,
        code: RiskCode,
        *,
        stream: str,
        capture_ns: int,
        subject: npt.ArrayLike,
        value: npt.ArrayLike,
        threshold: npt.ArrayLike,
        other: npt.ArrayLike = NOBODY,
        zone: npt.ArrayLike = NOBODY,
        contact_s: npt.ArrayLike = np.nan,
    ) -> SiteAssessment:
        """Risks of one code; ``subject`` gives their number, the others are spread over it."""
        subjects = np.asarray(subject, np.int64).reshape(-1)
        shape = subjects.shape
        return cls(
            stream=stream,
            capture_ns=capture_ns,
            code=np.full(shape, _CODES.index(code), np.int8),
            subject=subjects,
            other=np.broadcast_to(np.asarray(other, np.int64), shape),
            zone=np.broadcast_to(np.asarray(zone, np.int64), shape),
            value=np.broadcast_to(np.asarray(value, np.float64), shape),
            threshold=np.broadcast_to(np.asarray(threshold, np.float64), shape),
            contact_s=np.broadcast_to(np.asarray(contact_s, np.float64), shape),
        )

    @classmethod
    def joined(
        cls, stream: str, capture_ns: int, parts: Sequence[SiteAssessment]
    ) -> SiteAssessment:
        """All rows of ``parts``, sorted by (code, zone, subject, other).

        Raises:
            UsageError: parts of another stream or time.
        """
        if any((p.stream, p.capture_ns) != (stream, capture_ns) for p in parts):
            raise UsageError(
                expected=f"assessments of stream {stream} at {capture_ns}",
                got=str([(p.stream, p.capture_ns) for p in parts]),
                where="SiteAssessment.joined",
                action="join what was found in the same frame",
            )
        if not parts:
            return cls.none(stream, capture_ns)
        names = [f.name for f in fields(cls)][2:]
        columns = {n: np.concatenate([getattr(p, n) for p in parts]) for n in names}
        order = np.lexsort([columns[n] for n in ("other", "subject", "zone", "code")])
        return cls(
            stream=stream, capture_ns=capture_ns, **{n: c[order] for n, c in columns.items()}
        )

    def only(self, keep: BoolArray) -> SiteAssessment:
        """The rows for which ``keep`` (bool[m]) is true."""
        return SiteAssessment(
            stream=self.stream,
            capture_ns=self.capture_ns,
            **{f.name: getattr(self, f.name)[keep] for f in fields(self)[2:]},
        )

    def has(self, *codes: RiskCode) -> BoolArray:
        """bool[m]: which rows have one of the codes."""
        found: BoolArray = np.isin(self.code, [_CODES.index(code) for code in codes])
        return found

    def reasons(self, version: str) -> tuple[Reason, ...]:
        """One reason per row, in the order of the rows.

        Args:
            version: name and digest of the configuration that measured it.

        >>> risk = SiteAssessment.of_code(RiskCode.TOO_CLOSE, stream="yard", capture_ns=0,
        ...                               subject=[7], other=3, value=0.4, threshold=0.5)
        >>> risk.reasons("site@1")[0].code, risk.reasons("site@1")[0].unit
        ('TOO_CLOSE', 'm')
        """
        return tuple(
            Reason(
                code=str(_CODES[code]),
                measure=_MEASURES[_CODES[code]][0],
                value=value,
                threshold=threshold,
                unit=_MEASURES[_CODES[code]][1],
                version=version,
            )
            for code, value, threshold in zip(
                self.code.tolist(), self.value.tolist(), self.threshold.tolist(), strict=True
            )
        )

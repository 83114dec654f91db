"""Which parts a person should look at, in which order, and what their answers say of the rest.

Four reasons bring a part into the queue: the line could not decide (``review``); its score lies
near a threshold (``near``); its two opinions disagree (``disagreement``: unlike good parts and not
like a defect, or the other way round); it is unlike good parts as few are (``novelty``). A fifth
has nothing to do with the part: the **audit**, a random sample of the accepted parts. It alone
says how many defects were accepted, because nothing of a part has brought it in.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sightline.evidence.bounds import binomial_upper
from sightline.evidence.parts_account import KnownPart
from sightline.records.part import Disposition, PartPicture

REVIEW, NEAR, DISAGREEMENT, NOVELTY, AUDIT = (
    "review", "near", "disagreement", "novelty", "audit",
)  # fmt: skip
MOST_QUEUED = 500
"""Parts of one queue. Those that rank lower come when these are answered."""
AUDITED = 100
"""Accepted parts that are audited in one run, at most."""
_AUDIT_EVERY = 4
"""Every so many parts of the queue one is of the audit, so that it gets done."""
_LEAST_PRIORITY = 0.25
"""Parts that rank below this are not worth a person's time."""
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A part that somebody should look at.

    Attributes:
        part: what is known of it.
        reason: of the five words above, the strongest.
        priority: 0 to 1; of an audit NaN, as its place in the queue is not earned.
        station: whose picture to look at first; ``""`` where there is none.
    """

    part: KnownPart
    reason: str
    priority: float
    station: str

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        record = self.part.record
        return {
            "part_id": record.part_id,
            "serial": record.serial,
            "disposition": str(record.disposition),
            "reason": self.reason,
            "priority": None if math.isnan(self.priority) else round(self.priority, 6),
            "station": self.station,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MissBound:
    """What the audit says of the accepted parts.

    Attributes:
        accepted: parts that the line accepted.
        audited: of the random sample, those that were answered, in its order.
        defects: of these, with a defect.
        rate_bound: with ``CONFIDENCE``, no greater share of the accepted parts has a defect.
        missed_bound: the same as a number of parts, rounded up.
    """

    accepted: int
    audited: int
    defects: int
    rate_bound: float
    missed_bound: int

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return {name: getattr(self, name) for name in self.__slots__} | {"confidence": CONFIDENCE}


def audit_sample(parts: Sequence[KnownPart], seed: str) -> list[KnownPart]:
    """A random sample of the accepted parts, in the order in which it is to be looked at.

    It follows from ``seed`` alone (the id of the run): whoever asks again gets the same one, and
    nobody can choose what is in it.
    """
    accepted = [p for p in parts if p.record.disposition is Disposition.ACCEPT]
    return sorted(accepted, key=lambda p: _lot(seed, p.record.part_id))[:AUDITED]


def _lot(seed: str, part_id: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{part_id}".encode(), digest_size=16).digest()


def miss_bound(parts: Sequence[KnownPart], seed: str) -> MissBound:
    """How many of the accepted parts may have a defect, from the audit's answers.

    Answers count from the beginning of the sample up to the first part without one: what somebody
    chose to answer further on is no random sample. Exact (Clopper and Pearson), one-sided.
    """
    answered = []
    for part in audit_sample(parts, seed):
        if not part.verdict:
            break
        answered.append(part.verdict == "defect")
    accepted = sum(p.record.disposition is Disposition.ACCEPT for p in parts)
    bound = binomial_upper(sum(answered), len(answered), confidence=CONFIDENCE) if answered else 1.0
    return MissBound(
        accepted=accepted,
        audited=len(answered),
        defects=sum(answered),
        rate_bound=bound,
        missed_bound=min(math.ceil(bound * accepted), accepted),
    )


def review_queue(parts: Sequence[KnownPart], seed: str) -> list[Queued]:
    """Parts without a review, those that most need one first; every fourth is of the audit."""
    waiting = [p for p in parts if not p.verdict]
    novel = sorted(one.novelty for p in parts for one in p.record.pictures if not one.code)
    usual = novel[int(0.99 * (len(novel) - 1))] if novel else math.inf
    ranked = [_ranked(part, usual) for part in waiting]
    ranked = [one for one in ranked if one.priority >= _LEAST_PRIORITY]
    ranked.sort(key=lambda one: (-one.priority, one.part.record.part_id))
    audit = [
        Queued(part=p, reason=AUDIT, priority=math.nan, station=_worst_station(p))
        for p in audit_sample(parts, seed)
        if not p.verdict
    ]
    found: list[Queued] = []
    taken: set[str] = set()
    while ranked or audit:
        is_audit = audit and (len(found) % _AUDIT_EVERY == _AUDIT_EVERY - 1 or not ranked)
        one = (audit if is_audit else ranked).pop(0)
        if one.part.record.part_id not in taken:
            taken.add(one.part.record.part_id)
            found.append(one)
        if len(found) >= MOST_QUEUED:
            break
    return found


def _ranked(part: KnownPart, usual_novelty: float) -> Queued:
    """The strongest reason to look at a part."""
    record = part.record
    best = (0.0, NEAR, _worst_station(part))
    for one in record.pictures:
        if not one.code:
            best = max(best, *_reasons(one, usual_novelty))
    if record.disposition is Disposition.REVIEW:
        best = (1.0, REVIEW, best[2])
    priority, reason, station = best
    return Queued(part=part, reason=reason, priority=priority, station=station)


def _reasons(one: PartPicture, usual_novelty: float) -> list[tuple[float, str, str]]:
    """(priority, reason, station) of a picture: 1 is on the threshold, as far apart as can be."""
    scale = max(abs(one.reject_from), 1.0)
    near = 1.0 - min(abs(one.score - one.reject_from) / scale, 1.0)
    high, low = max(one.novelty, one.likeness), min(one.novelty, one.likeness)
    apart = min(max(high, 0.0) / scale, 1.0) if low <= 0 else 0.0
    is_novel = one.novelty > usual_novelty > -math.inf
    novelty = min(max(one.novelty, 0.0) / scale, 1.0) if is_novel else 0.0
    return [
        (0.9 * near, NEAR, one.station),
        (0.8 * apart, DISAGREEMENT, one.station),
        (0.7 * novelty, NOVELTY, one.station),
    ]


def _worst_station(part: KnownPart) -> str:
    """The station whose picture is most unlike good parts."""
    seen = [one for one in part.record.pictures if not one.code]
    if not seen:
        return part.record.pictures[0].station if part.record.pictures else ""
    return max(seen, key=lambda one: one.score - one.reject_from).station

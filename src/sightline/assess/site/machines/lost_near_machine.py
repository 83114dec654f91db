"""Persons last seen at risk from a machine: to vanish in front of it is not to be safe."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sightline.assess.site.assessment import RiskCode, SiteAssessment
from sightline.errors import UsageError
from sightline.records import Tracks
from sightline.records.signals import NS_PER_S
from sightline.records.windows import IntArray

MAX_LOST_PAIRS = 10_000
"""Pairs remembered at a time; more is a UsageError, since none may be left out."""
_AT_RISK = (RiskCode.TOO_CLOSE, RiskCode.IN_STOPPING_PATH, RiskCode.COLLISION_COURSE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairsAtRisk:
    """k pairs at risk when the person was last seen, sorted by (person, machine).

    Attributes:
        person_id: int64[k].
        machine_id: int64[k].
        seen_ns: int64[k], when the person was last seen, UTC ns.
    """

    person_id: IntArray
    machine_id: IntArray
    seen_ns: IntArray

    @classmethod
    def start(cls) -> PairsAtRisk:
        """Before the first frame."""
        none = np.empty(0, np.int64)
        return cls(person_id=none, machine_id=none, seen_ns=none)


def watch_pairs(
    state: PairsAtRisk, tracks: Tracks, risk: SiteAssessment, *, lost_timeout_s: float
) -> tuple[PairsAtRisk, SiteAssessment]:
    """Say LOST_NEAR_MACHINE of who was at risk when last seen and is not seen now.

    A person at risk is remembered until seen without risk, or unseen for ``lost_timeout_s``. The
    machine's own front hides who stands before it, and a tracker gives up after some seconds:
    without this memory the machine would set off then.

    Args:
        state: after the frame before.
        tracks: of the frame.
        risk: what ``pair_risk`` found in it.
        lost_timeout_s: after it the person is forgotten: by then somebody must have looked.

    Returns:
        The new state, and the lost of this frame.

    Raises:
        UsageError: a negative or infinite time-out, or more than MAX_LOST_PAIRS pairs.
    """
    if not (lost_timeout_s >= 0 and math.isfinite(lost_timeout_s)):
        raise UsageError(
            expected="lost_timeout_s >= 0 and finite",
            got=str(lost_timeout_s),
            where=f"watch_pairs of stream {tracks.stream}",
            action="give a time after which somebody has surely looked",
        )
    now_ns = tracks.capture_ns
    if len(risk) == len(state.person_id) == 0:  # which is nearly always so
        return state, SiteAssessment.none(tracks.stream, now_ns)
    seen_id = tracks.track_id[tracks.unseen_s == 0]
    at_risk = risk.only(risk.has(*_AT_RISK) & np.isin(risk.subject, seen_id))
    fresh = np.unique(np.stack([at_risk.subject, at_risk.other], axis=1), axis=0)

    is_lost = ~np.isin(state.person_id, seen_id)
    is_lost &= now_ns - state.seen_ns <= round(lost_timeout_s * NS_PER_S)
    lost = SiteAssessment.of_code(
        RiskCode.LOST_NEAR_MACHINE,
        stream=tracks.stream,
        capture_ns=now_ns,
        subject=state.person_id[is_lost],
        other=state.machine_id[is_lost],
        value=(now_ns - state.seen_ns[is_lost]) / NS_PER_S,
        threshold=lost_timeout_s,
    )
    person = np.concatenate([state.person_id[is_lost], fresh[:, 0]])
    machine = np.concatenate([state.machine_id[is_lost], fresh[:, 1]])
    seen_ns = np.concatenate([state.seen_ns[is_lost], np.full(len(fresh), now_ns)])
    if len(person) > MAX_LOST_PAIRS:
        raise UsageError(
            expected=f"at most {MAX_LOST_PAIRS} pairs at risk",
            got=str(len(person)),
            where=f"watch_pairs of stream {tracks.stream}",
            action="shorten lost_timeout_s, or find out why tracks break so often",
        )
    order = np.lexsort((machine, person))
    kept = PairsAtRisk(person_id=person[order], machine_id=machine[order], seen_ns=seen_ns[order])
    return kept, SiteAssessment.joined(tracks.stream, now_ns, [lost])

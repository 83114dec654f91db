"""Persons last seen at risk from a machine: to vanish in front of it is not to be safe."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sightline.assess.site.assessment import RiskCode, SiteAssessment
from sightline.assess.site.machines.machine import MachineRule
from sightline.assess.site.zones import HEIGHT_M, REACH_HEIGHTS, nearest_pairs, of_classes
from sightline.errors import UsageError
from sightline.records import Tracks
from sightline.records.detections import BoolArray
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

MAX_LOST_PAIRS = 1_000
"""Pairs remembered as lost. Beyond it those that have been lost for longest are dropped: the others
hold the machine."""
_AT_RISK = (RiskCode.TOO_CLOSE, RiskCode.IN_STOPPING_PATH, RiskCode.COLLISION_COURSE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairsAtRisk:
    """k pairs at risk when the person was last seen, sorted by (person, machine).

    Attributes:
        person_id: int64[k].
        machine_id: int64[k].
        seen_ns: int64[k], when the person was last seen, UTC ns.
        ground_m: float64[k, 2], where.
        capture_ns: of the last frame, UTC ns; -1 before the first.
        newest_id: the highest track id until then; tracks count up, so a higher one is new.
    """

    person_id: IntArray
    machine_id: IntArray
    seen_ns: IntArray
    ground_m: FloatArray
    capture_ns: int = -1
    newest_id: int = -1

    @classmethod
    def start(cls) -> PairsAtRisk:
        """Before the first frame."""
        none = np.empty(0, np.int64)
        return cls(person_id=none, machine_id=none, seen_ns=none, ground_m=np.empty((0, 2)))

    def emptied(self) -> PairsAtRisk:
        """The state when somebody who has looked says that nobody is there who is not seen."""
        return self._only(self.seen_ns == self.capture_ns)

    def _only(self, keep: BoolArray | IntArray) -> PairsAtRisk:
        return PairsAtRisk(
            person_id=self.person_id[keep],
            machine_id=self.machine_id[keep],
            seen_ns=self.seen_ns[keep],
            ground_m=self.ground_m[keep],
            capture_ns=self.capture_ns,
            newest_id=self.newest_id,
        )


def watch_pairs(
    state: PairsAtRisk,
    tracks: Tracks,
    risk: SiteAssessment,
    rule: MachineRule,
    *,
    lost_timeout_s: float | None,
) -> tuple[PairsAtRisk, SiteAssessment]:
    """Say LOST_NEAR_MACHINE of who was at risk when last seen and is not seen now.

    The machine's own front hides who stands before it, and a tracker gives up after some seconds:
    without this memory the machine would set off then. To vanish is not to leave, so time alone
    ends it only where ``lost_timeout_s`` says so. Somebody is remembered until they are seen
    without risk from a machine that is tracked too, as the same track or as one that begins within
    ``REACH_HEIGHTS`` of where they were lost; each such track stands for one person, the nearest.
    An operator's word ends it as well (``PairsAtRisk.emptied``).

    Args:
        state: after the frame before.
        tracks: of the frame.
        risk: what ``pair_risk`` found in it.
        rule: of the kind of machine.
        lost_timeout_s: after it the person is forgotten: by then somebody must have looked. None:
            never.

    Returns:
        The new state, and the lost of this frame.

    Raises:
        UsageError: a negative or infinite time-out.
    """
    if lost_timeout_s is not None and not (lost_timeout_s >= 0 and math.isfinite(lost_timeout_s)):
        raise UsageError(
            expected="lost_timeout_s >= 0 and finite, or None",
            got=str(lost_timeout_s),
            where=f"watch_pairs of stream {tracks.stream}",
            action="give a time after which somebody has surely looked",
        )
    now_ns = tracks.capture_ns
    if len(risk) == len(state.person_id) == 0:  # which is nearly always so
        return state, SiteAssessment.none(tracks.stream, now_ns)
    is_seen = tracks.unseen_s == 0
    seen_id, seen_m = tracks.track_id[is_seen], tracks.ground_m[is_seen]
    at_risk = risk.only(risk.has(*_AT_RISK) & np.isin(risk.subject, seen_id))
    pairs = np.stack([at_risk.subject, at_risk.other], axis=1)
    kept = _remembered(state, tracks, rule, lost_timeout_s)
    pairs = np.unique(
        np.concatenate([pairs, np.stack([kept.person_id, kept.machine_id], axis=1)]), axis=0
    )
    person, machine = pairs[:, 0], pairs[:, 1]
    is_here = np.isin(person, seen_id)

    # Of who is not seen, what is known from before; of who is, what this frame shows.
    before = np.searchsorted(kept.person_id, person[~is_here])
    seen_ns = np.full(len(person), now_ns, np.int64)
    ground_m = np.full((len(person), 2), np.nan)
    seen_ns[~is_here], ground_m[~is_here] = kept.seen_ns[before], kept.ground_m[before]
    order = np.argsort(seen_id, kind="stable")
    ground_m[is_here] = seen_m[order[np.searchsorted(seen_id[order], person[is_here])]]

    lost = np.flatnonzero(~is_here)
    newest = lost[np.argsort(-seen_ns[lost], kind="stable")][:MAX_LOST_PAIRS]
    is_kept = is_here.copy()
    is_kept[newest] = True
    found = PairsAtRisk(
        person_id=person, machine_id=machine, seen_ns=seen_ns, ground_m=ground_m,
        capture_ns=now_ns,
        newest_id=max(state.newest_id, int(tracks.track_id.max(initial=-1))),
    )._only(is_kept)  # fmt: skip
    is_lost = found.seen_ns < now_ns
    said = SiteAssessment.of_code(
        RiskCode.LOST_NEAR_MACHINE,
        stream=tracks.stream,
        capture_ns=now_ns,
        subject=found.person_id[is_lost],
        other=found.machine_id[is_lost],
        value=(now_ns - found.seen_ns[is_lost]) / NS_PER_S,
        threshold=np.nan if lost_timeout_s is None else lost_timeout_s,
    )
    return found, SiteAssessment.joined(tracks.stream, now_ns, [said])


def _remembered(
    state: PairsAtRisk, tracks: Tracks, rule: MachineRule, lost_timeout_s: float | None
) -> PairsAtRisk:
    """The pairs of before that this frame does not end; a person has one time and place in them."""
    is_seen = tracks.unseen_s == 0
    is_here = np.isin(state.person_id, tracks.track_id[is_seen])
    # Without a machine to be at risk from, to be seen is not to be safe.
    has_machine = bool(of_classes(tracks, (rule.machine_class,)).any())
    is_over = is_here & has_machine
    if lost_timeout_s is not None:
        age_ns = tracks.capture_ns - state.seen_ns
        is_over |= ~is_here & (age_ns > round(lost_timeout_s * NS_PER_S))

    is_new = is_seen & (tracks.track_id > state.newest_id)
    is_new &= of_classes(tracks, rule.person_classes)
    new = np.flatnonzero(is_new)
    lost = np.flatnonzero(~is_here & ~is_over)
    lost = lost[np.unique(state.person_id[lost], return_index=True)[1]]  # each person once
    apart = np.linalg.norm(state.ground_m[lost][:, None] - tracks.ground_m[new][None], axis=2)
    for row, _ in nearest_pairs(apart / HEIGHT_M, most=REACH_HEIGHTS):
        is_over |= state.person_id == state.person_id[lost[row]]
    return state._only(~is_over)

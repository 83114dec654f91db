"""ID measures: how much of each identity is one track, by the best one-to-one assignment.

Ristani, Solera, Zou, Cucchiara & Tomasi, "Performance Measures and a Data Set for Multi-Target,
Multi-Camera Tracking", ECCV workshops 2016:

    IDP = IDTP / (IDTP + IDFP),  IDR = IDTP / (IDTP + IDFN),
    IDF1 = 2 IDTP / (2 IDTP + IDFP + IDFN)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from sightline.evidence.tracking.overlaps import Overlaps


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityCounts:
    """Sums over frames; sequences add up.

    Attributes:
        idtp: boxes of truth covered by the track that its identity is assigned to.
        idfp: boxes of tracks that cover nothing of the identity assigned to them.
        idfn: boxes of truth that the assigned track does not cover.
    """

    idtp: int = 0
    idfp: int = 0
    idfn: int = 0


def identity_counts(overlaps: Overlaps, *, min_iou: float = 0.5) -> IdentityCounts:
    """Assign tracks to identities for the whole sequence and count.

    The paper's minimum-cost matching of identities and tracks pays for every box that is missed
    or false. As IDFN = boxes of truth - IDTP and IDFP = boxes of tracks - IDTP, the least cost is
    the greatest IDTP: the assignment maximises the number of boxes that overlap by ``min_iou``.

    Memory: float64[identities, tracks].
    """
    together = np.zeros((len(overlaps.truth_boxes), len(overlaps.track_boxes)))
    for frame in overlaps.frames:
        near = frame.pair_iou >= min_iou
        together[frame.truth[frame.pair_truth[near]], frame.track[frame.pair_track[near]]] += 1
    row, column = linear_sum_assignment(together, maximize=True)
    idtp = int(together[row, column].sum())
    return IdentityCounts(
        idtp=idtp, idfp=overlaps.track_total - idtp, idfn=overlaps.truth_total - idtp
    )

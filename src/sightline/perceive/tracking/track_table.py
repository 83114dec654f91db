"""All tracks of a stream as a struct of arrays, and the compiled loops over it.

The loops are specified in ``tests/perceive/tracking/reference_table.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types

from sightline.perceive.compiled import kernel
from sightline.perceive.tracking.kalman import (
    WALKS_WITHIN,
    start_from_two,
    take_size,
    update_one,
)
from sightline.perceive.tracking.motion_plane import evidence_of
from sightline.records.windows import FloatArray, IntArray


@dataclass(slots=True, eq=False)
class TrackTable:
    """n tracks, in the order in which they began.

    Attributes:
        state: float64[n, 4], x, y, vx, vy on the plane.
        covariance: float64[n, 4, 4] of it.
        log_size: float64[n, 2], logarithm of width and height in px.
        size_variance: float64[n, 2] of it.
        track_id: int64[n]; 0 until the track is confirmed.
        class_id: int64[n].
        hits: int64[n], detections so far.
        evidence: float64[n], that it is a thing: see ``TrackerSettings.evidence``.
        score: float64[n], of the last detection.
        seen_ns: int64[n], capture time of the last detection.
        sighting: int64[n], the place of that one among the sightings of its frame. Two tracks that
            are not confirmed may have the same: two explanations, of which one will hold.
        began_ns: int64[n], capture time of the first.
        first: float64[n, 2], where that was on the plane.
    """

    state: FloatArray
    covariance: FloatArray
    log_size: FloatArray
    size_variance: FloatArray
    track_id: IntArray
    class_id: IntArray
    hits: IntArray
    evidence: FloatArray
    score: FloatArray
    seen_ns: IntArray
    sighting: IntArray
    began_ns: IntArray
    first: FloatArray

    @classmethod
    def empty(cls) -> TrackTable:
        """No tracks."""
        return cls(
            state=np.empty((0, 4)),
            covariance=np.empty((0, 4, 4)),
            log_size=np.empty((0, 2)),
            size_variance=np.empty((0, 2)),
            track_id=np.empty(0, np.int64),
            class_id=np.empty(0, np.int64),
            hits=np.empty(0, np.int64),
            evidence=np.empty(0),
            score=np.empty(0),
            seen_ns=np.empty(0, np.int64),
            sighting=np.empty(0, np.int64),
            began_ns=np.empty(0, np.int64),
            first=np.empty((0, 2)),
        )

    def __len__(self) -> int:
        return len(self.track_id)

    def copied(self) -> TrackTable:
        """The same values in arrays of their own."""
        return TrackTable(**{name: array.copy() for name, array in self.arrays().items()})

    def only(self, rows: IntArray) -> TrackTable:
        """The tracks of these rows, in arrays of their own."""
        return TrackTable(**{name: array[rows] for name, array in self.arrays().items()})

    def joined(self, other: TrackTable) -> TrackTable:
        """These tracks, then the other ones."""
        more = other.arrays()
        return TrackTable(**{n: np.concatenate([a, more[n]]) for n, a in self.arrays().items()})

    def columns(self) -> tuple[
        FloatArray, FloatArray, FloatArray, FloatArray, IntArray, IntArray, IntArray, FloatArray,
        FloatArray, IntArray, IntArray, IntArray, FloatArray,
    ]:  # fmt: skip
        """Every array, in the order of the fields."""
        return (
            self.state, self.covariance, self.log_size, self.size_variance, self.track_id,
            self.class_id, self.hits, self.evidence, self.score, self.seen_ns, self.sighting,
            self.began_ns, self.first,
        )  # fmt: skip

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Every array by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> TrackTable:
        """Inverse of :meth:`arrays`."""
        return cls(**{field.name: np.array(arrays[field.name]) for field in fields(cls)})


# --- compiled loops over it -----------------------------------------------------------------------
#
# They are specified in ``tests/perceive/tracking/reference_table.py``.

ClassArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]
_ROUNDING = 1e-9
"""Ten tenths are one."""

_V = types.Array(types.float64, 1, "C", readonly=True)
_M = types.Array(types.float64, 2, "C", readonly=True)
_T = types.Array(types.float64, 3, "C", readonly=True)
_I = types.Array(types.int64, 1, "C", readonly=True)
_V_OUT = types.Array(types.float64, 1, "C")
_I_OUT = types.Array(types.int64, 1, "C")
_B1 = types.Array(types.boolean, 1, "C", readonly=True)
_C = types.Array(types.int32, 1, "C", readonly=True)
_F = types.float64
_N = types.int64
_B = types.boolean


@kernel(_I_OUT, _V, _I, _F, _N)
def confirm_in_place(
    track_id: IntArray, evidence: FloatArray, hits: IntArray, confirm_evidence: float, next_id: int
) -> tuple[int, int]:
    """Give ids, from ``next_id`` on, to tracks with enough evidence that have none.

    The next id that is free, and how many detections the tracks that got one have.
    """
    detections = 0
    for i in range(len(track_id)):
        if track_id[i] == 0 and evidence[i] >= confirm_evidence - _ROUNDING:
            track_id[i] = next_id
            next_id += 1
            detections += hits[i]
    return next_id, detections


@kernel(_I, _I, _I, _I)
def only_one_holds(
    track_id: IntArray, seen_ns: IntArray, sighting: IntArray, matched: IntArray
) -> tuple[IntArray, BoolArray, int]:
    """``reference_table.only_one_holds``."""
    n, m = len(track_id), len(matched)
    followed = 0
    found = matched.copy()
    is_out = np.zeros(n, np.bool_)
    taken_by = np.full(n, -1, np.int64)
    for j in range(m):
        if matched[j] >= 0:
            taken_by[matched[j]] = j
            followed += track_id[matched[j]] > 0
    for i in range(n):
        if taken_by[i] < 0 or track_id[i] > 0 or is_out[i]:
            continue
        for k in range(n):
            if (
                k != i
                and track_id[k] == 0
                and seen_ns[k] == seen_ns[i]
                and sighting[k] == sighting[i]
            ):
                is_out[k] = True
                if taken_by[k] >= 0:
                    found[taken_by[k]] = -1
    return found, is_out, followed


@kernel(_I, _I, _V_OUT, _V, _I, _B1, _N, _F, _F, _F, _F, _F, _F, _F, _I, _N)
def ended_and_begun(  # noqa: PLR0917 - compiled functions take no keywords
    track_id: IntArray,
    hits: IntArray,
    evidence: FloatArray,
    score: FloatArray,
    seen_ns: IntArray,
    is_out: BoolArray,
    now_ns: int,
    max_unseen_s: float,
    miss_share: float,
    kept_share: float,
    fade_share: float,
    sure_score: float,
    at_0: float,
    at_sure: float,
    matched: IntArray,
    max_tracks: int,
) -> tuple[IntArray, IntArray, IntArray, int]:
    """``reference_table.ended_and_begun``."""
    n, m = len(track_id), len(matched)
    kept = np.empty(n, np.int64)
    once = np.empty(n, np.int64)
    many = waiting = 0
    for i in range(n):
        unseen_s = (now_ns - seen_ns[i]) / 1e9
        if unseen_s > 0 and track_id[i] == 0:
            last = evidence_of(score[i], sure_score, at_0, at_sure)
            left = max(
                evidence[i] - miss_share * last,
                min(evidence[i], kept_share * hits[i] * last * last) - fade_share * last,
            )
            if is_out[i] or left < _ROUNDING:
                continue
            is_just_missed = evidence[i] > last - _ROUNDING
            evidence[i] = left
            if hits[i] == 1 and is_just_missed and unseen_s <= max_unseen_s:
                once[waiting] = i
                waiting += 1
        if unseen_s <= 0 or unseen_s <= max_unseen_s:
            kept[many] = i
            many += 1
    begun = np.empty(m, np.int64)
    new = too_many = 0
    for j in range(m):
        if matched[j] < 0:
            if many + new >= max_tracks:
                too_many += 1
            else:
                begun[new] = j
                new += 1
    return kept[:many], begun[:new], once[:waiting], too_many


@kernel(_I, _I, _M, _M, _M, _I, _M, _M, _C, _B, _F, _F, _N)
def leaps(  # noqa: PLR0917 - compiled functions take no keywords
    once: IntArray,
    begun: IntArray,
    state: FloatArray,
    log_size: FloatArray,
    size_variance: FloatArray,
    class_id: IntArray,
    position: FloatArray,
    seen_log_size: FloatArray,
    seen_class_id: ClassArray,
    by_class: bool,
    size_sd: float,
    size_gate: float,
    most: int,
) -> tuple[IntArray, IntArray]:
    """``reference_table.leaps``."""
    track = np.empty(len(begun) * most, np.int64)
    seen = np.empty(len(begun) * most, np.int64)
    nearest = np.zeros(max(most, 1))
    pairs = 0
    for j in begun:
        first = pairs
        for i in once:
            if by_class and class_id[i] != seen_class_id[j]:
                continue
            fits = True
            for a in range(2):
                off = seen_log_size[j, a] - log_size[i, a]
                if off * off > size_gate * size_gate * (size_variance[i, a] + size_sd * size_sd):
                    fits = False
            dx = position[j, 0] - state[i, 0]
            dy = position[j, 1] - state[i, 1]
            distance = dx * dx + dy * dy
            if not fits or (pairs - first == most and not distance < nearest[most - 1]):
                continue
            k = min(pairs - first, most - 1)
            while k > 0 and distance < nearest[k - 1]:
                nearest[k] = nearest[k - 1]
                track[first + k] = track[first + k - 1]
                k -= 1
            nearest[k] = distance
            track[first + k] = i
            pairs = min(pairs + 1, first + most)
        seen[first:pairs] = j
    return track[:pairs], seen[:pairs]


@kernel(
    _M, _T, _M, _M, _I, _I, _I, _V, _V, _I, _I, _I, _M,
    _M, _T, _M, _C, _V, _V, _I, _I, _I, _I, _F, _F, _F, _F, _F, _F, _N,
)  # fmt: skip
def carried_over(  # noqa: PLR0915, PLR0917 - one loop per part; compiled functions take no keywords
    state: FloatArray,
    covariance: FloatArray,
    log_size: FloatArray,
    size_variance: FloatArray,
    track_id: IntArray,
    class_id: IntArray,
    hits: IntArray,
    evidence: FloatArray,
    score: FloatArray,
    seen_ns: IntArray,
    sighting: IntArray,
    began_ns: IntArray,
    first: FloatArray,
    position: FloatArray,
    spread: FloatArray,
    seen_log_size: FloatArray,
    seen_class_id: ClassArray,
    seen_evidence: FloatArray,
    seen_score: FloatArray,
    kept: IntArray,
    begun: IntArray,
    leapt: IntArray,
    landed: IntArray,
    sure_score: float,
    at_0: float,
    at_sure: float,
    size_sd: float,
    start_speed_m_s: float,
    assumed_height_m: float,
    now_ns: int,
) -> tuple[
    FloatArray, FloatArray, FloatArray, FloatArray, IntArray, IntArray, IntArray, FloatArray,
    FloatArray, IntArray, IntArray, IntArray, FloatArray,
]:  # fmt: skip
    """``reference_table.carried_over``."""
    many = len(kept)
    beginning = many + len(begun)
    n = beginning + len(leapt)
    new_state = np.zeros((n, 4))
    new_covariance = np.zeros((n, 4, 4))
    new_log_size = np.empty((n, 2))
    new_size_variance = np.empty((n, 2))
    new_track_id = np.zeros(n, np.int64)
    new_class_id = np.empty(n, np.int64)
    new_hits = np.ones(n, np.int64)
    new_evidence = np.empty(n)
    new_score = np.empty(n)
    new_seen_ns = np.full(n, now_ns)
    new_sighting = np.empty(n, np.int64)
    new_began_ns = np.full(n, now_ns)
    new_first = np.empty((n, 2))
    for k in range(n):
        if many <= k < beginning:
            continue
        i = kept[k] if k < many else leapt[k - beginning]
        for a in range(4):
            new_state[k, a] = state[i, a]
            for b in range(4):
                new_covariance[k, a, b] = covariance[i, a, b]
        for a in range(2):
            new_first[k, a] = first[i, a]
            new_log_size[k, a] = log_size[i, a]
            new_size_variance[k, a] = size_variance[i, a]
        new_track_id[k] = track_id[i]
        new_class_id[k] = class_id[i]
        new_hits[k] = hits[i]
        new_evidence[k] = evidence[i]
        new_score[k] = score[i]
        new_seen_ns[k] = seen_ns[i]
        new_sighting[k] = sighting[i]
        new_began_ns[k] = began_ns[i]
    gain = np.empty((4, 4))
    for k in range(beginning, n):
        j = landed[k - beginning]
        dt_s = (now_ns - new_seen_ns[k]) / 1e9
        start_from_two(
            new_state[k], new_covariance[k], new_log_size[k, 1], position[j], spread[j], dt_s,
            start_speed_m_s, assumed_height_m, WALKS_WITHIN,
        )  # fmt: skip
        update_one(new_state[k], new_covariance[k], position[j], spread[j], gain)
        take_size(new_log_size[k], new_size_variance[k], seen_log_size[j], size_sd)
        new_hits[k] = 2
        before = evidence_of(new_score[k], sure_score, at_0, at_sure)
        new_evidence[k] = before + seen_evidence[j]
        new_score[k] = seen_score[j]
        new_seen_ns[k] = now_ns
        new_sighting[k] = j
    for k in range(many, beginning):
        j = begun[k - many]
        unit_per_m = 1.0
        if assumed_height_m > 0:
            unit_per_m = math.exp(seen_log_size[j, 1]) / assumed_height_m
        speed = start_speed_m_s * unit_per_m
        for a in range(2):
            new_state[k, a] = position[j, a]
            new_first[k, a] = position[j, a]
            for b in range(2):
                new_covariance[k, a, b] = spread[j, a, b]
            new_covariance[k, a + 2, a + 2] = speed * speed
            new_log_size[k, a] = seen_log_size[j, a]
            new_size_variance[k, a] = size_sd * size_sd
        new_class_id[k] = seen_class_id[j]
        new_evidence[k] = seen_evidence[j]
        new_score[k] = seen_score[j]
        new_sighting[k] = j
    return (
        new_state, new_covariance, new_log_size, new_size_variance, new_track_id, new_class_id,
        new_hits, new_evidence, new_score, new_seen_ns, new_sighting, new_began_ns, new_first,
    )  # fmt: skip


@kernel(_I, _M, _V, _I, _I, _I, _M, _T, _M, _N, _N, _F, _B)
def reported(  # noqa: PLR0917 - compiled functions take no keywords
    track_id: IntArray,
    box_px: FloatArray,
    score: FloatArray,
    class_id: IntArray,
    seen_ns: IntArray,
    began_ns: IntArray,
    state: FloatArray,
    covariance: FloatArray,
    first: FloatArray,
    capture_ns: int,
    now_ns: int,
    report_unseen_s: float,
    on_ground: bool,
) -> tuple[
    IntArray, FloatArray, FloatArray, ClassArray, FloatArray, FloatArray, FloatArray, FloatArray,
    FloatArray, FloatArray,
]:  # fmt: skip
    """``reference_table.reported``."""
    at = np.empty(len(track_id), np.int64)
    n = 0
    for i in range(len(track_id)):
        if (
            track_id[i] > 0
            and (now_ns - seen_ns[i]) / 1e9 <= report_unseen_s
            and math.isfinite(box_px[i, 0] + box_px[i, 1] + box_px[i, 2] + box_px[i, 3])
        ):
            # Tracks are in the order in which they began, and nearly in that of their ids.
            k = n
            while k > 0 and track_id[at[k - 1]] > track_id[i]:
                at[k] = at[k - 1]
                k -= 1
            at[k] = i
            n += 1
    ids = np.empty(n, np.int64)
    boxes = np.empty((n, 4))
    scores = np.empty(n)
    classes = np.empty(n, np.int32)
    unseen_s = np.empty(n)
    age_s = np.empty(n)
    ground = np.full((n, 2), np.nan)
    velocity = np.full((n, 2), np.nan)
    spread = np.full((n, 4, 4), np.nan)
    began = np.empty((n, 2))
    for k in range(n):
        i = at[k]
        ids[k] = track_id[i]
        scores[k] = score[i]
        classes[k] = class_id[i]
        unseen_s[k] = (capture_ns - seen_ns[i]) / 1e9
        age_s[k] = (capture_ns - began_ns[i]) / 1e9
        for a in range(4):
            boxes[k, a] = box_px[i, a]
        for a in range(2):
            began[k, a] = first[i, a]
        if on_ground:
            for a in range(2):
                ground[k, a] = state[i, a]
                velocity[k, a] = state[i, a + 2]
            for a in range(4):
                for b in range(4):
                    spread[k, a, b] = covariance[i, a, b]
    return ids, boxes, scores, classes, unseen_s, age_s, ground, velocity, spread, began

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
        score: float64[n], of the last detection.
        seen_ns: int64[n], capture time of the last detection.
        began_ns: int64[n], capture time of the first.
    """

    state: FloatArray
    covariance: FloatArray
    log_size: FloatArray
    size_variance: FloatArray
    track_id: IntArray
    class_id: IntArray
    hits: IntArray
    score: FloatArray
    seen_ns: IntArray
    began_ns: IntArray

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
            score=np.empty(0),
            seen_ns=np.empty(0, np.int64),
            began_ns=np.empty(0, np.int64),
        )

    def __len__(self) -> int:
        return len(self.track_id)

    def copied(self) -> TrackTable:
        """The same values in arrays of their own."""
        return TrackTable(**{name: array.copy() for name, array in self.arrays().items()})

    def columns(self) -> tuple[
        FloatArray, FloatArray, FloatArray, FloatArray, IntArray, IntArray, IntArray, FloatArray,
        IntArray, IntArray,
    ]:  # fmt: skip
        """Every array, in the order of the fields."""
        return (
            self.state, self.covariance, self.log_size, self.size_variance, self.track_id,
            self.class_id, self.hits, self.score, self.seen_ns, self.began_ns,
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

_V = types.Array(types.float64, 1, "C", readonly=True)
_M = types.Array(types.float64, 2, "C", readonly=True)
_T = types.Array(types.float64, 3, "C", readonly=True)
_I = types.Array(types.int64, 1, "C", readonly=True)
_I_OUT = types.Array(types.int64, 1, "C")
_C = types.Array(types.int32, 1, "C", readonly=True)
_F = types.float64
_N = types.int64
_B = types.boolean


@kernel(_I_OUT, _I, _N, _N)
def confirm_in_place(track_id: IntArray, hits: IntArray, confirm_hits: int, next_id: int) -> int:
    """Give ids, from ``next_id`` on, to tracks with enough hits that have none; the next free."""
    for i in range(len(track_id)):
        if track_id[i] == 0 and hits[i] >= confirm_hits:
            track_id[i] = next_id
            next_id += 1
    return next_id


@kernel(_I, _I, _N, _F, _I, _V, _F, _N)
def ended_and_begun(  # noqa: PLR0917 - compiled functions take no keywords
    track_id: IntArray,
    seen_ns: IntArray,
    now_ns: int,
    max_unseen_s: float,
    matched: IntArray,
    score: FloatArray,
    new_score: float,
    max_tracks: int,
) -> tuple[IntArray, IntArray, int]:
    """``reference_table.ended_and_begun``."""
    n, m = len(track_id), len(matched)
    kept = np.empty(n, np.int64)
    many = 0
    for i in range(n):
        unseen_s = (now_ns - seen_ns[i]) / 1e9
        if unseen_s <= 0 or (track_id[i] > 0 and unseen_s <= max_unseen_s):
            kept[many] = i
            many += 1
    begun = np.empty(m, np.int64)
    new = too_many = 0
    for j in range(m):
        if matched[j] < 0 and score[j] >= new_score:
            if many + new >= max_tracks:
                too_many += 1
            else:
                begun[new] = j
                new += 1
    return kept[:many], begun[:new], too_many


@kernel(_M, _T, _M, _M, _I, _I, _I, _V, _I, _I, _M, _T, _M, _C, _V, _I, _I, _F, _F, _F, _N)
def carried_over(  # noqa: PLR0917 - compiled functions take no keywords
    state: FloatArray,
    covariance: FloatArray,
    log_size: FloatArray,
    size_variance: FloatArray,
    track_id: IntArray,
    class_id: IntArray,
    hits: IntArray,
    score: FloatArray,
    seen_ns: IntArray,
    began_ns: IntArray,
    position: FloatArray,
    spread: FloatArray,
    seen_log_size: FloatArray,
    seen_class_id: ClassArray,
    seen_score: FloatArray,
    kept: IntArray,
    begun: IntArray,
    size_sd: float,
    start_speed_m_s: float,
    assumed_height_m: float,
    now_ns: int,
) -> tuple[
    FloatArray, FloatArray, FloatArray, FloatArray, IntArray, IntArray, IntArray, FloatArray,
    IntArray, IntArray,
]:  # fmt: skip
    """``reference_table.carried_over``."""
    many = len(kept)
    n = many + len(begun)
    new_state = np.zeros((n, 4))
    new_covariance = np.zeros((n, 4, 4))
    new_log_size = np.empty((n, 2))
    new_size_variance = np.empty((n, 2))
    new_track_id = np.zeros(n, np.int64)
    new_class_id = np.empty(n, np.int64)
    new_hits = np.ones(n, np.int64)
    new_score = np.empty(n)
    new_seen_ns = np.full(n, now_ns)
    new_began_ns = np.full(n, now_ns)
    for k in range(many):
        i = kept[k]
        for a in range(4):
            new_state[k, a] = state[i, a]
            for b in range(4):
                new_covariance[k, a, b] = covariance[i, a, b]
        for a in range(2):
            new_log_size[k, a] = log_size[i, a]
            new_size_variance[k, a] = size_variance[i, a]
        new_track_id[k] = track_id[i]
        new_class_id[k] = class_id[i]
        new_hits[k] = hits[i]
        new_score[k] = score[i]
        new_seen_ns[k] = seen_ns[i]
        new_began_ns[k] = began_ns[i]
    for k in range(many, n):
        j = begun[k - many]
        unit_per_m = 1.0
        if assumed_height_m > 0:
            unit_per_m = math.exp(seen_log_size[j, 1]) / assumed_height_m
        speed = start_speed_m_s * unit_per_m
        for a in range(2):
            new_state[k, a] = position[j, a]
            for b in range(2):
                new_covariance[k, a, b] = spread[j, a, b]
            new_covariance[k, a + 2, a + 2] = speed * speed
            new_log_size[k, a] = seen_log_size[j, a]
            new_size_variance[k, a] = size_sd * size_sd
        new_class_id[k] = seen_class_id[j]
        new_score[k] = seen_score[j]
    return (
        new_state, new_covariance, new_log_size, new_size_variance, new_track_id, new_class_id,
        new_hits, new_score, new_seen_ns, new_began_ns,
    )  # fmt: skip


@kernel(_I, _M, _V, _I, _I, _I, _M, _T, _N, _N, _F, _B)
def reported(  # noqa: PLR0917 - compiled functions take no keywords
    track_id: IntArray,
    box_px: FloatArray,
    score: FloatArray,
    class_id: IntArray,
    seen_ns: IntArray,
    began_ns: IntArray,
    state: FloatArray,
    covariance: FloatArray,
    capture_ns: int,
    now_ns: int,
    report_unseen_s: float,
    on_ground: bool,
) -> tuple[
    IntArray, FloatArray, FloatArray, ClassArray, FloatArray, FloatArray, FloatArray, FloatArray,
    FloatArray,
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
    for k in range(n):
        i = at[k]
        ids[k] = track_id[i]
        scores[k] = score[i]
        classes[k] = class_id[i]
        unseen_s[k] = (capture_ns - seen_ns[i]) / 1e9
        age_s[k] = (capture_ns - began_ns[i]) / 1e9
        for a in range(4):
            boxes[k, a] = box_px[i, a]
        if on_ground:
            for a in range(2):
                ground[k, a] = state[i, a]
                velocity[k, a] = state[i, a + 2]
            for a in range(4):
                for b in range(4):
                    spread[k, a, b] = covariance[i, a, b]
    return ids, boxes, scores, classes, unseen_s, age_s, ground, velocity, spread

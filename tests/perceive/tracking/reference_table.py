"""The plain specification of :mod:`.track_table`: the same in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sightline.records.windows import FloatArray, IntArray

Columns = dict[str, npt.NDArray[Any]]


def ended_and_begun(
    *,
    track_id: IntArray,
    seen_ns: IntArray,
    now_ns: int,
    max_unseen_s: float,
    matched: IntArray,
    score: FloatArray,
    new_score: float,
    max_tracks: int,
) -> tuple[IntArray, IntArray, int]:
    """Which tracks go on, which sightings begin one, and for how many of those there is no room.

    A track that was not confirmed (id 0) ends with the first miss, another one after
    ``max_unseen_s``. A sighting that belongs to none (``matched`` -1) begins one if it scores
    ``new_score``.
    """
    unseen_s = (now_ns - seen_ns) / 1e9
    kept = np.flatnonzero(np.where(track_id > 0, unseen_s <= max_unseen_s, unseen_s <= 0))
    begun = np.flatnonzero((matched < 0) & (score >= new_score))
    room = max(max_tracks - len(kept), 0)
    return kept, begun[:room], max(len(begun) - room, 0)


def carried_over(
    tracks: Columns,
    *,
    seen: Columns,
    kept: IntArray,
    begun: IntArray,
    size_sd: float,
    start_speed_m_s: float,
    assumed_height_m: float,
    now_ns: int,
) -> Columns:
    """The columns of ``TrackTable`` for the tracks that go on, then for those that begin.

    Args:
        tracks: columns of ``TrackTable``.
        seen: ``position``, ``spread``, ``log_size``, ``class_id`` and ``score`` of sightings.
        kept: int64[k], tracks that go on.
        begun: int64[b], sightings that begin one.
        size_sd: spread of log sizes.
        start_speed_m_s: spread of the speed of something new.
        assumed_height_m: what makes boxes metres; 0 where the plane is in metres.
        now_ns: capture time.
    """
    n = len(begun)
    unit_per_m = np.ones(n)
    if assumed_height_m > 0:
        unit_per_m = np.exp(seen["log_size"][begun, 1]) / assumed_height_m
    covariance = np.zeros((n, 4, 4))
    covariance[:, :2, :2] = seen["spread"][begun]
    covariance[:, 2, 2] = covariance[:, 3, 3] = (start_speed_m_s * unit_per_m) ** 2
    new = {
        "state": np.concatenate([seen["position"][begun], np.zeros((n, 2))], axis=1),
        "covariance": covariance,
        "log_size": seen["log_size"][begun],
        "size_variance": np.full((n, 2), size_sd**2),
        "track_id": np.zeros(n, np.int64),
        "class_id": seen["class_id"][begun].astype(np.int64),
        "hits": np.ones(n, np.int64),
        "score": seen["score"][begun],
        "seen_ns": np.full(n, now_ns),
        "began_ns": np.full(n, now_ns),
    }
    return {name: np.concatenate([tracks[name][kept], new[name]]) for name in new}


def reported(
    tracks: Columns,
    *,
    box_px: FloatArray,
    capture_ns: int,
    now_ns: int,
    report_unseen_s: float,
    on_ground: bool,
) -> Columns:
    """The columns of ``records.Tracks``, ascending by id.

    Reported is what is confirmed, was seen at most ``report_unseen_s`` before the last update
    (``now_ns``; a later ``capture_ns`` shows the same tracks again) and has a finite box.
    """
    shown = (tracks["track_id"] > 0) & ((now_ns - tracks["seen_ns"]) / 1e9 <= report_unseen_s)
    at = np.flatnonzero(shown & np.isfinite(box_px).all(axis=1))
    at = at[np.argsort(tracks["track_id"][at])]
    n = len(at)
    state, covariance = tracks["state"][at], tracks["covariance"][at]
    return {
        "track_id": tracks["track_id"][at],
        "box_px": box_px[at],
        "score": tracks["score"][at],
        "class_id": tracks["class_id"][at].astype(np.int32),
        "unseen_s": (capture_ns - tracks["seen_ns"][at]) / 1e9,
        "age_s": (capture_ns - tracks["began_ns"][at]) / 1e9,
        "ground_m": state[:, :2] if on_ground else np.full((n, 2), np.nan),
        "velocity_m_s": state[:, 2:] if on_ground else np.full((n, 2), np.nan),
        "ground_covariance": covariance if on_ground else np.full((n, 4, 4), np.nan),
    }

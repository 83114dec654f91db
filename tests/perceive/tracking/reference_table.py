"""The plain specification of :mod:`.track_table`: the same in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from perceive.tracking.reference_boxes import evidence_of
from perceive.tracking.reference_kalman import start_from_two, update
from sightline.records.windows import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]
Columns = dict[str, npt.NDArray[Any]]


def ended_and_begun(
    *,
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
    """Which tracks go on, which sightings begin one, which tracks that go on were seen once and not
    now, and for how many that would begin there is no room.

    A track ends after ``max_unseen_s``. One that was not confirmed (id 0) and is not seen now loses
    evidence, ``miss_share`` of what its last detection was, which is written into it; but of
    ``kept_share`` of all its evidence, by as much as it is sure, only ``fade_share`` a frame. It
    ends without any left, or because another explanation held (``is_out``). A sighting that belongs
    to none (``matched`` -1) begins one. Those seen once are in their first frame without.
    """
    unseen_s = (now_ns - seen_ns) / 1e9
    is_missed = (unseen_s > 0) & (track_id == 0)
    last = evidence_of(score, sure_score, at_0, at_sure)
    faded = np.minimum(evidence, kept_share * hits * last * last) - fade_share * last
    left = np.where(is_missed, np.maximum(evidence - miss_share * last, faded), evidence)
    is_just_missed = evidence > last - 1e-9
    is_over = is_missed & (is_out | (left < 1e-9))
    evidence[~is_over] = left[~is_over]
    is_ended = is_over | (unseen_s > max_unseen_s)
    kept, begun = np.flatnonzero(~is_ended), np.flatnonzero(matched < 0)
    room = max(max_tracks - len(kept), 0)
    once = np.flatnonzero(is_missed & ~is_ended & (hits == 1) & is_just_missed)
    return kept, begun[:room], once, max(len(begun) - room, 0)


def only_one_holds(
    track_id: IntArray, seen_ns: IntArray, sighting: IntArray, matched: IntArray
) -> tuple[IntArray, BoolArray, int]:
    """``matched`` without a second track of the same last sighting, which tracks are out, and how
    many of the sightings are of confirmed tracks.

    Tracks that are not confirmed may share their last sighting: explanations of it, of which one
    holds. It is the one that is seen again, of several the one that began first; the others are
    out, and what was matched with them is free.
    """
    found, is_out = matched.copy(), np.zeros(len(track_id), np.bool_)
    for i in np.flatnonzero(np.isin(np.arange(len(track_id)), matched) & (track_id == 0)):
        if not is_out[i]:
            twins = (track_id == 0) & (seen_ns == seen_ns[i]) & (sighting == sighting[i])
            twins[i] = False
            is_out |= twins
            found[np.isin(found, np.flatnonzero(twins))] = -1
    return found, is_out, int((track_id[matched[matched >= 0]] > 0).sum())


def leaps(
    tracks: Columns,
    *,
    seen: Columns,
    once: IntArray,
    begun: IntArray,
    by_class: bool,
    size_sd: float,
    size_gate: float,
    most: int,
) -> tuple[IntArray, IntArray]:
    """Pairs of a track that was seen ``once`` and a sighting that begins one: perhaps one thing.

    For each sighting the ``most`` nearest tracks, the nearest first, whose size (and class, if they
    count) is the same.
    """
    rows, columns = [], []
    for j in begun:
        off = seen["log_size"][j] - tracks["log_size"][once]
        fits = (off**2 <= size_gate**2 * (tracks["size_variance"][once] + size_sd**2)).all(axis=1)
        if by_class:
            fits &= tracks["class_id"][once] == seen["class_id"][j]
        away = ((seen["position"][j] - tracks["state"][once, :2]) ** 2).sum(axis=1)
        nearest = [k for k in np.argsort(away, kind="stable") if fits[k]][:most]
        rows += once[nearest].tolist()
        columns += [j] * len(nearest)
    return np.array(rows, np.int64), np.array(columns, np.int64)


def carried_over(
    tracks: Columns,
    *,
    seen: Columns,
    kept: IntArray,
    begun: IntArray,
    leapt: IntArray,
    landed: IntArray,
    evidence_by: tuple[float, float, float],
    size_sd: float,
    start_speed_m_s: float,
    assumed_height_m: float,
    now_ns: int,
) -> Columns:
    """The columns of ``TrackTable`` for tracks that go on, those that begin, and those that leapt.

    Args:
        tracks: columns of ``TrackTable``.
        seen: ``position``, ``spread``, ``log_size``, ``class_id``, ``evidence`` and ``score`` of
            sightings.
        kept: int64[k], tracks that go on.
        begun: int64[b], sightings that begin one.
        leapt: int64[l], tracks seen once that may have leapt to
        landed: int64[l], these sightings: both count, and no miss.
        evidence_by: arguments of :func:`.evidence_of`.
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
        "evidence": seen["evidence"][begun],
        "score": seen["score"][begun],
        "seen_ns": np.full(n, now_ns),
        "sighting": begun,
        "began_ns": np.full(n, now_ns),
        "first": seen["position"][begun],
    }
    leaping = [
        _leap(
            {name: column[i] for name, column in tracks.items()},
            {name: column[j] for name, column in seen.items()} | {"sighting": j},
            evidence_by=evidence_by, size_sd=size_sd, start_speed_m_s=start_speed_m_s,
            assumed_height_m=assumed_height_m, now_ns=now_ns,
        )
        for i, j in zip(leapt, landed, strict=True)
    ]  # fmt: skip
    return {
        name: np.concatenate(
            [tracks[name][kept], new[name], *(np.array([leap[name]]) for leap in leaping)]
        )
        for name in new
    }


def _leap(
    track: dict[str, Any],
    seen: dict[str, Any],
    *,
    evidence_by: tuple[float, float, float],
    size_sd: float,
    start_speed_m_s: float,
    assumed_height_m: float,
    now_ns: int,
) -> dict[str, Any]:
    """A row of the table for a track that was seen once, and for the second time now."""
    before = start_from_two(
        track["state"], track["covariance"], track["log_size"], position=seen["position"],
        spread=seen["spread"], dt_s=(now_ns - track["seen_ns"]) / 1e9,
        start_speed_m_s=start_speed_m_s, assumed_height_m=assumed_height_m,
    )  # fmt: skip
    state, covariance = update(
        track["state"][None], before[None], seen["position"][None], seen["spread"][None]
    )
    share = track["size_variance"] / (track["size_variance"] + size_sd**2)
    return track | {
        "state": state[0],
        "covariance": covariance[0],
        "log_size": track["log_size"] + share * (seen["log_size"] - track["log_size"]),
        "size_variance": track["size_variance"] * (1 - share),
        "hits": 2,
        "evidence": evidence_of(track["score"], *evidence_by) + seen["evidence"],
        "score": seen["score"],
        "seen_ns": now_ns,
        "sighting": seen["sighting"],
    }


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
        "first": tracks["first"][at],
    }

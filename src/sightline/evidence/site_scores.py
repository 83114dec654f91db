"""A site's run against truth: what its camera followed, scored in boxes and in metres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from sightline.errors import UsageError
from sightline.evidence.log_replay import LogReplay
from sightline.evidence.tracking import TrackingScore, score_tracks
from sightline.evidence.tracking.overlaps import iou_matrix, shared_frames
from sightline.perceive.tracking import TrackerSettings
from sightline.records import Tracks
from sightline.records.entry import CORE_INPUTS
from sightline.records.windows import FloatArray
from sightline.runtime import RunDirectory
from sightline.runtime.engine.headers import FrameHeader
from sightline.runtime.item_stage import CameraPlan
from sightline.runtime.stages.zones import CameraView
from sightline.sense.frames.mot_files import MotTable

_MIN_IOU = 0.5
_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteScore:
    """How one camera of a run did.

    Attributes:
        tracking: HOTA, CLEAR MOT and ID measures.
        matched: pairs of a box of truth and a track that overlap by a half or more.
        position_m: p50, p95 and mean distance of the track from where the truth's box stands, both
            on the ground; None without a camera model.
    """

    tracking: TrackingScore
    matched: int
    position_m: dict[str, float] | None

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            **self.tracking.as_mapping(),
            "matched": self.matched,
            "position_m": self.position_m,
        }


def camera_of(run: RunDirectory, camera: str) -> CameraPlan:
    """A camera of a run.

    Raises:
        UsageError: the run has no such camera.
    """
    if camera not in run.plan.cameras:
        raise UsageError(
            expected=f"one of {', '.join(run.plan.cameras)}",
            got=camera,
            where="camera of a run",
            action="name a camera of the pipeline",
        )
    return run.plan.cameras[camera]


def tracks_of_run(run: RunDirectory, camera: str) -> tuple[MotTable, FloatArray]:
    """What a camera of a run followed, and where on the ground: float64[n, 2] in metres, or NaN.

    Frame n of the source, from 0, is frame n + 1 of the table. Tracks that are carried on for
    longer than ``sightline lab track`` would report them are left out.

    Raises:
        UsageError: the run has no such camera.
    """
    camera_of(run, camera)
    frames: list[int] = []
    seen: list[Tracks] = []
    most_unseen_s = TrackerSettings().report_unseen_s + _ROUNDING_S

    def observe(header: FrameHeader, view: CameraView) -> None:
        if header.camera == camera:
            frames.append(header.index + 1)
            seen.append(view.tracks.only(view.tracks.unseen_s <= most_unseen_s))

    replay = LogReplay(run, observe=observe)
    for entry in replay.entries():
        if entry.kind in CORE_INPUTS:
            replay.core.step(entry)
    counts = [len(tracks) for tracks in seen]
    if not sum(counts):
        none = np.empty(0, np.int64)
        empty = MotTable(
            frame=none, track_id=none, box_px=np.empty((0, 4)), score=np.empty(0), class_id=none
        )
        return empty, np.empty((0, 2))
    table = MotTable(
        frame=np.repeat(np.array(frames, np.int64), counts),
        track_id=np.concatenate([tracks.track_id for tracks in seen]),
        box_px=np.concatenate([tracks.box_px for tracks in seen]),
        score=np.concatenate([tracks.score for tracks in seen]),
        class_id=np.full(sum(counts), -1, np.int64),
    )
    return table, np.concatenate([tracks.ground_m for tracks in seen])


def score_site(
    run: RunDirectory,
    camera: str,
    truth: MotTable,
    *,
    frames: tuple[int, int] | None = None,
    truth_scale: float = 1.0,
) -> SiteScore:
    """Score one camera of a run.

    Args:
        run: the run.
        camera: whose frames.
        truth: boxes with identities.
        frames: first and last frame to score, from 1, both included; None: all.
        truth_scale: what the pixels of the truth are multiplied by to be those of the frames.

    Raises:
        UsageError: no such camera, or a range that cannot be.
    """
    tracks, ground_m = tracks_of_run(run, camera)
    fitted = MotTable(
        frame=truth.frame,
        track_id=truth.track_id,
        box_px=truth.box_px * truth_scale,
        score=truth.score,
        class_id=truth.class_id,
        has_classes=truth.has_classes,
    )
    tracking = score_tracks(fitted, tracks, frames=frames)
    geometry = run.plan.cameras[camera].geometry
    first, last = frames or (1, int(max(fitted.frame.max(initial=0), 1)))
    apart: list[FloatArray] = []
    matched = 0
    for a, b in shared_frames(fitted, tracks):
        if not first <= fitted.frame[a.start] <= last:
            continue
        iou = iou_matrix(fitted.box_px[a], tracks.box_px[b])
        row, column = linear_sum_assignment(iou, maximize=True)
        is_match = iou[row, column] >= _MIN_IOU
        matched += int(is_match.sum())
        if geometry is not None:
            box = fitted.box_px[a][row[is_match]]
            foot_px = np.stack([(box[:, 0] + box[:, 2]) / 2, box[:, 3]], axis=1)
            there = geometry.ground_from_pixel(foot_px)
            apart.append(np.hypot(*(there - ground_m[b][column[is_match]]).T))
    distances = np.concatenate(apart) if apart else np.empty(0)
    distances = distances[np.isfinite(distances)]
    return SiteScore(
        tracking=tracking,
        matched=matched,
        position_m=None
        if not len(distances)
        else {
            "p50": float(np.percentile(distances, 50)),
            "p95": float(np.percentile(distances, 95)),
            "mean": float(distances.mean()),
        },
    )

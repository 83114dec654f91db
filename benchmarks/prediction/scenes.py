"""Recorded walks, cut into pasts and what came after."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.prediction.trajectories import TrackHistory
from sightline.errors import SourceError
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray, IntArray
from sightline.sense.camera_files import load_camera

STEP_S = 0.4
"""Time between annotated positions of ETH and Hotel."""
PAST_SAMPLES = 8
FUTURE_SAMPLES = 12
GRID_S = STEP_S * np.arange(1, FUTURE_SAMPLES + 1)
HORIZONS_S = np.sort(np.append(GRID_S, 1.0))
"""The grid, and 1 s between two of its points."""
PETS_FRAMES_PER_S = 10
PETS_FOOT_SD_PX = 2.0
"""How well the lower edge of a careful box shows the foot."""
MAX_ROWS = 1_000_000
"""Rows of one recording. A longer one is refused."""
MAX_SCENES = 16
"""Recordings in one folder. More are refused."""
_POSITIONS = "obsmat.txt"
_RESAMPLED = "*_10fps.txt"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Walks:
    """Windows over the tracks of one scene, overlapping, one per sample that allows it.

    Attributes:
        scene: its name.
        history: n pasts of 8 samples, 0.4 s apart (the usual protocol, Pellegrini et al. 2009);
            of PETS all frames of the same time.
        truth_m: float64[n, k, 2], positions at ``HORIZONS_S``; at 1 s on the straight line
            between the samples at 0.8 and 1.2 s.
        track_id: int64[n].
    """

    scene: str
    history: TrackHistory
    truth_m: FloatArray
    track_id: IntArray

    def __len__(self) -> int:
        return len(self.track_id)

    def only(self, keep: BoolArray) -> Walks:
        """Those for which ``keep`` (bool[n]) is true."""
        covariance = self.history.covariance_m2
        history = TrackHistory(
            time_s=self.history.time_s[keep],
            position_m=self.history.position_m[keep],
            covariance_m2=None if covariance is None else covariance[keep],
        )
        return replace(
            self, history=history, truth_m=self.truth_m[keep], track_id=self.track_id[keep]
        )


def read_scenes(folder: Path, *, published: bool = False) -> list[Walks]:
    """Every scene in ``folder`` or up to two folders below it, by name.

    A scene is a folder with an ``obsmat.txt`` as of ETH and Hotel (columns frame, person, x, z,
    y, vx, vz, vy; metres on the ground), annotated every 0.4 s; it is named after its folder.

    Args:
        folder: for example that of OpenTraj's ETH.
        published: read what most papers since Social GAN (Gupta et al. 2018) were measured on:
            where there is a ``*_10fps.txt`` (columns frame, person, x, y), as for ETH, it is
            taken instead, and its step for 0.4 s. ETH was annotated every 6 frames, and that
            file has a position every 10, so a second there is in truth 1.67 s
            (github.com/agrimgupta92/sgan, issue 84).

    Raises:
        SourceError: if there is no scene, too many, one that cannot be read, or one in which
            nobody was followed for 20 samples.
    """
    files = sorted(path for depth in ("", "*/", "*/*/") for path in folder.glob(depth + _POSITIONS))
    if not 1 <= len(files) <= MAX_SCENES:
        raise SourceError(
            expected=f"1 to {MAX_SCENES} folders with {_POSITIONS}",
            got=str(len(files)),
            where=str(folder),
            action="point at the folder of the published recordings",
        )
    scenes = []
    for path in files:
        resampled = sorted(path.parent.glob(_RESAMPLED)) if published else []
        if resampled:
            rows, columns = _numbers(resampled[0], columns=4), [2, 3]
        else:
            rows, columns = _numbers(path, columns=8), [2, 4]
        frame = rows[:, 0].astype(np.int64)
        step = _usual_step(frame)
        walks = cut_walks(
            path.parent.name.removeprefix("seq_"),
            frame=frame,
            track_id=rows[:, 1].astype(np.int64),
            position_m=rows[:, columns],
            frames_per_step=step,
            frames_per_sample=step,
        )
        scenes.append(_not_empty(walks, path))
    return scenes


def read_pets(folder: Path) -> Walks:
    """PETS 2009 S2.L1 from true boxes and the published calibration, at 10 frames per second.

    Raises:
        SourceError: if the boxes cannot be read.
        ContractError: if the calibration cannot.
    """
    boxes = folder / "gt_frames_1_400.txt"
    rows = _numbers(boxes, columns=10, delimiter=",")
    camera = load_camera(folder / "camera_view_001.xml")
    foot_px = np.column_stack([rows[:, 2] + rows[:, 4] / 2, rows[:, 3] + rows[:, 5]])
    spread_px2 = np.broadcast_to(PETS_FOOT_SD_PX**2 * np.eye(2), (len(rows), 2, 2))
    walks = cut_walks(
        "pets",
        frame=rows[:, 0].astype(np.int64),
        track_id=rows[:, 1].astype(np.int64),
        position_m=camera.ground_from_pixel(foot_px),
        covariance_m2=camera.ground_covariance(foot_px, spread_px2),
        frames_per_step=round(STEP_S * PETS_FRAMES_PER_S),
        frames_per_sample=1,
    )
    return _not_empty(walks, boxes)


def cut_walks(
    scene: str,
    *,
    frame: IntArray,
    track_id: IntArray,
    position_m: FloatArray,
    frames_per_step: int,
    frames_per_sample: int,
    covariance_m2: FloatArray | None = None,
) -> Walks:
    """All windows of a recording that have a whole past and a whole future.

    Args:
        scene: its name.
        frame: int64[r], frame number of each row, in any order; r > 0.
        track_id: int64[r].
        position_m: float64[r, 2].
        frames_per_step: frames in ``STEP_S``.
        frames_per_sample: distance of the samples of the past.
        covariance_m2: float64[r, 2, 2] or None.
    """
    past_frames = (PAST_SAMPLES - 1) * frames_per_step
    back = np.arange(-past_frames, 1, frames_per_sample)
    ahead = np.arange(1, FUTURE_SAMPLES + 1) * frames_per_step
    # Each (track, frame) as one number, so that a window is found by sorted search. The stride
    # leaves room, so that no window reaches from one track into the next.
    stride = int(np.ptp(frame)) + past_frames + int(ahead[-1]) + 1
    key = track_id * stride + (frame - frame.min())
    order = np.argsort(key, kind="stable")
    key = key[order]
    wanted = key[:, None] + np.concatenate([back, ahead])
    place = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    whole = (key[place] == wanted).all(axis=1)
    row = order[place[whole]]
    past, future = row[:, : len(back)], row[:, len(back) :]
    grid = position_m[future]
    at_1_s = (grid[:, 1:2] + grid[:, 2:3]) / 2
    truth = np.concatenate([grid[:, :2], at_1_s, grid[:, 2:]], axis=1)
    time_s = np.broadcast_to(back * (STEP_S / frames_per_step), past.shape)
    return Walks(
        scene=scene,
        history=TrackHistory(
            time_s=time_s,
            position_m=position_m[past],
            covariance_m2=None if covariance_m2 is None else covariance_m2[past],
        ),
        truth_m=truth,
        track_id=track_id[past[:, -1]],
    )


def _usual_step(frame: IntArray) -> int:
    """Commonest distance of neighbouring annotated frames; 1 where there is only one."""
    steps, count = np.unique(np.diff(np.unique(frame)), return_counts=True)
    return int(steps[np.argmax(count)]) if len(steps) else 1


def _not_empty(walks: Walks, path: Path) -> Walks:
    if not len(walks):
        samples = PAST_SAMPLES + FUTURE_SAMPLES
        raise SourceError(
            expected=f"somebody followed for {samples} samples, {STEP_S} s apart",
            got="nobody",
            where=str(path),
            action="give a longer recording",
        )
    return walks


def _numbers(path: Path, *, columns: int, delimiter: str | None = None) -> FloatArray:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = np.loadtxt(lines, delimiter=delimiter, ndmin=2) if lines else np.empty((0, 0))
    except (OSError, ValueError) as error:
        raise _unreadable(path, columns, " ".join(str(error).split())) from error
    if rows.shape[1] != columns or not 1 <= len(rows) <= MAX_ROWS or not np.isfinite(rows).all():
        is_finite = bool(np.isfinite(rows).all())
        raise _unreadable(
            path, columns, f"{len(rows)} rows of {rows.shape[1]}{'' if is_finite else ', NaN'}"
        )
    return np.asarray(rows, np.float64)


def _unreadable(path: Path, columns: int, got: str) -> SourceError:
    return SourceError(
        expected=f"1 to {MAX_ROWS} rows of {columns} finite numbers",
        got=got,
        where=str(path),
        action="point at the folder of the published recording",
    )

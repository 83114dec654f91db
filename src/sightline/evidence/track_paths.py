"""The way of a track before a decision: a small table in metres, with how sure it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline.assess.site.zones import Polygon
from sightline.evidence.words import number
from sightline.records import Tracks
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

PATH_S = 2.0
"""Of a track's last moments that are shown."""
MAX_FRAMES = 2048
"""Frames of one camera whose tracks are remembered; at the bound the oldest go. A track that was
lost longer ago has no path, and the account says so."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrackPath:
    """One track, k frames up to its last one at or before the decision.

    Attributes:
        camera: whose track it is.
        track_id: of the camera.
        class_name: what it was taken for.
        time_ns: int64[k], capture times, UTC ns, ascending; empty where it is not remembered.
        xy: float64[k, 2], on the ground in m; without geometry the middle of the box's lower edge,
            in px.
        unit: ``m`` or ``px``.
        deviation: float64[k], standard deviation of the position along its most uncertain
            direction, in m; NaN without geometry.
        speed_m_s: float64[k]; NaN without geometry.
        speed_deviation_m_s: float64[k], standard deviation along the velocity's most uncertain
            direction.
        unseen_s: float64[k], time since it was last detected; above 0 it was carried on.
        apart: float64[k], to the border of the zone (negative inside), or between the points of
            a person and a machine, in ``unit``; NaN where it is about neither.
        apart_from: what it is measured to; ``""`` for nothing.
    """

    camera: str
    track_id: int
    class_name: str
    time_ns: IntArray
    xy: FloatArray
    unit: str
    deviation: FloatArray
    speed_m_s: FloatArray
    speed_deviation_m_s: FloatArray
    unseen_s: FloatArray
    apart: FloatArray
    apart_from: str

    def __len__(self) -> int:
        return len(self.time_ns)

    def as_mapping(self, *, until_ns: int) -> dict[str, Any]:
        """JSON-ready; ``before_s`` counts back from ``until_ns``."""
        columns = (
            self.xy[:, 0],
            self.xy[:, 1],
            self.deviation,
            self.speed_m_s,
            self.speed_deviation_m_s,
            self.unseen_s,
            self.apart,
        )
        names = ("x", "y", "sd", "speed_m_s", "speed_sd_m_s", "unseen_s", "apart")
        return {
            "camera": self.camera,
            "track_id": self.track_id,
            "class": self.class_name,
            "unit": self.unit,
            "apart_from": self.apart_from,
            "rows": [
                {
                    "capture_ns": time_ns,
                    "before_s": (until_ns - time_ns) / NS_PER_S,
                    **{
                        name: number(float(column[row]))
                        for name, column in zip(names, columns, strict=True)
                    },
                }
                for row, time_ns in enumerate(self.time_ns.tolist())
            ],
        }


class TrackMemory:
    """Remembers the tracks of each camera's last frames."""

    def __init__(self) -> None:
        self._frames: dict[str, deque[Tracks]] = {}

    def see(self, tracks: Tracks) -> None:
        """The tracks of the next frame of their camera."""
        frames = self._frames.setdefault(tracks.stream, deque(maxlen=MAX_FRAMES))
        frames.append(tracks)

    def path(
        self,
        camera: str,
        track_id: int,
        *,
        zone: tuple[str, Polygon] | None = None,
        machine: int | None = None,
    ) -> TrackPath:
        """The last ``PATH_S`` seconds in which the track was known.

        Args:
            camera: of the site.
            track_id: of the camera.
            zone: name and area to whose border the distance is told.
            machine: track of the camera to which it is told, where there is no zone.
        """
        return _path(self._frames.get(camera, ()), camera, track_id, zone, machine)


def _path(
    frames: Iterable[Tracks],
    camera: str,
    track_id: int,
    zone: tuple[str, Polygon] | None,
    machine: int | None,
) -> TrackPath:
    rows = [
        (tracks, int(at[0]))
        for tracks in frames
        if len(at := np.flatnonzero(tracks.track_id == track_id))
    ]
    newest_ns = rows[-1][0].capture_ns if rows else 0
    rows = [one for one in rows if newest_ns - one[0].capture_ns <= PATH_S * NS_PER_S]
    ground = np.array([t.ground_m[r] for t, r in rows]).reshape(-1, 2)
    box = np.array([t.box_px[r] for t, r in rows]).reshape(-1, 4)
    is_metric = bool(np.isfinite(ground).all()) and len(rows) > 0
    foot = np.stack([(box[:, 0] + box[:, 2]) / 2, box[:, 3]], axis=1)
    covariance = np.array([t.ground_covariance[r] for t, r in rows]).reshape(-1, 4, 4)
    velocity = np.array([t.velocity_m_s[r] for t, r in rows]).reshape(-1, 2)
    xy = ground if is_metric else foot
    unit = "m" if is_metric else "px"
    apart, apart_from = np.full(len(rows), np.nan), ""
    if zone is not None and zone[1].unit == unit and rows:
        apart, apart_from = -zone[1].signed_distance(xy), zone[0]
    elif zone is None and machine is not None and is_metric:
        apart, apart_from = _between(rows, ground, machine), f"track {machine}"
    tracks, row = rows[-1] if rows else (None, 0)
    return TrackPath(
        camera=camera,
        track_id=track_id,
        class_name="" if tracks is None else tracks.class_names[int(tracks.class_id[row])],
        time_ns=np.array([t.capture_ns for t, _ in rows], np.int64),
        xy=xy,
        unit=unit,
        deviation=_widest(covariance[:, :2, :2]),
        speed_m_s=np.hypot(velocity[:, 0], velocity[:, 1]),
        speed_deviation_m_s=_widest(covariance[:, 2:, 2:]),
        unseen_s=np.array([float(t.unseen_s[r]) for t, r in rows]),
        apart=apart,
        apart_from=apart_from,
    )


def _between(rows: list[tuple[Tracks, int]], ground: FloatArray, machine: int) -> FloatArray:
    """float64[k]: from the track to the machine's in the same frame; NaN where it has none."""
    there = np.full((len(rows), 2), np.nan)
    for place, (tracks, _) in enumerate(rows):
        at = np.flatnonzero(tracks.track_id == machine)
        if len(at):
            there[place] = tracks.ground_m[at[0]]
    found: FloatArray = np.hypot(*(there - ground).T)
    return found


def _widest(covariance: FloatArray) -> FloatArray:
    """float64[k]: largest standard deviation of float64[k, 2, 2]; NaN where that is NaN."""
    found = np.full(len(covariance), np.nan)
    is_known = np.isfinite(covariance).all(axis=(1, 2))
    if is_known.any():
        largest = np.linalg.eigvalsh(covariance[is_known])[:, -1]
        found[is_known] = np.sqrt(np.maximum(largest, 0.0))
    return found

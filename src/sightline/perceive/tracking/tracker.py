"""The tracker of one stream: two verbs, ``update`` and ``reset``.

At each frame all tracks are predicted to its capture time and matched with its detections in three
rounds: confirmed tracks with sure detections, those left over with unsure ones (ByteTrack: Zhang et
al., ECCV 2022), and tracks that are not confirmed yet with what remains. What is matched is
filtered in; what is sure and left over begins a track.

A track that was lost is found again where it may have walked to in the meantime: its uncertainty
grows with time, and the log determinant in the cost keeps it from winning over one just seen. That
does what re-updating along a virtual path does in OC-SORT (Cao et al., CVPR 2023): the filter is
linear, so the gap is one prediction with its true ``dt``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.perceive.tracking import kalman
from sightline.perceive.tracking.assignment import assign_in_rounds
from sightline.perceive.tracking.motion_plane import (
    CameraGeometry,
    Sightings,
    predicted_boxes,
    sightings,
)
from sightline.perceive.tracking.settings import TrackerSettings
from sightline.perceive.tracking.track_table import TrackTable
from sightline.records import Detections, Tracks
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

NEVER_NS = -1
FORMAT = 1


class Tracker:
    """Follows the things of one stream.

    Ids count from 1 in this tracker and are never used again, not even after a reset.

    Args:
        stream: name of the stream; detections of another one are refused.
        camera: a camera model, so that things move in metres; None: in the image.
        settings: how.

    >>> tracker = Tracker("yard")
    >>> for i in range(3):
    ...     seen = Detections.of("yard", i * 10**8, box_px=[[10 + i, 20, 40 + i, 100]], score=[0.9])
    ...     tracks = tracker.update(seen)
    >>> tracks.track_id.tolist(), tracks.box_px.round().tolist()
    ([1], [[12.0, 20.0, 42.0, 100.0]])
    """

    def __init__(
        self,
        stream: str,
        camera: CameraGeometry | None = None,
        settings: TrackerSettings = TrackerSettings(),
    ) -> None:
        self.stream = stream
        self.settings = settings
        self._camera = camera
        self._tracks = TrackTable.empty()
        self._class_names: tuple[str, ...] = ()
        self._now_ns = NEVER_NS
        self._next_id = 1
        self.refused: Counter[str] = Counter()
        """Detections that were not used, by why: ``not_finite``, ``no_area``, ``off_plane``,
        ``too_many``."""

    def update(self, detections: Detections, *, shift: npt.ArrayLike = (0.0, 0.0)) -> Tracks:
        """Take the detections of the next frame; the tracks as they are then.

        Args:
            detections: of this stream, later than those before.
            shift: float64[2], how far everything on the plane was moved since the frame before, by
                a belt or by the camera's own motion: metres with a camera model, else pixels.

        Raises:
            UsageError: another stream, or a capture time not after the one before.
        """
        self._check(detections.stream, detections.capture_ns, is_update=True)
        self._class_names = detections.class_names
        seen = self._usable(detections)
        dt_s = self._advance(self._tracks, detections.capture_ns)
        self._tracks.state[:, :2] += np.asarray(shift, np.float64)
        self._tracks.size_variance += self.settings.size_drift**2 * dt_s
        points = sightings(seen.box_px, self._camera, self.settings)
        matched = self._match(seen, points)
        self._take(seen, points, matched)
        self._end_and_begin(seen, points, matched)
        return self._reported(self._tracks, detections.capture_ns)

    def predict_to(self, capture_ns: int) -> Tracks:
        """The tracks propagated to a time for which there are no detections; changes nothing.

        Raises:
            UsageError: a time before the last update.
        """
        self._check(self.stream, capture_ns, is_update=False)
        table = self._tracks.copied()
        self._advance(table, capture_ns, is_update=False)
        return self._reported(table, capture_ns)

    def reset(self) -> None:
        """Forget all tracks; ids go on."""
        self._tracks = TrackTable.empty()
        self._now_ns = NEVER_NS

    # --- matching -----------------------------------------------------------------------------

    def _match(self, seen: Detections, points: Sightings) -> IntArray:
        """int64[detections], the track of each detection, -1 for none."""
        if not len(self._tracks) or not len(seen):
            return np.full(len(seen), -1, np.int64)
        found: IntArray = assign_in_rounds(
            self._costs(seen, points),
            self._tracks.track_id > 0,
            seen.score >= self.settings.high_score,
        )
        return found

    def _costs(self, seen: Detections, points: Sightings) -> FloatArray:
        settings, table = self.settings, self._tracks
        cost: FloatArray = kalman.costs(
            table.state,
            table.covariance,
            table.log_size,
            table.size_variance,
            predicted_boxes(table.state[:, :2], table.log_size, self._camera),
            points.position,
            points.covariance,
            points.log_size,
            seen.box_px,
            settings.size_sd,
            settings.gate,
            settings.size_gate,
            settings.overlap_weight,
        )
        if len(seen.class_names) > 1:
            cost[table.class_id[:, None] != seen.class_id[None]] = np.inf
        return cost

    def _take(self, seen: Detections, points: Sightings, matched: IntArray) -> None:
        """Filter the matched detections in."""
        columns = np.flatnonzero(matched >= 0)
        if not len(columns):
            return
        table, rows = self._tracks, matched[columns]
        kalman.take_in_place(
            table.state,
            table.covariance,
            table.log_size,
            table.size_variance,
            points.position,
            points.covariance,
            points.log_size,
            matched,
            self.settings.size_sd,
        )
        table.hits[rows] += 1
        table.score[rows] = seen.score[columns]
        table.seen_ns[rows] = self._now_ns
        newly = rows[(table.hits[rows] >= self.settings.confirm_hits) & (table.track_id[rows] == 0)]
        newly = np.sort(newly)
        table.track_id[newly] = np.arange(self._next_id, self._next_id + len(newly))
        self._next_id += len(newly)

    def _end_and_begin(self, seen: Detections, points: Sightings, matched: IntArray) -> None:
        settings, table = self.settings, self._tracks
        unseen_s = (self._now_ns - table.seen_ns) / NS_PER_S
        lives = np.where(table.track_id > 0, unseen_s <= settings.max_unseen_s, unseen_s <= 0)
        table = self._tracks = table.kept(lives)
        new = np.flatnonzero((matched < 0) & (seen.score >= settings.new_score))
        room = max(settings.max_tracks - len(table), 0)
        if len(new) > room:
            self.refused["too_many"] += len(new) - room
            new = new[:room]
        if not len(new):
            return
        n = len(new)
        covariance = np.zeros((n, 4, 4))
        covariance[:, :2, :2] = points.covariance[new]
        speed = settings.start_speed_m_s * points.unit_per_m[new]
        covariance[:, 2, 2] = covariance[:, 3, 3] = speed**2
        is_confirmed = settings.confirm_hits <= 1
        ids = np.arange(self._next_id, self._next_id + n) if is_confirmed else np.zeros(n, np.int64)
        self._next_id += n if is_confirmed else 0
        self._tracks = table.joined(
            TrackTable(
                state=np.concatenate([points.position[new], np.zeros((n, 2))], axis=1),
                covariance=covariance,
                log_size=points.log_size[new],
                size_variance=np.full((n, 2), settings.size_sd**2),
                track_id=ids,
                class_id=seen.class_id[new].astype(np.int64),
                hits=np.ones(n, np.int64),
                score=seen.score[new],
                seen_ns=np.full(n, self._now_ns),
                began_ns=np.full(n, self._now_ns),
            )
        )

    # --- time, input, output ------------------------------------------------------------------

    def _advance(self, table: TrackTable, capture_ns: int, *, is_update: bool = True) -> float:
        """Predict ``table`` to ``capture_ns``; the elapsed seconds."""
        dt_s = 0.0 if self._now_ns == NEVER_NS else (capture_ns - self._now_ns) / NS_PER_S
        if is_update:
            self._now_ns = capture_ns
        if len(table) and dt_s > 0:
            unit_per_m = np.ones(len(table))
            if self._camera is None:
                unit_per_m = np.exp(table.log_size[:, 1]) / self.settings.assumed_height_m
            kalman.predict_in_place(
                table.state, table.covariance, self.settings.acceleration_m_s2 * unit_per_m, dt_s
            )
        return dt_s

    def _check(self, stream: str, capture_ns: int, *, is_update: bool) -> None:
        first = self._now_ns + 1 if is_update else self._now_ns
        if stream != self.stream or capture_ns < max(first, 0):
            raise UsageError(
                expected=f"stream {self.stream} at {max(first, 0)} or later",
                got=f"stream {stream} at {capture_ns}",
                where="tracker",
                action="give frames of one stream in order of capture, each once",
            )

    def _usable(self, seen: Detections) -> Detections:
        """Detections that can be tracked; the others are counted."""
        is_finite = np.isfinite(seen.box_px).all(axis=1) & np.isfinite(seen.score)
        has_area = (seen.box_px[:, 2] > seen.box_px[:, 0]) & (seen.box_px[:, 3] > seen.box_px[:, 1])
        counted = is_finite & has_area & (seen.score >= self.settings.low_score)
        self._refuse("not_finite", ~is_finite)
        self._refuse("no_area", is_finite & ~has_area)
        usable = seen if counted.all() else seen.only(counted)
        if self._camera is not None and len(usable):
            on_plane = sightings(usable.box_px, self._camera, self.settings).is_on_plane
            self._refuse("off_plane", ~on_plane)
            usable = usable if on_plane.all() else usable.only(on_plane)
        return usable

    def _refuse(self, why: str, which: npt.NDArray[np.bool_]) -> None:
        if which.any():
            self.refused[why] += int(which.sum())

    def _reported(self, table: TrackTable, capture_ns: int) -> Tracks:
        unseen_s = (capture_ns - table.seen_ns) / NS_PER_S
        box_px = predicted_boxes(table.state[:, :2], table.log_size, self._camera)
        # Rounding: a frame at 10 Hz later is not more than 0.1 s later.
        shown = (table.track_id > 0) & (unseen_s <= self.settings.report_unseen_s + 1e-6)
        if capture_ns > self._now_ns:  # propagated: whatever was shown last is shown again
            shown = (table.track_id > 0) & (
                (self._now_ns - table.seen_ns) / NS_PER_S <= self.settings.report_unseen_s + 1e-6
            )
        shown &= np.isfinite(box_px).all(axis=1)
        at = np.flatnonzero(shown)
        at = at[np.argsort(table.track_id[at])]
        n = len(at)
        on_ground = self._camera is not None
        return Tracks(
            stream=self.stream,
            capture_ns=capture_ns,
            track_id=table.track_id[at],
            box_px=box_px[at],
            score=table.score[at],
            class_id=table.class_id[at].astype(np.int32),
            class_names=self._class_names,
            unseen_s=unseen_s[at],
            age_s=(capture_ns - table.began_ns[at]) / NS_PER_S,
            ground_m=table.state[at, :2] if on_ground else np.full((n, 2), np.nan),
            velocity_m_s=table.state[at, 2:] if on_ground else np.full((n, 2), np.nan),
            ground_covariance=table.covariance[at] if on_ground else np.full((n, 4, 4), np.nan),
        )

    # --- checkpoint ---------------------------------------------------------------------------

    def snapshot(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """The whole state: JSON-ready values, and arrays by name."""
        plain = {
            "format": FORMAT,
            "now_ns": self._now_ns,
            "next_id": self._next_id,
            "class_names": list(self._class_names),
            "refused": dict(self.refused),
        }
        return plain, self._tracks.copied().arrays()

    def restore(self, plain: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Inverse of :meth:`snapshot`.

        Raises:
            UsageError: a state of another format.
        """
        if plain["format"] != FORMAT:
            raise UsageError(
                expected=f"tracker state of format {FORMAT}",
                got=str(plain["format"]),
                where="tracker",
                action="restore with the version that made it",
            )
        self._now_ns = int(plain["now_ns"])
        self._next_id = int(plain["next_id"])
        self._class_names = tuple(plain["class_names"])
        self.refused = Counter(plain["refused"])
        self._tracks = TrackTable.from_arrays(arrays)

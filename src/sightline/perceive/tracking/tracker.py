"""The tracker of one stream: two verbs, ``update`` and ``reset``.

At each frame all tracks are predicted to its capture time and matched with its detections:
confirmed tracks with sure detections, those left over with unsure ones (ByteTrack: Zhang et al.,
ECCV 2022), and tracks that are not confirmed yet with what remains. What is matched is filtered in;
what is left over begins a track. No detection is too weak for that: which ones count is said where
they are made. A track is confirmed, and reported, by the evidence of all its detections, so that
weak ones need more frames and flickering ones too.

How fast something new moves, nothing says until it is seen again. So what is left over may also be
the next sighting of something that was seen once before and of which nothing was found where a
walker could be: each such *leap* is followed beside the beginning, with the speed that its two
sightings show, and the third sighting tells which of them holds. That is why a car needs no setting
of its own, whatever its speed and the frame rate. A second sighting that is hardly a walker's is
followed both ways too: as the noise of one who walks, and as something faster.

A track that was lost is found again where it may have walked to in the meantime: its uncertainty
grows with time, and the log determinant in the cost keeps it from winning over one just seen. That
does what re-updating along a virtual path does in OC-SORT (Cao et al., CVPR 2023): the filter is
linear, so the gap is one prediction with its true ``dt``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.perceive.compiled import warm
from sightline.perceive.tracking.assignment import assign_in_rounds
from sightline.perceive.tracking.kalman import (
    hardly_walkers,
    possible_pairs,
    predict_in_place,
    take_in_place,
)
from sightline.perceive.tracking.motion_plane import (
    CameraGeometry,
    CameraMotion,
    Sightings,
    boxes_on_plane,
    common_shift,
    sightings,
)
from sightline.perceive.tracking.settings import TrackerSettings
from sightline.perceive.tracking.track_table import (
    TrackTable,
    carried_over,
    confirm_in_place,
    ended_and_begun,
    leaps,
    only_one_holds,
    reported,
)
from sightline.records import Detections, Tracks, Unconfirmed
from sightline.records.detections import BoolArray
from sightline.records.signals import NS_PER_S
from sightline.records.windows import IntArray

NEVER_NS = -1
FORMAT = 4
_COMPILED = tuple(
    loop.__module__ for loop in (assign_in_rounds, possible_pairs, common_shift, carried_over)
)
_NONE: IntArray = np.empty(0, np.int64)
_ROUNDING_S = 1e-6
"""A frame at 10 Hz later is not more than 0.1 s later."""


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
        warm(*_COMPILED)
        self.stream = stream
        self.settings = settings
        self._camera = camera
        self._height_of_a_box_m = settings.assumed_height_m if camera is None else 0.0
        """0: the plane is in metres, whatever the height of boxes."""
        self._new_cost = settings.new_cost
        self._tracks = TrackTable.empty()
        self._class_names: tuple[str, ...] = ()
        self._motion = CameraMotion.none()
        self._now_ns = NEVER_NS
        self._next_id = 1
        self._placed = (_NONE, _NONE, _NONE)  # of the last frame: matched, kept, begun
        self.refused: Counter[str] = Counter()
        """Detections that cannot be tracked, by why: ``not_finite``, ``no_area``, ``off_plane``,
        ``too_many`` (at the bound of tracks, so that none began with it)."""
        self._usable = self._followed = 0  # detections: that can be tracked, that are in a track

    def update(self, detections: Detections, *, shift: npt.ArrayLike | None = None) -> Tracks:
        """Take the detections of the next frame; the tracks as they are then.

        Args:
            detections: of this stream, later than those before.
            shift: float64[2], how far everything on the plane was moved since the frame before, by
                a belt or by the camera's own motion: metres with a camera model, else pixels;
                None: not at all.

        Raises:
            UsageError: another stream, or a capture time not after the one before.
        """
        self._check(detections.stream, detections.capture_ns, is_update=True)
        self._class_names = detections.class_names
        seen = sightings(detections, self._camera, self.settings)
        self._refuse(seen.refused)
        self._usable += len(seen)
        dt_s = self._advance(self._tracks, detections.capture_ns)
        self._now_ns = detections.capture_ns
        if shift is not None:
            self._tracks.state[:, :2] += np.asarray(shift, np.float64)
        table = self._tracks
        matched, is_out, followed = only_one_holds(
            table.track_id,
            table.seen_ns,
            table.sighting,
            self._match_from_moving_camera(seen, dt_s),
        )
        self._followed += followed
        faster = self._faster(seen, matched)
        self._take(self._tracks, seen, matched, walks_within=math.inf)
        self._end_and_begin(seen, matched, is_out)
        if faster is not None:
            room = self.settings.max_tracks - len(self._tracks)
            self._tracks = self._tracks.joined(faster.only(np.arange(min(len(faster), room))))
        return self._reported(self._tracks, detections.capture_ns)

    def predict_to(self, capture_ns: int) -> Tracks:
        """The tracks propagated to a time for which there are no detections; changes nothing.

        Raises:
            UsageError: a time before the last update.
        """
        self._check(self.stream, capture_ns, is_update=False)
        table = self._tracks.copied()
        self._advance(table, capture_ns)
        return self._reported(table, capture_ns)

    @property
    def sighting_ids(self) -> IntArray:
        """int64[n]: the track of each detection of the last update that counted, in its order;
        -1 for one that is no confirmed track yet.
        """
        matched, kept, begun = self._placed
        row_of = np.full(int(kept.max(initial=-1)) + 1, -1, np.int64)
        row_of[kept] = np.arange(len(kept))
        row = np.full(len(matched), -1, np.int64)
        is_old = matched >= 0
        row[is_old] = row_of[matched[is_old]]
        row[begun] = len(kept) + np.arange(len(begun))
        ids = np.append(self._tracks.track_id, 0)[row]
        found: IntArray = np.where(ids > 0, ids, -1)
        return found

    @property
    def unconfirmed(self) -> Unconfirmed:
        """What is no track yet, as of the last update."""
        table, has_ground = self._tracks, self._camera is not None
        rows = np.flatnonzero(table.track_id == 0)
        if not len(rows):
            return Unconfirmed.none()
        frame = np.unique(table.seen_ns[rows], return_inverse=True)[1]
        place = frame * (table.sighting[rows].max() + 1) + table.sighting[rows]
        _, one = np.unique(place, return_inverse=True)
        least = np.full(len(rows), np.iinfo(np.int64).max)
        np.minimum.at(least, one, table.hits[rows])
        n, state, log_size = len(rows), table.state[rows], table.log_size[rows]
        return Unconfirmed(
            seen_ns=table.seen_ns[rows],
            sightings=least[one],
            box_px=boxes_on_plane(state, log_size, self._camera),
            class_id=table.class_id[rows].astype(np.int32),
            class_names=self._class_names,
            evidence=table.evidence[rows] / self.settings.confirm_evidence,
            ground_m=state[:, :2] if has_ground else np.full((n, 2), np.nan),
            ground_covariance=(
                table.covariance[rows, :2, :2] if has_ground else np.full((n, 2, 2), np.nan)
            ),
        )

    @property
    def held(self) -> int:
        """Tracks that may still be continued, those that are not confirmed among them."""
        return len(self._tracks)

    @property
    def left_aside(self) -> dict[str, int]:
        """Detections that are in no track so far, by why.

        What is ``refused``, and ``no_track``: seen too seldom, for how sure they were, to begin
        one. Those of a track that begins count there until it is confirmed.
        """
        in_none = self._usable - self._followed - self.refused["too_many"]
        return {**self.refused, **({"no_track": in_none} if in_none > 0 else {})}

    def reset(self) -> None:
        """Forget all tracks; ids go on."""
        self._tracks = TrackTable.empty()
        self._motion = CameraMotion.none()
        self._now_ns = NEVER_NS

    # --- one frame ----------------------------------------------------------------------------

    def _advance(self, table: TrackTable, capture_ns: int) -> float:
        """Predict ``table`` to ``capture_ns``; the seconds from the last update until then."""
        if self._now_ns == NEVER_NS:
            return 0.0
        dt_s = (capture_ns - self._now_ns) / NS_PER_S
        if len(table):
            predict_in_place(
                table.state,
                table.covariance,
                table.log_size,
                table.size_variance,
                dt_s,
                self.settings.acceleration_m_s2,
                self.settings.acceleration_share,
                self._height_of_a_box_m,
                self.settings.size_drift,
            )
        return dt_s

    def _match_from_moving_camera(self, seen: Sightings, dt_s: float) -> IntArray:
        """:meth:`_match`, and the camera's own motion taken out first if it moves."""
        table, motion, memory_s = self._tracks, self._motion, self.settings.camera_memory_s
        if self._camera is not None or memory_s <= 0:
            return self._match(seen)
        was_moving = motion.is_moving
        matched = self._match(seen.with_noise(np.diag(motion.variance_px2)) if was_moving else seen)
        (dx, dy), (noise_x, noise_y) = common_shift(
            table.state,
            table.covariance,
            table.track_id,
            table.seen_ns,
            self._now_ns,
            seen.position,
            seen.covariance,
            matched,
        ).tolist()
        if not math.isfinite(dx):
            return matched
        motion.learn((dx, dy), (noise_x, noise_y), dt_s=dt_s, memory_s=memory_s)
        if not (was_moving or motion.is_moving):
            return matched
        table.state[:, :2] += (motion.share[0] * dx, motion.share[1] * dy)
        return self._match(seen)

    def _match(self, seen: Sightings) -> IntArray:
        """int64[sightings], the track of each, -1 for none."""
        if not len(self._tracks) or not len(seen):
            return np.full(len(seen), -1, np.int64)
        settings, table = self.settings, self._tracks
        track, sighting, cost = possible_pairs(
            table.state,
            table.covariance,
            table.log_size,
            table.size_variance,
            boxes_on_plane(table.state, table.log_size, self._camera),
            table.class_id,
            seen.position,
            seen.covariance,
            seen.log_size,
            seen.box_px,
            seen.class_id,
            len(self._class_names) > 1,
            settings.size_sd,
            settings.gate,
            self._new_cost,
            settings.size_gate,
            settings.overlap_weight,
        )
        return assign_in_rounds(
            track, sighting, cost, table.track_id, seen.score, settings.high_score
        )

    def _faster(self, seen: Sightings, matched: IntArray) -> TrackTable | None:
        """What is seen for the second time, hardly as a walker, taken to be faster; None: nothing.

        Of these and the walkers that they may be, one will hold.
        """
        table = self._tracks
        unsure = hardly_walkers(
            table.track_id,
            table.hits,
            table.state,
            table.covariance,
            seen.position,
            seen.covariance,
            matched,
        )
        if not len(unsure):
            return None
        found = table.only(matched[unsure])
        taken = np.full(len(matched), -1, np.int64)
        taken[unsure] = np.arange(len(found))
        self._take(found, seen, taken, walks_within=0.0)
        return found

    def _take(
        self, table: TrackTable, seen: Sightings, matched: IntArray, *, walks_within: float
    ) -> None:
        """Filter the matched sightings in."""
        settings = self.settings
        take_in_place(
            table.state,
            table.covariance,
            table.log_size,
            table.size_variance,
            table.hits,
            table.evidence,
            table.score,
            table.seen_ns,
            table.sighting,
            seen.position,
            seen.covariance,
            seen.log_size,
            seen.evidence,
            seen.score,
            matched,
            settings.size_sd,
            settings.start_speed_m_s,
            self._height_of_a_box_m,
            walks_within,
            self._now_ns,
        )

    def _end_and_begin(self, seen: Sightings, matched: IntArray, is_out: BoolArray) -> None:
        """Drop what was not seen for too long, begin with what is left over, give ids."""
        settings, table = self.settings, self._tracks
        kept, begun, once, too_many = ended_and_begun(
            table.track_id,
            table.hits,
            table.evidence,
            table.score,
            table.seen_ns,
            is_out,
            self._now_ns,
            settings.max_unseen_s,
            settings.miss_share,
            settings.kept_share,
            settings.fade_share,
            settings.sure_score,
            *settings.weak_evidence,
            matched,
            settings.max_tracks,
        )
        self._refuse({"too_many": too_many})
        self._placed = (matched, kept, begun)
        leapt, landed = self._leaps(
            seen, once, begun, room=settings.max_tracks - len(kept) - len(begun)
        )
        if len(kept) < len(table) or len(begun):
            table = self._tracks = TrackTable(
                *carried_over(
                    *table.columns(),
                    seen.position,
                    seen.covariance,
                    seen.log_size,
                    seen.class_id,
                    seen.evidence,
                    seen.score,
                    kept,
                    begun,
                    leapt,
                    landed,
                    settings.sure_score,
                    *settings.weak_evidence,
                    settings.size_sd,
                    settings.start_speed_m_s,
                    self._height_of_a_box_m,
                    self._now_ns,
                )
            )
        self._next_id, detections = confirm_in_place(
            table.track_id, table.evidence, table.hits, settings.confirm_evidence, self._next_id
        )
        self._followed += detections

    def _leaps(
        self, seen: Sightings, once: IntArray, begun: IntArray, *, room: int
    ) -> tuple[IntArray, IntArray]:
        """Pairs of a track that was seen ``once`` and a sighting that begins one, at most ``room``:
        they may be one thing.
        """
        settings, table = self.settings, self._tracks
        if not len(once) or not len(begun):
            return _NONE, _NONE
        leapt, landed = leaps(
            once,
            begun,
            table.state,
            table.log_size,
            table.size_variance,
            table.class_id,
            seen.position,
            seen.log_size,
            seen.class_id,
            len(self._class_names) > 1,
            settings.size_sd,
            settings.size_gate,
            settings.most_leaps,
        )
        return leapt[:room], landed[:room]

    def _reported(self, table: TrackTable, capture_ns: int) -> Tracks:
        ids, box_px, score, class_id, unseen_s, age_s, ground_m, velocity_m_s, covariance, first = (
            reported(
                table.track_id,
                boxes_on_plane(table.state, table.log_size, self._camera),
                table.score,
                table.class_id,
                table.seen_ns,
                table.began_ns,
                table.state,
                table.covariance,
                table.first,
                capture_ns,
                self._now_ns,
                self.settings.report_unseen_s + _ROUNDING_S,
                self._camera is not None,
            )
        )
        has_ground = self._camera is not None
        return Tracks(
            stream=self.stream,
            capture_ns=capture_ns,
            track_id=ids,
            box_px=box_px,
            score=score,
            class_id=class_id,
            class_names=self._class_names,
            unseen_s=unseen_s,
            age_s=age_s,
            ground_m=ground_m,
            velocity_m_s=velocity_m_s,
            ground_covariance=covariance,
            first_foot_px=first if self._camera is None else self._camera.pixel_from_ground(first),
            first_ground_m=first if has_ground else np.full(first.shape, np.nan),
        )

    # --- input --------------------------------------------------------------------------------

    def _check(self, stream: str, capture_ns: int, *, is_update: bool) -> None:
        first = self._now_ns + 1 if is_update else self._now_ns
        if stream != self.stream or capture_ns < max(first, 0):
            raise UsageError(
                expected=f"stream {self.stream} at {max(first, 0)} or later",
                got=f"stream {stream} at {capture_ns}",
                where="tracker",
                action="give frames of one stream in order of capture, each once",
            )

    def _refuse(self, counts: Mapping[str, int]) -> None:
        for why, count in counts.items():
            if count:
                self.refused[why] += count

    # --- checkpoint ---------------------------------------------------------------------------

    def snapshot(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """The whole state: JSON-ready values, and arrays by name."""
        plain = {
            "format": FORMAT,
            "now_ns": self._now_ns,
            "next_id": self._next_id,
            "camera_variance_px2": list(self._motion.variance_px2),
            "camera_share": list(self._motion.share),
            "class_names": list(self._class_names),
            "refused": dict(self.refused),
            "usable": self._usable,
            "followed": self._followed,
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
        self._motion = CameraMotion(
            variance_px2=tuple(plain["camera_variance_px2"]),
            share=tuple(plain["camera_share"]),
        )
        self.refused = Counter(plain["refused"])
        self._usable, self._followed = int(plain["usable"]), int(plain["followed"])
        self._tracks = TrackTable.from_arrays(arrays)

"""``track``: detections of one camera into tracks, in metres where its geometry is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from sightline.assess.site import from_snapshot, snapshot
from sightline.perceive.tracking import Tracker, TrackerSettings
from sightline.recorder.checkpoint import StateParts
from sightline.records import Detections, Tracks, Unconfirmed
from sightline.records.decision import Mode
from sightline.records.detections import Doubt, DoubtCode
from sightline.runtime.item_stage import ItemPlan, ItemPlanning, ItemStage, ItemState, Turn
from sightline.runtime.settings import ItemSettings
from sightline.runtime.stages.detect import Looked, detections_of


class TrackSettings(ItemSettings):
    """Follows things from frame to frame: detections of one camera into tracks."""

    carried_on_s: Annotated[float, Field(ge=0)] | None = None
    """For how long a track that is not seen is still reported, in seconds; null: the tracker's
    own. For a machine that moves it should be as long as it may go without sight."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sight:
    """What is known of a camera's tracks after a frame.

    Attributes:
        tracks: at the frame.
        mode: primary, or fallback where the detector did not answer itself.
        sighted_ns: capture time of the newest frame in which a detector could look and has, UTC ns;
            None before the first. Tracks that are only carried on are no sight, and neither are
            pictures that may show nothing (black, covered, clipped, standing still).
        unconfirmed: what is no track yet, as of the newest answer.
        doubt: what the detector doubts about its answer, where nothing has settled it yet.
    """

    tracks: Tracks
    mode: Mode
    sighted_ns: int | None
    unconfirmed: Unconfirmed
    doubt: Doubt | None = None


class TrackStage(ItemStage):
    """Follows things from frame to frame: detections of one camera into tracks."""

    use = "track"
    Settings = TrackSettings
    reads = ("detections",)
    writes = "tracks"
    measures = {"tracks": "1", "unseen": "1"}
    version = 6  # a third sighting tells walkers from what is faster, however far apart two were

    def plan(self, planning: ItemPlanning) -> None:
        if len(planning.cameras) != 1:
            planning.fail("one camera: identities belong to one", ", ".join(planning.cameras))

    def begin(self, plan: ItemPlan) -> TrackState:
        return TrackState(self, plan)


class TrackState(ItemState):
    """The tracker of one camera. ``value`` is its :class:`Sight`."""

    value: Sight | None = None

    def __init__(self, stage: TrackStage, plan: ItemPlan) -> None:
        (self._input,) = stage.settings.inputs
        ((camera, placed),) = plan.cameras.items()
        carried_on_s = stage.settings.carried_on_s
        settings = TrackerSettings()
        if carried_on_s is not None:
            settings = TrackerSettings(report_unseen_s=carried_on_s)
        self._camera = camera
        self._tracker = Tracker(camera, placed.geometry, settings)
        self._class_names: tuple[str, ...] = ()
        self._sighted_ns: int | None = None
        self._left_by_detector: Counter[str] = Counter()

    @property
    def left_aside(self) -> Mapping[str, int]:
        """Boxes that the detector did not report, and those that are in no track."""
        return {**self._left_by_detector, **self._tracker.left_aside}

    def on_item(self, turn: Turn) -> None:
        """Follow what was detected, or carry the tracks on where nobody has answered."""
        header = turn.header
        assert header is not None
        found, mode = detections_of(turn, self._input)
        is_full = False
        if found is None and not self._class_names:
            tracks = Tracks.none(self._camera, header.capture_ns)
        elif found is None:
            tracks = self._tracker.predict_to(header.capture_ns)
        else:
            self._left_by_detector.update(found.left_aside)
            before = self._tracker.refused["too_many"]
            tracks = self._tracker.update(self._in_one_vocabulary(found))
            if not header.is_doubtful:
                self._sighted_ns = header.capture_ns
            is_full = self._tracker.refused["too_many"] > before
        looked = turn.value(self._input)
        doubt = looked.doubt if isinstance(looked, Looked) else None
        if is_full and doubt is None:
            doubt = Doubt(code=DoubtCode.AT_BOUND, since_ns=header.capture_ns)
        unconfirmed = self._tracker.unconfirmed
        self.value = Sight(
            tracks=tracks,
            mode=mode,
            sighted_ns=self._sighted_ns,
            unconfirmed=unconfirmed,
            doubt=doubt,
        )
        turn.wrote(tracks_digest(tracks), unconfirmed.box_px.tobytes())
        turn.measure({"tracks": len(tracks), "unseen": int((tracks.unseen_s > 0).sum())})

    def _in_one_vocabulary(self, found: Detections) -> Detections:
        """The same with class ids that mean the same whichever detector answers."""
        new = tuple(name for name in found.class_names if name not in self._class_names)
        self._class_names += new
        if found.class_names == self._class_names:
            return found
        places = [self._class_names.index(name) for name in found.class_names]
        return replace(
            found,
            class_names=self._class_names,
            class_id=np.array(places, np.int32)[found.class_id],
        )

    def snapshot(self) -> StateParts:
        plain, arrays = self._tracker.snapshot()
        sight = self.value
        meta = {
            "tracker": plain,
            "class_names": list(self._class_names),
            "sighted_ns": self._sighted_ns,
            "left_by_detector": dict(self._left_by_detector),
            "tracks": None if sight is None else tracks_mapping(sight.tracks),
            "mode": None if sight is None else str(sight.mode),
            "doubt": None if sight is None else doubt_mapping(sight.doubt),
        }
        return StateParts(meta=meta, arrays=dict(arrays))

    def restore(self, parts: StateParts) -> None:
        self._tracker.restore(parts.meta["tracker"], parts.arrays)
        self._class_names = tuple(parts.meta["class_names"])
        self._sighted_ns = parts.meta["sighted_ns"]
        self._left_by_detector = Counter(parts.meta["left_by_detector"])
        plain = parts.meta["tracks"]
        self.value = None
        if plain is not None:
            self.value = Sight(
                tracks=tracks_from_mapping(plain),
                mode=Mode(parts.meta["mode"]),
                sighted_ns=self._sighted_ns,
                unconfirmed=self._tracker.unconfirmed,
                doubt=doubt_from_mapping(parts.meta["doubt"]),
            )


def doubt_mapping(doubt: Doubt | None) -> dict[str, Any] | None:
    """JSON-ready."""
    return None if doubt is None else {"code": str(doubt.code), "since_ns": doubt.since_ns}


def doubt_from_mapping(plain: Mapping[str, Any] | None) -> Doubt | None:
    """Inverse of :func:`doubt_mapping`."""
    if plain is None:
        return None
    return Doubt(code=DoubtCode(plain["code"]), since_ns=plain["since_ns"])


def tracks_mapping(tracks: Tracks) -> dict[str, Any]:
    """JSON-ready."""
    plain = snapshot(tracks)
    plain["class_names"] = list(tracks.class_names)
    return plain


def tracks_from_mapping(plain: Mapping[str, Any]) -> Tracks:
    """Inverse of :func:`tracks_mapping`."""
    values = dict(plain)
    values["class_names"] = tuple(values["class_names"])
    return from_snapshot(Tracks, values)


def tracks_digest(tracks: Tracks) -> bytes:
    """The bytes of all arrays, in a fixed order: equal tracks, equal bytes."""
    return b"".join(
        np.ascontiguousarray(array).tobytes()
        for array in (
            tracks.track_id,
            tracks.box_px,
            tracks.score,
            tracks.class_id,
            tracks.unseen_s,
            tracks.ground_m,
            tracks.velocity_m_s,
            tracks.first_foot_px,
            tracks.first_ground_m,
        )
    )

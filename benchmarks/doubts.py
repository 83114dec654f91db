"""How often what is no track would make machines slow, where detections were recorded.

The picture is cut into forbidden zones. What is told of them is what a run tells of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline.assess.site import RiskCode
from sightline.assess.site.zones import Polygon, SiteZone, ZoneState, watch_zones, zone_risk
from sightline.perceive.tracking import Tracker
from sightline.records import Detections
from sightline.records.detections import BoolArray
from sightline.records.signals import NS_PER_S
from sightline.sense.frames.mot_files import read_detections

ACROSS, DOWN = 4, 3
LOST_TIMEOUT_S = 3.0
"""How long who was lost in a zone holds it: for ever, the first who vanishes would hold it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """What became of doubts in zones where nothing else asked for a STOP.

    Attributes:
        frames: of the recording.
        free_minutes: time without such a reason, of all zones together.
        doubts: how often a doubt began in that time.
        stopped: how many of them gave way to a STOP.
        share: of the free time in which one stood.
    """

    frames: int
    free_minutes: float
    doubts: int
    stopped: int
    share: float

    @property
    def needless_per_minute(self) -> float:
        """Doubts that no STOP followed, in a minute of one zone."""
        return (self.doubts - self.stopped) / self.free_minutes if self.free_minutes else 0.0


def count_doubts(
    file: Path, *, rate_hz: float, picture_px: tuple[int, int], min_score: float
) -> Doubts:
    """Follow the detections of a file in MOTChallenge form through ``ACROSS`` x ``DOWN`` zones.

    Args:
        file: detections.
        rate_hz: frames per second.
        picture_px: width and height of the pictures.
        min_score: least score of a detection that counts.
    """
    table = read_detections(file).table
    zones = _zones(picture_px)
    tracker, state = Tracker("recording"), ZoneState.start(len(zones))
    frames = int(table.frame.max(initial=0))
    doubts = np.zeros((frames, len(zones)), np.bool_)
    stops = doubts.copy()
    for frame in range(1, frames + 1):
        rows = (table.frame == frame) & (table.score >= min_score)
        at_ns = round(frame / rate_hz * NS_PER_S)
        seen = Detections.of("recording", at_ns, box_px=table.box_px[rows], score=table.score[rows])
        tracks = tracker.update(seen)
        state, presence = watch_zones(zones, state, tracks, picture_px=picture_px)
        risk = zone_risk(zones, presence, tracks, tracker.unconfirmed)
        is_doubt = risk.has(RiskCode.UNCONFIRMED_IN_ZONE)
        doubts[frame - 1, risk.zone[is_doubt]] = True
        stops[frame - 1, risk.zone[~is_doubt]] = True
    return _counted(doubts, stops, rate_hz=rate_hz)


def _zones(picture_px: tuple[int, int]) -> list[SiteZone]:
    width, height = picture_px[0] / ACROSS, picture_px[1] / DOWN
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)])
    return [
        SiteZone(
            name=f"{row}-{column}",
            polygon=Polygon.of(corners + np.array((column * width, row * height)), unit="px"),
            is_forbidden=True,
            margin=0.02 * picture_px[1],
            lost_timeout_s=LOST_TIMEOUT_S,
        )
        for row in range(DOWN)
        for column in range(ACROSS)
    ]


def _counted(doubts: BoolArray, stops: BoolArray, *, rate_hz: float) -> Doubts:
    """Counts of bool[frames, zones] each."""
    is_alone, none = doubts & ~stops, np.zeros((1, doubts.shape[1]), np.bool_)
    begins = is_alone & ~np.concatenate([none, is_alone[:-1]])
    ends = is_alone & ~np.concatenate([is_alone[1:], none])
    follows = np.concatenate([stops[1:], none])
    free = int((~stops).sum())
    return Doubts(
        frames=len(doubts),
        free_minutes=free / rate_hz / 60,
        doubts=int(begins.sum()),
        stopped=int((ends & follows).sum()),
        share=float(is_alone.sum() / free) if free else 0.0,
    )


def doubt_line(found: Doubts) -> str:
    """The counts, for people.

    >>> doubt_line(Doubts(frames=10, free_minutes=2.0, doubts=3, stopped=2, share=0.01))[:50]
    '10 frames, 2.0 free minutes of a zone: 3 doubts, 2'
    """
    return (
        f"{found.frames} frames, {found.free_minutes:.1f} free minutes of a zone: "
        f"{found.doubts} doubts, {found.stopped} gave way to a STOP, "
        f"{found.needless_per_minute:.1f} needless a minute, {found.share:.1%} of the time"
    )

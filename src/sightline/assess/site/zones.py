"""Zones of a site: what is allowed where, who is inside since when, and what is wrong with that.

A zone is a polygon and its rules (``SiteZone``). ``watch_zones`` takes in frame after frame and
tells who is inside: entries and exits with hysteresis in space and time, dwell, and the lost.
``zone_risk`` holds that against the rules. All of it is pure.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from sightline.assess.site.assessment import NOBODY, RiskCode, SiteAssessment
from sightline.assess.site.gaussian import Speed
from sightline.assess.site.polygon import Polygon, probability_within
from sightline.errors import UsageError
from sightline.records import Tracks, Unconfirmed
from sightline.records.detections import BoolArray
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

__all__ = [
    "Crossing",
    "Polygon",
    "SiteZone",
    "ZonePresence",
    "ZoneState",
    "emptied",
    "watch_zones",
    "zone_risk",
]

MAX_WATCHED = 10_000
"""Tracks watched at a time, the lost included; more is a UsageError, since none may be left out."""
MAX_LOST = 1_000
"""Tracks that are remembered as lost, in all zones together. Beyond it those that have been lost
for longest are dropped. So many are also remembered outside; if there are more, none is."""
FORGET_AFTER_S = 60.0
"""How long who was lost in a zone that is not forbidden counts in it, unless it says so itself."""
REMEMBERED_S = 10.0
"""How long it is known where somebody was seen outside the zones: longer than any tracker goes on
with a track that it does not see."""
_NEVER = -1
REACH_HEIGHTS = 1.0
"""How far from where somebody was lost they may be found again, in their own heights: who walked
further was seen to, and somebody else must not pass for them."""
HEIGHT_M = 1.7
"""Height of a person, where places on the ground are known; else their box tells it."""
_EDGE_SHARE = 0.01
"""A box that is so near to an edge of the picture, as a share of its side, is cut by it."""
_OUTBOUND_HEIGHTS_S = 0.15
"""Speed of a box towards the edge that cuts it from which it is on its way out, in heights a
second: a fifth of a walk, as what is cut moves at half of its speed."""
_WAY_S = 0.5
"""Time over which that speed is averaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteZone:
    """One area and its rules.

    Somebody *enters* when seen inside by at least ``margin`` with at least ``confidence``, and in
    every sight of the following ``hold_s``; *leaves* the same way outwards. So neither a step to
    and fro over the border nor a single wrong position counts as a crossing. Danger does not
    wait for that: see ``suspect_probability``.

    Attributes:
        name: unique on the site.
        polygon: the area, in metres on the ground or in pixels of one camera.
        classes: class names it applies to; tracks of others are not looked at.
        is_forbidden: nobody may be inside (IN_FORBIDDEN_ZONE), and who was last seen inside is
            taken to be there still (LOST_IN_ZONE).
        max_occupancy: how many may be inside (ZONE_OCCUPANCY); None: any number.
        max_speed_m_s: how fast one may move inside (OVERSPEED); None: any.
        max_dwell_s: how long one may stay (DWELL); None: any time.
        margin: depth beyond the border that an entry or exit takes, in the polygon's own unit.
        hold_s: how long it must last, in capture time.
        confidence: probability of being on that side that counts as evidence, 0.5 to below 1.
        suspect_probability: probability of being inside from which one is treated as inside at
            once, until seen to leave; between 1 - confidence and confidence.
        lost_timeout_s: how long somebody not seen any more is taken to be inside. After it the
            presence is FORGOTTEN: by then a person must have been looked for. None: for ever in a
            forbidden zone, and ``FORGET_AFTER_S`` in any other. It ends before that when they are
            found again, have left the picture, or are no longer there by an operator's word
            (``emptied``).

    Raises:
        UsageError: a value out of its range.
    """

    name: str
    polygon: Polygon
    classes: tuple[str, ...] = ("person",)
    is_forbidden: bool = False
    max_occupancy: int | None = None
    max_speed_m_s: float | None = None
    max_dwell_s: float | None = None
    margin: float = 0.2
    hold_s: float = 0.5
    confidence: float = 0.8
    suspect_probability: float = 0.5
    lost_timeout_s: float | None = None

    def __post_init__(self) -> None:
        times = (self.hold_s, self.lost_timeout_s or 0.0, self.margin)
        limits = [v for v in (self.max_occupancy, self.max_speed_m_s, self.max_dwell_s) if v]
        rules = {
            "a name and at least one class": bool(self.name and self.classes),
            "hold_s, lost_timeout_s, margin finite and >= 0": all(
                math.isfinite(v) and v >= 0 for v in times
            ),
            "0.5 <= confidence < 1": 0.5 <= self.confidence < 1,
            "1 - confidence < suspect_probability <= confidence": (
                1 - self.confidence < self.suspect_probability <= self.confidence
                or self.confidence == self.suspect_probability == 0.5
            ),
            "limits finite and >= 0": all(math.isfinite(v) and v >= 0 for v in limits),
        }
        for rule, holds in rules.items():
            if not holds:
                raise UsageError(
                    expected=rule,
                    got=f"{self.classes}, times {times}, probabilities "
                    f"{self.confidence} and {self.suspect_probability}, limits {limits}",
                    where=f"zone {self.name!r}",
                    action="mend the zone",
                )

    @property
    def hold_ns(self) -> int:
        return round(self.hold_s * NS_PER_S)

    @property
    def forgets_after_s(self) -> float:
        """``lost_timeout_s``, or what stands for it; infinite: never."""
        if self.lost_timeout_s is not None:
            return self.lost_timeout_s
        return math.inf if self.is_forbidden else FORGET_AFTER_S

    @property
    def is_never_forgotten(self) -> bool:
        """Whether who was lost inside is taken to be there whatever time passes."""
        return math.isinf(self.forgets_after_s)

    @property
    def forgets_after_ns(self) -> int:
        if self.is_never_forgotten:
            return int(np.iinfo(np.int64).max)
        return round(self.forgets_after_s * NS_PER_S)


class Crossing(IntEnum):
    """What happened between a track and a zone."""

    ENTERED = 1
    LEFT = 2
    FORGOTTEN = 3
    """To be treated as inside when last seen, and not seen for ``lost_timeout_s``."""
    PASSED = 4
    """Seen on one side and then on another, with the zone in between."""
    FOUND = 5
    """Somebody who was lost inside is seen again there, as another track."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ZoneState:
    """What is known of k tracks in z zones after a frame. Times are UTC ns, -1 for never.

    Attributes:
        capture_ns: capture time of the last frame.
        track_id: int64[k], ascending: the tracks of the last frame, those last seen inside, and
            those seen lately.
        class_id: int32[k].
        seen_ns: int64[k], last frame in which the track was seen.
        is_in: bool[z, k], entered and not left.
        is_suspect: bool[z, k], to be treated as inside.
        inward_ns: int64[z, k], since when all evidence has been of being inside.
        outward_ns: int64[z, k], since when all evidence has been of being outside.
        entered_ns: int64[z, k], when it entered last.
        box_px: float64[k, 4], where it was seen last in the picture.
        ground_m: float64[k, 2], and on the ground.
        way_px_s: float64[k, 2], speed of its box in the picture, over the last ``_WAY_S``.
        is_outbound: bool[k], cut by the edge of the picture when last seen, and on its way out.
    """

    capture_ns: int
    track_id: IntArray
    class_id: npt.NDArray[np.int32]
    seen_ns: IntArray
    is_in: BoolArray
    is_suspect: BoolArray
    inward_ns: IntArray
    outward_ns: IntArray
    entered_ns: IntArray
    box_px: FloatArray
    ground_m: FloatArray
    way_px_s: FloatArray
    is_outbound: BoolArray

    @classmethod
    def start(cls, n_zones: int) -> ZoneState:
        """Before the first frame."""
        return cls(
            capture_ns=_NEVER,
            track_id=np.empty(0, np.int64),
            class_id=np.empty(0, np.int32),
            seen_ns=np.empty(0, np.int64),
            is_in=np.empty((n_zones, 0), np.bool_),
            is_suspect=np.empty((n_zones, 0), np.bool_),
            inward_ns=np.empty((n_zones, 0), np.int64),
            outward_ns=np.empty((n_zones, 0), np.int64),
            entered_ns=np.empty((n_zones, 0), np.int64),
            box_px=np.empty((0, 4)),
            ground_m=np.empty((0, 2)),
            way_px_s=np.empty((0, 2)),
            is_outbound=np.empty(0, np.bool_),
        )

    def with_columns(self, track_id: IntArray) -> ZoneState:
        """The same for other tracks, ascending ids; new ones have never been seen anywhere."""
        _, new, old = np.intersect1d(
            track_id, self.track_id, assume_unique=True, return_indices=True
        )
        z, k = len(self.is_in), len(track_id)
        columns: dict[str, Any] = {
            "class_id": np.full(k, _NEVER, np.int32),
            "seen_ns": np.full(k, _NEVER, np.int64),
            "is_in": np.zeros((z, k), np.bool_),
            "is_suspect": np.zeros((z, k), np.bool_),
            "inward_ns": np.full((z, k), _NEVER, np.int64),
            "outward_ns": np.full((z, k), _NEVER, np.int64),
            "entered_ns": np.full((z, k), _NEVER, np.int64),
            "is_outbound": np.zeros(k, np.bool_),
        }
        rows = {name: np.full((k, n), np.nan) for name, n in _PLACES.items()}
        for name, column in columns.items():
            column[..., new] = getattr(self, name)[..., old]
        for name, row in rows.items():
            row[new] = getattr(self, name)[old]
        columns |= rows
        return replace(self, track_id=track_id, **columns)


_PLACES = {"box_px": 4, "ground_m": 2, "way_px_s": 2}
"""Columns of ``ZoneState`` with a row of numbers for each track."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ZonePresence:
    """Who is to be treated as inside after a frame (m rows), and what happened in it (e events).

    Both are sorted by (zone, track id).

    Attributes:
        capture_ns: capture time of the frame.
        zone: int64[m], index of the zone.
        track_id: int64[m].
        probability: float64[m], of being inside, from this frame, or 1 for who has passed through
            since the sight before; NaN for who is not seen in it.
        unseen_s: float64[m], capture time since last seen; 0 for who is seen.
        dwell_s: float64[m], capture time from entry to last sight; NaN before the entry counts.
        is_counted: bool[m], whether it has entered.
        event_zone: int64[e].
        event_track_id: int64[e].
        event: int8[e], a ``Crossing``.
        event_ns: int64[e], the first sight of the evidence that counted; for FORGOTTEN and FOUND
            the last sight of the track.
    """

    capture_ns: int
    zone: IntArray
    track_id: IntArray
    probability: FloatArray
    unseen_s: FloatArray
    dwell_s: FloatArray
    is_counted: BoolArray
    event_zone: IntArray
    event_track_id: IntArray
    event: npt.NDArray[np.int8]
    event_ns: IntArray

    def occupancy(self, n_zones: int) -> IntArray:
        """int64[z]: how many have entered each zone and not left, the lost included."""
        found: IntArray = np.bincount(self.zone[self.is_counted], minlength=n_zones)
        return found


def watch_zones(
    zones: Sequence[SiteZone],
    state: ZoneState,
    tracks: Tracks,
    *,
    foot_std_px: float = 0.0,
    picture_px: tuple[int, int] | None = None,
) -> tuple[ZoneState, ZonePresence]:
    """Take in one frame. Only sights are evidence: a coasting track moves nobody in or out.

    Who was seen on both sides of a zone was in it, also if that was up to ``REMEMBERED_S`` before,
    or when they were no track yet. To vanish is not to
    leave. Who vanished inside is found again in a track that begins inside, within
    ``REACH_HEIGHTS``; each such track stands for one who was lost, the nearest. Of a zone in
    pixels, which ends where the picture does, somebody is also gone who was last seen on the way
    out over the picture's edge.

    Args:
        zones: z zones, the same and in the same order at each call.
        state: after the frame before; ``ZoneState.start(z)`` before the first.
        tracks: of the frame, later than the one before. Zones in metres look at ``ground_m`` and
            its covariance, zones in pixels at the middle of the lower edge of the box.
        foot_std_px: standard deviation of that point in x and y.
        picture_px: (width, height) of the picture; None: nobody is known to leave it.

    Raises:
        UsageError: frames out of order, more than MAX_WATCHED tracks, or a state of other zones.
    """
    now_ns = tracks.capture_ns
    if now_ns <= state.capture_ns or len(state.is_in) != len(zones):
        raise UsageError(
            expected=f"a frame after {state.capture_ns} and the {len(state.is_in)} zones of before",
            got=f"capture_ns {now_ns} and {len(zones)} zones",
            where=f"zones of stream {tracks.stream}",
            action="give frames in order of capture, and a new state to new zones",
        )
    order = np.argsort(tracks.track_id, kind="stable")
    seen = order[tracks.unseen_s[order] == 0]
    known = state.with_columns(np.union1d(state.track_id, tracks.track_id))
    if len(known.track_id) > MAX_WATCHED:
        raise UsageError(
            expected=f"at most {MAX_WATCHED} tracks, seen or lost inside zones",
            got=str(len(known.track_id)),
            where=f"zones of stream {tracks.stream}",
            action="find out why there are so many tracks",
        )
    column = np.searchsorted(known.track_id, tracks.track_id[seen])
    present = np.searchsorted(known.track_id, tracks.track_id)
    is_new = known.seen_ns[column] == _NEVER
    known.class_id[present] = tracks.class_id

    depth, probability, is_through = _measured(
        zones, tracks, known, seen=seen, column=column, foot_std_px=foot_std_px
    )
    is_gone = _place(known, tracks, seen=seen, column=column, picture_px=picture_px)
    found = _found_again(zones, known, probability, present=present, new=column[is_new])
    advanced, presence = _advanced(
        zones,
        known,
        now_ns,
        depth,
        probability,
        is_through=is_through,
        is_gone=is_gone,
        found=found,
    )
    is_kept: BoolArray = np.any(advanced.is_in | advanced.is_suspect, axis=0)
    is_present = np.zeros(len(is_kept), np.bool_)
    is_present[present] = True
    lost = np.flatnonzero(is_kept & ~is_present)
    is_recent = now_ns - known.seen_ns <= round(REMEMBERED_S * NS_PER_S)
    if len(lost) > MAX_LOST:
        longest_first = lost[np.argsort(known.seen_ns[lost], kind="stable")]
        is_kept[longest_first[: len(lost) - MAX_LOST]] = False
    if np.count_nonzero(is_recent) > MAX_LOST:
        is_recent[:] = False
    return advanced.with_columns(known.track_id[is_kept | is_present | is_recent]), presence


def emptied(state: ZoneState) -> ZoneState:
    """The state when somebody who has looked says that nobody is there who is not seen."""
    return state.with_columns(state.track_id[state.seen_ns == state.capture_ns])


def _place(
    known: ZoneState,
    tracks: Tracks,
    *,
    seen: IntArray,
    column: IntArray,
    picture_px: tuple[int, int] | None,
) -> BoolArray:
    """Take in where everybody is seen; bool[k], who has gone out over the edge of the picture."""
    now_ns = tracks.capture_ns
    is_gone = known.is_outbound & (known.seen_ns < now_ns)
    is_gone[column] = False
    box_px, elapsed_s = tracks.box_px[seen], (now_ns - known.seen_ns[column]) / NS_PER_S
    moved_px = (box_px - known.box_px[column]).reshape(-1, 2, 2).mean(axis=1)
    speed_px_s = moved_px / elapsed_s[:, None]
    before_px_s = known.way_px_s[column]
    share = -np.expm1(-elapsed_s / _WAY_S)[:, None]
    way_px_s = np.where(
        np.isnan(before_px_s), speed_px_s, before_px_s + share * (speed_px_s - before_px_s)
    )
    if picture_px is not None:
        size_px = np.array(picture_px, np.float64)
        near_px = _EDGE_SHARE * size_px
        height_px = (box_px[:, 3] - box_px[:, 1])[:, None]
        with np.errstate(invalid="ignore"):
            is_out = (box_px[:, :2] <= near_px) & (way_px_s < -_OUTBOUND_HEIGHTS_S * height_px)
            is_out |= (box_px[:, 2:] >= size_px - near_px) & (
                way_px_s > _OUTBOUND_HEIGHTS_S * height_px
            )
        known.is_outbound[column] = is_out.any(axis=1)
    known.way_px_s[column] = way_px_s
    known.box_px[column], known.ground_m[column] = box_px, tracks.ground_m[seen]
    known.seen_ns[column] = now_ns
    return is_gone


def _found_again(
    zones: Sequence[SiteZone],
    known: ZoneState,
    probability: FloatArray,
    *,
    present: IntArray,
    new: IntArray,
) -> list[tuple[int, int]]:
    """(lost, new) columns of those who were lost inside and are seen again, the nearest first."""
    is_lost = np.any(known.is_in | known.is_suspect, axis=0)
    is_lost[present] = False
    lost = np.flatnonzero(is_lost)
    if not len(lost) or not len(new):
        return []
    suspicion = np.array([z.suspect_probability for z in zones])[:, None]
    is_inside = probability[:, new] >= suspicion
    shares_zone = ((known.is_in | known.is_suspect)[:, lost, None] & is_inside[:, None, :]).any(
        axis=0
    )
    foot_px = _feet(known.box_px)
    height_px = known.box_px[:, 3] - known.box_px[:, 1]
    apart = np.linalg.norm(foot_px[lost][:, None] - foot_px[new][None], axis=2)
    apart /= np.maximum(height_px[lost][:, None], height_px[new][None])
    apart_m = np.linalg.norm(known.ground_m[lost][:, None] - known.ground_m[new][None], axis=2)
    apart = np.where(np.isnan(apart_m), apart, apart_m / HEIGHT_M)
    same_class = known.class_id[lost][:, None] == known.class_id[new][None]
    apart = np.where(shares_zone & same_class, apart, np.inf)
    pairs = nearest_pairs(apart, most=REACH_HEIGHTS)
    return [(int(lost[row]), int(new[column])) for row, column in pairs]


def nearest_pairs(apart: FloatArray, *, most: float) -> list[tuple[int, int]]:
    """(row, column) pairs that are at most ``most`` apart, the nearest first, each in one pair.

    >>> nearest_pairs(np.array([[0.2, 0.1], [0.4, 0.3]]), most=1.0)
    [(0, 1), (1, 0)]
    """
    row, column = np.nonzero(apart <= most)
    found: list[tuple[int, int]] = []
    for i in np.argsort(apart[row, column], kind="stable").tolist():
        pair = int(row[i]), int(column[i])
        if all(pair[0] != one and pair[1] != other for one, other in found):
            found.append(pair)
    return found


def _feet(box_px: FloatArray) -> FloatArray:
    """float64[n, 2]: the middle of the lower edge."""
    return np.stack([(box_px[:, 0] + box_px[:, 2]) / 2, box_px[:, 3]], axis=1)


def _measured(
    zones: Sequence[SiteZone],
    tracks: Tracks,
    known: ZoneState,
    *,
    seen: IntArray,
    column: IntArray,
    foot_std_px: float,
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """[z, k] each, of the seen ones: signed distance and probability (float64, NaN elsewhere), and
    whether the zone lies between the sight before and this one.
    """
    k = len(known.track_id)
    depth = np.full((len(zones), k), np.nan)
    probability = np.full((len(zones), k), np.nan)
    is_through = np.zeros((len(zones), k), np.bool_)
    is_new = known.seen_ns[column] == _NEVER
    foot_px, before_px = _feet(tracks.box_px[seen]), _feet(known.box_px[column])
    before_px[is_new] = tracks.first_foot_px[seen[is_new]]
    before_m = known.ground_m[column]
    before_m[is_new] = tracks.first_ground_m[seen[is_new]]
    spread_px = np.broadcast_to(foot_std_px**2 * np.eye(2), (len(seen), 2, 2))
    for row, zone in enumerate(zones):
        concerned = of_classes(tracks, zone.classes)[seen]
        is_ground = zone.polygon.unit == "m"
        points = (tracks.ground_m[seen] if is_ground else foot_px)[concerned]
        before = (before_m if is_ground else before_px)[concerned]
        spread = tracks.ground_covariance[seen, :2, :2] if is_ground else spread_px
        distance, direction = zone.polygon.nearest_border(points)
        depth[row, column[concerned]] = distance
        probability[row, column[concerned]] = probability_within(
            distance, direction, spread[concerned]
        )
        # Who was seen inside is known to be, unless they were no track then.
        was_inside = zone.polygon.contains(before)
        is_through[row, column[concerned]] = (
            ~(distance >= 0)
            & np.isfinite(distance)
            & np.where(was_inside, is_new[concerned], zone.polygon.meets_border(before, points))
        )
    return depth, np.where(is_through, 1.0, probability), is_through


def _advanced(
    zones: Sequence[SiteZone],
    known: ZoneState,
    now_ns: int,
    depth: FloatArray,
    probability: FloatArray,
    *,
    is_through: BoolArray,
    is_gone: BoolArray,
    found: Sequence[tuple[int, int]],
) -> tuple[ZoneState, ZonePresence]:
    """One step of every track and zone.

    Args:
        zones: z of them.
        known: of k tracks, with the places of this frame.
        now_ns: capture time of the frame.
        depth: float64[z, k], signed distance of who is seen, NaN elsewhere.
        probability: float64[z, k], of being inside.
        is_through: bool[z, k], whether the zone lies between the sight before and this one.
        is_gone: bool[k], who has gone out over the edge of the picture.
        found: (lost, new) columns: the new one stands for the lost one from now on.
    """
    margin = np.array([[z.margin] for z in zones]).reshape(-1, 1)
    confidence = np.array([[z.confidence] for z in zones]).reshape(-1, 1)
    suspicion = np.array([[z.suspect_probability] for z in zones]).reshape(-1, 1)
    hold_ns = np.array([[z.hold_ns] for z in zones], np.int64).reshape(-1, 1)
    timeout_ns = np.array([[z.forgets_after_ns] for z in zones], np.int64).reshape(-1, 1)
    is_px = np.array([[z.polygon.unit == "px"] for z in zones], np.bool_).reshape(-1, 1)

    finds = np.zeros(depth.shape, np.bool_)
    for lost, new in found:
        finds[:, lost] = known.is_in[:, lost] | known.is_suspect[:, lost]
        for marks in (known.is_in, known.is_suspect):
            marks[:, new] |= marks[:, lost]
            marks[:, lost] = False
        known.entered_ns[:, new] = known.entered_ns[:, lost]

    is_sight = np.isfinite(depth)
    is_inward = (depth >= margin) & (probability >= confidence)
    is_outward = (depth <= -margin) & (probability <= 1 - confidence)
    inward_ns = _since(known.inward_ns, is_inward, is_sight, now_ns)
    # Who has just passed through has not been outside for long.
    outside_ns = np.where(is_through, _NEVER, known.outward_ns)
    outward_ns = _since(outside_ns, is_outward, is_sight, now_ns)
    has_gone_in = is_inward & (now_ns - inward_ns >= hold_ns)
    has_gone_out = is_outward & ~is_through & (now_ns - outward_ns >= hold_ns)
    has_gone_out |= is_px & is_gone

    enters = has_gone_in & ~known.is_in
    leaves = has_gone_out & known.is_in
    unseen_ns = now_ns - known.seen_ns
    is_over = unseen_ns[None, :] > timeout_ns
    forgets = is_over & (known.is_in | known.is_suspect)
    is_in = (known.is_in | enters) & ~leaves & ~is_over
    is_suspect = (known.is_suspect | has_gone_in | (probability >= suspicion)) & ~is_over
    is_suspect &= ~has_gone_out
    entered_ns = np.where(enters, inward_ns, known.entered_ns)

    zone, column = np.nonzero(is_suspect | is_in)
    event_zone, event_column = np.nonzero(enters | leaves | forgets | is_through | finds)
    where = (event_zone, event_column)
    seen_ns = np.broadcast_to(known.seen_ns, is_in.shape)
    left_ns = np.where(outward_ns == _NEVER, seen_ns, outward_ns)
    kinds = [Crossing.ENTERED, Crossing.LEFT, Crossing.PASSED, Crossing.FOUND]
    which = [enters[where], leaves[where], is_through[where], finds[where]]
    event = np.select(which, kinds, Crossing.FORGOTTEN)
    event_ns = np.select(which[:2], [inward_ns[where], left_ns[where]], seen_ns[where])
    stayed_s = (seen_ns - entered_ns)[zone, column] / NS_PER_S
    presence = ZonePresence(
        capture_ns=now_ns,
        zone=zone.astype(np.int64),
        track_id=known.track_id[column],
        probability=probability[zone, column],
        unseen_s=unseen_ns[column] / NS_PER_S,
        dwell_s=np.where(is_in[zone, column], stayed_s, np.nan),
        is_counted=is_in[zone, column],
        event_zone=event_zone.astype(np.int64),
        event_track_id=known.track_id[event_column],
        event=event.astype(np.int8),
        event_ns=event_ns.astype(np.int64),
    )
    state = replace(
        known,
        capture_ns=now_ns,
        is_in=is_in,
        is_suspect=is_suspect,
        inward_ns=inward_ns,
        outward_ns=outward_ns,
        entered_ns=entered_ns,
    )
    return state, presence


def _since(
    since_ns: IntArray, is_evidence: BoolArray, is_sight: BoolArray, now_ns: int
) -> IntArray:
    """int64[z, k]: a sight with evidence starts or keeps the time, one without ends it."""
    started = np.where(since_ns == _NEVER, now_ns, since_ns)
    found: IntArray = np.where(is_evidence, started, np.where(is_sight, _NEVER, since_ns))
    return found


def zone_risk(
    zones: Sequence[SiteZone],
    presence: ZonePresence,
    tracks: Tracks,
    unconfirmed: Unconfirmed | None = None,
) -> SiteAssessment:
    """The risks of one frame.

    Who is to be treated as inside is said by ``presence`` (see ``watch_zones``): at once when
    inside is likely enough, until seen to have left. Who is not seen in this frame, or not seen
    any more, is LOST_IN_ZONE in a forbidden zone: to vanish is not to leave. OVERSPEED needs a
    sight and the zone's confidence that the speed is above the limit. UNLOCATED is said of who
    is seen while there are zones in metres, but has no position on the ground. What is no track yet
    makes a forbidden zone UNCONFIRMED_IN_ZONE when it was seen there in two frames, as one thing or
    not: nobody can tell that it is empty.

    Args:
        zones: as given to ``watch_zones``.
        presence: of this frame.
        tracks: of this frame.
        unconfirmed: what is no track yet; None: nothing.

    Raises:
        UsageError: presence and tracks are of different frames.
    """
    if presence.capture_ns != tracks.capture_ns:
        raise UsageError(
            expected=f"the presence of the frame at {tracks.capture_ns}",
            got=str(presence.capture_ns),
            where=f"zone_risk of stream {tracks.stream}",
            action="give both of the same frame",
        )
    stream, now_ns = tracks.stream, tracks.capture_ns
    rows_of = partial(SiteAssessment.of_code, stream=stream, capture_ns=now_ns)
    occupancy = presence.occupancy(len(zones))
    found = [_unlocated(zones, tracks)]
    for index, zone in enumerate(zones):
        is_here = presence.zone == index
        if zone.is_forbidden and unconfirmed is not None and len(unconfirmed):
            may_be = _may_be_inside(zone, unconfirmed)
            found.append(
                rows_of(
                    RiskCode.UNCONFIRMED_IN_ZONE,
                    subject=[NOBODY] * seen_in_two_frames(unconfirmed, may_be),
                    zone=index,
                    value=unconfirmed.evidence[may_be].max(initial=0.0),
                    threshold=1.0,
                )
            )
        if zone.is_forbidden:
            seen = np.flatnonzero(is_here & (presence.unseen_s == 0))
            lost = np.flatnonzero(is_here & (presence.unseen_s > 0))
            found += [
                rows_of(
                    RiskCode.IN_FORBIDDEN_ZONE,
                    subject=presence.track_id[seen],
                    zone=index,
                    value=presence.probability[seen],
                    threshold=zone.suspect_probability,
                ),
                rows_of(
                    RiskCode.LOST_IN_ZONE,
                    subject=presence.track_id[lost],
                    zone=index,
                    value=presence.unseen_s[lost],
                    threshold=np.nan if zone.is_never_forgotten else zone.forgets_after_s,
                ),
            ]
        if zone.max_occupancy is not None and occupancy[index] > zone.max_occupancy:
            found.append(
                rows_of(
                    RiskCode.ZONE_OCCUPANCY,
                    subject=[NOBODY],
                    zone=index,
                    value=float(occupancy[index]),
                    threshold=zone.max_occupancy,
                )
            )
        if zone.max_dwell_s is not None:
            is_long = is_here & (presence.dwell_s > zone.max_dwell_s)
            found.append(
                rows_of(
                    RiskCode.DWELL,
                    subject=presence.track_id[is_long],
                    zone=index,
                    value=presence.dwell_s[is_long],
                    threshold=zone.max_dwell_s,
                )
            )
        if zone.max_speed_m_s is not None:
            here = tracks.only(
                np.isin(tracks.track_id, presence.track_id[is_here]) & (tracks.unseen_s == 0)
            )
            speed = Speed.of(here.velocity_m_s, here.ground_covariance[:, 2:, 2:])
            is_fast = speed.probability_above(zone.max_speed_m_s) >= zone.confidence
            found.append(
                rows_of(
                    RiskCode.OVERSPEED,
                    subject=here.track_id[is_fast],
                    zone=index,
                    value=speed.mean_m_s[is_fast],
                    threshold=zone.max_speed_m_s,
                )
            )
    return SiteAssessment.joined(stream, now_ns, found)


def _may_be_inside(zone: SiteZone, things: Unconfirmed) -> BoolArray:
    """bool[n]: which are of its classes, and inside as likely as makes somebody a suspect."""
    is_ground = zone.polygon.unit == "m"
    points = things.ground_m if is_ground else _feet(things.box_px)
    spread = things.ground_covariance if is_ground else None
    probability = probability_within(*zone.polygon.nearest_border(points), spread)
    found: BoolArray = of_classes(things, zone.classes) & (probability >= zone.suspect_probability)
    return found


def seen_in_two_frames(things: Unconfirmed, of: BoolArray) -> bool:
    """Whether those ``of`` (bool[n]) were seen in two frames, as one thing or as several."""
    seen_ns, sightings = things.seen_ns[of], things.sightings[of]
    return bool((sightings > 1).any() or (seen_ns != seen_ns[:1]).any())


def _unlocated(zones: Sequence[SiteZone], tracks: Tracks) -> SiteAssessment:
    names = {name for z in zones if z.polygon.unit == "m" for name in z.classes}
    is_concerned = of_classes(tracks, names) & (tracks.unseen_s == 0)
    is_unlocated = is_concerned & ~np.isfinite(tracks.ground_m).all(axis=1)
    return SiteAssessment.of_code(
        RiskCode.UNLOCATED,
        stream=tracks.stream,
        capture_ns=tracks.capture_ns,
        subject=tracks.track_id[is_unlocated],
        value=np.nan,
        threshold=np.nan,
    )


def of_classes(tracks: Tracks | Unconfirmed, classes: Collection[str]) -> BoolArray:
    """bool[n]: which tracks are of one of the named classes."""
    # A table of the few classes: looking them up in sets of ids costs ten times as much.
    is_wanted = np.array([name in classes for name in tracks.class_names], np.bool_)
    found: BoolArray = is_wanted[tracks.class_id]
    return found

"""Tripwires: directed lines that count each crossing once, in its direction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.records import Tracks
from sightline.records.detections import BoolArray
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

KEPT_S = 10.0
"""How long the side of a track is remembered that is not among the tracks any more."""
MAX_WATCHED = 10_000
"""Tracks remembered at a time; more is a UsageError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tripwire:
    """A directed line from ``start`` to ``end``.

    A track crosses when it has been beyond ``margin`` on one side, is then seen beyond it on the
    other in every sight of ``hold_s``, and went between the two ends. Passing round an end is no
    crossing, and neither is a step over the line and back within ``hold_s``.

    Attributes:
        name: unique on the site.
        start: x and y.
        end: x and y, another point.
        unit: ``"m"`` on the ground, or ``"px"``.
        margin: distance from the line that tells the sides apart, in ``unit``.
        hold_s: how long the new side must last, in capture time.

    Raises:
        UsageError: no line, or a value out of its range.
    """

    name: str
    start: tuple[float, float]
    end: tuple[float, float]
    unit: Literal["m", "px"] = "m"
    margin: float = 0.2
    hold_s: float = 0.3

    def __post_init__(self) -> None:
        values = (*self.start, *self.end, self.margin, self.hold_s)
        is_line = tuple(self.start) != tuple(self.end) and self.unit in ("m", "px")
        if not (is_line and all(map(math.isfinite, values)) and min(self.margin, self.hold_s) >= 0):
            raise UsageError(
                expected="two different finite ends in m or px, margin and hold_s >= 0",
                got=f"{self.start}, {self.end}, {self.unit}, {self.margin}, {self.hold_s}",
                where=f"tripwire {self.name!r}",
                action="mend the tripwire",
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TripwireState:
    """Sides of k tracks at w wires. Times are UTC ns, -1 for never.

    Attributes:
        capture_ns: capture time of the last frame.
        track_id: int64[k], ascending.
        known_ns: int64[k], last frame that had the track.
        side: int8[w, k], 1 left of the line (looking from start to end), -1 right, 0 not known.
        last_at: float64[w, k, 2], last position seen on that side, beyond the margin.
        pending_ns: int64[w, k], since when it has been on the other side.
        pending_at: float64[w, k, 2], where it was seen there first.
    """

    capture_ns: int
    track_id: IntArray
    known_ns: IntArray
    side: npt.NDArray[np.int8]
    last_at: FloatArray
    pending_ns: IntArray
    pending_at: FloatArray

    @classmethod
    def start(cls, n_wires: int) -> TripwireState:
        """Before the first frame."""
        return cls(
            capture_ns=-1,
            track_id=np.empty(0, np.int64),
            known_ns=np.empty(0, np.int64),
            side=np.empty((n_wires, 0), np.int8),
            last_at=np.empty((n_wires, 0, 2)),
            pending_ns=np.empty((n_wires, 0), np.int64),
            pending_at=np.empty((n_wires, 0, 2)),
        )

    def with_columns(self, track_id: IntArray) -> TripwireState:
        """The same for other tracks, ascending ids; of new ones nothing is known."""
        k, w = len(track_id), len(self.side)
        _, new, old = np.intersect1d(
            track_id, self.track_id, assume_unique=True, return_indices=True
        )
        known_ns = np.full(k, -1, np.int64)
        side = np.zeros((w, k), np.int8)
        pending_ns = np.full((w, k), -1, np.int64)
        last_at, pending_at = np.full((w, k, 2), np.nan), np.full((w, k, 2), np.nan)
        known_ns[new], side[:, new] = self.known_ns[old], self.side[:, old]
        last_at[:, new], pending_at[:, new] = self.last_at[:, old], self.pending_at[:, old]
        pending_ns[:, new] = self.pending_ns[:, old]
        return replace(
            self,
            track_id=track_id,
            known_ns=known_ns,
            side=side,
            last_at=last_at,
            pending_ns=pending_ns,
            pending_at=pending_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WireCrossings:
    """c crossings, sorted by (wire, track id).

    Attributes:
        wire: int64[c], index of the wire.
        track_id: int64[c].
        direction: int8[c], 1 from the left side of the line to the right, -1 back.
        crossed_ns: int64[c], first sight beyond the line.
    """

    wire: IntArray
    track_id: IntArray
    direction: npt.NDArray[np.int8]
    crossed_ns: IntArray

    def __len__(self) -> int:
        return len(self.wire)


def watch_wires(
    wires: Sequence[Tripwire], state: TripwireState, tracks: Tracks
) -> tuple[TripwireState, WireCrossings]:
    """Take in one frame; only tracks seen in it are looked at.

    Raises:
        UsageError: frames out of order, too many tracks, or a state of other wires.
    """
    now_ns = tracks.capture_ns
    ids = np.union1d(state.track_id, tracks.track_id)
    if not (now_ns > state.capture_ns and len(state.side) == len(wires) and len(ids) < MAX_WATCHED):
        raise UsageError(
            expected=f"a frame after {state.capture_ns}, the {len(state.side)} wires of before "
            f"and fewer than {MAX_WATCHED} tracks",
            got=f"capture_ns {now_ns}, {len(wires)} wires and {len(ids)} tracks",
            where=f"tripwires of stream {tracks.stream}",
            action="give frames in order of capture, and a new state to new wires",
        )
    known = state.with_columns(ids)
    known.known_ns[np.searchsorted(ids, tracks.track_id)] = now_ns

    seen = np.flatnonzero(tracks.unseen_s == 0)
    column = np.searchsorted(ids, tracks.track_id[seen])
    at = np.full((len(wires), len(ids), 2), np.nan)
    foot_px = np.stack([tracks.box_px[:, [0, 2]].mean(axis=1), tracks.box_px[:, 3]], axis=1)
    for row, wire in enumerate(wires):
        at[row, column] = (tracks.ground_m if wire.unit == "m" else foot_px)[seen]
    state, crossed = _advanced(wires, known, at, now_ns)

    wire_index, track_column = np.nonzero(crossed)
    where = (wire_index, track_column)
    found = WireCrossings(
        wire=wire_index.astype(np.int64),
        track_id=ids[track_column],
        direction=known.side[where],
        crossed_ns=np.where(known.pending_ns < 0, now_ns, known.pending_ns)[where],
    )
    is_kept = state.known_ns >= now_ns - round(KEPT_S * NS_PER_S)
    return state.with_columns(ids[is_kept]), found


def _advanced(
    wires: Sequence[Tripwire], known: TripwireState, at: FloatArray, now_ns: int
) -> tuple[TripwireState, BoolArray]:
    start = np.array([w.start for w in wires], np.float64).reshape(-1, 1, 2)
    along = np.array([w.end for w in wires], np.float64).reshape(-1, 1, 2) - start
    margin = np.array([w.margin for w in wires]).reshape(-1, 1)
    hold_ns = np.array([round(w.hold_s * NS_PER_S) for w in wires], np.int64).reshape(-1, 1)

    offset = _cross(along, at - start) / np.linalg.norm(along, axis=-1)
    side = np.where(np.abs(offset) > margin, np.sign(offset), 0).astype(np.int8)
    is_first = (known.side == 0) & (side != 0)
    is_same = (side != 0) & (side == known.side)
    is_other = (side != 0) & (side == -known.side)
    # A sight within the margin says nothing, and ends the waiting; no sight leaves it.
    is_sight = np.isfinite(offset)
    starts = is_other & (known.pending_ns < 0)
    keeps = is_other | ~is_sight
    pending_ns = np.where(starts, now_ns, np.where(keeps, known.pending_ns, -1))
    pending_at = np.where(starts[..., None], at, known.pending_at)
    changes = is_other & (now_ns - pending_ns >= hold_ns)
    crossed = changes & _is_between_ends(start, along, known.last_at, pending_at)

    settles = is_first | is_same | changes
    state = replace(
        known,
        capture_ns=now_ns,
        side=np.where(is_first | changes, side, known.side),
        last_at=np.where(settles[..., None], at, known.last_at),
        pending_ns=np.where(changes, -1, pending_ns),
        pending_at=pending_at,
    )
    return state, crossed


def _is_between_ends(
    start: FloatArray, along: FloatArray, left: FloatArray, reached: FloatArray
) -> BoolArray:
    """bool[w, k]: whether the way from ``left`` to ``reached`` meets the line between its ends."""
    way = reached - left
    with np.errstate(invalid="ignore", divide="ignore"):
        share = _cross(left - start, way) / _cross(along, way)
    found: BoolArray = (share >= 0) & (share <= 1)
    return found


def _cross(a: FloatArray, b: FloatArray) -> FloatArray:
    found: FloatArray = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return found

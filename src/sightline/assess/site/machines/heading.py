"""Where machines are heading: shown by their velocity, or by the way they have come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sightline.assess.site.gaussian import largest_std, std_along
from sightline.errors import UsageError
from sightline.records import Tracks
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray, IntArray

_SURE_STD = 3.0  # standard deviations of the speed below which it shows no heading


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Headings:
    """Headings of n tracks, in their order.

    Attributes:
        heading_rad: float64[n], from x towards y; NaN where it is not known.
        std_rad: float64[n], its standard deviation; NaN where it is not known.
    """

    heading_rad: FloatArray
    std_rad: FloatArray

    @classmethod
    def of_velocity(cls, tracks: Tracks) -> Headings:
        """From the velocities alone.

        Known where the speed is three times the largest standard deviation of the velocity or
        more, which leaves one in 700 pointing backwards. The standard deviation is that across
        the velocity over the speed.
        """
        velocity, covariance = tracks.velocity_m_s, tracks.ground_covariance[:, 2:, 2:]
        speed = np.hypot(velocity[:, 0], velocity[:, 1])
        spread = np.nan_to_num(largest_std(covariance), nan=0.0)
        moves = (speed > 0) & (speed >= _SURE_STD * spread)
        across = np.stack([-velocity[:, 1], velocity[:, 0]], axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            std = np.nan_to_num(std_along(covariance, across), nan=0.0) / speed**2
        return cls(
            heading_rad=np.where(moves, np.arctan2(velocity[:, 1], velocity[:, 0]), np.nan),
            std_rad=np.where(moves, std, np.nan),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TowedPoints:
    """A point towed behind each of k tracks, as on a rope.

    The rope lies in the direction the track has come from, as a trailer does (a discrete
    tractrix). It averages the noise of the positions over its length, keeps its direction while
    the track stands, and lags in a curve as the trailer would.

    Attributes:
        track_id: int64[k], ascending.
        point_m: float64[k, 2].
        is_towed: bool[k], whether the rope has been taut: before, it shows nothing.
    """

    track_id: IntArray
    point_m: FloatArray
    is_towed: BoolArray

    @classmethod
    def start(cls) -> TowedPoints:
        """Before the first frame."""
        return cls(
            track_id=np.empty(0, np.int64),
            point_m=np.empty((0, 2)),
            is_towed=np.empty(0, np.bool_),
        )


def follow_headings(
    state: TowedPoints, tracks: Tracks, *, rope_m: float
) -> tuple[TowedPoints, Headings]:
    """Take in one frame, and answer the better known of both headings.

    A machine that reverses keeps its heading until it has gone back past its towed point; for its
    footprint that is the same, but the way ahead of it is then not looked at: of a machine that
    reverses regularly, give ``pair_risk`` no headings but those it reports itself.

    Args:
        state: after the frame before.
        tracks: of the frame; only these are remembered.
        rope_m: length of the rope, about that of the machine, > 0.

    Raises:
        UsageError: a rope without length.
    """
    if not rope_m > 0:
        raise UsageError(
            expected="rope_m > 0",
            got=str(rope_m),
            where=f"headings of stream {tracks.stream}",
            action="give about the length of the machine",
        )
    order = np.argsort(tracks.track_id, kind="stable")
    ids, at = tracks.track_id[order], tracks.ground_m[order]
    _, new, old = np.intersect1d(ids, state.track_id, assume_unique=True, return_indices=True)
    point, is_towed = at.copy(), np.zeros(len(ids), np.bool_)
    point[new], is_towed[new] = state.point_m[old], state.is_towed[old]
    point = np.where(np.isnan(point), at, point)

    rope = at - point
    length = np.hypot(rope[:, 0], rope[:, 1])
    is_taut = length >= rope_m
    with np.errstate(divide="ignore", invalid="ignore"):
        point = np.where(is_taut[:, None], at - rope * (rope_m / length)[:, None], point)
    is_towed |= is_taut
    state = TowedPoints(track_id=ids, point_m=point, is_towed=is_towed)

    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    rope, is_towed = (at - point)[back], is_towed[back]
    spread = np.nan_to_num(largest_std(tracks.ground_covariance[:, :2, :2]), nan=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Both ends are uncertain, the towed one at most as much as the towing one.
        rope_std = np.sqrt(2) * spread / np.hypot(rope[:, 0], rope[:, 1])
    rope_std = np.where(is_towed, rope_std, np.nan)
    shown = Headings.of_velocity(tracks)
    is_rope = is_towed & ~(shown.std_rad <= rope_std)
    return state, Headings(
        heading_rad=np.where(is_rope, np.arctan2(rope[:, 1], rope[:, 0]), shown.heading_rad),
        std_rad=np.where(is_rope, rope_std, shown.std_rad),
    )

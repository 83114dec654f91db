"""Where machines are heading, by velocity or by the way they have come, and how they drive on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sightline.assess.site.gaussian import Speed, largest_std, std_along
from sightline.errors import UsageError
from sightline.records import Tracks
from sightline.records.detections import BoolArray
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

_SURE_STD = 3.0  # standard deviations of the speed below which it shows no heading
_ROPES = (1.0, 2.0, 4.0)  # lengths of the ropes, in those given
_STANDS_M_S = 0.5  # estimated speed below which it may be standing
_AGREES_STD = 2.0  # standard deviations by which a long rope may differ from the velocity


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Headings:
    """Headings of n tracks, in their order.

    Attributes:
        heading_rad: float64[n], from x towards y; NaN where it is not known.
        std_rad: float64[n], its standard deviation; NaN where it is not known.
        driven_s: float64[n], time since the track last stood, or was first seen; None where it is
            not known.
    """

    heading_rad: FloatArray
    std_rad: FloatArray
    driven_s: FloatArray | None = None

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
    """Points towed behind each of k tracks, as on ropes: of one, two and four lengths.

    A rope lies in the direction the track has come from, as a trailer does (a discrete
    tractrix). It averages the noise of the positions over its length, keeps its direction while
    the track stands, and lags in a curve as the trailer would.

    Attributes:
        track_id: int64[k], ascending.
        point_m: float64[k, 3, 2], shortest rope first.
        is_towed: bool[k, 3], whether the rope has been taut: before, it shows nothing.
        stood_ns: int64[k], capture time when it last stood, or was first seen, UTC ns.
    """

    track_id: IntArray
    point_m: FloatArray
    is_towed: BoolArray
    stood_ns: IntArray

    @classmethod
    def start(cls) -> TowedPoints:
        """Before the first frame."""
        return cls(
            track_id=np.empty(0, np.int64),
            point_m=np.empty((0, len(_ROPES), 2)),
            is_towed=np.empty((0, len(_ROPES)), np.bool_),
            stood_ns=np.empty(0, np.int64),
        )


def follow_headings(
    state: TowedPoints, tracks: Tracks, *, rope_m: float
) -> tuple[TowedPoints, Headings]:
    """Take in one frame, and answer the best known of the headings.

    That is the better known of the velocity and the shortest rope, and of a longer one as long as
    the track has come straight: a longer rope counts where it is better known even with its
    difference from the shorter one added as an error, and does not contradict the velocity. (The
    longest window that agrees with the shorter ones: Lepski, 1990.)

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
    state = _towed(state, tracks, rope_m=rope_m)
    row = np.searchsorted(state.track_id, tracks.track_id)
    rope = tracks.ground_m[:, None, :] - state.point_m[row]
    spread = np.nan_to_num(largest_std(tracks.ground_covariance[:, :2, :2]), nan=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Both ends are uncertain, the towed one at most as much as the towing one.
        rope_std = np.sqrt(2) * spread[:, None] / np.hypot(rope[..., 0], rope[..., 1])
    rope_std = np.where(state.is_towed[row], rope_std, np.nan)
    rope_rad = np.arctan2(rope[..., 1], rope[..., 0])

    shown = Headings.of_velocity(tracks)
    is_rope = ~np.isnan(rope_std[:, 0]) & ~(shown.std_rad <= rope_std[:, 0])
    heading = np.where(is_rope, rope_rad[:, 0], shown.heading_rad)
    std = np.where(is_rope, rope_std[:, 0], shown.std_rad)
    is_straight = ~np.isnan(heading)
    for longer in range(1, len(_ROPES)):
        own_std = np.hypot(rope_std[:, longer], _turn(rope_rad[:, longer], heading))
        from_velocity = _turn(rope_rad[:, longer], shown.heading_rad)
        may_differ = _AGREES_STD * np.hypot(rope_std[:, longer], shown.std_rad)
        is_straight &= (own_std <= std) & ~(from_velocity > may_differ)
        heading = np.where(is_straight, rope_rad[:, longer], heading)
        std = np.where(is_straight, own_std, std)
    driven_s = (tracks.capture_ns - state.stood_ns[row]) / NS_PER_S
    return state, Headings(heading_rad=heading, std_rad=std, driven_s=driven_s)


def _towed(state: TowedPoints, tracks: Tracks, *, rope_m: float) -> TowedPoints:
    """All points after one frame."""
    order = np.argsort(tracks.track_id, kind="stable")
    ids, at = tracks.track_id[order], tracks.ground_m[order][:, None, :]
    _, new, old = np.intersect1d(ids, state.track_id, assume_unique=True, return_indices=True)
    point = np.repeat(at, len(_ROPES), axis=1)
    is_towed = np.zeros(point.shape[:2], np.bool_)
    point[new], is_towed[new] = state.point_m[old], state.is_towed[old]
    point = np.where(np.isnan(point), at, point)

    stood_ns = np.full(len(ids), tracks.capture_ns, np.int64)
    stood_ns[new] = state.stood_ns[old]
    drives = np.hypot(*tracks.velocity_m_s[order].T) >= _STANDS_M_S  # false where it is NaN
    stood_ns = np.where(drives, stood_ns, tracks.capture_ns)

    rope, full_m = at - point, rope_m * np.array(_ROPES)
    length = np.hypot(rope[..., 0], rope[..., 1])
    is_taut = length >= full_m
    with np.errstate(divide="ignore", invalid="ignore"):
        pulled = at - rope * (full_m / length)[..., None]
    point = np.where(is_taut[..., None], pulled, point)
    return TowedPoints(track_id=ids, point_m=point, is_towed=is_towed | is_taut, stood_ns=stood_ns)


def _turn(one_rad: FloatArray, other_rad: FloatArray) -> FloatArray:
    """float64[n]: the angle between two headings, 0 to pi; NaN where one is not known."""
    found: FloatArray = np.abs(np.angle(np.exp(1j * (one_rad - other_rad))))
    return found


_UPPER_STD = 2.0  # standard deviations above the estimated speed that it may have


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drive:
    """The assumed motion of n machines.

    Attributes:
        assumed_m_s: float64[n], their speed, or that with which they may set off.
        fastest_m_s: float64[n], the same with two standard deviations added to their speed.
        velocity_m_s: float64[n, 2], of the assumed speed along the heading; as estimated where the
            heading is not known.
        covariance: float64[n, 4, 4] of (x, y, vx, vy): across the heading the velocity is as
            uncertain as the heading, not as the tracker thinks. A machine does not slide.
    """

    assumed_m_s: FloatArray
    fastest_m_s: FloatArray
    velocity_m_s: FloatArray
    covariance: FloatArray

    @classmethod
    def of(cls, machines: Tracks, headings: Headings, *, least_m_s: float) -> Drive:
        """From the tracks of machines and their headings.

        A machine that stands is assessed as if it set off with ``least_m_s``: else it would be
        free to, and would then have to stop again.
        """
        covariance = machines.ground_covariance
        speed = Speed.of(machines.velocity_m_s, covariance[:, 2:, 2:])
        upper_m_s = speed.mean_m_s + _UPPER_STD * np.nan_to_num(speed.std_m_s, nan=0.0)
        assumed_m_s = np.maximum(speed.mean_m_s, least_m_s)

        is_known = ~np.isnan(headings.heading_rad)
        angle = np.where(is_known, headings.heading_rad, 0.0)
        along = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        across = np.stack([-np.sin(angle), np.cos(angle)], axis=1)
        along_std = std_along(covariance[:, 2:, 2:], along)
        across_std = assumed_m_s * np.where(is_known, headings.std_rad, 0.0)
        with_speed = np.einsum("nij,nj->ni", covariance[:, :2, 2:], along)
        driven = np.empty_like(covariance)
        driven[:, :2, :2] = covariance[:, :2, :2]
        driven[:, :2, 2:] = with_speed[:, :, None] * along[:, None, :]
        driven[:, 2:, :2] = driven[:, :2, 2:].transpose(0, 2, 1)
        driven[:, 2:, 2:] = (along_std**2)[:, None, None] * (
            along[:, :, None] * along[:, None, :]
        ) + (across_std**2)[:, None, None] * (across[:, :, None] * across[:, None, :])
        return cls(
            assumed_m_s=assumed_m_s,
            fastest_m_s=np.maximum(upper_m_s, least_m_s),
            velocity_m_s=np.where(
                is_known[:, None], assumed_m_s[:, None] * along, machines.velocity_m_s
            ),
            covariance=np.where(is_known[:, None, None], driven, covariance),
        )

"""Where tracks have been, and where they may be in a few seconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrackHistory:
    """Past ground positions of n tracks, h samples each, oldest first.

    Attributes:
        time_s: float64[n, h], when each was taken, in s from now: ascending, the last at most 0.
            From capture times, never from frame counts. A short track begins with NaN; NaN in
            between is a time at which it was not seen.
        position_m: float64[n, h, 2], x and y on the ground; NaN where ``time_s`` is.
        covariance_m2: float64[n, h, 2, 2], how sure each is, for example from
            ``CameraModel.ground_covariance``: positive definite wherever a track was seen. None
            where nothing better is known than a number.

    Raises:
        UsageError: if the shapes do not fit, times fall or lie ahead, or a covariance of a
            position that was seen is not positive definite.

    >>> history = TrackHistory(time_s=np.array([[-0.4, 0.0]]),
    ...                        position_m=np.array([[[0.0, 0.0], [0.5, 0.0]]]))
    >>> len(history), history.samples
    (1, 2)
    """

    time_s: FloatArray
    position_m: FloatArray
    covariance_m2: FloatArray | None = None

    def __post_init__(self) -> None:
        shape = self.time_s.shape
        if len(shape) != 2:
            raise _misshapen("track history, time_s", "float64[n, h]", self.time_s)
        if self.position_m.shape != (*shape, 2):
            raise _misshapen("track history, position_m", [*shape, 2], self.position_m)
        if self.covariance_m2 is not None and self.covariance_m2.shape != (*shape, 2, 2):
            raise _misshapen("track history, covariance_m2", [*shape, 2, 2], self.covariance_m2)
        self._check_times()
        self._check_covariances()

    def _check_times(self) -> None:
        seen = self.is_seen
        # Missing times take the newest one before them, so that only real disorder falls.
        times = np.maximum.accumulate(np.where(seen, self.time_s, -np.inf), axis=1)
        wrong = (seen & (self.time_s < times)) | (self.time_s > 0)
        if wrong.any():
            track = int(np.argmax(wrong.any(axis=1)))
            raise UsageError(
                expected="times ascending up to now (0)",
                got=str(self.time_s[track].tolist()),
                where=f"track history, row {track}",
                action="sort the samples by capture time and subtract the present one",
            )

    def _check_covariances(self) -> None:
        if self.covariance_m2 is None:
            return
        a, b, c, d = (self.covariance_m2[..., i, j] for i in (0, 1) for j in (0, 1))
        wrong = self.is_seen & ~((a > 0) & (a * d > b * c))
        if wrong.any():
            track, sample = (int(i) for i in np.argwhere(wrong)[0])
            raise UsageError(
                expected="a positive definite covariance of a position that was seen",
                got=str(self.covariance_m2[track, sample].tolist()),
                where=f"track history, row {track}, sample {sample}",
                action="leave the position out (NaN), or give its covariance",
            )

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def samples(self) -> int:
        """h, the width of the arrays."""
        return int(self.time_s.shape[1])

    @property
    def is_seen(self) -> BoolArray:
        """bool[n, h], where there is a position."""
        found: BoolArray = np.isfinite(self.time_s) & np.isfinite(self.position_m).all(axis=2)
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """Where n tracks may be at k horizons.

    Attributes:
        horizons_s: float64[k], s from now, > 0.
        position_m: float64[n, k, 2], mean x and y on the ground; NaN for a track never seen.
        covariance_m2: float64[n, k, 2, 2]. After calibration its Gaussian 90 % ellipse holds the
            truth in 90 % of cases; the ellipses of other levels have the radii below.
        stands: float64[n], probability that it stands rather than walks; 0 where the method
            makes no such difference, NaN for a track never seen.
        levels: what ``radius`` is given for, 0 to 1; empty before calibration.
        radius: float64[n, k, levels], Mahalanobis radius of the region of each level; None
            before calibration.

    Raises:
        UsageError: if the shapes do not fit.

    >>> ahead = Prediction(horizons_s=np.array([1.0]), position_m=np.array([[[1.0, 0.0]]]),
    ...     covariance_m2=np.eye(2)[None, None], stands=np.zeros(1), levels=(0.9,),
    ...     radius=np.array([[[2.0]]]))
    >>> ahead.holds(np.array([[[2.5, 0.0]]]), level=0.9).tolist()
    [[True]]
    """

    horizons_s: FloatArray
    position_m: FloatArray
    covariance_m2: FloatArray
    stands: FloatArray
    levels: tuple[float, ...] = ()
    radius: FloatArray | None = None

    def __post_init__(self) -> None:
        n, k = len(self.stands), len(self.horizons_s)
        radius = np.empty((n, k, 0)) if self.radius is None else self.radius
        for name, array, shape in (
            ("position_m", self.position_m, (n, k, 2)),
            ("covariance_m2", self.covariance_m2, (n, k, 2, 2)),
            ("radius", radius, (n, k, len(self.levels))),
        ):
            if array.shape != shape:
                raise _misshapen(f"prediction, {name}", list(shape), array)

    def __len__(self) -> int:
        return len(self.position_m)

    def distance(self, xy_m: npt.ArrayLike) -> FloatArray:
        """float64[n, k], Mahalanobis distance of points float64[n, k, 2] from the prediction."""
        away = np.asarray(xy_m, np.float64) - self.position_m
        weighed = np.linalg.solve(self.covariance_m2, away[..., None])[..., 0]
        found: FloatArray = np.sqrt(np.maximum((away * weighed).sum(axis=2), 0.0))
        return found

    def holds(self, xy_m: npt.ArrayLike, *, level: float) -> BoolArray:
        """bool[n, k], whether points float64[n, k, 2] lie in the region of ``level``.

        Raises:
            UsageError: if the prediction was not calibrated for that level.
        """
        found: BoolArray = self.distance(xy_m) <= self.radius_of(level)
        return found

    def area_m2(self, *, level: float) -> FloatArray:
        """float64[n, k], area of the region of ``level``.

        Raises:
            UsageError: if the prediction was not calibrated for that level.
        """
        spread = np.sqrt(np.linalg.det(self.covariance_m2))
        found: FloatArray = np.pi * self.radius_of(level) ** 2 * spread
        return found

    def radius_of(self, level: float) -> FloatArray:
        """float64[n, k], the Mahalanobis radius of ``level``.

        Raises:
            UsageError: if the prediction was not calibrated for that level.
        """
        if self.radius is None or level not in self.levels:
            raise UsageError(
                expected=f"one of the calibrated levels {self.levels}",
                got=str(level),
                where="prediction",
                action="calibrate for it, or use the covariance as a Gaussian's",
            )
        found: FloatArray = self.radius[:, :, self.levels.index(level)]
        return found


def _misshapen(where: str, expected: object, got: FloatArray) -> UsageError:
    return UsageError(
        expected=f"shape {expected}",
        got=str(list(got.shape)),
        where=where,
        action="give one row per track and one column per time",
    )

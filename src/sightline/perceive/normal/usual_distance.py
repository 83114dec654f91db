"""What distance from the memory is usual, so that one further away stands out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from sightline.perceive.deviation import MAD_TO_SIGMA
from sightline.perceive.normal import usual_distance_kernels
from sightline.records.windows import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualDistance:
    """Mean and variance of the distances so far, those far out pulled in (winsorised).

    Attributes:
        count: distances learnt.
        mean: in the unit of the distances.
        variance: in that unit squared.
        middle: median of the first distances.
        clip, least: see ``NormalSettings.clip`` and ``least_distance``.
        least_weight: of one distance; until 1 / least_weight of them all count alike.
    """

    count: int
    mean: float
    variance: float
    middle: float
    clip: float
    least: float
    least_weight: float

    @classmethod
    def of(
        cls,
        vectors: FloatArray,
        *,
        exclude: int,
        clip: float,
        least: float,
        least_weight: float = 0.0,
    ) -> Self | None:
        """From normal vectors: how far each is from the others that are not of its own time.

        Args:
            vectors: float64[n, d], in order of time.
            exclude: rows nearer in time than this are not compared.
            clip: see the class; at first twice as much, around the median.
            least, least_weight: see the class.

        Returns:
            None if no two rows can be compared: nothing is known yet.
        """
        distance = usual_distance_kernels.left_out(
            np.ascontiguousarray(vectors, np.float64), exclude, 1
        )
        known = distance[np.isfinite(distance)]
        if not len(known):
            return None
        middle = float(np.median(known))
        spread = MAD_TO_SIGMA * float(np.median(np.abs(known - middle))) + least
        pulled = np.clip(known, middle - 2 * clip * spread, middle + 2 * clip * spread)
        return cls(
            count=len(known),
            mean=float(pulled.mean()),
            variance=float(pulled.var()),
            middle=middle,
            clip=clip,
            least=least,
            least_weight=least_weight,
        )

    def follow(self, distance: FloatArray, learnt: FloatArray) -> tuple[FloatArray, Self]:
        """Deviations beyond the mean, row by row, while later rows learn from earlier ones.

        Args:
            distance: float64[n].
            learnt: float64[n], what is learnt after each row; NaN for none.

        Returns:
            float64[n], NaN where the distance is; the state after the last row.
        """
        found, count, mean, variance = usual_distance_kernels.standardised(
            np.ascontiguousarray(distance, np.float64),
            np.ascontiguousarray(learnt, np.float64),
            self.count,
            self.mean,
            self.variance,
            self.clip,
            self.least,
            self.least_weight,
        )
        return found, replace(self, count=count, mean=mean, variance=variance)

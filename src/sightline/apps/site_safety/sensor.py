"""A simulated camera with a ground plane: late, noisy, and not always there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sightline.records.windows import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorModel:
    """How ground positions are seen.

    Attributes:
        period_s: time between two pictures.
        latency_s: from a picture to the answer about it.
        dropped: share of the pictures that never arrive, each by chance.
        missed: share of the things in a picture that are not detected, each by chance.
        noise_m: standard deviation of a position in x and y, each picture anew.
    """

    period_s: float = 0.1
    latency_s: float = 0.15
    dropped: float = 0.3
    missed: float = 0.1
    noise_m: float = 0.15

    def see(
        self, positions_m: FloatArray, visible: FloatArray, random: np.random.Generator
    ) -> FloatArray | None:
        """float64[n, 2] measured of float64[n, 2] true; NaN where missed; None: picture dropped.

        The same number of random draws is made whatever happens, so that two runs from one seed
        see the same until they differ in what is there to see.
        """
        is_dropped = random.random() < self.dropped
        is_missed = random.random(len(positions_m)) < self.missed
        measured = positions_m + self.noise_m * random.standard_normal(positions_m.shape)
        if is_dropped:
            return None
        found: FloatArray = np.where((is_missed | (visible == 0))[:, None], np.nan, measured)
        return found

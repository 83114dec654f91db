"""How velocities change: a cruising velocity that drifts, and a sway about it that dies out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sightline.errors import UsageError
from sightline.records.windows import FloatArray

PARTS = 3
"""Parts of the state: position, cruising velocity, sway; each has x and y."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VelocityModel:
    """A person's velocity as the sum of two Gaussian processes, the same for x and y.

    The *cruising velocity* is a random walk (a velocity driven by white acceleration; Bar-Shalom,
    Li & Kirubarajan 2001, "Estimation with Applications to Tracking and Navigation", 6.2.2). The
    *sway* is an Ornstein-Uhlenbeck process (Uhlenbeck & Ornstein 1930; Singer 1970 for tracking):
    the side-step of gait, a slip, an error that two neighbouring samples share. It returns to
    zero, so only the cruising velocity is carried far ahead. Without sway this is the
    constant-velocity model.

    Attributes:
        drift_m2_s3: spectral density of the cruising velocity's white acceleration, > 0.
        cruise_sd_m_s: standard deviation of the cruising velocity of somebody never seen before,
            per axis, > 0.
        sway_sd_m_s: stationary standard deviation of the sway, per axis, ≥ 0.
        sway_memory_s: time in which a sway falls to 1 / e, > 0.
        position_sd_m: standard deviation of a measured position, per axis, > 0; used where a
            history brings no covariance of its own.

    Raises:
        UsageError: if a number is out of range.

    >>> VelocityModel(drift_m2_s3=0.01, sway_sd_m_s=0.0).transition(np.array([2.0])).tolist()
    [[[1.0, 2.0, 0.8646647167633873], [0.0, 1.0, 0.0], [0.0, 0.0, 0.1353352832366127]]]
    """

    drift_m2_s3: float
    cruise_sd_m_s: float = 1.0
    sway_sd_m_s: float = 0.0
    sway_memory_s: float = 1.0
    position_sd_m: float = 0.05

    def __post_init__(self) -> None:
        positive = (self.drift_m2_s3, self.cruise_sd_m_s, self.sway_memory_s, self.position_sd_m)
        is_finite = np.isfinite([*positive, self.sway_sd_m_s]).all()
        if not (is_finite and min(positive) > 0 and self.sway_sd_m_s >= 0):
            raise UsageError(
                expected="positive finite numbers (sway_sd_m_s may be 0)",
                got=str(self),
                where="velocity model",
                action="mend them, or fit them with fit_velocity_model",
            )

    def transition(self, step_s: FloatArray) -> FloatArray:
        """float64[..., 3, 3] of steps float64[...]: the state after from the state before."""
        keep = np.exp(-step_s / self.sway_memory_s)
        found = np.zeros((*step_s.shape, PARTS, PARTS))
        found[..., 0, 0] = found[..., 1, 1] = 1.0
        found[..., 0, 1] = step_s
        found[..., 0, 2] = self.sway_reach_s(step_s)
        found[..., 2, 2] = keep
        return found

    def noise(self, step_s: FloatArray) -> FloatArray:
        """float64[..., 3, 3], covariance that a step adds, exact for any length of it."""
        found = np.zeros((*step_s.shape, PARTS, PARTS))
        drift, memory = self.drift_m2_s3, self.sway_memory_s
        found[..., 0, 0] = drift * step_s**3 / 3 + self.sway_noise_m2(step_s)
        found[..., 0, 1] = found[..., 1, 0] = drift * step_s**2 / 2
        found[..., 1, 1] = drift * step_s
        lost = -np.expm1(-step_s / memory)
        variance = self.sway_sd_m_s**2
        found[..., 0, 2] = found[..., 2, 0] = variance * memory * lost**2
        found[..., 2, 2] = variance * lost * (2 - lost)
        return found

    def sway_noise_m2(self, step_s: FloatArray) -> FloatArray:
        """float64[...], variance of the position that new sway adds in a time, per axis.

        The integrated Ornstein-Uhlenbeck covariance: Gillespie (1996), Phys. Rev. E 54, 2084.
        """
        memory = self.sway_memory_s
        lost = -np.expm1(-step_s / memory)
        away = 2 * (step_s - memory * lost) - memory * lost**2
        found: FloatArray = self.sway_sd_m_s**2 * memory * np.maximum(away, 0.0)
        return found

    def sway_reach_s(self, step_s: FloatArray) -> FloatArray:
        """float64[...], how far a sway of 1 m/s still carries in a time: memory (1 - e^(-t/m))."""
        found: FloatArray = -self.sway_memory_s * np.expm1(-step_s / self.sway_memory_s)
        return found

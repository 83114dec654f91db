"""How machines are taken to move: where they head, and no slower than they may set off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sightline.assess.site.gaussian import std_along
from sightline.assess.site.machines.heading import Headings
from sightline.assess.site.speed import Speed
from sightline.records import Tracks
from sightline.records.windows import FloatArray

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

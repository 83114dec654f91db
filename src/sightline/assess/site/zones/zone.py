"""Zones of a site: an area, what is allowed in it, and when somebody counts as being in it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sightline.assess.site.zones.polygon import Polygon
from sightline.errors import UsageError
from sightline.records.signals import NS_PER_S


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
        margin: depth beyond the border that an entry or exit takes, in the unit of the polygon.
        hold_s: how long it must last, in capture time.
        confidence: probability of being on that side that counts as evidence, 0.5 to below 1.
        suspect_probability: probability of being inside from which one is treated as inside at
            once, until seen to leave; between 1 - confidence and confidence.
        lost_timeout_s: how long somebody not seen any more is taken to be inside. After it the
            presence is FORGOTTEN: by then a person must have been looked for.

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
    lost_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        times = (self.hold_s, self.lost_timeout_s, self.margin)
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
    def lost_timeout_ns(self) -> int:
        return round(self.lost_timeout_s * NS_PER_S)

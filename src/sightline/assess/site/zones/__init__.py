"""Zones: who is where, since when, and what is wrong with that."""

from sightline.assess.site.zones.polygon import Polygon
from sightline.assess.site.zones.zone import SiteZone
from sightline.assess.site.zones.zone_risk import zone_risk
from sightline.assess.site.zones.zone_watch import Crossing, ZoneState, watch_zones

__all__ = [
    "Crossing",
    "Polygon",
    "SiteZone",
    "ZoneState",
    "watch_zones",
    "zone_risk",
]

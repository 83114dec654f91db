"""Site safety: risks of people from tracks, in zones and from moving machines, with reasons.

Everything is pure and in metres on the ground (zones also in pixels): `zones` tells who is
where, `machines` who is in the way of what. Both answer with a `SiteAssessment`.
"""

from sightline.assess.site.assessment import RiskCode, SiteAssessment
from sightline.assess.site.gaussian import Speed
from sightline.assess.site.snapshot import from_snapshot, snapshot

__all__ = ["RiskCode", "SiteAssessment", "Speed", "from_snapshot", "snapshot"]

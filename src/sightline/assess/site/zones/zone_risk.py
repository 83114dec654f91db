"""Risks of zones: who is where nobody may be, too many, too long, too fast, or lost inside."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from sightline.assess.site.assessment import NOBODY, RiskCode, SiteAssessment
from sightline.assess.site.speed import Speed
from sightline.assess.site.zones.membership import of_classes
from sightline.assess.site.zones.zone import SiteZone
from sightline.assess.site.zones.zone_watch import ZonePresence
from sightline.errors import UsageError
from sightline.records import Tracks


def zone_risk(zones: Sequence[SiteZone], presence: ZonePresence, tracks: Tracks) -> SiteAssessment:
    """The risks of one frame.

    Who is to be treated as inside is said by ``presence`` (see ``watch_zones``): at once when
    inside is likely enough, until seen to have left. Who is not seen in this frame, or not seen
    any more, is LOST_IN_ZONE in a forbidden zone: to vanish is not to leave. OVERSPEED needs a
    sight and the zone's confidence that the speed is above the limit. UNLOCATED is said of who
    is seen while there are zones in metres, but has no position on the ground.

    Args:
        zones: as given to ``watch_zones``.
        presence: of this frame.
        tracks: of this frame.

    Raises:
        UsageError: presence and tracks are of different frames.
    """
    if presence.capture_ns != tracks.capture_ns:
        raise UsageError(
            expected=f"the presence of the frame at {tracks.capture_ns}",
            got=str(presence.capture_ns),
            where=f"zone_risk of stream {tracks.stream}",
            action="give both of the same frame",
        )
    stream, now_ns = tracks.stream, tracks.capture_ns
    rows_of = partial(SiteAssessment.of_code, stream=stream, capture_ns=now_ns)
    occupancy = presence.occupancy(len(zones))
    found = [_unlocated(zones, tracks)]
    for index, zone in enumerate(zones):
        is_here = presence.zone == index
        if zone.is_forbidden:
            seen = np.flatnonzero(is_here & (presence.unseen_s == 0))
            lost = np.flatnonzero(is_here & (presence.unseen_s > 0))
            found += [
                rows_of(
                    RiskCode.IN_FORBIDDEN_ZONE,
                    subject=presence.track_id[seen],
                    zone=index,
                    value=presence.probability[seen],
                    threshold=zone.suspect_probability,
                ),
                rows_of(
                    RiskCode.LOST_IN_ZONE,
                    subject=presence.track_id[lost],
                    zone=index,
                    value=presence.unseen_s[lost],
                    threshold=zone.lost_timeout_s,
                ),
            ]
        if zone.max_occupancy is not None and occupancy[index] > zone.max_occupancy:
            found.append(
                rows_of(
                    RiskCode.ZONE_OCCUPANCY,
                    subject=[NOBODY],
                    zone=index,
                    value=float(occupancy[index]),
                    threshold=zone.max_occupancy,
                )
            )
        if zone.max_dwell_s is not None:
            is_long = is_here & (presence.dwell_s > zone.max_dwell_s)
            found.append(
                rows_of(
                    RiskCode.DWELL,
                    subject=presence.track_id[is_long],
                    zone=index,
                    value=presence.dwell_s[is_long],
                    threshold=zone.max_dwell_s,
                )
            )
        if zone.max_speed_m_s is not None:
            here = tracks.only(
                np.isin(tracks.track_id, presence.track_id[is_here]) & (tracks.unseen_s == 0)
            )
            speed = Speed.of(here.velocity_m_s, here.ground_covariance[:, 2:, 2:])
            is_fast = speed.probability_above(zone.max_speed_m_s) >= zone.confidence
            found.append(
                rows_of(
                    RiskCode.OVERSPEED,
                    subject=here.track_id[is_fast],
                    zone=index,
                    value=speed.mean_m_s[is_fast],
                    threshold=zone.max_speed_m_s,
                )
            )
    return SiteAssessment.joined(stream, now_ns, found)


def _unlocated(zones: Sequence[SiteZone], tracks: Tracks) -> SiteAssessment:
    names = {name for z in zones if z.polygon.unit == "m" for name in z.classes}
    is_concerned = of_classes(tracks, names) & (tracks.unseen_s == 0)
    is_unlocated = is_concerned & ~np.isfinite(tracks.ground_m).all(axis=1)
    return SiteAssessment.of_code(
        RiskCode.UNLOCATED,
        stream=tracks.stream,
        capture_ns=tracks.capture_ns,
        subject=tracks.track_id[is_unlocated],
        value=np.nan,
        threshold=np.nan,
    )

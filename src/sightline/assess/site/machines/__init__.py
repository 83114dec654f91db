"""Moving machines among people: distance, time to collision, braking, and the risks of pairs."""

from sightline.assess.site.machines.confirmation import SuspectedPairs
from sightline.assess.site.machines.heading import Headings, TowedPoints, follow_headings
from sightline.assess.site.machines.lost_near_machine import PairsAtRisk, watch_pairs
from sightline.assess.site.machines.machine import Braking, MachineRule
from sightline.assess.site.machines.pair_risk import look_at_pairs, pair_risk
from sightline.assess.site.machines.relative_motion import RelativeMotion, conflict_probability
from sightline.assess.site.machines.unconfirmed_near_machine import unconfirmed_risk

__all__ = [
    "Braking",
    "Headings",
    "MachineRule",
    "PairsAtRisk",
    "RelativeMotion",
    "SuspectedPairs",
    "TowedPoints",
    "conflict_probability",
    "follow_headings",
    "look_at_pairs",
    "pair_risk",
    "unconfirmed_risk",
    "watch_pairs",
]

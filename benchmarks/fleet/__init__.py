"""A detector for a fleet of satellites: what each channel should read now, and how far it is off.

A model of each satellite is learnt from its own last days and its command record: the clock of
its orbit, its shadow, its wheels' modes, its heaters' cycles, its link's arcs, its memory's counts.
What is left (residual) is noise and slow wander, and tests of a step, a level, a swing, a stuck
value and a missing one look at that. No labels: what a ground segment has. ADR 0012 says what was
tried.

When not to use it: on satellites of another kind. The forms of the models are those of this one.
"""

from benchmarks.fleet.commands import CommandRecord
from benchmarks.fleet.evidence import day_evidence
from benchmarks.fleet.model import SatelliteModel
from benchmarks.fleet.series import Channel, SatelliteSeries
from benchmarks.fleet.watch import SatelliteWatch

__all__ = [
    "Channel",
    "CommandRecord",
    "SatelliteModel",
    "SatelliteSeries",
    "SatelliteWatch",
    "day_evidence",
]

"""Where random numbers come from: one generator for each purpose and each thing it concerns.

A generator depends on the scene's seed, the purpose and the indices alone, so satellite 7 is the
same in a fleet of 8 and of 1,000, its third day is the same in a run of 3 days and of 300, and a
fault more or less leaves all noise as it was.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What is drawn; in brackets the indices that follow. The numbers are part of the format."""

    ORBIT = 1
    """(satellite)"""
    TRAITS = 2
    """(satellite, channel)"""
    ACTIVITY = 3
    """(satellite, day + 1)"""
    SEASON = 4
    """(satellite, week)"""
    WANDER = 5
    """(satellite, day)"""
    NOISE = 6
    """(satellite, day, channel)"""
    FAULTS = 7
    """(satellite, day)"""
    GATEWAY_FAULTS = 8
    """(gateway, day)"""
    RELEASES = 9
    """()"""
    ROLLOUT = 10
    """(release, satellite)"""
    OUTAGES = 11
    """(gateway, day)"""
    LINK = 12
    """(satellite, day)"""
    CHANNELS = 13
    """(channel)"""
    UPLINK = 14
    """(satellite, day)"""
    STATION_LOG = 15
    """(gateway), (gateway, number of the scheduled fault + 1)"""


def seeds(seed: int, purpose: Purpose, *index: int) -> np.random.SeedSequence:
    """The seed sequence for one purpose and one thing.

    >>> a = generator(3, Purpose.ORBIT, 5).random()
    >>> a == generator(3, Purpose.ORBIT, 5).random(), a == generator(3, Purpose.ORBIT, 6).random()
    (True, False)
    """
    return np.random.SeedSequence(seed, spawn_key=(int(purpose), *index))


def generator(seed: int, purpose: Purpose, *index: int) -> np.random.Generator:
    """A fresh generator for one purpose and one thing."""
    return np.random.default_rng(seeds(seed, purpose, *index))

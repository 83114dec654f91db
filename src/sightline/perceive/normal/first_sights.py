"""Commands that a satellite was never sent before: what they do is not learnt yet."""

from __future__ import annotations

import numpy as np

from sightline.perceive.normal.expectation import CommandTimes
from sightline.records.windows import FloatArray

_FEW = 4
_MOSTLY = 0.5
"""Where more of the last values than these were new, a value says nothing new."""


def first_sights(commands: CommandTimes) -> FloatArray:
    """float64[k]: times of commands whose name, or whose value with that name, is seen first.

    A command that comes with another value most of the time is new by its name alone. Nothing at a
    time hangs on commands after it.

    >>> commands = CommandTimes(
    ...     time_s=np.arange(5.0),
    ...     name=np.array(["heat", "dump", "heat", "dump", "heat"]),
    ...     value=np.array([15.0, np.nan, 15.0, np.nan, 18.0]),
    ... )
    >>> first_sights(commands).tolist()
    [0.0, 1.0, 4.0]
    """
    found = []
    for name in np.unique(commands.name):
        mine = commands.name == name
        time_s, value = commands.time_s[mine], np.nan_to_num(commands.value[mine])
        is_new = np.zeros(len(value), np.bool_)
        is_new[np.unique(value, return_index=True)[1]] = True
        before = np.arange(len(value))
        is_usual = (before >= _FEW) & (np.cumsum(is_new) - is_new > _MOSTLY * before)
        found.append(time_s[is_new & ~is_usual])
    return np.sort(np.concatenate(found)) if found else np.empty(0)

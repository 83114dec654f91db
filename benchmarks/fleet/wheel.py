"""A wheel: one orbit's disturbance, a bias for each mode, momentum that gathers and is dumped."""

from __future__ import annotations

import numpy as np

from benchmarks.fleet import kernels
from benchmarks.fleet.clock import OrbitClock
from benchmarks.fleet.commands import PAYLOAD, SAFE, CommandRecord
from sightline.records.windows import FloatArray

MODE_LAG_S = 45.0
DUMP_LAG_S = 90.0
_GATHERED_S = 14_400.0


def wheel_columns(clock: OrbitClock, time_s: FloatArray, commands: CommandRecord) -> FloatArray:
    """float64[n, 6]: what a wheel's speed is a sum of.

    Constant, cosine and sine of the orbit, payload and safe mode through their lag, momentum since
    the last dump with what the dump still carries off.
    """
    angle = clock.angle_rad(time_s)
    at_s, mode = commands.modes()
    lag_s = np.full(len(at_s), MODE_LAG_S)
    payload, safe = (
        kernels.relaxed(time_s, at_s, (mode == which) * 1.0, lag_s) for which in (PAYLOAD, SAFE)
    )
    dump_s = commands.works("dump_momentum")
    gathered = np.zeros(len(time_s))
    if len(dump_s) > 1:
        last = np.clip(np.searchsorted(dump_s, time_s, "right") - 1, 0, None)
        since_s = np.clip(time_s - dump_s[last], 0, None)
        carried_s = np.append(0.9 * _GATHERED_S, np.diff(dump_s))[last]
        gathered = (since_s + carried_s * np.exp(-since_s / DUMP_LAG_S)) / _GATHERED_S
    return np.column_stack(
        [np.ones(len(time_s)), np.cos(angle), np.sin(angle), payload, safe, gathered]
    )

"""What a satellite is told to do: modes, slews, wheel dumps, memory scrubs, heater settings.

Commands are part of what an operator knows: each is on record, one to eight seconds before it
takes effect. They explain most of what looks unusual in the telemetry. Rare, and normal: a safe
mode of hours, a calibration slew of twice the usual size, a new setting of the heater.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numpy as np
import numpy.typing as npt

from sightline.apps.gateway.telemetry_scene.draws import Purpose, generator
from sightline.records.windows import FloatArray

ModeArray = npt.NDArray[np.int8]

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S

_OPERATIONS = 15
_SLOT_S = DAY_S / _OPERATIONS
_LEAD_S = 300.0
_SLEW_LEAD_S = (60.0, 120.0)
_DUMPS = 6
_DUMP_S = DAY_S / _DUMPS
SCRUB_EVERY_S = DAY_S / 4
"""Memory is scrubbed, and its counter of errors cleared, at midnight and every six hours."""
_SAFE_MODES_PER_WEEK = 0.06
_SAFE_MODE_S = (3_600.0, 21_600.0)
_CALIBRATIONS_PER_DAY = 0.1
_HEATER_CHANGES_PER_WEEK = 1 / 3


class Mode(IntEnum):
    """What the satellite is doing."""

    SAFE = 0
    NOMINAL = 1
    PAYLOAD = 2


class Command(StrEnum):
    """What is sent up."""

    MODE_SAFE = "mode_safe"
    MODE_NOMINAL = "mode_nominal"
    MODE_PAYLOAD = "mode_payload"
    SLEW = "slew"
    DUMP_MOMENTUM = "dump_momentum"
    SCRUB_MEMORY = "scrub_memory"
    SET_HEATER = "set_heater"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Activity:
    """What a satellite does on one day and what still works on from the day before.

    Times are in seconds from the start of the scene, ascending; the first mode and the first
    setting of the heater hold since before the day before.

    Attributes:
        mode_s: float64[m], when the mode changes.
        mode: int8[m], see :class:`Mode`.
        slew_s: float64[k], when a slew ends and settling begins.
        slew_size: float64[k], signed size of its transient, 1 for a usual one.
        dump_s: float64[d], when wheels are unloaded.
        heater_s: float64[h], when the heater is set.
        heater_duty: float64[h], share of the cycle for which it heats, in mean conditions.
        safe_s: float64[s, 2], start and end of the safe modes near this day.
    """

    mode_s: FloatArray
    mode: ModeArray
    slew_s: FloatArray
    slew_size: FloatArray
    dump_s: FloatArray
    heater_s: FloatArray
    heater_duty: FloatArray
    safe_s: FloatArray

    @classmethod
    def none(cls, seed: int, satellite: int) -> Activity:
        """A satellite that is left alone: nominal mode, momentum unloaded as it comes, one heater
        setting.
        """
        _, heater_s, heater_duty = _season(seed, satellite, 0)
        nothing = np.empty(0)
        return cls(
            mode_s=np.array([-2 * WEEK_S]),
            mode=np.array([Mode.NOMINAL], np.int8),
            slew_s=nothing,
            slew_size=nothing,
            dump_s=nothing,
            heater_s=heater_s[:1],
            heater_duty=heater_duty[:1],
            safe_s=np.empty((0, 2)),
        )

    @classmethod
    def of_day(cls, seed: int, satellite: int, day: int) -> Activity:
        """Everything that shapes the telemetry of this day."""
        safe_s, heater_s, heater_duty = _season(seed, satellite, day)
        start_s, end_s, slew_s, slew_size, dump_s = (
            np.concatenate(pair)
            for pair in zip(
                _routine(seed, satellite, day - 1), _routine(seed, satellite, day), strict=True
            )
        )
        # An operation that would meet a safe mode is not carried out.
        meets = (start_s[:, None] < safe_s[:, 1]) & (end_s[:, None] + _LEAD_S > safe_s[:, 0])
        keep = ~meets.any(axis=1)
        before_s = np.array([(day - 1) * DAY_S - 2 * WEEK_S])
        mode_s = np.concatenate([before_s, start_s[keep], end_s[keep], safe_s[:, 0], safe_s[:, 1]])
        mode = np.repeat(
            np.array([Mode.NOMINAL, Mode.PAYLOAD, Mode.NOMINAL, Mode.SAFE, Mode.NOMINAL], np.int8),
            [1, keep.sum(), keep.sum(), len(safe_s), len(safe_s)],
        )
        order = np.argsort(mode_s, kind="stable")
        by_time = np.argsort(slew_s, kind="stable")
        return cls(
            mode_s=mode_s[order],
            mode=mode[order],
            slew_s=slew_s[by_time],
            slew_size=slew_size[by_time],
            dump_s=dump_s,
            heater_s=heater_s,
            heater_duty=heater_duty,
            safe_s=safe_s,
        )

    def commands(self, from_s: float, until_s: float) -> tuple[FloatArray, ModeArray]:
        """When each command takes effect, float64[k], ascending, and which it is, int8[k].

        Times are seconds from the start, ``from_s`` <= time < ``until_s``; commands are indices in
        :class:`Command`.
        """
        scrub_s = np.arange(from_s // SCRUB_EVERY_S, until_s // SCRUB_EVERY_S + 1) * SCRUB_EVERY_S
        # The first three commands set the modes, in their order.
        at_s = np.concatenate([self.mode_s, self.slew_s, self.dump_s, scrub_s, self.heater_s])
        others = [Command.SLEW, Command.DUMP_MOMENTUM, Command.SCRUB_MEMORY, Command.SET_HEATER]
        lengths = [len(self.slew_s), len(self.dump_s), len(scrub_s), len(self.heater_s)]
        codes = np.array([list(Command).index(command) for command in others], np.int8)
        code = np.concatenate([self.mode, np.repeat(codes, lengths)])
        order = np.argsort(at_s, kind="stable")
        order = order[(at_s[order] >= from_s) & (at_s[order] < until_s)]
        return at_s[order], code[order]


def _routine(
    seed: int, satellite: int, day: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Operations (start, end), slews (end, size) and dumps that begin on one day."""
    # Counted from the day before the scene, whose slews and dumps still work on.
    rng = generator(seed, Purpose.ACTIVITY, satellite, day + 1)
    slot_s = day * DAY_S + _SLOT_S * np.arange(_OPERATIONS)
    happens = rng.random(_OPERATIONS) < 0.6
    start_s = slot_s + _LEAD_S + rng.uniform(0, 3600, _OPERATIONS)
    end_s = start_s + rng.uniform(480, 1500, _OPERATIONS)
    lead_s = rng.uniform(*_SLEW_LEAD_S, (2, _OPERATIONS))
    size = rng.uniform(0.4, 1.3, (2, _OPERATIONS)) * rng.choice([-1.0, 1.0], (2, _OPERATIONS))
    dump_s = day * DAY_S + _DUMP_S * np.arange(_DUMPS) + rng.uniform(0, _DUMP_S / 2, _DUMPS)
    calibrates, calibration_s, calibration_size = rng.random(3)
    there_s, back_s = (start_s - lead_s[0])[happens], (end_s + lead_s[1])[happens]
    slew_s = np.concatenate([there_s, back_s])
    slew_size = np.concatenate([size[0][happens], size[1][happens]])
    if calibrates < _CALIBRATIONS_PER_DAY:
        slew_s = np.append(slew_s, day * DAY_S + calibration_s * DAY_S)
        slew_size = np.append(slew_size, 2 + calibration_size)
    return start_s[happens], end_s[happens], slew_s, slew_size, dump_s


def _season(seed: int, satellite: int, day: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Safe modes of this week and the last, and settings of the heater.

    These go back to the one in force when the day before began.
    """
    this_week = day // 7
    safe: list[tuple[float, float]] = []
    heater: list[tuple[float, float]] = []
    is_settled = False
    week = this_week
    while not is_settled:
        rng = generator(seed, Purpose.SEASON, satellite, week)
        has_safe, safe_at, safe_length, changes, changed_at, duty = rng.random(6)
        if week >= this_week - 1 and has_safe < _SAFE_MODES_PER_WEEK:
            shortest_s, longest_s = _SAFE_MODE_S
            length_s = shortest_s + safe_length * (longest_s - shortest_s)
            start_s = week * WEEK_S + safe_at * (WEEK_S - length_s)
            safe.append((start_s, start_s + length_s))
        if week == 0 or changes < _HEATER_CHANGES_PER_WEEK:
            at_s = week * WEEK_S + changed_at * WEEK_S if week else -WEEK_S
            heater.append((at_s, 0.35 + 0.2 * duty))
            is_settled = week == 0 or (at_s <= (day - 1) * DAY_S and week < this_week - 1)
        week -= 1
    heater_s, heater_duty = np.array(heater[::-1]).T
    return np.array(safe[::-1]).reshape(-1, 2), heater_s, heater_duty

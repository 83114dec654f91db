"""The rule of one machine: which reason asks for which command, and how long commands hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sightline.errors import UsageError
from sightline.records.command import CommandLevel
from sightline.records.signals import NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class ActuationRule:
    """How reasons become commands to one machine.

    Attributes:
        pipeline: digest of the pipeline that decides, part of the command ids.
        machine: name of the machine.
        level_of: what each reason code asks for. A code that is not listed asks for STOP: a
            reason that nobody thought of is no reason to drive on.
        max_age_s: oldest picture that counts as sight, > 0.
        hold_s: how long less must be asked for, in sight all the time, before the command is
            lowered; >= 0.
        valid_s: how long a command holds, > 0. A machine that has no valid command must stop by
            itself; so a lost connection or a dead sender stops it within this time.
        heartbeat_s: time after which a command is issued again; at most half of ``valid_s``, so
            that one may be lost on the way. Steps must come at least as often.
        restarts_at: the most that may be asked for while a stopped machine waits for the hold to
            pass; below STOP. With NONE it sets off only when nothing at all is wrong.
        needs_reset: whether a stopped machine also waits for a person to press reset, after the
            hold (ISO 13849-1, manual reset function).
        max_reasons: reasons in one command, the most important ones; at least 1.
        version: name and digest of this rule, for the reasons that come from it.

    Raises:
        UsageError: a value out of its range.
    """

    pipeline: str
    machine: str
    level_of: Mapping[str, CommandLevel]
    max_age_s: float = 0.5
    hold_s: float = 2.0
    valid_s: float = 1.0
    heartbeat_s: float = 0.4
    restarts_at: CommandLevel = CommandLevel.NONE
    needs_reset: bool = False
    max_reasons: int = 16
    version: str = "actuation@1"

    def __post_init__(self) -> None:
        times = (self.max_age_s, self.hold_s, self.valid_s, self.heartbeat_s)
        is_positive = min(self.max_age_s, self.valid_s, self.heartbeat_s) > 0 and self.hold_s >= 0
        is_named = bool(self.pipeline and self.machine) and self.max_reasons >= 1
        can_stop = self.restarts_at is not CommandLevel.STOP
        is_beating = 2 * self.heartbeat_s <= self.valid_s
        if not (
            is_positive and is_named and can_stop and is_beating and all(map(math.isfinite, times))
        ):
            raise UsageError(
                expected="a pipeline, a machine, finite times > 0 (hold_s >= 0), "
                "heartbeat_s <= valid_s / 2, restarts_at below stop and max_reasons >= 1",
                got=f"{self.pipeline!r}, {self.machine!r}, max_age, hold, valid, heartbeat "
                f"{times}, restarts_at {self.restarts_at}, max_reasons {self.max_reasons}",
                where="actuation rule",
                action="mend the rule",
            )
        object.__setattr__(self, "level_of", MappingProxyType(dict(self.level_of)))

    @property
    def max_age_ns(self) -> int:
        return round(self.max_age_s * NS_PER_S)

    @property
    def hold_ns(self) -> int:
        return round(self.hold_s * NS_PER_S)

    @property
    def valid_ns(self) -> int:
        return round(self.valid_s * NS_PER_S)

    @property
    def heartbeat_ns(self) -> int:
        return round(self.heartbeat_s * NS_PER_S)

"""One satellite, day after day: learn from the last days, judge the next."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.fleet.commands import CommandRecord
from benchmarks.fleet.evidence import Evidence, day_evidence
from benchmarks.fleet.model import SatelliteModel
from benchmarks.fleet.scales import ChannelScale
from benchmarks.fleet.series import DAY_S, Channel, SatelliteSeries

HISTORY_DAYS = 3
"""A model learns from so many days, no more are held."""
_RUN_UP_S = 30_000.0
_FAST_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SatelliteWatch:
    """State between days.

    Attributes:
        days: the last days, at most ``HISTORY_DAYS``.
        model: of the day before, if there was one.
    """

    days: tuple[SatelliteSeries, ...]
    model: SatelliteModel | None = None

    def judge(
        self, today: SatelliteSeries, commands: CommandRecord
    ) -> tuple[Evidence, SatelliteModel]:
        """Evidence for each sample of a day, and the model that it was judged by.

        Args:
            today: the samples to judge; only those before each sample enter its scores.
            commands: of the satellite; each is used from when it was sent.
        """
        history = SatelliteSeries.joined(*self.days)
        model = SatelliteModel.learn(history, commands.until(float(history.time_s[-1])), self.model)
        recent = history.last(2 * DAY_S if today.period_s > _FAST_S else DAY_S)
        residuals = model.residuals(recent, commands)
        unsure = dict(zip((Channel.BATTERY, Channel.THERMAL), model.power.unsure(), strict=True))
        scales: dict[Channel, ChannelScale] = {
            channel: ChannelScale.learn(channel, recent, residuals, unsure.get(channel, 0.0))
            for channel in Channel
            if channel is not Channel.COUNTER
        }
        run_up = history.last(_RUN_UP_S)
        both = SatelliteSeries.joined(run_up, today)
        found = day_evidence(model, scales, both, commands)
        start = len(run_up.time_s)
        return {key: score[start:] for key, score in found.items()}, model

    def after(self, day: SatelliteSeries, model: SatelliteModel) -> SatelliteWatch:
        """With one more day to learn from: the day judged, or what is known good of it."""
        return SatelliteWatch(days=(*self.days, day)[-HISTORY_DAYS:], model=model)

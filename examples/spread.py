"""A series stage with a state: how widely a measure has spread lately.

In a pipeline, with this file beside it or in an installed package::

    plugins: [spread]
    stages:
      minutes: {use: windows, input: telemetry, width_s: 60, statistics: [mean]}
      spread:  {use: spread, input: minutes, measures: ["*.mean"], forget: 0.9}
      wide:    {use: alarm, input: spread, measure: "*", unit: V, raise_above: 5, code: WIDE}
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

import sightline as sl


class SpreadSettings(sl.SeriesSettings):
    """How widely a measure has spread lately."""

    measures: Annotated[tuple[str, ...], Field(min_length=1)]
    """Columns of the input."""
    forget: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Share of the spread that is left one window later if nothing new widens it."""


class Spread(sl.Stage):
    """The distance between the greatest and the least value, both slowly forgotten."""

    use = "spread"
    version = 1
    Settings = SpreadSettings
    scores = True  # so that a decision names the value behind the spread

    def begin(self, keys, measures):
        return {"low": np.full((keys, measures), np.nan), "high": np.full((keys, measures), np.nan)}

    def follow(self, state, values):
        middle = (state["low"] + state["high"]) / 2
        for name, widest in (("low", np.fmin), ("high", np.fmax)):
            kept = middle + self.settings.forget * (state[name] - middle)
            state[name][...] = widest(kept, values)
        return state["high"] - state["low"]

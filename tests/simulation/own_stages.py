"""Stages of one's own, as a plugin brings them: one that remembers, one that looks and measures."""

import math

import numpy as np

from sightline.runtime.item_stage import ItemStage
from sightline.runtime.settings import GuardSettings, ItemSettings, SeriesSettings
from sightline.runtime.stage import Stage


class SinceRiseSettings(SeriesSettings):
    """What a rise is."""

    measures: tuple[str, ...]
    """Columns of the input."""
    rise: float = 1.0
    """From one window to the next, in the unit of the measure."""


class SinceRise(Stage):
    """How far a measure is from where it was when it last rose."""

    use = "since_rise"
    Settings = SinceRiseSettings

    def begin(self, keys, measures):
        never = np.full((keys, measures), np.nan)
        return {"before": never, "at_rise": never.copy(), "seen": np.zeros(keys, np.int64)}

    def follow(self, state, values):
        has_risen = values - state["before"] > self.settings.rise
        is_first = np.isnan(state["at_rise"]) & np.isfinite(values)
        state["at_rise"] = np.where(has_risen | is_first, values, state["at_rise"])
        state["before"] = np.where(np.isfinite(values), values, state["before"])
        state["seen"] += 1
        return values - state["at_rise"] + 1e-3 * state["seen"][:, None]


class ShadeSettings(ItemSettings):
    """When a picture is dark, and what it is compared with."""

    column: str
    """``STAGE.COLUMN`` of a series stage."""
    key: str
    """Of that series."""
    above: float
    """The picture is odd where shade and series together are more than this."""
    guarded: GuardSettings
    """Its deadline."""


class Shade(ItemStage):
    """Shade of a picture, beside what is known of a series at that moment."""

    use = "shade"
    Settings = ShadeSettings
    writes = "shades"
    measures = {"shade": "1", "beside": "1"}
    looks = True
    finds = ("shade",)

    def plan(self, planning):
        planning.column(self.settings.column)

    def on_item(self, turn):
        known = turn.known(self.settings.column, self.settings.key)
        found = turn.found
        turn.state["frames"] = turn.state.get("frames", 0) + 1
        nobody = found is None
        turn.flag(
            "NOBODY_LOOKED", when=nobody, value=float(nobody), threshold=0.0, unit="1", subject="us"
        )
        if nobody:
            turn.measure({"beside": known.value})
            return None
        both = found["shade"] + (0.0 if math.isnan(known.value) else known.value)
        turn.measure({"shade": found["shade"], "beside": known.value})
        turn.flag(
            "ODD_SHADE",
            when=both > self.settings.above,
            value=both,
            threshold=self.settings.above,
            unit="1",
            measure=f"window_end_{known.end_ns}_frame_{turn.state['frames']}",
        )
        return both

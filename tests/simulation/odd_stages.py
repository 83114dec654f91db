"""Stages of one's own that do what a plugin of somebody else might; of `camera_plans`."""

import math
from dataclasses import dataclass

import numpy as np

from sightline.runtime.item_stage import ItemStage
from sightline.runtime.settings import GuardSettings, ItemSettings, SeriesSettings
from sightline.runtime.stage import Stage


class Anything(ItemStage):
    """Reads whatever it is given."""

    use = "anything"
    reads = ("*",)
    writes = "nothing"


class LevelSettings(ItemSettings):
    """With or without a deadline."""

    guarded: GuardSettings | None = None


class Level(ItemStage):
    """Looks for a level in pictures."""

    use = "look_for_level"
    Settings = LevelSettings
    writes = "levels"
    looks = True
    finds = ("level",)

    def look(self, frames):
        return [{"level": 1.0} for _ in frames]

    def fall_back(self, turn):
        return {"level": 0.0}

    def on_item(self, turn):
        turn.flag("LEVEL", when=True, value=turn.found["level"], threshold=0.0, unit="1")


class LevelWithoutName(Level):
    """Finds nothing of what it said it would."""

    use = "look_for_nothing"

    def look(self, frames):
        return [{"depth": 1.0} for _ in frames]


class CountTracks(ItemStage):
    """How many tracks there are: said, and measured."""

    use = "count_tracks"
    reads = ("tracks",)
    writes = "counts"
    measures = {"tracks": "1"}

    def on_item(self, turn):
        tracks = len(turn.value(self.settings.inputs[0]).tracks)
        turn.measure({"tracks": tracks})
        turn.flag("TRACKS", when=True, value=tracks, threshold=0.0, unit="1")
        return tracks


class RepeatCounts(ItemStage):
    """Says again what another stage has said."""

    use = "repeat_counts"
    reads = ("counts",)

    def on_item(self, turn):
        turn.flag("AGAIN", when=True, value=1.0, threshold=0.0, unit="1")


class ManySettings(ItemSettings):
    """How many are many."""

    above: int


class ManyFrames(ItemStage):
    """Says that more frames have come than this."""

    use = "many_frames"
    Settings = ManySettings
    reads = ("tracks",)

    def on_item(self, turn):
        frames = turn.state["frames"] = turn.state.get("frames", 0) + 1
        above = self.settings.above
        turn.flag("MANY_FRAMES", when=frames > above, value=frames, threshold=above, unit="1")


class MeasureTwice(ItemStage):
    """Measures at frames and at ticks."""

    use = "measure_twice"
    writes = "numbers"
    measures = {"number": "1"}

    def on_item(self, turn):
        turn.measure({"number": 1.0})

    def on_tick(self, turn):
        turn.measure({"number": 2.0}, camera=self.settings.inputs[0])


@dataclass
class _Number:
    number: int


class KeepSettings(ItemSettings):
    """What to keep, and where."""

    what: str
    is_value: bool = False


class Keep(ItemStage):
    """Keeps something in its state, or as its value."""

    use = "keep"
    Settings = KeepSettings
    writes = "kept"

    def on_item(self, turn):
        kept = {
            "int_keys": {7: 1},
            "tuple": (1, 2),
            "nan": math.nan,
            "object": _Number(1),
            "numpy": np.int64(1),
            "plain": {"a": [1, 2.5, np.float64(0.5), None, True, "b"]},
        }[self.settings.what]
        if self.settings.is_value:
            return kept
        turn.state["kept"] = kept
        return None


class KnowsColumnSettings(ItemSettings):
    """What it asks for."""

    column: str


class KnowsColumn(ItemStage):
    """Asks what is known of a column that it never checked."""

    use = "knows_column"
    Settings = KnowsColumnSettings

    def on_item(self, turn):
        turn.known(self.settings.column, "k")


class CopySettings(SeriesSettings):
    """What is copied."""

    measures: tuple[str, ...]


class Copy(Stage):
    """Measures as they are; for keys and for groups."""

    use = "copy"
    Settings = CopySettings
    scopes = ("key", "group")

    def compute(self, windows):
        return np.stack([windows.values(m) for m in windows.step.reads], axis=1)


class SumSettings(SeriesSettings):
    """What is summed up."""

    measures: tuple[str, ...]
    length: int


class SumOfHistory(Stage):
    """Sum over so many windows before, whatever its lookback."""

    use = "sum_of_history"
    Settings = SumSettings

    @property
    def lookback(self):
        return 3

    def compute(self, windows):
        length = self.settings.length
        sums = [np.nansum(windows.history(m, length), axis=1) for m in windows.step.reads]
        return np.stack(sums, axis=1)

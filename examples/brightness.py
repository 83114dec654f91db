"""A guarded item stage: an ONNX model looks at each picture, outside the core, with a deadline.

    plugins: [brightness]
    sources: {hall: {frames: {width_px: 64, height_px: 48, rate_hz: 10, max_age_s: 1}}}
    stages:
      light:
        {use: brightness, input: hall, model: brightness.onnx, guarded: {budget_s: 0.1}}
      seconds: {use: windows, input: light, width_s: 1, statistics: [mean]}   # what it measures

What is late, crashes or is no number is answered by ``fall_back``, and the decision says so.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

import sightline as sl


class BrightnessSettings(sl.ItemSettings):
    """How bright each picture is."""

    model: str
    """Path of the ONNX model, relative to the pipeline file."""
    dark_below: float = 40.0
    """Mean level from 0 to 255 below which it is dark."""
    guarded: sl.GuardSettings
    """Deadline of one answer."""


class Looking:
    """The model, as it looks at pictures; made once, where the pictures are."""

    version = "brightness@1"

    def __init__(self, path: Path) -> None:
        self._session = onnxruntime.InferenceSession(str(path))
        self._input = self._session.get_inputs()[0].name

    def look(self, frames):
        def level(pixels):
            picture = pixels[None].astype(np.float32)
            return {"level": float(self._session.run(None, {self._input: picture})[0])}

        return [level(frame.pixels) for frame in frames]


class Brightness(sl.ItemStage):
    """How bright each picture is, by a model."""

    use = "brightness"
    Settings = BrightnessSettings
    reads = ("frames",)
    writes = "brightness"
    measures = {"level": "1"}
    looks = True

    def load(self, camera, folder):
        return Looking(Path(folder) / self.settings.model)

    def fall_back(self, turn):
        last = turn.state.get("level")
        return None if last is None else {"level": last}  # as bright as it was last

    def on_item(self, turn):
        found = turn.found
        level = float("nan") if found is None else found["level"]
        if found is not None:
            turn.state["level"] = level
        turn.measure({"level": level})
        dark = self.settings.dark_below
        turn.flag("DARK", when=level < dark, value=level, threshold=dark, unit="1")

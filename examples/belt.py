"""A decision that needs a camera and a process signal: things lie still although the belt runs.

`belt.yaml` beside this file is the whole pipeline: a camera over a conveyor belt and the encoder of
its drive. What the camera counts flows on as rows into windows and an alarm of its own.
"""

from __future__ import annotations

import math

import sightline as sl


class JamSettings(sl.ItemSettings):
    """Things lie still in the picture although the belt runs."""

    speed: str
    """Column of a series stage with the belt's speed, as STAGE.COLUMN, in m/s."""
    belt: str
    """Key of the belt in that series."""
    runs_above_m_s: float = 0.05
    """Speed from which the belt counts as running, in m/s."""
    still_below_px_s: float = 5.0
    """Speed below which a thing lies still in the picture, in px/s."""
    for_s: float = 1.0
    """How long it must lie still, in seconds."""
    known_for_s: float = 5.0
    """How old the newest known speed may be, in seconds; older: nobody knows whether it runs."""


class Jam(sl.ItemStage):
    """A thing lies still although the belt runs."""

    use = "jam"
    Settings = JamSettings
    reads = ("tracks",)
    writes = "jams"
    measures = {"things": "1", "still_s": "s"}

    def plan(self, planning):
        column = planning.column(self.settings.speed)
        if column.unit != "m/s":
            planning.fail("speed: a column in m/s", f"{self.settings.speed} in {column.unit}")

    def on_item(self, turn):
        form, at_ns = self.settings, turn.header.capture_ns
        tracks = turn.value(form.inputs[0]).tracks
        belt = turn.known(form.speed, form.belt)
        since = turn.state.setdefault("since", {})  # of each thing: where it lies, and since when
        longest_s, seen = 0.0, {}
        for identity, box in zip(tracks.track_id.tolist(), tracks.box_px.tolist(), strict=True):
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            was_x, was_y, began_ns = since.get(str(identity), [x, y, at_ns])
            allowed_px = form.still_below_px_s * max((at_ns - began_ns) / 1e9, 1.0)
            if math.hypot(x - was_x, y - was_y) > allowed_px:
                was_x, was_y, began_ns = x, y, at_ns
            seen[str(identity)] = [was_x, was_y, began_ns]
            longest_s = max(longest_s, (at_ns - began_ns) / 1e9)
        turn.state["since"] = seen
        turn.measure({"things": len(tracks), "still_s": longest_s})
        is_known = belt.end_ns >= at_ns - form.known_for_s * 1e9
        turn.flag(
            "JAM",
            when=is_known and belt.value > form.runs_above_m_s and longest_s >= form.for_s,
            value=longest_s,
            threshold=form.for_s,
            unit="s",
            severity="critical",
        )
        turn.flag(
            "BELT_UNKNOWN",
            when=not is_known,
            value=(at_ns - belt.end_ns) / 1e9 if belt.end_ns >= 0 else math.nan,
            threshold=form.known_for_s,
            unit="s",
        )

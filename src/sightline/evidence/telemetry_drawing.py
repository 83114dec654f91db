"""A day of telemetry as a picture: one strip for each channel, labelled spans shaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline.errors import UsageError
from sightline.evidence.figures import INK, MARK, PALE, axis_time, name_times, new_figure, save
from sightline.records.shown_text import one_line
from sightline.records.windows import FloatArray, IntArray

MAX_STRIPS = 32
"""Channels in one picture; more is a UsageError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledSpan:
    """A span of time on one strip, with a word for it; UTC ns, the end exclusive."""

    channel: str
    start_ns: int
    end_ns: int
    label: str


def check_picture_path(path: Path) -> None:
    """Whether a picture can have this name.

    Raises:
        UsageError: it does not end in ``.png``.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(
            expected="a file that ends in .png",
            got=path.name,
            where=str(path),
            action="give the picture such a name",
        )


def draw_telemetry(
    path: Path,
    *,
    time_ns: IntArray,
    channels: Mapping[str, FloatArray],
    spans: Sequence[LabelledSpan] = (),
    marks_ns: IntArray | None = None,
    title: str = "",
    undated: str = "seconds",
) -> None:
    """Draw channels over time into a PNG, 960 pixels wide.

    Args:
        path: of the PNG; its folder exists.
        time_ns: int64[n], UTC ns, ascending.
        channels: float64[n] each, by the name that is written beside its strip; NaN is a gap.
        spans: shaded on their strips and named.
        marks_ns: int64[k], times ticked along the lower edge (commands).
        title: above it all.
        undated: what ``time_ns`` counts where it begins in 1970, in units of 1e9.

    Raises:
        UsageError: no channel, too many, or one of another length; the file is no ``.png``; the
            extra ``report`` is not installed.
        StorageError: the file cannot be written.
    """
    check_picture_path(path)
    if not 0 < len(channels) <= MAX_STRIPS or any(
        len(v) != len(time_ns) for v in channels.values()
    ):
        raise UsageError(
            expected=f"1 to {MAX_STRIPS} channels as long as time_ns",
            got=f"{len(channels)} of lengths {sorted({len(v) for v in channels.values()})}",
            where="draw_telemetry",
            action="choose the channels to draw",
        )
    figure = new_figure(height_px=48 + 76 * len(channels))
    start_ns = int(time_ns[0]) if len(time_ns) else 0
    at = axis_time(time_ns, start_ns=start_ns)
    axes = figure.subplots(len(channels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (name, values) in zip(axes, channels.items(), strict=True):
        axis.plot(at, values, color=INK, linewidth=0.5)
        # Names of people are no formulas: a dollar sign is a dollar sign.
        axis.set_ylabel(
            one_line(name), rotation=0, ha="right", va="center", fontsize=8, parse_math=False
        )
        axis.tick_params(labelsize=7, length=2)
        axis.spines[["top", "right"]].set_visible(False)
        for span in spans:
            if span.channel == name:
                edges = axis_time(np.array([span.start_ns, span.end_ns]), start_ns=start_ns)
                axis.axvspan(*edges, color=MARK, alpha=0.18, linewidth=0)
                axis.text(
                    edges.mean(), 1.0, span.label, fontsize=7, color=MARK, ha="center",
                    va="bottom", transform=axis.get_xaxis_transform(), parse_math=False,
                )  # fmt: skip
    if marks_ns is not None:
        axes[-1].plot(
            axis_time(marks_ns, start_ns=start_ns), np.zeros(len(marks_ns)), "|", color=PALE,
            markersize=7, clip_on=False, transform=axes[-1].get_xaxis_transform(),
        )  # fmt: skip
    if len(at):
        axes[-1].set_xlim(float(at[0]), max(float(at[-1]), float(at[0]) + 1e-9))
    name_times(axes[-1], start_ns=start_ns, undated=undated)
    save(figure, path, title=title)

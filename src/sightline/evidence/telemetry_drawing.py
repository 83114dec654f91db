"""A day of telemetry as a picture: one strip for each channel, labelled spans shaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from sightline.errors import UsageError
from sightline.records.shown_text import one_line
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

MAX_STRIPS = 32
"""Channels in one picture; more is a UsageError."""
_INK, _MARK, _TICK = "#2d3748", "#c53030", "#a0aec0"


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
) -> None:
    """Draw channels over time into a PNG, 880 pixels wide.

    Args:
        path: of the PNG; its folder exists.
        time_ns: int64[n], UTC ns, ascending.
        channels: float64[n] each, by the name that is written beside its strip; NaN is a gap.
        spans: shaded on their strips and named.
        marks_ns: int64[k], times ticked along the lower edge (commands).
        title: above it all.

    Raises:
        UsageError: no channel, too many, or one of another length; the file is no ``.png`` or
            cannot be written; the extra ``report`` is not installed.
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
    figure = _figure(len(channels))
    start_ns = int(time_ns[0]) if len(time_ns) else 0
    hours = (time_ns - start_ns) / (3600 * NS_PER_S)
    axes = figure.subplots(len(channels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (name, values) in zip(axes, channels.items(), strict=True):
        axis.plot(hours, values, color=_INK, linewidth=0.5)
        # Names of people are no formulas: a dollar sign is a dollar sign.
        axis.set_ylabel(
            one_line(name), rotation=0, ha="right", va="center", fontsize=8, parse_math=False
        )
        axis.tick_params(labelsize=7, length=2)
        axis.spines[["top", "right"]].set_visible(False)
        for span in spans:
            if span.channel == name:
                edges = (np.array([span.start_ns, span.end_ns]) - start_ns) / (3600 * NS_PER_S)
                axis.axvspan(*edges, color=_MARK, alpha=0.18, linewidth=0)
                axis.text(
                    edges.mean(), 1.0, span.label, fontsize=7, color=_MARK, ha="center",
                    va="bottom", transform=axis.get_xaxis_transform(), parse_math=False,
                )  # fmt: skip
    if marks_ns is not None:
        at = (marks_ns - start_ns) / (3600 * NS_PER_S)
        axes[-1].plot(
            at, np.zeros(len(at)), "|", color=_TICK, markersize=7, clip_on=False,
            transform=axes[-1].get_xaxis_transform(),
        )  # fmt: skip
    axes[-1].set_xlim(0, max(float(hours[-1]) if len(hours) else 1.0, 1e-9))
    day = datetime.fromtimestamp(start_ns / NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M")
    axes[-1].set_xlabel(f"hours since {day} UTC", fontsize=8)
    figure.suptitle(one_line(title), fontsize=10, x=0.01, ha="left", parse_math=False)
    try:
        # No software version or date in the file: equal inputs give equal bytes.
        figure.savefig(path, metadata={"Software": None})
    except OSError as error:
        raise UsageError(
            expected="a file that can be written",
            got=str(error),
            where=str(path),
            action="choose another place",
        ) from error


def _figure(strips: int) -> Any:
    """A figure without pyplot, which would keep it and look for a display."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            expected="matplotlib",
            got=str(error),
            where="draw_telemetry",
            action="install the extra: pip install 'sightline[report]'",
        ) from error
    return Figure(figsize=(11, 0.6 + 0.95 * strips), dpi=80, layout="constrained")

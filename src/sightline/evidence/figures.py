"""Pictures of alerts: a figure to draw into, and the file it becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sightline.errors import UsageError, writing
from sightline.evidence.words import is_dated, moment
from sightline.records.shown_text import one_line
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

INK, MARK, GOOD, PALE = "#2d3748", "#b42323", "#2563a8", "#718096"
"""Of lines; as text each has a contrast of 4.5 to 1 on white, but for the last of 4.0."""
_NS_PER_DAY = 86_400 * NS_PER_S


def new_figure(*, height_px: int) -> Any:
    """960 pixels wide, without pyplot, which would keep it and look for a display.

    Raises:
        UsageError: the extra ``report`` is not installed.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            expected="matplotlib",
            got=str(error),
            where="the picture of an alert",
            action="install the extra: pip install 'sightline[report]'",
        ) from error
    return Figure(figsize=(12, height_px / 80), dpi=80, layout="constrained")


def save(drawn: Any, path: Path, *, title: str) -> None:
    """Write a PNG with a title; equal inputs give equal bytes.

    Raises:
        StorageError: the file cannot be written.
    """
    drawn.suptitle(plain_text(title), fontsize=10, x=0.01, ha="left")
    with writing(path):
        drawn.savefig(path, metadata={"Software": None})


def tidy(axis: Any, label: str) -> None:
    """Small ticks, two spines, a label."""
    axis.set_ylabel(plain_text(label), fontsize=8)
    axis.tick_params(labelsize=7, length=2)
    axis.spines[["top", "right"]].set_visible(False)


def axis_time(time_ns: IntArray | int, *, start_ns: int) -> FloatArray:
    """Times as they stand on an axis of time that begins at ``start_ns``.

    Returns:
        Days since 1970 where there are dates, else seconds.
    """
    unit_ns = _NS_PER_DAY if is_dated(start_ns) else NS_PER_S
    found: FloatArray = np.asarray(time_ns, np.int64) / unit_ns
    return found


def name_times(axis: Any, *, start_ns: int, undated: str = "seconds") -> None:
    """Label an axis of :func:`axis_time` with dates and times of day, UTC.

    Args:
        axis: with the x axis.
        start_ns: where it begins, UTC ns.
        undated: what is counted where there are no dates.
    """
    axis.tick_params(labelsize=7, length=2)
    if not is_dated(start_ns):
        axis.set_xlabel(undated, fontsize=8)
        return
    from matplotlib import dates  # noqa: PLC0415

    locator = dates.AutoDateLocator(minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(
        dates.ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    )
    axis.xaxis.get_offset_text().set_fontsize(7)
    axis.set_xlabel(f"UTC, from {moment(start_ns)}", fontsize=8)


def plain_text(text: str) -> str:
    """Names from files are text on one line: a dollar sign would begin a formula."""
    return one_line(text).replace("$", r"\$")

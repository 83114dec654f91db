"""Pictures of alerts: a figure to draw into, and the file it becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sightline.errors import UsageError
from sightline.records.shown_text import one_line

INK, MARK, GOOD, PALE = "#2d3748", "#c53030", "#2b6cb0", "#a0aec0"


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
        UsageError: the file cannot be written.
    """
    drawn.suptitle(plain_text(title), fontsize=10, x=0.01, ha="left")
    try:
        drawn.savefig(path, metadata={"Software": None})
    except OSError as error:
        raise UsageError(
            expected="a file that can be written",
            got=str(error),
            where=str(path),
            action="choose another place",
        ) from error


def tidy(axis: Any, label: str) -> None:
    """Small ticks, two spines, a label."""
    axis.set_ylabel(plain_text(label), fontsize=8)
    axis.tick_params(labelsize=7, length=2)
    axis.spines[["top", "right"]].set_visible(False)


def plain_text(text: str) -> str:
    """Names from files are text on one line: a dollar sign would begin a formula."""
    return one_line(text).replace("$", r"\$")

"""The column beside the cameras: time, and the command in force of each machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from sightline.evidence.site_drawing import palette
from sightline.evidence.site_drawing.marks import fill_rect, fitted_text, put_text
from sightline.evidence.site_drawing.scene import MachineScene, SiteScene
from sightline.records.command import CommandLevel
from sightline.records.decision import Mode, Reason
from sightline.records.frames import Image
from sightline.records.signals import NS_PER_S

TITLE_HEIGHT_PX = 58
CARD_HEIGHT_PX = 62
"""A machine: its bar and the line with its reason."""
_BAR_PX = 32


def draw_title(column: Image, scene: SiteScene, *, pipeline: str, budget_s: float) -> None:
    """Name of the pipeline, time in the run and its budget, at the top of the column.

    Args:
        column: uint8[height, width, 3], changed in place.
        scene: the site.
        pipeline: name.
        budget_s: from capture to command.
    """
    width = column.shape[1]
    name = fitted_text(pipeline, width - 110, size_px=palette.TITLE_PX)
    put_text(column, name, (0, 22), palette.TEXT, size_px=palette.TITLE_PX, weight=600)
    put_text(
        column,
        f"{scene.at_s:.1f} s",
        (width, 22),
        palette.TEXT,
        size_px=palette.TITLE_PX,
        is_right=True,
    )
    budget = f"budget {budget_s * 1e3:.0f} ms"
    put_text(column, budget, (0, 45), palette.QUIET, size_px=palette.SMALL_PX)
    put_text(
        column,
        _clock(scene.at_ns),
        (width, 45),
        palette.QUIET,
        size_px=palette.SMALL_PX,
        is_right=True,
    )


def draw_machines(column: Image, machines: Sequence[MachineScene], *, room: int) -> None:
    """One bar per machine from the top of ``column`` on; the most restricted ones if room is short.

    Args:
        column: uint8[height, width, 3], changed in place.
        machines: in the order of the pipeline.
        room: cards that fit in.
    """
    shown = list(machines)
    if len(machines) > room:
        shown = sorted(machines, key=lambda m: -m.level.rank)[: max(room, 0)]
    for number, machine in enumerate(shown):
        top = number * CARD_HEIGHT_PX
        _draw_machine(column[top : top + CARD_HEIGHT_PX], machine)
    if len(machines) > len(shown):
        left = len(machines) - len(shown)
        text = f"and {left} more, none more restricted"
        at = (0, len(shown) * CARD_HEIGHT_PX + 12)
        put_text(column, text, at, palette.QUIET, size_px=palette.SMALL_PX)


def _draw_machine(card: Image, machine: MachineScene) -> None:
    width = card.shape[1]
    fill_rect(card, (0, 0, width, _BAR_PX), palette.LEVELS[machine.level])
    # White on red, dark on the others: each is legible.
    ink = palette.TEXT if machine.level is CommandLevel.STOP else palette.INK
    name = fitted_text(machine.name, width - 100)
    put_text(card, name, (12, 22), ink, weight=600)
    level = machine.level.name
    put_text(card, level, (width - 12, 22), ink, weight=600, size_px=17, is_right=True)
    more = f"  +{machine.others}" if machine.others else ""
    text = "nothing is asked for" if machine.reason is None else reason_text(machine.reason)
    mode = "" if machine.mode is Mode.PRIMARY else f"  {machine.mode}"
    line = fitted_text(text, width - 24 - 9 * len(more + mode), size_px=palette.SMALL_PX)
    put_text(card, line + more + mode, (12, 49), palette.QUIET, size_px=palette.SMALL_PX)


def reason_text(reason: Reason) -> str:
    """Code, value and threshold on one line.

    >>> reason_text(Reason(code="DWELL", measure="dwell", value=9.04, threshold=5.0, unit="s",
    ...                    version="1"))
    'DWELL  9.04 s (5)'
    """
    if not math.isfinite(reason.value):
        return reason.code
    unit = "" if reason.unit == "1" else f" {reason.unit}"
    threshold = f" ({reason.threshold:.3g})" if math.isfinite(reason.threshold) else ""
    return f"{reason.code}  {reason.value:.3g}{unit}{threshold}"


def _clock(at_ns: int) -> str:
    """Time of day, UTC; recordings that begin at 0 have none that means anything."""
    try:
        when = datetime.fromtimestamp(at_ns // NS_PER_S, UTC)
    except (OverflowError, ValueError, OSError):
        return ""
    return "" if when.year == 1970 else when.strftime("%Y-%m-%d %H:%M:%S UTC")

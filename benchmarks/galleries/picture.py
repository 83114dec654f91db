"""One judged series as a picture: what was measured, what was true and detected, the score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.galleries.decimation import extreme_columns, extreme_rows
from benchmarks.galleries.judged_series import JudgedSeries
from benchmarks.galleries.wording import counts_text, delay_text
from sightline.errors import StorageError, UsageError
from sightline.records.windows import FloatArray

WIDTH_PX, HEIGHT_PX = 1200, 500
STRIP_PX = 168
"""Height of one series where several share a picture."""
MOST_STRIPS = 12
MOST_LANES = 8
"""Channels drawn as lines; more become a map of colours."""
MOST_CHANNELS = 64
"""Channels of one picture; more is a UsageError."""
_DPI = 100
_STRETCHES = 1100  # about the pixels of the axis of time
_LEAST_SHARE = 0.0025  # of the width: narrower marks would not be seen
_LETTER_SHARE = 0.0053  # of the width: a letter of the texts above the series
_LEARNT_SHARE = 0.07  # of the width: what was learnt from is named if it is as wide
_INK, _SOFT, _HIT, _MISS, _FALSE = "#1a202c", "#64748b", "#2563a8", "#c0262d", "#d98500"
_LEARNT = "#e8ebf0"
_TICKS = (0, 1, 4, 10, 30, 100, 1_000, 10_000, 100_000, 1_000_000)
_MAP_LIMIT = 3.0


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where rows lie on the axis of time: at their number, or their date in days since 1970."""

    at: FloatArray
    is_date: bool

    @classmethod
    def of(cls, series: JudgedSeries) -> _Rows:
        if series.time_ns is None:
            return cls(np.arange(len(series.score), dtype=np.float64), False)
        return cls(series.time_ns / 86_400e9, True)

    @property
    def span(self) -> tuple[float, float]:
        if not len(self.at):
            return 0.0, 1.0
        half = self.step / 2
        return float(self.at[0]) - half, float(self.at[-1]) + half

    @property
    def step(self) -> float:
        """From one row to the next, usually."""
        steps = np.diff(self.at)
        usual = float(np.median(steps)) if len(steps) else 0.0
        return usual if usual > 0 else 1.0

    def edges(self, start: int, end: int) -> tuple[float, float]:
        """Of a stretch of rows, wide enough to be seen."""
        first, last = self.span
        half = self.step / 2
        left, right = float(self.at[start]) - half, float(self.at[end]) + half
        short = max(_LEAST_SHARE * (last - first) - (right - left), 0.0)
        return left - short / 2, right + short / 2


def draw_series(path: Path, series: JudgedSeries, *, title: str = "") -> None:
    """Draw one series into a PNG of 1200 by 500 pixels.

    From above: the channels with labels shaded (those missed outlined) and events marked where they
    begin, a lane of labels and one of events, the score with its threshold. Long series are drawn
    through the least and greatest value of each pixel: no spike is lost.

    Args:
        path: of the PNG; its folder exists.
        series: what to draw.
        title: instead of its name.

    Raises:
        UsageError: too many channels; the extra ``report`` is not installed.
        StorageError: the file cannot be written.
    """
    figure = _figure(HEIGHT_PX)
    _draw(figure, series, title=title or series.name)
    _save(figure, path, is_small=False)


def draw_strips(path: Path, strips: Sequence[tuple[JudgedSeries, str]], *, title: str) -> None:
    """Draw up to twelve series under each other, each with a title of its own.

    They are meant to have one channel: there is no room for more.

    Raises:
        UsageError, StorageError: as :func:`draw_series`; no series or too many.
    """
    if not 0 < len(strips) <= MOST_STRIPS:
        raise UsageError(
            expected=f"1 to {MOST_STRIPS} series",
            got=str(len(strips)),
            where="draw_strips",
            action="choose the series to draw",
        )
    figure = _figure(34 + STRIP_PX * len(strips))
    figure.suptitle(title, fontsize=12, x=0.008, ha="left", color=_INK, fontweight="bold")
    figure.get_layout_engine().set(hspace=0.0, h_pad=0.025)
    parts = figure.subfigures(len(strips), 1, squeeze=False)[:, 0]
    for part, (series, what) in zip(parts, strips, strict=True):
        _draw(part, series, title=what, is_strip=True)
    _save(figure, path, is_small=True)


def require_drawing() -> None:
    """See that pictures can be drawn, before there is work behind them.

    Raises:
        UsageError: the extra ``report`` is not installed.
    """
    _figure(HEIGHT_PX)


def _figure(height_px: int) -> Any:
    """A figure without pyplot, which would keep it and look for a display."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            expected="matplotlib",
            got=str(error),
            where="drawing of detections",
            action="install the extra: pip install 'sightline[report]'",
        ) from error
    size = (WIDTH_PX / _DPI, height_px / _DPI)
    return Figure(figsize=size, dpi=_DPI, layout="constrained")


def _save(figure: Any, path: Path, *, is_small: bool) -> None:
    try:
        # No software version or date in the file: equal inputs give equal bytes.
        figure.savefig(path, metadata={"Software": None}, pil_kwargs={"optimize": is_small})
    except OSError as error:
        raise StorageError(
            expected="a file that can be written",
            got=str(error),
            where=str(path),
            action="choose another place",
        ) from error


def _draw(figure: Any, series: JudgedSeries, *, title: str, is_strip: bool = False) -> None:
    if len(series.channels) > MOST_CHANNELS:
        raise UsageError(
            expected=f"at most {MOST_CHANNELS} channels",
            got=str(len(series.channels)),
            where=f"picture of {series.name}",
            action="choose the channels to draw",
        )
    rows = _Rows.of(series)
    ratios = [6.4, 0.7, 1.7] if len(series.channels) > 1 else [5.0, 0.8, 2.2]
    if is_strip:
        ratios = [4.4, 1.6, 2.3]
    top, lanes, below = figure.subplots(3, 1, sharex=True, height_ratios=ratios)
    _draw_channels(top, series, rows, is_named=not is_strip)
    _draw_lanes(lanes, series, rows)
    _draw_score(below, series, rows, tick_space=0.45 if is_strip else 0.17)
    if series.learnt_rows:
        left, right = rows.edges(0, series.learnt_rows - 1)
        for axis in (top, below):
            axis.axvspan(left, right, color=_LEARNT, linewidth=0, zorder=0)
        if (right - left) > _LEARNT_SHARE * (rows.span[1] - rows.span[0]):
            below.text(
                (left + right) / 2, 0.5, "learnt from", fontsize=7.5, color=_SOFT, ha="center",
                va="center", transform=below.get_xaxis_transform(),
            )  # fmt: skip
    for axis in (top, lanes, below):
        axis.tick_params(labelsize=8, length=2, colors=_SOFT)
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color("#cbd5e0")
    top.set_xlim(*rows.span)
    if rows.is_date:
        _date_axis(below, is_strip=is_strip)
    elif not is_strip:
        below.set_xlabel("row", fontsize=8, color=_SOFT)
    if is_strip:
        for axis in (lanes, below):
            axis.tick_params(axis="y", labelsize=6.5)
    size = 9.5 if is_strip else 11
    top.set_title(title, loc="left", fontsize=size, pad=15, color=_INK, fontweight="bold")
    top.set_title(counts_text(series), loc="right", fontsize=size - 1, pad=15, color=_SOFT)


def _draw_channels(axis: Any, series: JudgedSeries, rows: _Rows, *, is_named: bool) -> None:
    count = len(series.channels)
    if count > MOST_LANES:
        _draw_map(axis, series, rows)
    for place, (name, values) in enumerate(series.channels.items()):
        if count > MOST_LANES:
            break
        shown = values if count == 1 else count - 1 - place + 0.88 * _within(values)
        kept = extreme_rows(shown, stretches=_STRETCHES)
        axis.plot(rows.at[kept], shown[kept], color=_INK, linewidth=0.7, zorder=3)
        if count == 1 and is_named:
            axis.set_ylabel(name, fontsize=8, color=_SOFT)
    if 1 < count <= MOST_LANES:
        axis.set_yticks(count - 1 - np.arange(count) + 0.44, list(series.channels))
    axis.margins(y=0.06 if count <= MOST_LANES else 0)
    is_map = count > MOST_LANES
    for (start, end), is_hit in zip(series.labels.as_pairs(), series.is_hit.tolist(), strict=True):
        edges = rows.edges(start, end)
        if not is_map:
            axis.axvspan(*edges, color=_HIT if is_hit else _MISS, alpha=0.14, linewidth=0, zorder=1)
        if not is_hit:
            axis.axvspan(
                *edges, fill=False, edgecolor=_MISS, linestyle=(0, (4, 2)), linewidth=1.2, zorder=4
            )
    if not is_map:
        for (start, _), is_true in zip(
            series.events.as_pairs(), series.is_true.tolist(), strict=True
        ):
            axis.axvline(rows.at[start], color=_HIT if is_true else _FALSE, linewidth=1.0, zorder=2)
    _write_texts(axis, series, rows)


def _draw_map(axis: Any, series: JudgedSeries, rows: _Rows) -> None:
    """Many channels as colours, blue below and red above the middle of each."""
    values = np.stack(list(series.channels.values()))
    shown = extreme_columns(values, stretches=_STRETCHES)
    first, last = rows.span
    axis.imshow(
        shown,
        aspect="auto",
        interpolation="nearest",
        cmap="RdBu_r",
        vmin=-_MAP_LIMIT,
        vmax=_MAP_LIMIT,
        extent=(first, last, len(values) - 0.5, -0.5),
    )
    axis.set_yticks(np.arange(len(values)), list(series.channels))
    for label in axis.get_yticklabels():
        label.set_fontsize(6.5)


def _write_texts(axis: Any, series: JudgedSeries, rows: _Rows) -> None:
    """Words above the series, the most important first; those without room are left out."""
    first, last = rows.span
    texts: list[tuple[float, str, str]] = []
    score = np.nan_to_num(series.score)
    for place, (start, end) in enumerate(series.labels.as_pairs()):
        middle = (rows.at[start] + rows.at[end]) / 2
        kind = series.kinds[place]
        if not series.is_hit[place]:
            reason = "missed (learnt from)" if end < series.learnt_rows else "missed"
            texts.append((middle, f"{kind} {reason}".strip(), _MISS))
    seen = -1
    for (start, end), is_true, episode in zip(
        series.events.as_pairs(), series.is_true.tolist(), series.episode.tolist(), strict=True
    ):
        if not is_true and episode != seen:
            greatest = score[start : end + 1].max()
            texts.append((float(rows.at[start]), f"false {greatest:.3g}", _FALSE))
        seen = episode
    for place in np.flatnonzero(series.is_hit).tolist():
        start, end = series.labels.as_pairs()[place]
        middle = (rows.at[start] + rows.at[end]) / 2
        text = f"{series.kinds[place]} hit {delay_text(series, place)}".strip()
        texts.append((middle, text, _HIT))
    if len(series.labels) > 1 and len(texts) > 40:
        return  # rows of a table: every second of them would be named
    taken: list[tuple[float, float]] = []
    for at, text, colour in texts:
        room = _room((at - first) / (last - first), len(text) * _LETTER_SHARE, taken)
        if room is not None:
            taken.append(room)
            axis.text(
                sum(room) / 2, 1.015, text, color=colour, fontsize=8, ha="center", va="bottom",
                transform=axis.transAxes, clip_on=False,
            )  # fmt: skip


def _room(
    at: float, width: float, taken: Sequence[tuple[float, float]]
) -> tuple[float, float] | None:
    """Where a text of a width may stand: around ``at``, behind it or before it; None: nowhere.

    All are shares of the width of the picture.
    """
    for wanted in (at - width / 2, at, at - width):
        left = min(max(wanted, 0.0), 1.0 - width)
        if all(left + width + _LETTER_SHARE < a or left > b + _LETTER_SHARE for a, b in taken):
            return left, left + width
    return None


def _draw_lanes(axis: Any, series: JudgedSeries, rows: _Rows) -> None:
    for place, (found, good, colours) in enumerate(
        (
            (series.events, series.is_true, (_FALSE, _HIT)),
            (series.labels, series.is_hit, (_MISS, _HIT)),
        )
    ):
        for value, colour in enumerate(colours):
            spans = []
            for (start, end), is_good in zip(found.as_pairs(), good.tolist(), strict=True):
                if is_good == bool(value):
                    left, right = rows.edges(start, end)
                    spans.append((left, right - left))
            axis.broken_barh(spans, (place + 0.14, 0.72), color=colour, linewidth=0)
    axis.set_ylim(0, 2)
    axis.set_yticks([0.5, 1.5], ["detected", "labelled"])
    axis.spines["left"].set_visible(False)


def _draw_score(axis: Any, series: JudgedSeries, rows: _Rows, *, tick_space: float) -> None:
    shown = np.maximum(series.score, 0.0)
    kept = extreme_rows(shown, stretches=_STRETCHES)
    axis.fill_between(
        rows.at[kept], np.nan_to_num(shown[kept]), color="#94a3b8", linewidth=0.6, zorder=2,
        # Few rows, such as segments, are blocks; of many, lines are what was kept.
        step="mid" if len(kept) == len(shown) else None,
    )  # fmt: skip
    known = shown[np.isfinite(shown)]
    most = max(float(known.max()) if len(known) else 0.0, 1e-3)
    if np.isfinite(series.threshold):
        most = max(most, series.threshold)
        axis.axhline(series.threshold, color=_FALSE, linewidth=1.0, linestyle=(0, (5, 3)), zorder=3)
        axis.text(
            0.998, series.threshold, f"threshold {series.threshold:.3g}", fontsize=7.5,
            color=_FALSE, ha="right", va="bottom", transform=axis.get_yaxis_transform(), zorder=4,
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.6},
        )  # fmt: skip
    if most > 1.5:
        axis.set_yscale("function", functions=(_log, _unlog))
        axis.set_yticks(_apart([t for t in _TICKS if t <= most], tick_space * _log(most)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_locator(_no_ticks())
    axis.set_ylim(0, _unlog(1.12 * _log(most)) if most > 1.5 else 1.12 * most)
    axis.set_ylabel("score", fontsize=8, color=_SOFT)


def _apart(ticks: Sequence[int], least: float) -> list[int]:
    """The ticks that stand apart enough to be read, from the greatest down."""
    kept: list[int] = []
    for tick in reversed(ticks):
        if not kept or _log(kept[-1]) - _log(tick) >= least:
            kept.append(tick)
    return kept


def _log(value: Any) -> Any:
    return np.log1p(np.maximum(value, 0.0))


def _unlog(value: Any) -> Any:
    return np.expm1(value)


def _within(values: FloatArray) -> FloatArray:
    """Brought to 0 to 1, so that channels of other units stand under each other."""
    known = values[np.isfinite(values)]
    if not len(known):
        return values
    low, high = float(known.min()), float(known.max())
    return (values - low) / (high - low) if high > low else values - low + 0.5


def _date_axis(axis: Any, *, is_strip: bool) -> None:
    import matplotlib.dates  # noqa: PLC0415

    dates: Any = matplotlib.dates  # without types
    locator = dates.AutoDateLocator()
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, show_offset=not is_strip))
    axis.xaxis.get_offset_text().set_fontsize(8)


def _no_ticks() -> Any:
    from matplotlib.ticker import NullLocator  # noqa: PLC0415

    return NullLocator()

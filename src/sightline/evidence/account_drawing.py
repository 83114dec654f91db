"""The rows of a decision, drawn: SVG, and characters for a terminal."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from sightline.evidence.account import Facts, RowsFacts
from sightline.evidence.pages import svg_start
from sightline.evidence.words import reason_words, time_labels
from sightline.records.decision import Status
from sightline.records.shown_text import markup, one_line
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray

_WIDTH, _HEIGHT = 900, 372
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 880, 74, 316
_ROWS, _COLUMNS = 12, 72
_ANCHOR = ("start", "middle", "middle", "middle", "end")  # of the five time labels
_COLOUR = {"info": "#2563a8", "warning": "#8a5a10", "critical": "#b42323"}
_SOFT = "#5f6b7c"  # 5.2 to 1 on the ground of the picture


def _rows(facts: Facts) -> RowsFacts:
    assert facts.rows is not None
    return facts.rows


def title(facts: Facts) -> str:
    """What was decided about whom."""
    decision = facts.decision
    state = "retracted" if decision.status is Status.RETRACTED else str(decision.transition)
    return f"{decision.kind} {state}: {decision.subject}"


def _clock(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / NS_PER_S, UTC).strftime("%H:%M:%S")


def _day(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / NS_PER_S, UTC).strftime("%Y-%m-%d")


def _number(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{value:.4g}"


def _span(facts: Facts) -> tuple[int, int, float, float]:
    """Start and end of the time axis (ns), bottom and top of the value axis."""
    decision, rows = facts.decision, _rows(facts)
    times = [
        decision.window_start_ns,
        decision.window_end_ns,
        *rows.shown.time_ns[[0, -1][: len(rows.shown.time_ns)]].tolist(),
    ]
    finite = rows.shown.value[np.isfinite(rows.shown.value)]
    values = [float(finite.min()), float(finite.max())] if len(finite) else [0.0, 1.0]
    if np.isfinite(facts.threshold):
        values.append(facts.threshold)
    low, high = min(values), max(values)
    margin = (high - low) * 0.08 or max(abs(high) * 0.05, 0.5)
    return min(times), max(*times, min(times) + 1), low - margin, high + margin


def draw_rows_svg(facts: Facts) -> str:
    """A self-contained SVG picture, 900 by 372: the rows, the decided window, the threshold."""
    decision, rows = facts.decision, _rows(facts)
    start_ns, end_ns, low, high = _span(facts)
    colour = _COLOUR[str(decision.severity)]

    def x(time_ns: int) -> float:
        return _LEFT + (time_ns - start_ns) / (end_ns - start_ns) * (_RIGHT - _LEFT)

    def y(value: float) -> float:
        return _BOTTOM - (value - low) / (high - low) * (_BOTTOM - _TOP)

    reasons = "; ".join(reason_words(fact.reason) for fact in facts.reasons[:2])
    parts = [
        svg_start(_WIDTH, _HEIGHT, title=f"{title(facts)}; {reasons}"),
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="8" fill="#fbfbfa"/>',
        f'<text x="24" y="28" font-size="16" font-weight="600" fill="#1a202c">'
        f"{markup(title(facts))}</text>",
        f'<text x="24" y="48" fill="#4a5568">{markup(reasons)}</text>',
        f'<text x="{_RIGHT}" y="28" text-anchor="end" fill="{colour}" font-weight="600">'
        f"{markup(str(decision.severity))} · {markup(str(decision.mode))} · revision "
        f"{decision.revision}</text>",
    ]
    left, right = x(decision.window_start_ns), x(decision.window_end_ns)
    parts.append(
        f'<rect x="{left:.1f}" y="{_TOP}" width="{max(right - left, 2):.1f}" '
        f'height="{_BOTTOM - _TOP}" fill="{colour}" opacity="0.13"/>'
    )
    for step in range(5):
        value = low + (high - low) * step / 4
        if rows.about.shown:
            parts.append(
                f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
                'stroke="#e2e8f0"/>'
                f'<text x="{_LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end" fill="{_SOFT}">'
                f"{_number(value)}</text>"
            )
    for step, (at, clock, day) in enumerate(time_labels(start_ns, end_ns)):
        parts += [
            f'<text x="{x(at):.1f}" y="{y_px}" text-anchor="{_ANCHOR[step]}" fill="{_SOFT}">'
            f"{words}</text>"
            for y_px, words in ((_BOTTOM + 18, clock), (_BOTTOM + 33, day))
            if words
        ]
    label = (
        f"{rows.about.shown} [{rows.about.shown_unit}]" if rows.about.shown else "packets received"
    )
    parts.append(
        f'<text x="{_LEFT}" y="{_TOP - 8}" fill="{_SOFT}">{markup(label)}</text>'
        f'<text x="{_RIGHT}" y="{_BOTTOM + 50}" text-anchor="end" fill="{_SOFT}">'
        f"UTC · {rows.shown.rows} rows · {markup(facts.said.partition)} sequence "
        f"{facts.said.sequence} · {decision.decision_id[:12]}</text>"
    )
    if rows.about.shown:
        parts += [
            f'<path d="{path}" fill="none" stroke="#2d3748" stroke-width="1.4"/>'
            for path in _paths(facts, x, y)
        ]
    else:
        middle = (_TOP + _BOTTOM) / 2
        marks = "".join(f"M{x(t):.1f} {middle - 24:.0f}v48" for t in rows.shown.time_ns.tolist())
        parts.append(f'<path d="{marks}" stroke="#2d3748" stroke-width="1" opacity="0.6"/>')
    if np.isfinite(facts.threshold):
        at_y = y(facts.threshold)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{at_y:.1f}" y2="{at_y:.1f}" stroke="{colour}" '
            'stroke-dasharray="5 4"/>'
        )
    at_x = x(decision.event_ns)
    parts.append(
        f'<line x1="{at_x:.1f}" x2="{at_x:.1f}" y1="{_TOP}" y2="{_BOTTOM}" stroke="{colour}" '
        'stroke-width="1.6"/>'
    )
    if rows.shown.note:
        parts.append(
            f'<text x="{_LEFT + 8}" y="{_TOP + 18}" fill="{_COLOUR["critical"]}">'
            f"{markup(rows.shown.note)}</text>"
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _paths(facts: Facts, x: object, y: object) -> list[str]:
    """Lines through the samples; a gap of several sample periods, or an invalid one, stays open."""
    assert callable(x)
    assert callable(y)
    time_ns, value = _rows(facts).shown.time_ns, _rows(facts).shown.value
    if not len(time_ns):
        return []
    step_ns = float(np.median(np.diff(time_ns))) if len(time_ns) > 1 else 0.0
    paths: list[str] = []
    current: list[str] = []
    previous_ns = None
    for at, sample in zip(time_ns.tolist(), value.tolist(), strict=True):
        is_gap = previous_ns is not None and step_ns and at - previous_ns > 5 * step_ns
        if (is_gap or not np.isfinite(sample)) and current:
            paths.append("".join(current))
            current = []
        if np.isfinite(sample):
            current.append(f"{'L' if current else 'M'}{x(at):.1f} {y(sample):.1f}")
        previous_ns = at
    return [*paths, "".join(current)] if current else paths


def draw_terminal(facts: Facts) -> str:
    """The rows in characters, 72 wide, without colour."""
    decision, rows = facts.decision, _rows(facts)
    start_ns, end_ns, low, high = _span(facts)
    lines: list[str] = []
    grid = _grid(facts, start_ns, end_ns, low, high)
    window = [
        int((t - start_ns) / (end_ns - start_ns) * (_COLUMNS - 1))
        for t in (decision.window_start_ns, decision.window_end_ns)
    ]
    for i, row in enumerate(grid):
        value = high - (high - low) * (i + 0.5) / len(grid)
        label = f"{_number(value):>9} " if rows.about.shown else " " * 10
        lines.append(f"{label}│{row}")
    band = "".join("▔" if window[0] <= i <= window[1] else " " for i in range(_COLUMNS))
    lines.append(" " * 10 + "└" + "─" * _COLUMNS)
    lines.append(" " * 11 + band + " window")
    lines.append(f"{' ' * 11}{_clock(start_ns)}{_clock(end_ns):>{_COLUMNS - 8}}")
    what = (
        f"{rows.about.shown} [{rows.about.shown_unit}]" if rows.about.shown else "packets received"
    )
    lines.append(f"{' ' * 11}{what}, {rows.shown.rows} rows, {_day(start_ns)} UTC")
    if rows.shown.note:
        lines.append(f"  note: {rows.shown.note}")
    return "\n".join(map(one_line, lines))


def _grid(facts: Facts, start_ns: int, end_ns: int, low: float, high: float) -> list[str]:
    """Braille dots, two by four to a character."""
    rows = _rows(facts)
    high_rows = _ROWS if rows.about.shown else 1
    dots = np.zeros((high_rows * 4, _COLUMNS * 2), np.bool_)
    value: FloatArray = (
        rows.shown.value if rows.about.shown else np.full(len(rows.shown.time_ns), (low + high) / 2)
    )
    fine = np.isfinite(value)
    column = (rows.shown.time_ns[fine] - start_ns) / (end_ns - start_ns) * (_COLUMNS * 2 - 1)
    row = (high - value[fine]) / (high - low) * (high_rows * 4 - 1)
    dots[row.astype(np.int64).clip(0, high_rows * 4 - 1), column.astype(np.int64)] = True
    if np.isfinite(facts.threshold):
        at = int((high - facts.threshold) / (high - low) * (high_rows * 4 - 1))
        dots[at, ::4] = True
    weights = np.array([[1, 8], [2, 16], [4, 32], [64, 128]])
    return [
        "".join(
            chr(0x2800 + int((dots[r * 4 : r * 4 + 4, c * 2 : c * 2 + 2] * weights).sum()))
            for c in range(_COLUMNS)
        )
        for r in range(high_rows)
    ]

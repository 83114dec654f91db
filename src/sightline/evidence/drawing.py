"""Explanations as pictures: SVG, and characters for a terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

import numpy as np

from sightline.evidence.rows_account import Explanation
from sightline.records import Decision
from sightline.records.decision import Status
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray

_WIDTH, _HEIGHT = 900, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 880, 74, 316
_ROWS, _COLUMNS = 12, 72
_ANCHOR = ("start", "middle", "middle", "middle", "end")  # of the five time labels
_COLOUR = {"info": "#2b6cb0", "warning": "#b7791f", "critical": "#c53030"}


def _clock(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / NS_PER_S, UTC).strftime("%H:%M:%S")


def _day(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / NS_PER_S, UTC).strftime("%Y-%m-%d")


def _number(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{value:.4g}"


def reason_lines(decision: Decision) -> list[str]:
    """The reasons, one line each, with value, threshold, unit and version."""
    lines = []
    for reason in decision.reasons:
        unit = "" if reason.unit == "1" else f" {reason.unit}"
        against = (
            f" against {_number(reason.threshold)}{unit}" if np.isfinite(reason.threshold) else ""
        )
        lines.append(
            f"{reason.code}: {reason.measure} {_number(reason.value)}{unit}{against}"
            f"  [{reason.version}]"
        )
    return lines


def _title(decision: Decision) -> str:
    state = "retracted" if decision.status is Status.RETRACTED else str(decision.transition)
    return f"{decision.kind} {state}: {decision.subject}"


def _span(found: Explanation) -> tuple[int, int, float, float]:
    """Start and end of the time axis (ns), bottom and top of the value axis."""
    decision = found.decision
    times = [
        decision.window_start_ns,
        decision.window_end_ns,
        *found.time_ns[[0, -1][: len(found.time_ns)]].tolist(),
    ]
    finite = found.value[np.isfinite(found.value)]
    values = [float(finite.min()), float(finite.max())] if len(finite) else [0.0, 1.0]
    if np.isfinite(found.threshold):
        values.append(found.threshold)
    low, high = min(values), max(values)
    margin = (high - low) * 0.08 or max(abs(high) * 0.05, 0.5)
    return min(times), max(*times, min(times) + 1), low - margin, high + margin


def draw_svg(found: Explanation) -> str:
    """A self-contained SVG picture, 900 by 360: the rows, the decided window, the threshold."""
    decision = found.decision
    start_ns, end_ns, low, high = _span(found)
    colour = _COLOUR[str(decision.severity)]

    def x(time_ns: int) -> float:
        return _LEFT + (time_ns - start_ns) / (end_ns - start_ns) * (_RIGHT - _LEFT)

    def y(value: float) -> float:
        return _BOTTOM - (value - low) / (high - low) * (_BOTTOM - _TOP)

    reasons = "; ".join(line.split("  [")[0] for line in reason_lines(decision)[:2])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="8" fill="#fbfbfa"/>',
        f'<text x="24" y="28" font-size="16" font-weight="600" fill="#1a202c">'
        f"{escape(_title(decision))}</text>",
        f'<text x="24" y="48" fill="#4a5568">{escape(reasons)}</text>',
        f'<text x="{_RIGHT}" y="28" text-anchor="end" fill="{colour}" font-weight="600">'
        f"{escape(str(decision.severity))} · {escape(str(decision.mode))} · revision "
        f"{decision.revision}</text>",
    ]
    left, right = x(decision.window_start_ns), x(decision.window_end_ns)
    parts.append(
        f'<rect x="{left:.1f}" y="{_TOP}" width="{max(right - left, 2):.1f}" '
        f'height="{_BOTTOM - _TOP}" fill="{colour}" opacity="0.13"/>'
    )
    for step in range(5):
        value = low + (high - low) * step / 4
        if found.field:
            parts.append(
                f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
                'stroke="#e2e8f0"/>'
                f'<text x="{_LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end" fill="#718096">'
                f"{_number(value)}</text>"
            )
        at = start_ns + (end_ns - start_ns) * step // 4
        parts.append(
            f'<text x="{x(at):.1f}" y="{_BOTTOM + 20}" text-anchor="{_ANCHOR[step]}" '
            f'fill="#718096">'
            f"{_clock(at)}</text>"
        )
    label = f"{found.field} [{found.unit}]" if found.field else "packets received"
    parts.append(
        f'<text x="{_LEFT}" y="{_TOP - 8}" fill="#718096">{escape(label)}</text>'
        f'<text x="{_RIGHT}" y="{_BOTTOM + 38}" text-anchor="end" fill="#a0aec0">'
        f"{_day(start_ns)} UTC · {found.rows} rows · {escape(found.partition)} sequence "
        f"{found.sequence} · {decision.decision_id[:12]}</text>"
    )
    if found.field:
        parts += [
            f'<path d="{path}" fill="none" stroke="#2d3748" stroke-width="1.4"/>'
            for path in _paths(found, x, y)
        ]
    else:
        middle = (_TOP + _BOTTOM) / 2
        marks = "".join(f"M{x(t):.1f} {middle - 24:.0f}v48" for t in found.time_ns.tolist())
        parts.append(f'<path d="{marks}" stroke="#2d3748" stroke-width="1" opacity="0.6"/>')
    if np.isfinite(found.threshold):
        at_y = y(found.threshold)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{at_y:.1f}" y2="{at_y:.1f}" stroke="{colour}" '
            'stroke-dasharray="5 4"/>'
        )
    at_x = x(decision.event_ns)
    parts.append(
        f'<line x1="{at_x:.1f}" x2="{at_x:.1f}" y1="{_TOP}" y2="{_BOTTOM}" stroke="{colour}" '
        'stroke-width="1.6"/>'
    )
    if found.note:
        parts.append(
            f'<text x="{_LEFT + 8}" y="{_TOP + 18}" fill="#c53030">{escape(found.note)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _paths(found: Explanation, x: object, y: object) -> list[str]:
    """Lines through the samples; a gap of several sample periods, or an invalid one, stays open."""
    assert callable(x)
    assert callable(y)
    time_ns, value = found.time_ns, found.value
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


def draw_terminal(found: Explanation) -> str:
    """The same in characters, 72 wide, without colour."""
    decision = found.decision
    start_ns, end_ns, low, high = _span(found)
    lines = [
        _title(decision),
        f"  {decision.severity}, {decision.mode}, confidence "
        f"{decision.confidence:.2f}, id {decision.decision_id}",
    ]
    lines += [f"  {line}" for line in reason_lines(decision)]
    history = ", ".join(f"r{d.revision} {d.status}" for d in found.revisions)
    lines.append(f"  revisions: {history}; log {found.partition} sequence {found.sequence}")
    lines.append("")
    grid = _grid(found, start_ns, end_ns, low, high)
    window = [
        int((t - start_ns) / (end_ns - start_ns) * (_COLUMNS - 1))
        for t in (decision.window_start_ns, decision.window_end_ns)
    ]
    for i, row in enumerate(grid):
        value = high - (high - low) * (i + 0.5) / len(grid)
        label = f"{_number(value):>9} " if found.field else " " * 10
        lines.append(f"{label}│{row}")
    band = "".join("▔" if window[0] <= i <= window[1] else " " for i in range(_COLUMNS))
    lines.append(" " * 10 + "└" + "─" * _COLUMNS)
    lines.append(" " * 11 + band + " window")
    lines.append(f"{' ' * 11}{_clock(start_ns)}{_clock(end_ns):>{_COLUMNS - 8}}")
    what = f"{found.field} [{found.unit}]" if found.field else "packets received"
    lines.append(f"{' ' * 11}{what}, {found.rows} rows, {_day(start_ns)} UTC")
    if found.note:
        lines.append(f"  note: {found.note}")
    for other in found.related[:8]:
        lines.append(
            f"  also: {_clock(other.event_ns)} {other.kind} {other.transition} {other.subject} "
            f"({other.decision_id[:8]})"
        )
    return "\n".join(lines)


def _grid(found: Explanation, start_ns: int, end_ns: int, low: float, high: float) -> list[str]:
    """Braille dots, two by four to a character."""
    rows = _ROWS if found.field else 1
    dots = np.zeros((rows * 4, _COLUMNS * 2), np.bool_)
    value: FloatArray = (
        found.value if found.field else np.full(len(found.time_ns), (low + high) / 2)
    )
    fine = np.isfinite(value)
    column = (found.time_ns[fine] - start_ns) / (end_ns - start_ns) * (_COLUMNS * 2 - 1)
    row = (high - value[fine]) / (high - low) * (rows * 4 - 1)
    dots[row.astype(np.int64).clip(0, rows * 4 - 1), column.astype(np.int64)] = True
    if np.isfinite(found.threshold):
        at = int((high - found.threshold) / (high - low) * (rows * 4 - 1))
        dots[at, ::4] = True
    weights = np.array([[1, 8], [2, 16], [4, 32], [64, 128]])
    return [
        "".join(
            chr(0x2800 + int((dots[r * 4 : r * 4 + 4, c * 2 : c * 2 + 2] * weights).sum()))
            for c in range(_COLUMNS)
        )
        for r in range(rows)
    ]

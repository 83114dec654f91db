"""The curve of detection as people of non-destructive testing draw it, as SVG."""

from __future__ import annotations

import math

import numpy as np

from sightline.evidence.detection_probability import Detection, Hits
from sightline.records.shown_text import markup
from sightline.records.windows import FloatArray

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 760, 440, 60, 40, 20, 60
_INK, _BEST, _BOUND, _MISS = "#2d3748", "#2b6cb0", "#c53030", "#a0aec0"
_TICKS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


def draw_detection(found: Detection, size: FloatArray, is_hit: Hits, *, unit: str) -> str:
    """Probability against size, its lower 95 % bound, each flaw, a90 and a90/95.

    Args:
        found: the fit.
        size, is_hit: float64[n] and bool[n] of the flaws.
        unit: of the sizes.
    """
    scale = np.log if found.is_log else np.asarray
    low, high = (float(scale(v)) for v in found.sizes)

    def x(value: float) -> float:
        share = (float(scale(value)) - low) / (high - low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(probability: float) -> float:
        return _TOP + (1 - probability) * (_HEIGHT - _TOP - _BOTTOM)

    def line(column: int, colour: str, dash: str) -> str:
        points = " ".join(f"{x(row[0]):.1f},{y(row[column]):.1f}" for row in found.curve.tolist())
        return (
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" '
            f'stroke-dasharray="{dash}"/>'
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{_INK}">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="22" font-size="14">{markup(_said(found, unit))}</text>',
    ]
    for tick in _TICKS:
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
            f'stroke="#e2e8f0"/><text x="{_LEFT - 8}" y="{y(tick) + 4:.1f}" '
            f'text-anchor="end">{tick:g}</text>'
        )
    for value in _size_ticks(found):
        parts.append(
            f'<text x="{x(value):.1f}" y="{_HEIGHT - _BOTTOM + 32}" '
            f'text-anchor="middle">{value:.3g}</text>'
        )
    for value, hit in zip(size.tolist(), is_hit.tolist(), strict=True):
        at = y(1.0) - 6 if hit else y(0.0) + 6
        colour = _BEST if hit else _MISS
        parts.append(f'<circle cx="{x(value):.1f}" cy="{at:.1f}" r="3" fill="{colour}"/>')
    parts += [line(1, _BEST, ""), line(2, _BOUND, "6 4")]
    for a, colour in ((found.a90, _BEST), (found.a90_95, _BOUND)):
        if a is not None and found.sizes[0] <= a <= found.sizes[1]:
            parts.append(
                f'<path d="M{_LEFT} {y(0.9):.1f}H{x(a):.1f}V{y(0.0):.1f}" fill="none" '
                f'stroke="{colour}" stroke-dasharray="2 3"/>'
            )
    parts.append(
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 10}" text-anchor="middle">'
        f"size a ({markup(unit)}){', logarithmic' if found.is_log else ''}</text></svg>\n"
    )
    return "".join(parts)


def _said(found: Detection, unit: str) -> str:
    bound = "none" if found.a90_95 is None else f"{found.a90_95:.3g} {unit}"
    return (
        f"POD ({found.method.replace('_', '/')}): a90 {found.a90:.3g} {unit}, a90/95 {bound}, "
        f"{found.found} of {found.flaws} flaws found"
    )


def _size_ticks(found: Detection) -> list[float]:
    low, high = found.sizes
    if not found.is_log:
        return [float(v) for v in np.linspace(low, high, 6)]
    return [math.exp(v) for v in np.linspace(math.log(low), math.log(high), 6)]

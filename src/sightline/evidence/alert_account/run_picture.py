"""The picture of a decision: its rows, what would not have raised it, and its measure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sightline.evidence.counterfactual import Counterfactual
from sightline.evidence.alert_account.figures import GOOD, INK, MARK, PALE, new_figure, save, tidy
from sightline.evidence.alert_account.run_alert import RunAlert
from sightline.evidence.words import figure, moment
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

_GAP = 5.0  # steps: further apart, two rows are not joined
_S_PER_MIN = 60.0


def draw_run_alert(path: Path, alert: RunAlert) -> None:
    """Draw a decision into a PNG, 960 by 560 pixels.

    Above: the rows of the deciding field, the decided window shaded, in blue the bound within
    which it would not have been raised, neighbours' decisions as marks. Below: the deciding
    measure of each window against its thresholds.

    Raises:
        UsageError: the extra ``report`` is not installed, or the file cannot be written.
    """
    drawn = new_figure(height_px=560)
    above, below = drawn.subplots(2, 1, sharex=True, height_ratios=(2, 1.2))
    _draw_rows(above, alert)
    _draw_measure(below, alert)
    decision = alert.decision
    below.set_xlabel(f"minutes since {moment(decision.window_start_ns)}", fontsize=8)
    reason = decision.reasons[0]
    save(
        drawn,
        path,
        title=f"{decision.kind} {decision.transition}: {decision.subject}, "
        f"{moment(decision.event_ns)}; {reason.measure} {figure(reason.value, reason.unit)}",
    )


def _draw_rows(axis: Any, alert: RunAlert) -> None:
    found, decision = alert.explanation, alert.decision
    zero_ns = decision.window_start_ns
    edges = _minutes(np.array([decision.window_start_ns, decision.window_end_ns]), zero_ns)
    axis.axvspan(*edges, color=MARK, alpha=0.13, linewidth=0)
    x = _minutes(found.time_ns, zero_ns)
    if found.field:
        axis.plot(*_broken(x, found.value), color=INK, linewidth=0.9)
        label = f"{found.field} [{found.unit}]"
    else:
        axis.plot(x, np.zeros(len(x)), "|", color=INK, markersize=30)
        axis.set_yticks([])
        label = "rows received"
    tried = alert.tried
    if tried.counterfactual.is_found and found.field == alert.about.field:
        _draw_bounds(axis, tried.counterfactual, zero_ns, "would not have been raised")
        if tried.whole is not None and tried.whole.is_found:
            _draw_bounds(axis, tried.whole, zero_ns, "nor later,")
        axis.legend(fontsize=7, loc="best", frameon=False)
    near = alert.circumstances.neighbours
    if near:
        at = _minutes(np.array([d.event_ns for d in near]), zero_ns)
        axis.plot(at, np.zeros(len(at)), "^", color=PALE, markersize=6, clip_on=False,
                  transform=axis.get_xaxis_transform())  # fmt: skip
        label += "; ▲ others of its group"
    tidy(axis, label)


def _draw_bounds(axis: Any, found: Counterfactual, zero_ns: int, label: str) -> None:
    assert found.start_ns is not None
    assert found.end_ns is not None
    edges = _minutes(np.array([found.start_ns, found.end_ns]), zero_ns)
    style = "-" if label.startswith("would") else ":"
    for side, bound in (("at least", found.low), ("at most", found.high)):
        if np.isfinite(bound):
            axis.plot(edges, (bound, bound), color=GOOD, linewidth=1.8, linestyle=style,
                      label=f"{label} at {side[3:]} {figure(bound, found.unit)}")  # fmt: skip


def _draw_measure(axis: Any, alert: RunAlert) -> None:
    history, rule, decision = alert.tried.history, alert.about.rule, alert.decision
    reason = decision.reasons[0]
    zero_ns = decision.window_start_ns
    if history is not None and history.start_ns:
        start = np.array(history.start_ns, np.int64)
        end = _minutes(start + alert.about.width_ns, zero_ns)
        axis.plot(end, np.array(history.value), "o-", color=INK, markersize=3, linewidth=0.8)
        if history.since_ns >= 0:
            since = float(_minutes(np.array([history.since_ns]), zero_ns)[0])
            axis.axvline(since, color=PALE, linewidth=0.9)
    else:
        end = _minutes(np.array([decision.window_end_ns]), zero_ns)
        axis.plot(end, [reason.value], "o", color=INK, markersize=4)
    if rule is not None:
        for level, style in ((rule.raise_at, "--"), (rule.clear_at, ":")):
            axis.axhline(level, color=MARK, linewidth=0.9, linestyle=style)
    found = alert.tried.counterfactual
    if found.is_found and np.isfinite(found.reached):
        at = _minutes(np.array([decision.window_end_ns]), zero_ns)
        axis.plot(at, [found.reached], "o", color=GOOD, markersize=5)
    unit = "" if reason.unit == "1" else f" [{reason.unit}]"
    tidy(axis, f"{reason.measure}{unit}")


def _minutes(time_ns: IntArray, zero_ns: int) -> FloatArray:
    found: FloatArray = (time_ns - zero_ns) / (_S_PER_MIN * NS_PER_S)
    return found


def _broken(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The line with a NaN in each gap of several steps, so that nothing is drawn across it."""
    if len(x) < 3:
        return x, y
    steps = np.diff(x)
    gaps = np.flatnonzero(steps > _GAP * float(np.median(steps))) + 1
    return np.insert(x, gaps, x[gaps]), np.insert(y, gaps, np.nan)

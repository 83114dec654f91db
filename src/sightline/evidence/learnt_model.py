"""What an ``expectation`` stage of a run has learnt: what explains a channel, how well, since when.

It is read from the newest checkpoint of each partition: what was learnt is part of the state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sightline.errors import UsageError
from sightline.evidence.words import figure, moment
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.perceive.normal.expectation import (
    COMMAND_LAGS_S,
    HELD_LAGS_S,
    WARM_UP_S,
    peer_columns,
)
from sightline.perceive.normal.satellite_watch import SatelliteWatch
from sightline.recorder.checkpoint import read_newest_checkpoint
from sightline.recorder.walk import is_logged_checkpoint
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray
from sightline.runtime import RunDirectory
from sightline.runtime.engine.core import PartitionCore
from sightline.runtime.engine.hosting import FAN_IN
from sightline.runtime.engine.replay import fresh_core
from sightline.runtime.stage import Step
from sightline.runtime.stages.expectation import FleetWatch

_LEAST_SHARE = 0.005
_WIDTH_PX, _HEIGHT_PX, _MARGIN_PX = 960, 320, 48
_HOLDS = -1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LearntChannel:
    """What was learnt of one channel.

    Attributes:
        key, field, unit: whose.
        stage: that learnt it.
        begin_ns: since when the key is followed, UTC ns.
        learnt_days: that the expectation was learnt from, counted from then; none: not yet.
        periods_s: found periods.
        explained: share of the variance that is explained, alone and with peers, on time that was
            not learnt from; NaN where it is not known.
        usual: usual size of what is left, in the unit.
        parts: by what explains it, share of the variance that the part makes, greatest first.
        holds: whether tests rest on it; the others remain.
        time_ns: int64[n] of the newest day at hand, UTC ns.
        measured, expected: float64[n], in the unit.
    """

    key: str
    field: str
    unit: str
    stage: str
    begin_ns: int
    learnt_days: tuple[int, ...] = ()
    periods_s: tuple[float, ...] = ()
    explained: tuple[float, float] = (np.nan, np.nan)
    usual: float = np.nan
    parts: Mapping[str, float]
    holds: bool = False
    time_ns: IntArray
    measured: FloatArray
    expected: FloatArray

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready, without the curves."""
        known = [None if np.isnan(share) else round(share, 4) for share in self.explained]
        return {
            "key": self.key,
            "field": self.field,
            "unit": self.unit,
            "stage": self.stage,
            "since_ns": self.begin_ns,
            "learnt_days": list(self.learnt_days),
            "periods_s": [round(period, 1) for period in self.periods_s],
            "explained_alone": known[0],
            "explained_with_peers": known[1],
            "usual_size": None if np.isnan(self.usual) else self.usual,
            "parts": {name: round(share, 4) for name, share in self.parts.items()},
            "holds": self.holds,
        }

    def lines(self) -> Iterator[str]:
        """For a terminal."""
        if not self.learnt_days:
            yield f"{self.key}/{self.field}: followed since {moment(self.begin_ns)}; not learnt yet"
            return
        held = "" if self.holds else "; it does not hold: only stuck, missing and range are tested"
        alone, peers = (
            "unknown" if np.isnan(share) else f"{max(share, 0):.0%}" for share in self.explained
        )
        yield (
            f"{self.key}/{self.field}: {alone} explained alone, {peers} with the other channels; "
            f"usually within {figure(self.usual, self.unit)}{held}"
        )
        periods = " and ".join(f"{period / 60:.1f} min" for period in self.periods_s) or "none"
        yield (
            f"  since {moment(self.begin_ns)}; learnt from {len(self.learnt_days)} days, the last "
            f"the {self.learnt_days[-1] + 1}th; periods: {periods}"
        )
        for name, share in self.parts.items():
            yield f"  {share:>5.0%}  {name}"

    def svg(self) -> str:
        """Expected against measured over the newest day at hand, as an SVG."""
        known = np.concatenate([self.measured, self.expected])
        known = known[np.isfinite(known)]
        low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
        span = max(high - low, 1e-12)
        inner_px, n = _WIDTH_PX - 2 * _MARGIN_PX, max(len(self.time_ns) - 1, 1)
        x = _MARGIN_PX + np.arange(len(self.time_ns)) * inner_px / n

        def line(values: FloatArray, style: str) -> str:
            y = _HEIGHT_PX - _MARGIN_PX - (values - low) / span * (_HEIGHT_PX - 2 * _MARGIN_PX)
            points = " ".join(
                f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True) if np.isfinite(b)
            )
            return f'<polyline fill="none" {style} points="{points}"/>'

        text = f"{self.key}/{self.field}, {self.unit}".replace("&", "&amp;").replace("<", "&lt;")
        ends = (
            f"{moment(int(self.time_ns[0]))} to {moment(int(self.time_ns[-1]))}"
            if len(self.time_ns)
            else "nothing at hand"
        )
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH_PX}" '
                f'height="{_HEIGHT_PX}" font-family="sans-serif" font-size="12">',
                f'<rect width="{_WIDTH_PX}" height="{_HEIGHT_PX}" fill="#ffffff"/>',
                f'<text x="{_MARGIN_PX}" y="20">{text}: measured (blue), expected (red)</text>',
                line(self.measured, 'stroke="#2563a8" stroke-width="1.5"'),
                line(self.expected, 'stroke="#b42323" stroke-width="1"'),
                f'<text x="4" y="{_MARGIN_PX}">{high:.4g}</text>',
                f'<text x="4" y="{_HEIGHT_PX - _MARGIN_PX}">{low:.4g}</text>',
                f'<text x="{_MARGIN_PX}" y="{_HEIGHT_PX - 16}">{ends}</text>',
                "</svg>\n",
            ]
        )


def learnt_channels(
    run: RunDirectory, *, key: str = "", field: str = "", limits: Limits = DEFAULT_LIMITS
) -> list[LearntChannel]:
    """What was learnt of each channel, by key and field.

    Args:
        run: its newest checkpoints are read.
        key: of one satellite; ``""`` for all.
        field: one channel; ``""`` for all.
        limits: bounds of reading.

    Raises:
        UsageError: the pipeline has no such stage, there is no checkpoint, or no such channel.
    """
    steps = [s for chain in run.plan.chains for s in chain.steps if s.stage.use == "expectation"]
    if not steps:
        raise UsageError(
            expected="a pipeline with a stage `expectation`",
            got=f"{run.plan.pipeline.pipeline} without",
            where=str(run.path),
            action="add one, see docs/learning-stages.md",
        )
    found: list[LearntChannel] = []
    is_any_read = False
    for name in (n for n in run.partitions if n != FAN_IN):
        core = _restored(run, name, limits)
        if core is None:
            continue
        is_any_read = True
        for chain in core.chains:
            for step in chain.chain.steps:
                state = chain.states.get(step.name)
                if isinstance(state, FleetWatch):
                    for known in state.names:
                        if key in ("", known):
                            found += _channels_of(state, step, known, field)
    if not found:
        raise UsageError(
            expected=f"{key or 'a key'}/{field or 'a field'} that was followed",
            got="none" if is_any_read else "no checkpoint",
            where=str(run.path),
            action="name one that `sightline model RUN` lists"
            if is_any_read
            else "let the run come to a checkpoint, or to its end",
        )
    return sorted(found, key=lambda channel: (channel.key, channel.field))


def _restored(run: RunDirectory, name: str, limits: Limits) -> PartitionCore | None:
    checkpoint = read_newest_checkpoint(
        run.storage,
        name,
        is_logged=lambda sequence, chain_hash, digest: is_logged_checkpoint(
            run.storage, name, sequence, chain_hash, digest, limits=limits
        ),
        limits=limits,
    )
    if checkpoint is None:
        return None
    core = fresh_core(run, name, limits=limits)
    assert isinstance(core, PartitionCore)  # the fan-in was left out
    core.restore(checkpoint.state)
    return core


def _channels_of(state: FleetWatch, step: Step, key: str, field: str) -> Iterator[LearntChannel]:
    watch = state.watch_of(key)
    assert watch is not None
    begin_ns = state.origin_ns(key)
    time_ns, expected = _newest_day(watch, begin_ns)
    for column, measure in enumerate(step.reads):
        name = measure.field or measure.column
        if field not in ("", name):
            continue
        model = watch.expectation
        untaught = LearntChannel(
            key=key,
            field=name,
            unit=measure.unit,
            stage=step.name,
            begin_ns=begin_ns,
            parts={},
            time_ns=time_ns,
            measured=watch.record.values[len(watch.record.values) - len(time_ns) :, column],
            expected=expected[:, column],
        )
        if model is None:
            yield untaught
            continue
        family = 1 if model.has_peers[column] else 0
        explained = (float(model.explained[0, column]), float(model.explained[1, column]))
        yield replace(
            untaught,
            learnt_days=watch.learnt_days,
            periods_s=model.form.periods_s,
            explained=explained,
            usual=float(model.scale[family][:, column].mean()),
            parts=explaining_parts(watch, column, [m.field or m.column for m in step.reads]),
            holds=bool(explained[0] > _HOLDS and not model.is_constant[column]),
        )


def _newest_day(watch: SatelliteWatch, begin_ns: int) -> tuple[IntArray, FloatArray]:
    """Times of the rows of the newest day at hand, and what was expected, float64[n, c]."""
    record = watch.record
    if watch.expectation is None:
        return np.empty(0, np.int64), np.empty((0, record.values.shape[1]))
    warm = round(WARM_UP_S / record.step_s)
    first = max(record.end - record.rows_per_day - warm, record.first)
    rows = np.arange(first, record.end)
    time_s = rows.astype(np.float64) * record.step_s
    values = record.values[record.rows(first, record.end)]
    expected, *_ = watch.expectation.expect(time_s, values, record.commands)
    best = np.where(watch.expectation.has_peers, expected[1], expected[0])
    shown = rows[min(warm, len(rows)) :]
    time_ns = begin_ns + np.rint(shown * record.step_s * NS_PER_S).astype(np.int64)
    return time_ns, best[len(rows) - len(shown) :]


def explaining_parts(watch: SatelliteWatch, column: int, names: Sequence[str]) -> dict[str, float]:
    """What makes the expectation of a channel move, by share of its variance; greatest first.

    Shares of parts that move together do not add up to one.
    """
    model, record = watch.expectation, watch.record
    assert model is not None
    rows = np.arange(max(record.end - record.rows_per_day, record.first), record.end)
    values = record.values[record.rows(int(rows[0]), record.end)]
    form = model.form
    time_s = rows.astype(np.float64) * record.step_s
    known = np.clip(form.known(time_s, record.commands, values), model.low, model.high)
    moved = known * model.weights[:, column]
    variance = max(float(np.nanvar(values[:, column])), 1e-300)
    parts: dict[str, float] = {}

    def add(name: str, columns: IntArray | slice) -> None:
        share = float(moved[:, columns].sum(axis=1).var() / variance)
        if share >= _LEAST_SHARE:
            parts[name] = parts.get(name, 0.0) + share

    at = 1
    for period_s, knots in zip(form.periods_s, form.knots, strict=True):
        add(f"phase of {period_s / 60:.1f} min", slice(at, at + len(knots)))
        at += len(knots)
    add("drift", form.slow)
    at = form.slow.stop
    for name in form.commands:
        add(f"after {name}", slice(at, at + len(COMMAND_LAGS_S)))
        at += len(COMMAND_LAGS_S)
    holds = [f"{a} until {b}" if b else f"{a} at its value" for a, b in form.held]
    holds += [f"{names[c]} is {v:g}" for c, values_ in form.states for v in values_[1:]]
    for k, held in enumerate(holds):
        add(held, at + k + len(holds) * np.arange(len(HELD_LAGS_S)))
    if model.has_peers[column]:
        c = len(names)
        left = (values - known @ model.weights) / model.peer_scale
        peers = peer_columns(left, record.step_s, model.peer_most / model.peer_scale)
        moved = peers * model.peer_weights[:, column]
        for k, peer in enumerate(names):
            add(f"what {peer} leaves of its own", np.arange(k, moved.shape[1], c))
    return dict(sorted(parts.items(), key=lambda part: -part[1]))

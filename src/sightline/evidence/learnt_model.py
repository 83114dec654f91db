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
from sightline.recorder import read_entries
from sightline.recorder.checkpoint import read_newest_checkpoint
from sightline.recorder.walk import is_logged_checkpoint
from sightline.records import EntryKind
from sightline.records.decision import Transition, final_revisions
from sightline.records.entry import CORE_INPUTS
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray
from sightline.runtime import RunDirectory
from sightline.runtime.engine.core import PartitionCore
from sightline.runtime.engine.hosting import FAN_IN
from sightline.runtime.engine.replay import fresh_core
from sightline.runtime.engine.stepping import step_logged
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
        parts: by what moves the expectation, the share that it has in its moves, greatest first;
            they add up to 1.
        holds: whether tests rest on it; the others remain.
        told_ns: when the stage last told that the channel does not read what was expected, UTC ns,
            as far as the rows are at hand; None: never.
        time_ns: int64[n], UTC ns: a day that has ``told_ns`` in it, or the newest at hand.
        measured, expected: float64[n], in the unit; of a counter what it gains in a row.
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
    told_ns: int | None = None
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
            "told_ns": self.told_ns,
        }

    def lines(self) -> Iterator[str]:
        """For a terminal."""
        if not self.learnt_days:
            yield f"{self.key}/{self.field}: followed since {moment(self.begin_ns)}; not learnt yet"
            return
        alone, peers = (
            "an unknown share" if np.isnan(share) else f"{max(share, 0):.0%}"
            for share in self.explained
        )
        yield (
            f"{self.key}/{self.field}: its past and the commands explain {alone} of its moves, the "
            f"other channels as well {peers}. It is usually within "
            f"{figure(self.usual, self.unit)} of what is expected."
        )
        if not self.holds:
            yield "  The expectation does not hold: only stuck, missing and range are tested."
        cycles = " and ".join(f"{period / 60:.1f} min" for period in self.periods_s)
        yield (
            f"  Followed since {moment(self.begin_ns)}, learnt from {len(self.learnt_days)} days; "
            + (f"it repeats every {cycles}." if cycles else "no cycle was found.")
        )
        if self.told_ns is not None:
            yield f"  Last told not to be as expected at {moment(self.told_ns)}."
        if self.parts:
            yield "  What moves the expectation:"
        for name, percent in whole_percents(self.parts).items():
            if percent:
                yield f"  {percent:>4} %  {name}"

    def svg(self) -> str:
        """Expected against measured, as an SVG; a line where it was last told."""
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

        told = ""
        if self.told_ns is not None and n > 1:
            share = (self.told_ns - self.time_ns[0]) / (self.time_ns[-1] - self.time_ns[0])
            at = _MARGIN_PX + share * inner_px
            told = (
                f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_MARGIN_PX}" '
                f'y2="{_HEIGHT_PX - _MARGIN_PX}" stroke="#555555" stroke-dasharray="4 3"/>'
                f'<text x="{at:.1f}" y="{_MARGIN_PX - 6}" text-anchor="middle">told</text>'
            )
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
                told,
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
    told_ns = {
        d.subject: d.window_start_ns
        for d in final_revisions(run.decisions(limits=limits))
        if d.kind in {s.name for s in steps} and d.transition is Transition.RAISED
    }
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
                            found += _channels_of(state, step, known, field, told_ns)
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
    """The core as it is at the end of the log; None before the first checkpoint."""
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
    for entry in read_entries(
        run.storage, name, after=checkpoint.sequence, kinds=CORE_INPUTS, limits=limits
    ):
        if entry.kind is EntryKind.INPUT_REFERENCE:
            break  # its rows are in files of before the run: what was learnt until then is shown
        step_logged(core, entry, partition=name)
    return core


def _channels_of(
    state: FleetWatch, step: Step, key: str, field: str, told_ns: Mapping[str, int]
) -> Iterator[LearntChannel]:
    watch = state.watch_of(key)
    assert watch is not None
    begin_ns = state.origin_ns(key)
    step_ns = watch.record.step_s * NS_PER_S
    for column, measure in enumerate(step.reads):
        name = measure.field or measure.column
        if field not in ("", name):
            continue
        model = watch.expectation
        told = told_ns.get(f"{key}/{name}")
        row = -1 if told is None else round((told - begin_ns) / step_ns)
        if not watch.record.first <= row < watch.record.end:
            told, row = None, watch.record.end
        rows, measured, expected = _day_around(watch, row)
        untaught = LearntChannel(
            key=key,
            field=name,
            unit=measure.unit,
            stage=step.name,
            begin_ns=begin_ns,
            parts={},
            told_ns=told,
            time_ns=begin_ns + np.rint(rows * step_ns).astype(np.int64),
            measured=measured[:, column],
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


def _day_around(watch: SatelliteWatch, row: int) -> tuple[IntArray, FloatArray, FloatArray]:
    """Numbers of the rows of a day that has ``row`` in its middle, or of the newest at hand; what
    was measured, counters by what they gain, and what the newest expectation makes one expect,
    float64[n, c].
    """
    record = watch.record
    if watch.expectation is None:
        none = np.empty((0, record.values.shape[1]))
        return np.empty(0, np.int64), none, none
    end = min(row + record.rows_per_day // 2, record.end)
    begin = max(end - record.rows_per_day, record.first)
    warm = max(begin - round(WARM_UP_S / record.step_s), record.first)
    time_s = np.arange(warm, end, dtype=np.float64) * record.step_s
    values = watch.counters.rates(record.values[record.rows(warm, end)])
    expected, *_ = watch.expectation.expect(time_s, values, record.commands)
    best = np.where(watch.expectation.has_peers, expected[1], expected[0])
    return np.arange(begin, end), values[begin - warm :], best[begin - warm :]


def whole_percents(parts: Mapping[str, float]) -> dict[str, int]:
    """Shares that add up to 1 as whole percents that add up to 100 (largest remainder).

    >>> whole_percents({"a": 0.506, "b": 0.247, "c": 0.247})
    {'a': 50, 'b': 25, 'c': 25}
    """
    found = {name: int(100 * share) for name, share in parts.items()}
    missing = 100 - sum(found.values()) if found else 0
    by_rest = sorted(found, key=lambda name: found[name] - 100 * parts[name])
    for name in by_rest[:missing]:
        found[name] += 1
    return found


def explaining_parts(watch: SatelliteWatch, column: int, names: Sequence[str]) -> dict[str, float]:
    """What makes the expectation of a channel move, and its share in that; they add up to 1.

    The share of a part is its covariance with the whole. What only counteracts others has none.
    """
    model, record = watch.expectation, watch.record
    assert model is not None
    rows = np.arange(max(record.end - record.rows_per_day, record.first), record.end)
    values = watch.counters.rates(record.values[record.rows(int(rows[0]), record.end)])
    form = model.form
    time_s = rows.astype(np.float64) * record.step_s
    known = np.clip(form.known(time_s, record.commands, values), model.low, model.high)
    moved = known * model.weights[:, column]
    whole = moved.sum(axis=1)
    from_peers = None
    if model.has_peers[column]:
        left = (values - known @ model.weights) / model.peer_scale
        peers = peer_columns(left, record.step_s, model.peer_most / model.peer_scale)
        from_peers = peers * model.peer_weights[:, column]
        whole = whole + from_peers.sum(axis=1)
    whole = whole - whole.mean()
    parts: dict[str, float] = {}

    def add(name: str, columns: IntArray | slice, of: FloatArray = moved) -> None:
        parts[name] = parts.get(name, 0.0) + float(whole @ of[:, columns].sum(axis=1))

    at = 1
    for period_s, knots in zip(form.periods_s, form.knots, strict=True):
        add(f"where it is in its cycle of {period_s / 60:.1f} min", slice(at, at + len(knots)))
        at += len(knots)
    add("a slow drift", form.slow)
    at = form.slow.stop
    for name in form.commands:
        add(f"how long ago {name} was sent", slice(at, at + len(COMMAND_LAGS_S)))
        at += len(COMMAND_LAGS_S)
    holds = [f"{a} until {b}" if b else f"{a} at its value" for a, b in form.held]
    holds += [f"{names[c]} is {v:g}" for c, values_ in form.states for v in values_[1:]]
    for k, held in enumerate(holds):
        add(held, at + k + len(holds) * np.arange(len(HELD_LAGS_S)))
    if from_peers is not None:
        for k, peer in enumerate(names):
            columns = np.arange(k, from_peers.shape[1], len(names))
            add(f"what {peer} does otherwise than expected", columns, from_peers)
    total = sum(max(part, 0.0) for part in parts.values())
    shares = {name: part / total for name, part in parts.items() if part > _LEAST_SHARE * total}
    shares["all else"] = 1.0 - sum(shares.values())
    return dict(sorted(shares.items(), key=lambda part: -part[1])) if total > 0 else {}

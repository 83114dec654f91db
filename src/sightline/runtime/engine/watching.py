"""Stages that watch for what does not come: looked at every tick, over keys or over groups.

A watch of keys lives in the key's partition. One of groups, or of everything, lives in the fan-in
partition, which puts together from all partitions when each group had data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from sightline.perceive.window_series import WindowSeries
from sightline.records.windows import WindowTable
from sightline.runtime.engine.stream import Names
from sightline.runtime.engine.summary import PresenceSummary
from sightline.runtime.plan import Plan
from sightline.runtime.stage import Step, Watch, WatchStage

EVERYWHERE = "*"
"""Group name of everything, for stages of scope global."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPresence:
    """Presence of the groups, as one watch of groups sees it."""

    watch: Watch
    chain: str
    source: str
    is_global: bool
    names: Names
    series: WindowSeries


def group_presence(plan: Plan, step: Step, names: list[str] | None = None) -> GroupPresence:
    """Of a stage that watches groups; empty.

    ``names`` are the groups that are known.
    """
    stage = step.stage
    assert isinstance(stage, WatchStage)
    chain = next(c for c in plan.chains if c.name == stage.settings.input)
    return GroupPresence(
        watch=stage.begin_watch(
            step,
            pipeline=plan.digest,
            source=chain.source,
            contract=plan.streams[chain.source],
        ),
        chain=chain.name,
        source=chain.source,
        is_global=stage.settings.scope == "global",
        names=Names(names),
        series=WindowSeries(
            ("first_offset_ns", "last_offset_ns"),
            slide_ns=chain.slide_ns,
            width_ns=chain.width_ns,
        ),
    )


def widen(presence: GroupPresence, part: PresenceSummary) -> None:
    """Merge a partition's presence into the groups': earliest first, latest last."""
    subjects = [EVERYWHERE] * len(part.groups) if presence.is_global else list(part.groups)
    ids = presence.names.encode(pl.Series(subjects, dtype=pl.String), most=(1 << 21) - 1)
    if not len(ids):
        return
    # Several groups of a part may be one subject (scope global): widest of each (subject, slot).
    slots = np.array(part.window, np.int64)
    order = np.lexsort((slots, ids))
    key, window = ids[order], slots[order]
    is_start = np.ones(len(order), np.bool_)
    is_start[1:] = (key[1:] != key[:-1]) | (window[1:] != window[:-1])
    start = np.flatnonzero(is_start)
    key, window = key[start], window[start]
    first = np.minimum.reduceat(np.array(part.first_offset_ns, np.float64)[order], start)
    last = np.maximum.reduceat(np.array(part.last_offset_ns, np.float64)[order], start)
    series = presence.series
    code = (key.astype(np.int64) << 42) | window
    at = np.searchsorted(series.code, code)
    inside = at < len(series)
    known = np.zeros(len(code), np.bool_)
    known[inside] = series.code[at[inside]] == code[inside]
    first[known] = np.minimum(first[known], series.column("first_offset_ns")[at[known]])
    last[known] = np.maximum(last[known], series.column("last_offset_ns")[at[known]])
    series.upsert(
        WindowTable(
            key=key,
            window=window,
            slide_ns=series.slide_ns,
            width_ns=series.width_ns,
            columns={"first_offset_ns": first, "last_offset_ns": last},
        )
    )

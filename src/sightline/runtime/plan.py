"""A pipeline that fits together: what the engine asks of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sightline.records.signals import NS_PER_S
from sightline.runtime.item_stage import CameraPlan, ItemPlan, ItemStage, ItemStep
from sightline.runtime.pipeline import (
    Pipeline,
)
from sightline.runtime.stage import (
    AllKeysStage,
    AnyStage,
    Chain,
    Stage,
    Step,
)
from sightline.sense import Contract

ITEM_KEY = "camera"
"""Key column of the rows that an item stage measures: one key per camera."""
ITEM_TIME = "capture_ns"
"""Their time column, UTC ns."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """A pipeline that fits together.

    Attributes:
        pipeline: the description it was made from, contracts and geometries written out.
        contracts: of the sources of rows, by name.
        measured: of the rows that item stages measure, by stage.
        cameras: the sources of frames, by name.
        digest: 16 hex digits over everything that can change a decision.
        chains: series stages, in order of the description.
        watches: stages that watch groups or everything, for the fan-in partition.
        items: item stages, each after its inputs.
        has_fan_in: whether any decision needs more than one key.
        folder: where relative paths of models begin.
        origin: the file, for people.
    """

    pipeline: Pipeline
    contracts: Mapping[str, Contract]
    measured: Mapping[str, Contract]
    cameras: Mapping[str, CameraPlan]
    digest: str
    chains: tuple[Chain, ...]
    watches: tuple[Step, ...]
    items: tuple[ItemStep, ...]
    has_fan_in: bool
    folder: Path = Path()
    origin: str = "<python>"

    @property
    def tick_ns(self) -> int:
        return round(self.pipeline.tick_s * NS_PER_S)

    @property
    def batch_wait_ns(self) -> int:
        return round(self.pipeline.batch_wait_s * NS_PER_S)

    @property
    def streams(self) -> dict[str, Contract]:
        """Every contract of rows: of sources, and of what item stages measure."""
        return {**self.contracts, **self.measured}

    @property
    def has_desk(self) -> bool:
        """Whether decisions go through an alert desk."""
        return self.pipeline.alerting is not None

    @property
    def takers(self) -> tuple[ItemStage | Stage, ...]:
        """Stages that take operator inputs."""
        series = [step.stage for chain in self.chains for step in chain.steps]
        stages: list[ItemStage | Stage] = [*(step.stage for step in self.items), *series]
        return tuple(stage for stage in stages if stage.controls)

    def item_plan(self, step: ItemStep) -> ItemPlan:
        """What an item stage knows of the pipeline when it begins."""
        return ItemPlan(
            pipeline=self.digest,
            tick_s=self.pipeline.tick_s,
            cameras={name: self.cameras[name] for name in step.cameras},
            items=self.items,
        )

    @property
    def out_of_order_ns(self) -> int:
        """The largest of the sources: what a fan-in waits for."""
        return max((c.out_of_order_ns for c in self.contracts.values()), default=0)

    @property
    def max_backlog_ns(self) -> int:
        """The largest of the sources: how long anything can be revised."""
        return max((c.max_backlog_ns for c in self.streams.values()), default=0)

    def pane_ns(self, source: str) -> int:
        """Width of the row store's panes: the largest that every window is made of."""
        slides = [c.slide_ns for c in self.chains if c.source == source and c.needs_rows]
        widths = [c.width_ns for c in self.chains if c.source == source]
        return math.gcd(*slides) if slides else min(widths, default=self.tick_ns)

    def widest_ns(self, source: str) -> int:
        """Width of the widest window of a source: when it is settled, so are its rows."""
        widths = (c.width_ns for c in self.chains if c.source == source and c.needs_rows)
        return max(widths, default=self.pane_ns(source))

    def chain_of(self, stage: str) -> Chain:
        """The chain that a series stage belongs to; of a watch, that of its input."""
        for chain in self.chains:
            if stage == chain.name or any(s.name == stage for s in chain.steps):
                return chain
        watch = next(w for w in self.watches if w.name == stage)
        return self.chain_of(watch.stage.settings.input)

    @property
    def over_all_keys(self) -> tuple[Step, ...]:
        """Stages with a half over all keys, in the fan-in partition."""
        steps = (step for chain in self.chains for step in chain.steps)
        return tuple(step for step in steps if isinstance(step.stage, AllKeysStage))

    def deciding_steps(self) -> dict[str, Step]:
        """All series stages that decide, by name."""
        steps = [s for c in self.chains for s in c.steps] + list(self.watches)
        return {s.name: s for s in steps if s.stage.decides}

    def stage(self, name: str) -> AnyStage | None:
        """The stage of this name, as planned."""
        for chain in self.chains:
            for step in (chain.root, *chain.steps):
                if step.name == name:
                    return step.stage
        for watch in self.watches:
            if watch.name == name:
                return watch.stage
        return next((item.stage for item in self.items if item.name == name), None)

    def budgets_s(self) -> dict[str, float]:
        """Shares of the latency budget of the stages that have one; of a guarded one its own."""
        found: dict[str, float] = {}
        for name in self.pipeline.stages:
            stage = self.stage(name)
            share_s = None if stage is None else share_of_budget_s(stage, self.pipeline)
            if share_s is not None:
                found[name] = share_s
        return found


def share_of_budget_s(stage: AnyStage, pipeline: Pipeline) -> float | None:
    """Seconds that a stage may take: its own share, else that of its guard or detector."""
    if stage.settings.budget_s is not None:
        return float(stage.settings.budget_s)
    detector = pipeline.detectors.get(getattr(stage.settings, "detector", ""))
    if detector is not None:
        return detector.budget_s
    guard = getattr(stage, "guard", None)
    return None if guard is None else float(guard.budget_s)

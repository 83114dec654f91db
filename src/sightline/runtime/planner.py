"""From a pipeline description to a checked plan: everything in it fits together, no path is left.

Everything that can be wrong with a pipeline is found here, before the first record is read: ports,
units, scopes, names, fallbacks, budgets. What a single stage has to say about its own settings is
in its class; this module knows none of them by name.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from sightline.errors import ContractError, PipelineError, SightlineError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.camera import CameraModel
from sightline.records.signals import NS_PER_S
from sightline.registry import import_plugins, plugin_folders
from sightline.runtime.item_stage import CameraPlan, ItemStage, ItemStep
from sightline.runtime.pipeline import (
    CameraForm,
    Pipeline,
    digest,
    parse_pipeline,
    stage_registry,
)
from sightline.runtime.plan import ITEM_KEY, ITEM_TIME, Plan, share_of_budget_s
from sightline.runtime.settings import DecidingSettings, DetectorSettings, StageSettings
from sightline.runtime.stage import (
    BY_FALLBACK,
    AllKeysStage,
    AnyStage,
    Chain,
    Measure,
    RootStage,
    Shape,
    Stage,
    Step,
    WatchStage,
    Wiring,
)
from sightline.sense import Contract
from sightline.sense.camera_files import parse_camera
from sightline.sense.frames import FrameContract
from sightline.sense.frames.frame_contract import parse_frame_contract

_ROUNDED_PX = 1.0
"""A scaled picture's height is rounded to whole pixels."""


def make_plan(
    pipeline: Pipeline,
    contracts: Mapping[str, Contract] | None = None,
    *,
    where: str = "<python>",
    folder: Path = Path(),
    limits: Limits = DEFAULT_LIMITS,
) -> Plan:
    """Check that ``pipeline`` and the contracts of its rows (by source) fit together.

    Raises:
        PipelineError, ContractError: naming the stage and field at fault.
    """
    return Planner(pipeline, dict(contracts or {}), where, folder, limits).plan()


def plan_as_mapping(plan: Plan) -> dict[str, Any]:
    """JSON-ready form of a plan; :func:`plan_from_mapping` makes the same plan again."""
    return {
        "pipeline": plan.pipeline.model_dump(mode="json"),
        "contracts": {n: c.model_dump(mode="json") for n, c in sorted(plan.contracts.items())},
        "folder": str(plan.folder.absolute()),  # where the weights of detectors lie
    }


def plan_from_mapping(plain: Mapping[str, Any], *, where: str) -> Plan:
    """Inverse of :func:`plan_as_mapping`."""
    pipeline = parse_pipeline(plain["pipeline"], where=where)
    contracts = {n: Contract.model_validate(c) for n, c in plain["contracts"].items()}
    return make_plan(pipeline, contracts, where=where, folder=Path(plain["folder"]))


def plan_recipe(plan: Plan) -> dict[str, Any]:
    """A plan for a process of its own, JSON-ready, with where it finds the plan's plugins."""
    return {
        "plan": plan_as_mapping(plan),
        "origin": plan.origin,
        "plugin_folders": plugin_folders(plan.pipeline.plugins),
    }


def plan_of_recipe(recipe: Mapping[str, Any]) -> Plan:
    """The plan of :func:`plan_recipe`, in the process that was given it."""
    sys.path += [f for f in recipe["plugin_folders"] if f not in sys.path]
    return plan_from_mapping(recipe["plan"], where=recipe["origin"])


class _Skipped(Exception):
    """A stage hangs on one that is at fault."""


@dataclass(slots=True)
class Planner:
    """Checks one pipeline, and collects what its stages say while it is planned.

    Attributes:
        pipeline, contracts: what is planned; contracts by source.
        where: names the pipeline in errors.
        folder: where relative paths of models begin.
        collects: whether a fault ends the work (False), or is kept and the rest is checked too.
        problems: faults that were kept.
        stages, measures, cameras, measured: what is planned so far, by name.
    """

    pipeline: Pipeline
    contracts: dict[str, Contract]
    where: str
    folder: Path
    limits: Limits
    collects: bool = False
    problems: list[SightlineError] = field(default_factory=list)
    stages: dict[str, AnyStage] = field(default_factory=dict)
    measures: dict[str, tuple[Measure, ...]] = field(default_factory=dict)
    cameras: dict[str, CameraPlan] = field(default_factory=dict)
    measured: dict[str, Contract] = field(default_factory=dict)

    def plan(self) -> Plan:
        p = self.pipeline
        if p.partitions > self.limits.max_partitions:
            self.fail("", f"at most {self.limits.max_partitions} partitions", str(p.partitions))
        if p.cameras and p.partitions != 1:
            self.fail("", "partitions: 1 with cameras, which are decided on together",
                      str(p.partitions))  # fmt: skip
        for source in p.sources:
            if source in p.stages:
                self.fail(source, "names used once", f"{source!r} is a source and a stage")
        for source, contract in self.contracts.items():
            with self._collecting():
                self._check_contract(source, contract)
        for name, camera in p.cameras.items():
            with self._collecting():
                self.cameras[name] = self._camera(name, camera)
        self._make_stages()
        for name in p.stages:
            with self._collecting():
                self._check_ports(name)
        items = self._item_order()
        for name in items:
            self._add_measured(name)
        chains = []
        for name, stage in self.stages.items():
            if isinstance(stage, RootStage):
                with self._collecting():
                    chains.append(self._chain(name, stage))
        watches = []
        for name, stage in self.stages.items():
            if isinstance(stage, WatchStage) and stage.settings.scope != "key":
                with self._collecting():
                    watches.append(self._watch(name, stage))
        steps = self._item_steps(items)
        if not self.problems:
            placed = [s.name for c in chains for s in (c.root, *c.steps)]
            placed += [s.name for s in watches] + [s.name for s in steps]
            for name in self.stages:
                if name not in placed:
                    self.fail(name, "a stage that something runs: after windows, with scope key; a "
                              "watch; or on items", f"`{self.stages[name].use}`")  # fmt: skip
        self._check_together()
        if self.problems:
            raise PipelineError(expected="a pipeline that fits together", got="see the others",
                                where=self.where, action="mend them")  # fmt: skip
        planned = {s.name: s.stage.settings for c in chains for s in (c.root, *c.steps)}
        stages = {n: planned.get(n, form) for n, form in p.stages.items()}
        if stages != p.stages:
            p = p.model_copy(update={"stages": stages})
        inhibits = any(getattr(s.settings, "inhibited_by", ()) for s in self.stages.values())
        return Plan(
            pipeline=p,
            contracts=self.contracts,
            measured=self.measured,
            cameras=self.cameras,
            digest=digest(self._identity(p)),
            chains=tuple(chains),
            watches=tuple(watches),
            items=steps,
            has_fan_in=bool(watches)
            or inhibits
            or p.alerting is not None
            or any(isinstance(s, AllKeysStage) for s in self.stages.values()),
            folder=self.folder,
            origin=self.where,
        )

    def _identity(self, p: Pipeline) -> list[Any]:
        """What can change a decision: partitions, inboxes, recording and budgets cannot."""
        plain = p.model_dump(
            mode="json",
            exclude={
                "partitions", "description", "sources", "images", "latency_budget_s",
                "batch_wait_s", "plugins", "stages",
            },
        )  # fmt: skip
        if p.alerting is None:
            del plain["alerting"]
        plain["stages"] = {n: self._deciding(self.stages[n], p.stages[n]) for n in p.stages}
        frames = {
            name: [camera.contract.digest, p.cameras[name].geometry, camera.starts_empty]
            for name, camera in sorted(self.cameras.items())
        }
        rows = {name: contract.digest for name, contract in sorted(self.contracts.items())}
        return [plain, rows, frames]

    @staticmethod
    def _deciding(stage: AnyStage, settings: StageSettings) -> dict[str, Any]:
        """What of a stage can change a decision: its share of the time cannot."""
        plain = settings.model_dump(mode="json", exclude={"budget_s"})
        return {**plain, "version": stage.version}

    def _version(self, stage: AnyStage) -> str:
        return f"{stage.name}@{digest(self._deciding(stage, stage.settings))[:8]}"

    # --- errors -----------------------------------------------------------------------------------

    def fail(
        self,
        stage: str,
        expected: str,
        got: str,
        near: Sequence[str] = (),
        *,
        action: str = "",
    ) -> NoReturn:
        setting = re.match(r"([a-z]\w*(?:\.\w+)*): ", expected)
        if not action:
            close = difflib.get_close_matches(got, near, n=1)
            wanted = expected.removeprefix(setting[0]) if setting else expected
            action = f"write one of {', '.join(near)}" if near else f"change it to {wanted}"
            action = f"write {close[0]!r}" if close else action
        kind = "sources" if stage in self.pipeline.sources else "stages"
        where = f"{self.where}, {kind}.{stage}" if stage else self.where
        where += f".{setting[1]}" if stage and setting else ""
        raise PipelineError(expected=expected, got=got, where=where, action=action)

    @contextmanager
    def _collecting(self) -> Iterator[None]:
        """A part of the work whose fault need not hide those of others."""
        try:
            yield
        except _Skipped:
            if not self.collects:  # then the fault itself would have been raised
                raise
        except (PipelineError, ContractError) as error:
            if not self.collects:
                raise
            self.problems += [error, *error.beside]

    @contextmanager
    def collected(self) -> Iterator[None]:
        """All of the work: what it ends with is the last of its problems, if it is one itself."""
        try:
            yield
        except (PipelineError, ContractError) as error:
            if not self.problems:
                self.problems += [error, *error.beside]

    # --- sources ----------------------------------------------------------------------------------

    def _check_contract(self, source: str, contract: Contract) -> None:
        """What the engine asks of a source beyond what its contract asks of itself."""
        if not set(contract.watermark_columns) <= set(contract.key):
            self.fail(
                source,
                "timing.watermark_by among the key columns (a key must not change its clock)",
                ", ".join(contract.watermark_columns),
            )
        natural = {*contract.key, *contract.event_time.columns}
        sequence = {contract.sequence.column} if contract.sequence else set()
        if set(contract.duplicate_columns) - sequence != natural:
            self.fail(
                source,
                "duplicate_key: the key, the event time and perhaps the sequence, nothing more",
                ", ".join(contract.duplicate_columns),
            )

    def _camera(self, name: str, form: CameraForm) -> CameraPlan:
        where = f"{self.where}, sources.{name}"
        assert isinstance(form.frames, dict)  # written out
        contract = parse_frame_contract(form.frames, where=f"{where}.frames")
        geometry = None
        if form.geometry is not None:
            found = parse_camera(form.geometry, where=f"{where}.geometry")
            geometry = _fitted(found, contract, where=f"{where}.geometry")
        return CameraPlan(
            name=name,
            contract=contract,
            geometry=geometry,
            starts_empty=form.starts_empty,
            view=form.view,
        )

    # --- stages -----------------------------------------------------------------------------------

    def _make_stages(self) -> None:
        modules = import_plugins(self.pipeline.plugins, where=self.where)
        registry = stage_registry(modules)
        for name, settings in self.pipeline.stages.items():
            where = f"{self.where}, stages.{name}.use"
            found = registry.find(settings.use, where=where)
            self.stages[name] = found(name, settings)

    def _check_ports(self, name: str) -> None:
        """Whether each input gives what the stage reads, and the stages form no circle."""
        stage = self.stages[name]
        if isinstance(stage, ItemStage):
            for given in stage.settings.inputs:
                offered = self._offers(name, given)
                if offered not in stage.reads and "*" not in stage.reads:
                    wanted = " or ".join(stage.reads)
                    self.fail(name, f"input of type {wanted} for `{stage.use}`",
                              f"{given}: {offered}")  # fmt: skip
                if given not in self.pipeline.cameras and not isinstance(
                    self.stages.get(given), ItemStage
                ):
                    self.fail(name, "inputs that are cameras or item stages: what is known of a "
                              "series, `turn.known` tells", f"{given}: {offered}")  # fmt: skip
            return
        assert isinstance(stage, Stage)
        given = stage.settings.input
        offered = self._offers(name, given)
        other = self.stages.get(given)
        if stage.reads == "signals" and isinstance(other, ItemStage):
            if not other.measures:
                self.fail(name, "an item stage that measures something", f"{given}: nothing")
            offered = "signals"
        if offered != stage.reads:
            self.fail(name, f"input of type {stage.reads} for `{stage.use}`", f"{given}: {offered}")
        if stage.settings.scope not in stage.scopes:
            self.fail(name, f"scope: {' or '.join(stage.scopes)} for `{stage.use}`",
                      f"scope: {stage.settings.scope}")  # fmt: skip
        seen = {name}
        at = given
        while at in self.stages and isinstance(self.stages[at], Stage):
            if at in seen:
                self.fail(name, "stages without a circle", f"a circle through {at!r}")
            seen.add(at)
            at = self.stages[at].settings.input

    def _offers(self, name: str, given: str) -> str:
        if given in self.contracts or given in self.pipeline.tables:
            return "signals"
        if given in self.pipeline.cameras:
            return "frames"
        if given not in self.stages:
            names = [*self.pipeline.sources, *self.stages]
            self.fail(name, "input: the name of a source or stage", given, near=names)
        return self.stages[given].ports()[1]

    # --- chains -----------------------------------------------------------------------------------

    def _chain(self, name: str, stage: RootStage) -> Chain:
        source = stage.settings.input
        contract = self.contracts.get(source) or self.measured.get(source)
        if contract is None:
            raise _Skipped
        place = _Place(self, name, contract, 0, 0)
        shape = stage.shape(contract, place)
        # The group is a dictionary id, which depends on arrival: nothing may be decided on it.
        self.measures[name] = tuple(m for m in shape.measures if m.column != "group")
        steps: list[Step] = []
        columns = [m.column for m in shape.measures]
        lookback = 1
        for step_name in self._downstream(name):
            with self._collecting():
                step = self._step(step_name, contract, shape)
                steps.append(step)
                columns += [m.column for m in step.adds]
                lookback = max(lookback, step.stage.lookback)
        columns += [c for s in steps for c in s.stage.extra_columns]
        return Chain(
            root=Step(name=name, stage=stage, version=self._version(stage)),
            source=source,
            shape=shape,
            steps=tuple(steps),
            columns=tuple(columns),
            lookback=lookback + 1,
        )

    def _downstream(self, root: str) -> list[str]:
        """Stages that hang on ``root``, each after its own input."""
        found: list[str] = []
        reached = {root}
        waiting = {n: s for n, s in self.stages.items() if isinstance(s, Stage)}
        progress = True
        while progress:
            progress = False
            for name, stage in list(waiting.items()):
                is_of_keys = stage.settings.scope == "key" or isinstance(stage, AllKeysStage)
                if stage.settings.input in reached and is_of_keys:
                    reached.add(name)
                    found.append(name)
                    del waiting[name]
                    progress = True
        return found

    def _step(self, name: str, contract: Contract, shape: Shape) -> Step:
        stage = self.stages[name]
        assert isinstance(stage, Stage)
        if stage.settings.input not in self.measures:
            raise _Skipped
        place = _Place(self, name, contract, shape.width_ns, shape.slide_ns)
        wiring: Wiring = stage.plan(place)
        if wiring.settings is not None:
            stage = type(stage)(name, wiring.settings)
            self.stages[name] = stage
        self._check_guard(name, stage)
        adds = [m.column for m in wiring.adds]
        twice = next((column for column in adds if adds.count(column) > 1), None)
        if twice is not None:
            self.fail(name, "measures that add columns of different names", twice)
        self.measures[name] = wiring.adds
        return Step(
            name=name,
            stage=stage,
            version=self._version(stage),
            reads=wiring.reads,
            adds=wiring.adds,
        )

    def _watch(self, name: str, stage: WatchStage) -> Step:
        root = self.stages[stage.settings.input]
        source = root.settings.input
        contract = self.contracts.get(source) or self.measured.get(source)
        chain_width_ns = round(root.settings.width_s * NS_PER_S)
        if contract is None:
            raise _Skipped
        stage.plan(_Place(self, name, contract, chain_width_ns, chain_width_ns))
        return Step(name=name, stage=stage, version=self._version(stage))

    def _check_guard(self, name: str, stage: Stage) -> None:
        guard = stage.guard
        if guard is None:
            return
        if guard.fallback is None:
            self.fail(
                name, "guarded.fallback: the stage that answers when this one is late", "none"
            )
        if guard.budget_s > self.pipeline.latency_budget_s:
            self.fail(name, "guarded.budget_s within latency_budget_s", f"{guard.budget_s:g}")

    # --- items ------------------------------------------------------------------------------------

    def _item_order(self) -> list[str]:
        """Item stages, each after its inputs; of those that are free, as they are written."""
        waiting = {n: s for n, s in self.stages.items() if isinstance(s, ItemStage)}
        found: list[str] = []
        while waiting:
            ready = [
                n for n, s in waiting.items() if not any(i in waiting for i in s.settings.inputs)
            ]
            if not ready:
                name = next(iter(waiting))
                self.fail(name, "stages without a circle", f"a circle through {name!r}")
            found.append(ready[0])
            del waiting[ready[0]]
        return found

    def _add_measured(self, name: str) -> None:
        """The contract of the rows that an item stage measures, if something reads them."""
        stage = self.stages[name]
        assert isinstance(stage, ItemStage)
        if not stage.measures or not any(
            isinstance(s, RootStage) and s.settings.input == name for s in self.stages.values()
        ):
            return
        self.measured[name] = Contract.model_validate(
            {
                "contract": name,
                "key": [ITEM_KEY],
                "event_time": {"column": ITEM_TIME, "format": "unix_ns"},
                "fields": {
                    column: {"type": "number", "unit": unit, "required": False}
                    for column, unit in {**stage.measures, BY_FALLBACK: "1"}.items()
                },
            }
        )

    def _item_steps(self, order: Sequence[str]) -> tuple[ItemStep, ...]:
        cameras_of: dict[str, tuple[str, ...]] = {name: (name,) for name in self.cameras}
        steps = []
        for name in order:
            stage = self.stages[name]
            assert isinstance(stage, ItemStage)
            inputs = stage.settings.inputs
            if any(i not in cameras_of for i in inputs):
                continue  # an input is at fault, as was said
            cameras = tuple(dict.fromkeys(c for i in inputs for c in cameras_of[i]))
            cameras_of[name] = cameras
            with self._collecting():
                self._check_looking(name, stage)
                stage.plan(_ItemPlace(self, name, cameras, cameras_of))
            steps.append(
                ItemStep(name=name, stage=stage, version=self._version(stage), cameras=cameras)
            )
        return tuple(steps)

    def _check_looking(self, name: str, stage: ItemStage) -> None:
        """A stage that looks at pictures has a deadline, and a camera to look at."""
        if not stage.looks:
            return
        if not any(i in self.cameras for i in stage.settings.inputs):
            self.fail(name, "a camera among the inputs of a stage that looks at pictures",
                      ", ".join(stage.settings.inputs))  # fmt: skip
        guard = stage.guard
        if guard is None:
            self.fail(name, "guarded: {budget_s: …}, for a stage that looks at pictures", "none")
        if hasattr(stage.settings, "detector"):
            return  # the time is its detector's
        longest_s = self.pipeline.latency_budget_s - self.pipeline.batch_wait_s
        if guard.budget_s > longest_s:
            self.fail(name, f"guarded.budget_s within latency_budget_s less batch_wait_s "
                      f"({longest_s:g} s)", f"{guard.budget_s:g}")  # fmt: skip

    # --- together ---------------------------------------------------------------------------------

    def _check_together(self) -> None:
        with self._collecting():
            self._check_inhibitions()
        with self._collecting():
            self._check_budgets()
        with self._collecting():
            self._check_alerting()

    def _check_inhibitions(self) -> None:
        """Whoever inhibits decides, is not inhibited itself, and is waited for in the budget."""
        for name, stage in self.stages.items():
            form = stage.settings
            if not isinstance(form, DecidingSettings) or not form.inhibited_by:
                continue
            for wider in form.inhibited_by:
                other = self.stages[wider].settings if wider in self.stages else None
                if not isinstance(other, DecidingSettings):
                    self.fail(
                        name, "inhibited_by: stages that decide", wider, near=list(self.stages)
                    )
                if other.inhibited_by:
                    self.fail(
                        name,
                        "inhibited_by: stages that are not inhibited themselves",
                        f"{wider!r} is",
                    )
            if form.scope != "key":
                self.fail(name, "inhibited_by: only with scope: key", f"scope: {form.scope}")
            if form.inhibit_hold_s is None:
                self.fail(name, "inhibit_hold_s beside inhibited_by", "none")
            if form.inhibit_hold_s > self.pipeline.latency_budget_s:
                self.fail(
                    name,
                    f"inhibit_hold_s within latency_budget_s ({self.pipeline.latency_budget_s:g})",
                    f"{form.inhibit_hold_s:g}",
                )

    def _check_budgets(self) -> None:
        """Series stages run one after the other, so their shares must fit the whole together."""
        shares_s = {
            n: share_of_budget_s(s, self.pipeline)
            for n, s in self.stages.items()
            if isinstance(s, Stage)
        }
        budgets_s = {n: s for n, s in shares_s.items() if s is not None}
        whole_s = self.pipeline.latency_budget_s
        if sum(budgets_s.values()) > whole_s:
            self.fail(
                max(budgets_s, key=lambda name: budgets_s[name]),
                f"stage budgets of at most latency_budget_s ({whole_s:g} s) together",
                f"{sum(budgets_s.values()):g} s",
            )
        self._check_command_path(whole_s)

    def _check_command_path(self, whole_s: float) -> None:
        """A frame may come while windows are asked about: a command waits for both at most."""
        if not any(s.ports()[1] == "commands" for s in self.stages.values()
                   if isinstance(s, ItemStage)):  # fmt: skip
            return
        guarded = {n: s.guard.budget_s for n, s in self.stages.items()
                   if isinstance(s, Stage) and s.guard is not None}  # fmt: skip
        looks_s = [
            share_of_budget_s(s, self.pipeline) or 0.0
            for s in self.stages.values()
            if isinstance(s, ItemStage) and s.looks
        ]
        longest_s = max(looks_s, default=0.0) + sum(guarded.values())
        if guarded and longest_s > whole_s:
            self.fail(
                max(guarded, key=lambda name: guarded[name]),
                f"guarded.budget_s that leave a machine its command within latency_budget_s "
                f"({whole_s:g} s), with the longest look at a frame",
                f"{longest_s:g} s",
            )

    def _check_alerting(self) -> None:
        """Numbers that fit together, attributes that exist, and a code for each stage."""
        form = self.pipeline.alerting
        if form is None:
            return
        if form.subjects_file is not None:
            self.fail("", "alerting.subjects: read from its file, as load_plan does",
                      form.subjects_file)  # fmt: skip
        try:
            form.rules(revise_ns=0, digest_by="")
        except UsageError as error:
            self.fail("", f"alerting: {error.expected}", error.got)
        known = {column for contract in self.contracts.values() for column in contract.key}
        known |= {c.group for c in self.contracts.values() if c.group is not None}
        known |= {name for attributes in form.subjects.values() for name in attributes}
        if self.cameras:
            known.add(ITEM_KEY)
        digest_by = [form.digest_by] if form.digest_by is not None else []
        for name in (*(form.by or ()), *digest_by):
            if name not in known:
                self.fail("", "alerting.by: key or group columns, or attributes of subjects", name,
                          near=sorted(known))  # fmt: skip
        stage_of: dict[str, str] = {}
        for name, stage in self.stages.items():
            settings = stage.settings
            if not isinstance(settings, DecidingSettings):
                continue
            other = stage_of.setdefault(settings.code, name)
            if other != name:
                # An alarm point is a subject and a code: one stage would clear another's.
                self.fail(name, "a code of its own, as there is an alert desk",
                          f"{settings.code}, of {other}")  # fmt: skip
        for code in form.latching:
            if code not in stage_of:
                self.fail("", "alerting.latching: codes of stages", code, near=sorted(stage_of))


@dataclass(frozen=True, slots=True)
class _Place:
    """What a series stage sees of the pipeline while it is planned."""

    planner: Planner
    name: str
    contract: Contract
    width_ns: int
    slide_ns: int

    @property
    def latency_budget_s(self) -> float:
        return self.planner.pipeline.latency_budget_s

    def source(self, name: str) -> Contract:
        found = self.planner.contracts.get(name)
        if found is None:
            self.fail("a source of rows", name, list(self.planner.contracts))
        return found

    def fail(
        self, expected: str, got: str, near: Sequence[str] = (), *, action: str = ""
    ) -> NoReturn:
        self.planner.fail(self.name, expected, got, near, action=action)

    def upstream(self, stage: str) -> Stage:
        found = self.planner.stages[stage]
        assert isinstance(found, Stage)  # the ports fit
        return found

    def measures_like(self, stage: str, patterns: Sequence[str]) -> tuple[Measure, ...]:
        found: dict[str, Measure] = {}
        offered = self.planner.measures.get(stage, ())
        for pattern in patterns:
            if pattern.startswith("*"):
                like = [m for m in offered if m.column.endswith(pattern[1:])]
                if not like:
                    self.fail(
                        f"measure: some column ending in {pattern[1:]}",
                        "none",
                        [m.column for m in offered],
                    )
            else:
                like = [self.measure(stage, pattern)]
            found.update({m.column: m for m in like})
        return tuple(found.values())

    def measure(self, stage: str, column: str) -> Measure:
        offered = {m.column: m for m in self.planner.measures.get(stage, ())}
        # A measure of a scorer may be named without the stage: `snr_db` for `deviation.snr_db`.
        found = offered.get(column) or offered.get(f"{stage}.{column}")
        if found is None:
            self.fail(f"a measure of stage {stage!r}", column, list(offered))
        return found


@dataclass(frozen=True, slots=True)
class _ItemPlace:
    """What an item stage sees of the pipeline while it is planned."""

    planner: Planner
    name: str
    camera_names: tuple[str, ...]
    known: Mapping[str, tuple[str, ...]]

    @property
    def cameras(self) -> Mapping[str, CameraPlan]:
        return {name: self.planner.cameras[name] for name in self.camera_names}

    def cameras_of(self, name: str) -> tuple[str, ...]:
        return self.known[name]

    @property
    def detectors(self) -> Mapping[str, DetectorSettings]:
        return self.planner.pipeline.detectors

    @property
    def tick_s(self) -> float:
        return self.planner.pipeline.tick_s

    @property
    def latency_budget_s(self) -> float:
        return self.planner.pipeline.latency_budget_s

    @property
    def batch_wait_s(self) -> float:
        return self.planner.pipeline.batch_wait_s

    @property
    def stages(self) -> Mapping[str, AnyStage]:
        return self.planner.stages

    @property
    def contracts(self) -> Mapping[str, Contract]:
        return self.planner.contracts

    def column(self, name: str) -> Measure:
        stage, _, column = name.partition(".")
        offered = {m.column: m for m in self.planner.measures.get(stage, ())}
        found = offered.get(column) or offered.get(f"{stage}.{column}")
        if found is None:
            near = [f"{s}.{m.column}" for s, ms in self.planner.measures.items() for m in ms]
            self.fail("a column of a series stage, as STAGE.COLUMN", name, near)
        return found

    def fail(
        self, expected: str, got: str, near: Sequence[str] = (), *, action: str = ""
    ) -> NoReturn:
        self.planner.fail(self.name, expected, got, near, action=action)


def _fitted(camera: CameraModel, contract: FrameContract, *, where: str) -> CameraModel:
    """The model for pictures of the contract's size: calibrations may be made at another one."""
    width_px, height_px = camera.image_size_px
    factor = contract.width_px / width_px
    if abs(contract.height_px - height_px * factor) > _ROUNDED_PX:
        raise PipelineError(
            expected=f"the aspect ratio of the calibrated picture, {width_px} x {height_px} px",
            got=f"a contract of {contract.width_px} x {contract.height_px} px",
            where=where,
            action="give a camera model that was made for pictures of this shape",
        )
    return camera if factor == 1.0 else camera.scaled(factor)

"""From a pipeline description to a checked plan: everything in it fits together, no path is left.

Everything that can be wrong with a pipeline is found here, before the first record is read: ports,
units, scopes, names, fallbacks, budgets. What a single stage has to say about its own settings is
in its class; this module knows none of them by name.
"""

from __future__ import annotations

import difflib
import math
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
from sightline.runtime.item_stage import CameraPlan, ItemPlan, ItemStage, ItemStep
from sightline.runtime.pipeline import (
    CameraForm,
    Pipeline,
    digest,
    load_pipeline,
    parse_pipeline,
    stage_registry,
)
from sightline.runtime.settings import DecidingSettings, DetectorSettings, StageSettings
from sightline.runtime.site import in_short_form
from sightline.runtime.stage import (
    BY_FALLBACK,
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
from sightline.sense import Contract, load_contract
from sightline.sense.camera_files import parse_camera, read_camera_mapping
from sightline.sense.frames import FrameContract, load_frame_contract
from sightline.sense.frames.frame_contract import parse_frame_contract
from sightline.sense.yaml_form import line_of, read_yaml

_ROUNDED_PX = 1.0
_MOST_BESIDE, _HEAD_BYTES = 100, 4096
"""Files, and their beginnings, that are looked at for a contract that is misnamed."""
"""A scaled picture's height is rounded to whole pixels."""
ITEM_KEY = "camera"
"""Key column of the rows that an item stage measures: one key per camera."""
ITEM_TIME = "capture_ns"
"""Their time column, UTC ns."""


# --- what a plan holds ----------------------------------------------------------------------------


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


# --- making one -----------------------------------------------------------------------------------


def load_plan(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Plan:
    """Read a pipeline file, its contracts and geometries, and check that they fit together.

    Raises:
        PipelineError, ContractError: naming the file and field at fault.
    """
    try:
        pipeline = written_out(load_pipeline(path), path.parent)
        contracts = {
            name: _contract_at(path, name, form.contract) for name, form in pipeline.tables.items()
        }
        return make_plan(pipeline, contracts, where=str(path), folder=path.parent, limits=limits)
    except (PipelineError, ContractError) as error:
        raise _with_line(error) from error


def written_out(pipeline: Pipeline, folder: Path) -> Pipeline:
    """The same with the contents of frame contracts and geometry files in their place."""
    sources: dict[str, Any] = dict(pipeline.sources)
    for name, camera in pipeline.cameras.items():
        contract, geometry = camera.frames, camera.geometry
        if isinstance(contract, str):
            contract = load_frame_contract(folder / contract).model_dump(mode="json")
        if isinstance(geometry, str):
            found = read_camera_mapping(folder / geometry)
            assert isinstance(found, dict)  # or reading it had failed
            geometry = found
        sources[name] = camera.model_copy(update={"frames": contract, "geometry": geometry})
    return pipeline.model_copy(update={"sources": sources})


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
    return _Planner(pipeline, dict(contracts or {}), where, folder, limits).plan()


def find_problems(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> list[SightlineError]:
    """Everything that can be found wrong with a pipeline file and the files that it names.

    One fault does not hide another, as far as they do not depend on each other. Where a file says
    what is meant, the place has its line.
    """
    found: list[SightlineError] = []
    contracts: dict[str, Contract] = {}
    pipeline: Pipeline | None = None
    try:
        pipeline = load_pipeline(path)
    except (PipelineError, ContractError) as error:
        found += [error, *error.beside]
    # Of a pipeline that cannot be read as one, the contracts that it names can be all the same.
    named = _named_contracts(path) if pipeline is None else {
        name: form.contract for name, form in pipeline.tables.items()
    }  # fmt: skip
    for name, contract in named.items():
        try:
            contracts[name] = _contract_at(path, name, contract)
        except (PipelineError, ContractError) as error:
            found += [error, *error.beside]
    if pipeline is not None:
        try:
            pipeline = written_out(pipeline, path.parent)
            planner = _Planner(pipeline, contracts, str(path), path.parent, limits, collects=True)
            if len(contracts) == len(named):
                with planner.collected():
                    planner.plan()
            found += planner.problems
        except (PipelineError, ContractError) as error:
            found += [error, *error.beside]
    placed = {str(error): _with_line(error) for error in found}
    return sorted(placed.values(), key=_in_order)


def _head_of(path: Path) -> bytes:
    """How a plain file begins; nothing of a pipe or a folder."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _contract_at(path: Path, source: str, name: str) -> Contract:
    """The contract that a pipeline file names.

    Raises:
        PipelineError: there is no such file, with those beside it that may be meant.
        ContractError: it is none.
    """
    file = path.parent / name
    if not file.exists():
        beside = [
            one.name
            for one in sorted(path.parent.glob("*.y*ml"))[:_MOST_BESIDE]
            if one != path and re.search(rb"^contract:", _head_of(one), re.M)
        ]
        near = difflib.get_close_matches(name, beside, n=1, cutoff=0.0)
        raise PipelineError(
            expected="a contract file, by its path from the pipeline file",
            got="an address" if "://" in name else f"{name}, where there is no file",
            where=f"{path}, sources.{source}.contract",
            action=f"write {near[0]!r}"
            if near
            else "write where it is, or make one: `sightline init FILE -o DIR`",
        )
    return load_contract(file)


def _in_order(error: SightlineError) -> tuple[str, int]:
    """File and line: as somebody goes through them who mends them."""
    name, _, place = error.where.partition(", ")
    line = re.match(r"line (\d+)", place)
    return name, int(line[1]) if line else 0


def _named_contracts(path: Path) -> dict[str, str]:
    """Contract files by source, as far as a pipeline file that has faults says which."""
    try:
        plain = read_yaml(path, kind_of_error=PipelineError)
    except PipelineError:
        return {}
    sources = plain.get("sources") if isinstance(plain, dict) else None
    named = {n: s.get("contract") for n, s in (sources or {}).items() if isinstance(s, dict)}
    return {name: contract for name, contract in named.items() if isinstance(contract, str)}


def _with_line(error: SightlineError) -> SightlineError:
    """The same, with its line where it is of a file; of a site at the place as it is written."""
    name, comma, dotted = error.where.partition(", ")
    path = Path(name)
    if not comma or dotted.startswith("line ") or path.suffix not in (".yaml", ".yml"):
        return error
    dotted = dotted.replace(", ", ".")
    try:
        text = path.read_text(encoding="utf-8")
        plain = read_yaml(text, where=name, kind_of_error=type(error))
    except (OSError, ValueError, SightlineError):
        return error
    if isinstance(plain, dict) and plain.get("use") == "site":
        dotted = in_short_form(dotted, plain)
        said = re.match(r"(zones\.\w+(\.\w+)?): ", error.expected)  # of a stage that has many
        dotted = said[1] if said else dotted
    line = line_of(text, dotted)
    place = dotted if line is None else f"line {line}, {dotted}"
    found = type(error)(
        expected=error.expected, got=error.got, where=f"{name}, {place}", action=error.action
    )
    found.beside = tuple(map(_with_line, error.beside))
    return found


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
class _Planner:
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
            has_fan_in=bool(watches) or inhibits or p.alerting is not None,
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
        time = contract.event_time.column
        natural = {*contract.key, *([time] if time else [])}
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
            name=name, contract=contract, geometry=geometry, starts_empty=form.starts_empty
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
                if stage.settings.input in reached and stage.settings.scope == "key":
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

    planner: _Planner
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

    planner: _Planner
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

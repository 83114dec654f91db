"""An item stage: what it is given of each item, and what it says.

No pixel comes to it but through :meth:`ItemStage.look`, which runs outside the core. A turn is one
item, or one tick, going through the item stages in their order.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, Protocol

import polars as pl

from sightline.decide.standing import Condition, StandingConditions
from sightline.errors import LogError, UsageError
from sightline.recorder.checkpoint import StateParts
from sightline.records import Decision, Frame
from sightline.records.camera import CameraModel
from sightline.records.command import ActuatorCommand
from sightline.records.decision import Mode, Reason, Severity
from sightline.records.part import PartNote
from sightline.records.readings import Readings
from sightline.runtime.engine.guard import Outcome
from sightline.runtime.engine.headers import FrameHeader
from sightline.runtime.engine.outputs import StepOutput
from sightline.runtime.engine.stage_timer import StageTimer
from sightline.runtime.settings import DetectorSettings, GuardSettings, ItemSettings, StageSettings
from sightline.runtime.stage import BY_FALLBACK, AnyStage, Measure
from sightline.sense import Contract
from sightline.sense.frames import FrameContract

# --- what the planner works out -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CameraPlan:
    """One camera.

    Attributes:
        name: of the source.
        contract: what it promises.
        geometry: camera model for pictures of the contract's size; None: nothing is known in
            metres.
        starts_empty: whether somebody has seen to it that nobody is in view when a run starts.
        view: print of what it shows (:mod:`sightline.sense.frames.usual_view`); None: unknown.
    """

    name: str
    contract: FrameContract
    geometry: CameraModel | None
    starts_empty: bool = False
    view: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ItemStep:
    """An item stage in its place.

    Attributes:
        name: in the pipeline.
        stage: the stage with its settings.
        version: ``name@digest`` over settings and the version of its algorithm, for reasons.
        cameras: names of the cameras that its inputs lead back to, in order.
    """

    name: str
    stage: ItemStage
    version: str
    cameras: tuple[str, ...]


class ItemPlanning(Protocol):
    """What an item stage can ask while its place in the pipeline is checked."""

    @property
    def cameras(self) -> Mapping[str, CameraPlan]:
        """The cameras that its inputs lead back to, by name."""

    def cameras_of(self, name: str) -> tuple[str, ...]:
        """The cameras that one of its inputs leads back to."""

    @property
    def tick_s(self) -> float:
        """Of the pipeline."""

    @property
    def latency_budget_s(self) -> float:
        """Of the pipeline."""

    @property
    def batch_wait_s(self) -> float:
        """Of the pipeline: how long a frame waits for those of other cameras."""

    @property
    def detectors(self) -> Mapping[str, DetectorSettings]:
        """Every detector of the pipeline, by name."""

    @property
    def stages(self) -> Mapping[str, AnyStage]:
        """Every stage of the pipeline, by name, planned or not."""

    @property
    def contracts(self) -> Mapping[str, Contract]:
        """Of the sources of rows, by name."""

    def column(self, name: str) -> Measure:
        """A column of a series stage, as ``STAGE.COLUMN``."""

    def fail(
        self, expected: str, got: str, near: Sequence[str] = (), *, action: str = ""
    ) -> NoReturn:
        """Raise a PipelineError that names the stage."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ItemPlan:
    """What an item stage knows of the pipeline when it begins.

    Attributes:
        pipeline: digest of the pipeline.
        tick_s: of the pipeline.
        cameras: those that its inputs lead back to, by name, in their order.
        items: every item stage, each after its inputs.
    """

    pipeline: str
    tick_s: float
    cameras: Mapping[str, CameraPlan]
    items: tuple[ItemStep, ...]


# --- a turn ---------------------------------------------------------------------------------------


DECIDE = "decide"
"""Name under which raising and clearing what item stages found in an item is timed."""
TICK = "tick"
"""Name under which all that item stages do at a tick is timed: it is no item's time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was known of a series as of an event time.

    Attributes:
        value: of the newest window that had closed by then; NaN where there is none.
        end_ns: exclusive end of that window, UTC ns; -1 where there is none.
    """

    value: float
    end_ns: int


class Around(Protocol):
    """What a turn asks of the core it goes through."""

    @property
    def pipeline(self) -> str:
        """Digest of the pipeline."""

    @property
    def states(self) -> Mapping[str, ItemState]:
        """State of each item stage, by name."""

    @property
    def fallback(self) -> set[str]:
        """Stages whose newest answer came about by a fallback, or rests on one that did."""

    @property
    def read_series(self) -> Callable[[str, str, str, int], tuple[float, int]]:
        """(stage, column, key, at_ns) → value and window end of what is known of a series."""

    def note_row(self, stage: str, camera: str, at_ns: int, values: Mapping[str, float]) -> None:
        """Take a row that a stage has measured."""


class Turn:
    """One item, or one tick, going through the item stages.

    Attributes:
        at_ns: event time of the turn, UTC ns; each turn is later than the one before.
        header: the item without its pixels; None at a tick.
        is_final: at a tick, whether nothing comes after it.
        state: plain values of the stage at hand, by name; whatever JSON can hold.
        signs: what is wrong with the newest picture of each camera.
    """

    def __init__(
        self,
        around: Around,
        at_ns: int,
        output: StepOutput,
        *,
        header: FrameHeader | None = None,
        outcomes: Mapping[str, Outcome] | None = None,
        is_final: bool = False,
    ) -> None:
        self.at_ns = at_ns
        self.is_final = is_final
        self.header = header
        self.state: dict[str, Any] = {}
        self._around = around
        self._output = output
        self._outcomes = outcomes or {}
        self._said: dict[str, tuple[list[Condition], Mode]] = {}
        self._decided: list[Decision] = []
        self._step: ItemStep | None = None

    @property
    def camera(self) -> str:
        """Name of the camera whose item this is; "" at a tick."""
        return "" if self.header is None else self.header.camera

    @property
    def pipeline(self) -> str:
        """Digest of the pipeline."""
        return self._around.pipeline

    @property
    def version(self) -> str:
        """Of the stage at hand, for reasons."""
        assert self._step is not None
        return self._step.version

    def value(self, stage: str) -> Any:
        """What another item stage said last; None before its first item."""
        return self._around.states[stage].value

    def outcome(self, stage: str) -> Outcome | None:
        """What became of asking a guarded stage about this item."""
        return self._outcomes.get(stage)

    @property
    def found(self) -> Mapping[str, float] | None:
        """What the stage at hand has found in the picture, or its fallback in its stead."""
        assert self._step is not None
        outcome = self._outcomes.get(self._step.name)
        if outcome is not None and isinstance(outcome.answer, Readings):
            return outcome.answer.values
        return self._step.stage.fall_back(self)

    @property
    def mode(self) -> Mode:
        """Whether the stage at hand, and all that it reads, has answered itself."""
        assert self._step is not None
        return Mode.FALLBACK if self._step.name in self._around.fallback else Mode.PRIMARY

    def known(self, column: str, key: str, *, at_ns: int | None = None) -> Known:
        """What is known of a series stage's ``STAGE.COLUMN`` of a key as of an event time.

        Only windows that have closed count. What comes late may revise them; an item is decided
        once, on what was known then.

        Args:
            column: ``STAGE.COLUMN``.
            key: of the series.
            at_ns: UTC ns; None: when the item was captured, or the time of the tick.
        """
        stage, _, name = column.partition(".")
        if at_ns is None:
            at_ns = self.at_ns if self.header is None else self.header.capture_ns
        value, end_ns = self._around.read_series(stage, name, key, at_ns)
        return Known(value=value, end_ns=end_ns)

    def say(self, scope: str, conditions: Sequence[Condition], *, mode: Mode | None = None) -> None:
        """Say all that holds in ``scope`` now: what is new is raised, what is gone is cleared.

        Args:
            scope: what belongs together, for example ``camera/risk``; several stages may share
                one, and then what each of them says in a turn is joined.
            conditions: all of them; none if nothing holds.
            mode: how the answer came about; None: that of the stage at hand. Of a scope that
                several share, one fallback makes it one.
        """
        said = self.mode if mode is None else mode
        known, before = self._said.get(scope, ([], Mode.PRIMARY))
        both = Mode.FALLBACK if Mode.FALLBACK in {said, before} else Mode.PRIMARY
        self._said[scope] = ([*known, *conditions], both)

    def flag(
        self,
        code: str,
        *,
        when: bool,
        value: float,
        threshold: float,
        unit: str,
        measure: str = "",
        subject: str = "",
        severity: Severity = Severity.WARNING,
    ) -> None:
        """Raise ``code`` while ``when`` is true; it is cleared ``clear_s`` after it was so last.

        Args:
            code: reason code, upper snake case; the decision's kind is the same in lower case.
            when: whether it is so now.
            value: what was measured, in ``unit``.
            threshold: what it was compared with, in ``unit``.
            unit: "1" where there is none.
            measure: what was measured; "": the stage's name.
            subject: whom it is about; "": the camera.
            severity: for the operator.
        """
        assert self._step is not None
        about = subject or self.camera
        reason = Reason(
            code=code, measure=measure or self._step.name, value=value, threshold=threshold,
            unit=unit, version=self._step.version,
        )  # fmt: skip
        condition = Condition(
            kind=code.lower(), subject=about, group="", severity=severity, reason=reason
        )
        self.say(f"{self._step.name}/{about}", [condition] if when else [])

    def decide(self, decision: Decision) -> None:
        """Say a decision that is no standing condition."""
        self._decided.append(decision)

    def command(self, command: ActuatorCommand) -> None:
        """Command a machine."""
        self._output.commands.append(command)

    def record(self, note: PartNote) -> None:
        """Say what is known of a part, or what a person said of one."""
        self._output.parts.append(note)

    def measure(self, values: Mapping[str, float], *, camera: str = "") -> None:
        """Hand on what the stage at hand has measured, as a row of its camera.

        Args:
            values: by name, as the stage's ``measures`` declare; the others are NaN.
            camera: at a tick, whose.
        """
        assert self._step is not None
        name = camera or self.camera
        known = self._step.stage.measures
        unknown = [measure for measure in values if measure not in known]
        if unknown or not name:
            raise UsageError(
                expected=f"measures {', '.join(self._step.stage.measures)} of a camera",
                got=", ".join(sorted(unknown)) or "no camera, at a tick",
                where=f"stage {self._step.name}",
                action="name them in `measures`, and at a tick say whose they are: camera=…",
            )
        at_ns = self.at_ns if self.header is None else self.header.capture_ns
        by_fallback = {BY_FALLBACK: float(self.mode is Mode.FALLBACK)}
        self._around.note_row(self._step.name, name, at_ns, {**values, **by_fallback})

    def wrote(self, *parts: bytes) -> None:
        """Give what the stage at hand has made, for comparing runs stage by stage."""
        assert self._step is not None
        digest = hashlib.blake2b(digest_size=8)
        for part in parts:
            digest.update(part)
        known = self._output.digests.get(self._step.name, "")
        self._output.digests[self._step.name] = known + digest.hexdigest()

    # --- for the engine ---------------------------------------------------------------------------

    def at(self, step: ItemStep) -> Turn:
        """The same turn, at the next stage."""
        self._step = step
        return self

    def looked(self) -> None:
        """The stage at hand begins with an item: from here on the item's mode is known."""
        step, fallback = self._step, self._around.fallback
        assert step is not None
        if not fallback and not step.stage.looks:
            return
        outcome = self._outcomes.get(step.name)
        is_own = (
            not step.stage.looks
            if outcome is None
            else (outcome.is_ok and outcome.mode is Mode.PRIMARY)
        )
        if is_own and fallback.isdisjoint(step.stage.settings.inputs):
            fallback.discard(step.name)
        else:
            fallback.add(step.name)

    def finish(self, standing: StandingConditions, timer: StageTimer) -> list[Decision]:
        """The decisions of the turn: what was raised and cleared, then the others."""
        found: list[Decision] = []
        with timer.span(TICK if self.header is None else DECIDE):
            for scope, (conditions, mode) in self._said.items():
                found += standing.update(scope, self.at_ns, conditions, mode=mode)
        return found + self._decided


class ItemState:
    """State of an item stage in a core; a stage with more than plain values extends this.

    Attributes:
        value: what the stage said last, for the stages that read it.
    """

    value: Any = None

    @property
    def left_aside(self) -> Mapping[str, int]:
        """What it was given and did not use so far, by cause: counted and shown per camera."""
        return {}

    @property
    def advice(self) -> str:
        """Which setting would fit what was seen so far, for people: shown per camera."""
        return ""

    def empty_ns(self, before_ns: int) -> int:
        """Capture time of the newest frame before ``before_ns`` that is known to show nobody; -1:
        there is no such frame. Detectors are told of it with later frames.
        """
        del before_ns
        return -1

    @property
    def accepted_ns(self) -> int:
        """Capture time of the newest frame when somebody said last that what its camera shows from
        then on is as it should be; -1: nobody has. Whoever watches the picture is told of it.
        """
        return -1

    def on_arrival(self, turn: Turn) -> None:
        """A frame has come; nobody has looked at it yet."""

    def on_refused(self, turn: Turn) -> None:
        """A frame that broke its contract has come: nobody will look at it."""

    def on_item(self, turn: Turn) -> None:
        """An item: everybody who was asked about it has answered, or was too late."""

    def on_tick(self, turn: Turn) -> None:
        """Time has gone on."""

    def on_rows(self, source: str, signals: pl.DataFrame) -> None:
        """Rows of a source that the stage names in ``rows_from``, as they were admitted.

        They come before the tick that ends their epoch, and in no order: sort them.
        """

    def on_control(self, control: Mapping[str, Any], turn: Turn) -> None:
        """An operator input of a kind that the stage takes."""

    def snapshot(self) -> StateParts:
        """The state between two turns."""
        return StateParts(meta={})

    def restore(self, parts: StateParts) -> None:
        """Inverse of :meth:`snapshot`."""


class PlainState(ItemState):
    """Plain values by name, for a stage that says nothing else."""

    def __init__(self, stage: ItemStage) -> None:
        self._stage = stage
        self._plain: dict[str, Any] = {}

    def on_item(self, turn: Turn) -> None:
        turn.state = self._plain
        self.value = self._stage.on_item(turn)
        self._check(self.value, "value")
        self._check(self._plain, "turn.state")

    def on_tick(self, turn: Turn) -> None:
        turn.state = self._plain
        self._stage.on_tick(turn)
        self._check(self._plain, "turn.state")

    def _check(self, plain: Any, what: str) -> None:
        """A checkpoint gives back only what JSON can hold: a run must not differ by one."""
        if _is_plain(plain):
            return
        raise UsageError(
            expected=f"a {what} of text, finite numbers, true, false, None, lists, and mappings by "
            "text",
            got=repr(plain)[:200],
            where=f"stage {self._stage.name}",
            action="keep plain values, or let `begin` give an ItemState that saves its own",
        )

    def on_control(self, control: Mapping[str, Any], turn: Turn) -> None:
        del turn
        self._stage.on_control(control, self._plain)

    def snapshot(self) -> StateParts:
        value = self.value
        plain = {"version": self._stage.version, "state": self._plain, "value": value}
        return StateParts(meta=plain)

    def restore(self, parts: StateParts) -> None:
        """Inverse of :meth:`snapshot`.

        Raises:
            LogError: state of another version of the stage.
        """
        if parts.meta["version"] != self._stage.version:
            raise LogError(
                expected=f"state of {self._stage.use}, version {self._stage.version}",
                got=f"version {parts.meta['version']}",
                where=f"checkpoint, stage {self._stage.name}",
                action="delete the checkpoints: the state is rebuilt from the log",
            )
        self._plain = dict(parts.meta["state"])
        self.value = parts.meta["value"]


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return all(type(key) is str and _is_plain(one) for key, one in value.items())
    if kind is list:
        return all(map(_is_plain, value))
    return (
        value is None
        or kind in (str, int, bool)
        or (isinstance(value, float) and math.isfinite(value))
    )


# --- the stage ------------------------------------------------------------------------------------


class ItemStage(AnyStage):
    """An item stage: extend this, and say what follows from an item.

    :meth:`on_item` runs in the core for each item of its cameras. One that must look at pixels, or
    run a model, sets ``looks`` and has :meth:`load` and :meth:`look`: they run outside the core,
    with a deadline, and what they found comes to ``on_item`` as ``turn.found``.

    Attributes:
        reads: what its inputs may write: frames, detections, tracks, sights …; "*": anything.
        writes: what it writes.
        measures: columns that it measures with ``turn.measure``, by name, with their units: series
            stages can read them, one key per camera.
        looks: whether it is guarded and looks at pictures.
        finds: names that each answer of :meth:`look` must have; one without them is as good as
            none.
        controls: operator inputs that it takes: one that no stage takes is refused.
        hears: operator inputs that it is told of when another stage has taken them.
    """

    Settings: ClassVar[type[StageSettings]] = ItemSettings
    reads: ClassVar[tuple[str, ...]] = ("frames",)
    writes: ClassVar[str] = "nothing"
    measures: ClassVar[Mapping[str, str]] = {}
    looks: ClassVar[bool] = False
    finds: ClassVar[tuple[str, ...]] = ()
    controls: ClassVar[tuple[str, ...]] = ()
    hears: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def ports(cls) -> tuple[str, str]:
        return " or ".join(cls.reads), cls.writes

    @property
    def rows_from(self) -> tuple[str, ...]:
        """Sources whose rows it is given as they come, with their texts; see ``on_rows``."""
        return ()

    def plan(self, planning: ItemPlanning) -> None:
        """Check the settings against the cameras and the other stages.

        Raises:
            PipelineError: through ``planning.fail``.
        """

    def wanted_classes(self) -> Mapping[str, set[str]]:
        """Classes of things it asks for, by place in its settings; somebody must report them."""
        return {}

    def begin(self, plan: ItemPlan) -> ItemState | None:
        """Its state in a core; None: plain values by name, as ``turn.state``."""
        del plan
        return None

    def on_item(self, turn: Turn) -> Any:
        """What follows from the item at hand: its value, for the stages that read this one.

        It may also ``turn.say`` what holds, ``turn.measure`` and change ``turn.state``.
        """

    def on_tick(self, turn: Turn) -> None:
        """Time has gone on, with or without an item."""

    def on_control(self, control: Mapping[str, Any], state: dict[str, Any]) -> None:
        """Take an operator input of a kind it names in ``controls``, and change its state."""

    def check_control(self, control: Mapping[str, Any]) -> str | None:
        """Why an operator input of its kind cannot be taken; None if it can."""
        del control
        return None

    # --- guarded ----------------------------------------------------------------------------------

    @property
    def guard(self) -> GuardSettings | None:
        """How it is guarded, if it looks."""
        return getattr(self.settings, "guarded", None)

    def load(self, camera: CameraPlan, folder: str) -> Looking:
        """Make what looks at the pictures of a camera. Runs outside the core.

        Args:
            camera: whose pictures.
            folder: where relative paths of the pipeline begin.

        Raises:
            PipelineError, UsageError: a file is missing, is another one, or cannot be used.
        """
        del folder
        return _OwnLooking(self, camera)

    def look(self, frames: Sequence[Frame]) -> list[Mapping[str, float]]:
        """What is found in each of ``frames``: numbers by name. For a stage without :meth:`load`.

        Runs outside the core; may be late, and may raise.
        """
        raise TypeError(f"{type(self).__name__} has neither load nor look")

    def fall_back(self, turn: Turn) -> Mapping[str, float] | None:
        """The declared fallback: what is found when nobody has looked in time. Runs in the core.

        None: nothing is known, and ``turn.found`` is None.
        """
        del turn
        return None


class Looking(Protocol):
    """What looks at pictures, outside the core."""

    @property
    def version(self) -> str:
        """Changes with whatever could change an answer."""

    def look(self, frames: Sequence[Frame]) -> list[Any]:
        """What is seen in each of ``frames``, in their order; one failure fails them all."""


class _OwnLooking:
    """A stage's own :meth:`ItemStage.look`."""

    def __init__(self, stage: ItemStage, camera: CameraPlan) -> None:
        self._stage = stage
        self.version = f"{stage.use}@{stage.version}"
        del camera

    def look(self, frames: Sequence[Frame]) -> list[Any]:
        return list(self._stage.look(frames))

"""What a stage is: one class with all that is its own.

A stage brings its settings, what it reads and writes with units, its checks before the run, one
step, its state with a version, and how it explains its reasons. The engine finds it by its ``use``
name and knows no stage itself. There are two families, because time means two things:

- A *series stage* (:class:`Stage`) is a function of the windows of one key. Late data may change a
  window, and then it runs again from that window on.
- An *item stage* (:class:`.item_stage.ItemStage`) decides once about one item (a frame of a
  camera), by a deadline. What it measures may flow on as rows into windows; it may read what is
  known of a series.

``docs/own-stage.md`` is one page on how to write one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, Protocol

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.limits import Limits
from sightline.perceive.row_store import Rows
from sightline.perceive.window_series import WindowSeries
from sightline.records import Decision
from sightline.records.decision import (
    Mode,
    Reason,
    Status,
    Transition,
    decision_id,
    trace_id,
)
from sightline.records.readings import Arrays
from sightline.records.windows import FloatArray, IntArray, WindowTable
from sightline.runtime.engine.operator_inputs import OperatorInputs
from sightline.runtime.engine.outputs import StageRows
from sightline.runtime.engine.stream import Names, StreamState
from sightline.runtime.settings import GuardSettings, Scope, SeriesSettings, StageSettings
from sightline.sense import Contract

BY_FALLBACK = "answered_by_fallback"
"""Field of rows that an item stage has measured: 1 where its answer rests on a fallback."""

# --- what the planner works out -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A column that can be scored or decided on.

    Attributes:
        column: its name in the series.
        field: of the contract; "" where it belongs to no single field.
        unit: of its values.
    """

    column: str
    field: str
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What a stage reads and adds in this pipeline.

    Attributes:
        reads: columns it reads.
        adds: columns it adds to the series, in its own order.
        settings: the settings it runs with, where planning has worked something out.
    """

    reads: tuple[Measure, ...] = ()
    adds: tuple[Measure, ...] = ()
    settings: StageSettings | None = None


class Planning(Protocol):
    """What a stage can ask while its place in the pipeline is checked."""

    @property
    def contract(self) -> Contract:
        """Of the source at the beginning of its chain."""

    @property
    def width_ns(self) -> int:
        """Width of the windows of its chain."""

    @property
    def slide_ns(self) -> int:
        """Slide of the windows of its chain."""

    @property
    def latency_budget_s(self) -> float:
        """Of the pipeline."""

    def source(self, name: str) -> Contract:
        """The contract of another source of rows."""

    def measures_like(self, stage: str, patterns: Sequence[str]) -> tuple[Measure, ...]:
        """Measures of ``stage`` by name, or by ``*`` and how their name ends; each once."""

    def measure(self, stage: str, column: str) -> Measure:
        """One measure of ``stage`` by name."""

    def upstream(self, stage: str) -> Stage:
        """The stage of this name in the same chain."""

    def fail(
        self, expected: str, got: str, near: Sequence[str] = (), *, action: str = ""
    ) -> NoReturn:
        """Raise a PipelineError that names the stage; ``action``: what to write."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """A stage in its place after the windows.

    Attributes:
        name: in the pipeline.
        stage: the stage with its settings.
        version: ``name@digest`` over settings and the version of its algorithm, for reasons.
        reads: columns it reads.
        adds: columns it adds.
    """

    name: str
    stage: Stage
    version: str
    reads: tuple[Measure, ...] = ()
    adds: tuple[Measure, ...] = ()

    def decision(
        self,
        pipeline: str,
        *,
        subject: str,
        group: str,
        raised: bool,
        event_ns: int,
        window_start_ns: int,
        window_end_ns: int,
        score: float,
        confidence: float,
        reasons: tuple[Reason, ...],
        mode: Mode,
    ) -> Decision:
        """A decision of this stage with its derived ids; revision 0, to be numbered when issued.

        Args:
            pipeline: digest of the pipeline; the others as in :class:`.Decision`.
        """
        return Decision(
            decision_id=decision_id(
                pipeline=pipeline,
                subject=subject,
                kind=self.name,
                window_start_ns=window_start_ns,
                window_end_ns=window_end_ns,
            ),
            pipeline=pipeline,
            subject=subject,
            group=group,
            kind=self.name,
            transition=Transition.RAISED if raised else Transition.CLEARED,
            event_ns=event_ns,
            window_start_ns=window_start_ns,
            window_end_ns=window_end_ns,
            severity=self.stage.settings.severity,
            score=score,
            confidence=confidence,
            revision=0,
            status=Status.ISSUED,
            reasons=reasons,
            mode=mode,
            trace_id=trace_id(pipeline=pipeline, subject=subject, window_start_ns=window_start_ns),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectTransitions:
    """What follows for one subject from the rows that were looked at.

    Attributes:
        subject: canonical name.
        from_ns: events before this were not looked at.
        decisions: contents (revision 0) of the changes at or after that.
    """

    subject: str
    from_ns: int
    decisions: list[Decision]


# --- every stage ----------------------------------------------------------------------------------


class AnyStage:
    """What both families have. An object is a stage with its settings: it never changes.

    Attributes:
        use: its name in pipeline files.
        version: of its algorithm; counted up whenever it may say something else on the same data.
            It is part of the pipeline's digest, and so of the log.
        Settings: what it can be told.
        decides: whether it says decisions.
    """

    use: ClassVar[str] = ""
    version: ClassVar[int] = 1
    Settings: ClassVar[type[StageSettings]] = StageSettings
    decides: ClassVar[bool] = False

    def __init__(self, name: str, settings: Any) -> None:
        self.name = name
        self.settings: Any = settings

    def explain(self, reason: Reason) -> str:
        """What a reason of this stage says, in one plain sentence without its value.

        The default is the first sentence of the class's docstring.
        """
        first = (type(self).__doc__ or reason.measure).strip().split("\n\n")[0]
        return " ".join(first.split())

    @classmethod
    def ports(cls) -> tuple[str, str]:
        """What it reads and what it writes, for lists and errors."""
        return "", ""

    def models(self) -> Mapping[str, str]:
        """Version of each model it asks, by role; a change is logged as a MODEL entry."""
        return {}


# --- series stages --------------------------------------------------------------------------------


class ChainView(Protocol):
    """A chain in one partition, as its stages see it."""

    @property
    def chain(self) -> Chain:
        """As planned."""

    @property
    def stream(self) -> StreamState:
        """The source: its contract, keys and groups by id."""

    @property
    def series(self) -> WindowSeries:
        """The windows, sorted by key and window."""


class Windows:
    """The windows a stage looks at in one run: of each key those that changed and all later ones.

    Args:
        chain: of the stage.
        step: of the stage.
        targets: int64[t], rows of the series, ascending; of each key a run up to its last window.
        pipeline: digest of the pipeline.
        state: what :meth:`Stage.begin_state` gave; None for a stage without.
    """

    __slots__ = ("chain", "pipeline", "state", "step", "targets")

    def __init__(
        self, chain: ChainView, step: Step, targets: IntArray, pipeline: str, state: Any
    ) -> None:
        self.chain = chain
        self.step = step
        self.targets = targets
        self.pipeline = pipeline
        self.state = state

    def __len__(self) -> int:
        return len(self.targets)

    def values(self, measure: Measure) -> FloatArray:
        """float64[t]: a measure, NaN where it is missing."""
        return self.chain.series.column(measure.column)[self.targets]

    def history(self, measure: Measure, length: int) -> FloatArray:
        """float64[t, length]: the values before each window in its key, oldest first.

        Raises:
            UsageError: it is longer than the stage's ``lookback``, beyond which windows are let go
                of at different times.
        """
        if length > self.step.stage.lookback:
            raise UsageError(
                expected=f"a history within the lookback of {self.step.stage.lookback} windows",
                got=str(length),
                where=f"stage {self.step.name}",
                action="let its `lookback` say how many it needs",
            )
        return self.chain.series.history(self.targets, measure.column, length)

    def put(self, measure: Measure, values: npt.ArrayLike) -> None:
        """Write a column that the stage adds."""
        self.chain.series.column(measure.column)[self.targets] = values


class Stage(AnyStage):
    """A series stage: extend this, and say what it computes.

    The simplest has a :meth:`compute`: a function of the windows at hand and of as many before
    them as ``lookback`` says. One with a memory has :meth:`begin` and :meth:`follow` instead: the
    engine keeps its state once as of the windows that cannot change any more and once as of the
    newest, so that late data revises what it says.

    Attributes:
        reads, writes: kinds of what it reads and writes: signals, windows, presence, decisions.
        scopes: whom it can speak about.
        scores: whether each column it adds is a score of the column it reads.
    """

    Settings: ClassVar[type[StageSettings]] = SeriesSettings
    reads: ClassVar[str] = "windows"
    writes: ClassVar[str] = "windows"
    scopes: ClassVar[tuple[Scope, ...]] = ("key",)
    scores: ClassVar[bool] = False
    controls: ClassVar[tuple[str, ...]] = ()
    """Operator inputs that it takes; its state has ``take_control`` for them."""

    @classmethod
    def ports(cls) -> tuple[str, str]:
        return cls.reads, cls.writes

    def check_control(self, control: Mapping[str, Any]) -> str | None:
        """Why an input of its kind cannot be taken; None if it can."""
        del control
        return None

    # --- before the run ---------------------------------------------------------------------------

    def plan(self, planning: Planning) -> Wiring:
        """Check the settings, and say what is read and added.

        The default reads ``settings.measures`` of the input and adds what :meth:`adds` says.

        Raises:
            PipelineError: through ``planning.fail``.
        """
        patterns = getattr(self.settings, "measures", ())
        reads = planning.measures_like(self.settings.input, patterns)
        return Wiring(reads=reads, adds=self.adds(reads))

    def adds(self, reads: Sequence[Measure]) -> tuple[Measure, ...]:
        """The columns it adds: one for each it reads, in the same unit, named after the stage."""
        return tuple(
            Measure(column=f"{self.name}.{m.field or m.column}", field=m.field, unit=m.unit)
            for m in reads
        )

    @property
    def lookback(self) -> int:
        """Windows before a changed one that it needs to see."""
        return 1

    @property
    def beside(self) -> str | None:
        """A further source whose rows it is told as they come; None: none.

        Its rows must go to the partition of the key that they are about: by the same
        ``timing.watermark_by``. The state of the stage has ``take_beside`` for them, and ``again``,
        which names the keys that they make it look at again.
        """
        return None

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """Further columns of the series that it keeps for itself."""
        return ()

    def blocks_per_day(self, slide_ns: int) -> float | None:
        """Of a stage whose scores are calibrated: how often a day each is tested; else None."""
        del slide_ns
        return None

    # --- during the run ---------------------------------------------------------------------------

    def run(self, windows: Windows) -> Sequence[SubjectTransitions]:
        """Write what it adds for the windows at hand; what it decides, if it does.

        The default calls :meth:`compute`, or lets the state follow the windows.
        """
        if windows.state is not None:
            windows.state.score(windows.chain.series, windows.targets, windows.chain.stream.keys)
            return ()
        found = self.compute(windows)
        for place, measure in enumerate(windows.step.adds):
            windows.put(measure, found[:, place])
        return ()

    def compute(self, windows: Windows) -> FloatArray:
        """float64[t, adds]: the columns it adds, from the windows at hand."""
        raise TypeError(f"{type(self).__name__} has neither compute nor begin and follow")

    def begin(self, keys: int, measures: int) -> Arrays:
        """State of ``keys`` new keys: arrays whose first axis is the key. Empty: no state."""
        del keys, measures
        return {}

    def follow(self, state: Arrays, values: FloatArray) -> FloatArray:
        """Take one window of each of n keys, and change their state in place.

        Args:
            state: arrays of :meth:`begin`, [n, …], of these keys.
            values: float64[n, reads], NaN where a value is missing or the window has no data.

        Returns:
            float64[n, adds].
        """
        raise TypeError(f"{type(self).__name__} has neither compute nor begin and follow")

    def begin_state(self, step: Step, limits: Limits) -> Any:
        """The state of the stage in one partition, where :meth:`begin` is not enough; or None.

        It has ``score``, ``settle``, ``learning``, ``snapshot`` and ``restore`` as
        :class:`.engine.learning.LearningStage` has them.
        """
        del step, limits

    # --- guarded ----------------------------------------------------------------------------------

    @property
    def guard(self) -> GuardSettings | None:
        """How it is guarded; None: it runs inline, inside the core."""
        return None

    def ask(self, windows: Windows) -> Arrays:
        """All that an answer needs; it goes to the answerer, outside the core."""
        raise TypeError(f"{type(self).__name__} is not guarded")

    def answer(self, asked: Arrays, use: str) -> Arrays:
        """Answer what was asked, as ``use`` (its own, or that of the fallback) would.

        Runs outside the core, on a thread or in a process; may be late, and may raise.
        """
        raise TypeError(f"{type(self).__name__} is not guarded")

    def is_usable(self, answer: Arrays, asked: Arrays) -> bool:
        """Whether an answer has the right shape, and is finite where there was evidence."""
        del asked
        return all(np.isfinite(array).all() for array in answer.values())

    def take(self, windows: Windows, answer: Arrays, mode: Mode) -> None:
        """Write an answer into the series."""
        raise TypeError(f"{type(self).__name__} is not guarded")


class Closing(Protocol):
    """Closes the windows of a chain; made by its root stage."""

    def note(self, rows: Rows) -> None:
        """Take notice of new rows of the stream."""

    def tables(self) -> list[WindowTable]:
        """Windows that are complete now, and those that changed."""

    def snapshot(self) -> Mapping[str, npt.NDArray[Any]]:
        """Arrays, between two ticks."""

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Inverse of :meth:`snapshot`."""


class RootStage(Stage):
    """A stage that makes a chain: it turns the rows of a source into windows."""

    reads: ClassVar[str] = "signals"

    needs_rows: ClassVar[bool] = True
    """Whether its windows are made of rows that are kept until they are settled."""

    def shape(self, contract: Contract, planning: Planning) -> Shape:
        """Width, columns and statistics of the windows."""
        raise TypeError(f"{type(self).__name__} has no shape")

    def begin_closing(self, chain: ChainView) -> Closing:
        """Who closes the windows of this chain."""
        raise TypeError(f"{type(self).__name__} has no windows")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The windows that a root stage makes.

    Attributes:
        width_ns, slide_ns: of its windows.
        fields: of the contract that it reads.
        statistics: of each field, those asked for.
        measures: its columns, with units.
        checks: plausibility of the contract as columns of the window.
    """

    width_ns: int
    slide_ns: int
    fields: tuple[str, ...]
    statistics: tuple[str, ...]
    measures: tuple[Measure, ...]
    checks: tuple[PlausibilityCheck, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlausibilityCheck:
    """A sign of a broken sensor that a contract names, as a statistic of a window.

    Attributes:
        field: of the contract.
        column: of the window series.
        above: what is implausible, in ``unit``: any value greater than this.
        unit: of the column.
        code: reason code.
        version: contract and digest.
    """

    field: str
    column: str
    above: float
    unit: str
    code: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chain:
    """A stage that makes windows and everything that hangs on it, in order.

    Attributes:
        root: the stage that makes the windows.
        source: the source, or the item stage, whose rows they are made of.
        shape: of the windows.
        steps: the stages after it, each after its own input.
        columns: of the series.
        lookback: settled windows that the steps look back on, at least 1.
    """

    root: Step
    source: str
    shape: Shape
    steps: tuple[Step, ...]
    columns: tuple[str, ...]
    lookback: int

    @property
    def name(self) -> str:
        """Of the root stage."""
        return self.root.name

    @property
    def width_ns(self) -> int:
        return self.shape.width_ns

    @property
    def slide_ns(self) -> int:
        return self.shape.slide_ns

    @property
    def plausibility(self) -> tuple[PlausibilityCheck, ...]:
        """The plausibility of the contract as columns of the window."""
        return self.shape.checks

    @property
    def own_columns(self) -> tuple[str, ...]:
        """Columns the root stage itself fills."""
        return tuple(m.column for m in self.shape.measures)

    @property
    def needs_rows(self) -> bool:
        """Whether its windows are made of rows that are kept until they are settled."""
        stage = self.root.stage
        return isinstance(stage, RootStage) and stage.needs_rows


class Watch(Protocol):
    """What a stage watches a presence series with; its state between two ticks."""

    step: Step
    digest: str

    def look(
        self,
        series: WindowSeries,
        names: Names,
        inputs: OperatorInputs,
        *,
        now_ns: int,
        heard_ns: IntArray | None,
        group_of: Callable[[int, int], str],
        observe: Callable[[StageRows], None] | None,
    ) -> list[SubjectTransitions]:
        """Changes up to ``now_ns``."""

    def snapshot(self) -> dict[str, Any]:
        """JSON-ready."""

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""


class WatchStage(Stage):
    """A stage that is looked at at every tick, because what it waits for is that nothing comes."""

    reads: ClassVar[str] = "presence"
    writes: ClassVar[str] = "decisions"

    def begin_watch(self, step: Step, *, pipeline: str, source: str, contract: Contract) -> Watch:
        """What watches a presence series, of keys or of groups.

        Args:
            step: of the stage.
            pipeline: digest of the pipeline.
            source: name of the source whose presence it is.
            contract: of the source.
        """
        raise TypeError(f"{type(self).__name__} watches nothing")


# --- stages over all keys -------------------------------------------------------------------------


class AllKeysStage(Stage):
    """A stage in two halves: one with each partition's keys, one over all keys in the fan-in.

    The half with the keys is the stage's state in a partition (:meth:`begin_state`). It follows
    settled windows, and what its ``report`` gives at the end of a tick, JSON-ready, goes to the
    fan-in with the partition's summary, and so into its log. The other half takes the reports of
    all partitions in their order, and decides.
    """

    writes: ClassVar[str] = "decisions"
    scopes: ClassVar[tuple[Scope, ...]] = ("global",)
    decides: ClassVar[bool] = True

    @property
    def attribute(self) -> str:
        """What its subjects ``NAME=VALUE`` are named by: the name."""
        raise TypeError(f"{type(self).__name__} names its subjects by nothing")

    def begin_all_keys(self, step: Step, *, pipeline: str, limits: Limits) -> AllKeys:
        """The half over all keys; empty.

        Args:
            step: of the stage.
            pipeline: digest of the pipeline.
            limits: bounds of its state.
        """
        raise TypeError(f"{type(self).__name__} has no half over all keys")


class AllKeys(Protocol):
    """The half of a stage that is over all keys; its state between two epochs."""

    step: Step

    def take(self, report: Any) -> None:
        """What one partition reports."""

    def look(self, settled_ns: int) -> list[SubjectTransitions]:
        """What follows from all that happened before ``settled_ns``, which cannot change."""

    def advice(self) -> str:
        """What could not be judged, and what would have to be given; empty if all could."""

    def at_bounds(self) -> tuple[tuple[str, int], ...]:
        """By bound that was reached: what it has cost."""

    def snapshot(self) -> Mapping[str, npt.NDArray[Any]]:
        """Arrays, between two epochs."""

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Inverse of :meth:`snapshot`."""

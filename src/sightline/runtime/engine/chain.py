"""One chain in one partition: its windows close, and its stages run over those that changed.

A pass goes from stage to stage. One that reaches a guarded stage waits for its outcome and goes on
from there; the circuit breaker decides whether it asks at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sightline.errors import InvariantViolation, LogError
from sightline.perceive.row_store import Rows
from sightline.perceive.window_series import WindowSeries
from sightline.recorder.checkpoint import StateParts
from sightline.records.decision import Mode
from sightline.records.windows import IntArray, WindowTable
from sightline.runtime.engine.guard import ArraysRequest, BreakerState, Outcome
from sightline.runtime.engine.learning import Learning, following_state
from sightline.runtime.engine.outputs import StageRows, StepOutput
from sightline.runtime.engine.stage_timer import StageTimer
from sightline.runtime.engine.stream import Names, StreamState
from sightline.runtime.engine.summary import PresenceSummary
from sightline.runtime.plan import Plan
from sightline.runtime.stage import (
    AllKeysStage,
    Chain,
    Closing,
    RootStage,
    Step,
    SubjectTransitions,
    Windows,
)

_CODE_BITS = 42


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What closed or changed at a tick.

    Attributes:
        rows: int64[c], positions in the series of the windows that closed or changed.
        targets: int64[t], those and every later window of the same keys: what to decide again.
    """

    rows: IntArray
    targets: IntArray


class ChainState:
    """State of a chain: its series, its windows that are open, and what its stages remember."""

    def __init__(self, chain: Chain, stream: StreamState) -> None:
        self.chain = chain
        self.stream = stream
        self.series = WindowSeries(chain.columns, slide_ns=chain.slide_ns, width_ns=chain.width_ns)
        root = chain.root.stage
        assert isinstance(root, RootStage)
        self.writes = root.writes
        self.closing: Closing = root.begin_closing(self)
        self.states: dict[str, Any] = {}
        """State of each stage that has one, by name."""
        for step in chain.steps:
            state = step.stage.begin_state(step, stream.limits)
            if state is None:
                state = following_state(step, stream.limits)
            if state is not None:
                self.states[step.name] = state

    def note(self, rows: Rows) -> None:
        """Take notice of new rows of the stream."""
        self.closing.note(rows)

    def note_beside(self, source: str, rows: Rows, names: Names) -> None:
        """Tell the stages that asked for it of new rows of another stream."""
        for step in self.chain.steps:
            if step.stage.beside == source:
                self.states[step.name].take_beside(rows, names)

    def take_control(self, control: Mapping[str, Any]) -> None:
        """An operator input, for every stage that takes its kind."""
        for step in self.chain.steps:
            if control["control"] in step.stage.controls:
                self.states[step.name].take_control(control, self.stream.keys)

    def close(self) -> Changed | None:
        """Close what is complete and redo what changed; None when nothing did."""
        tables, again = self.closing.tables(), self._again()
        if not tables and not len(again):
            return None
        rows = np.empty(0, np.int64)
        if tables:
            rows = np.sort(self.series.upsert(_concatenate(tables, self.chain)))
        code = np.sort(np.concatenate([self.series.code[rows], again]))
        key = code >> _CODE_BITS
        is_first = np.ones(len(code), np.bool_)
        is_first[1:] = key[1:] != key[:-1]
        targets = self.series.rows_from(
            key[is_first].astype(np.uint32), code[is_first] & ((1 << _CODE_BITS) - 1)
        )
        return Changed(rows=rows, targets=targets) if len(targets) else None

    def _again(self) -> IntArray:
        """Codes of the first windows to look at again because of what came beside."""
        found = [
            (key << _CODE_BITS) | max((time_ns - self.chain.width_ns) // self.chain.slide_ns + 1, 0)
            for step in self.chain.steps
            if step.stage.beside is not None
            for key, time_ns in self.states[step.name].again(self.stream.keys)
        ]
        return np.array(found, np.int64)

    def trim(self, settled_ns: IntArray) -> None:
        """Let go of settled windows that no stage looks back on."""
        for state in self.states.values():
            state.settle(self.series, settled_ns)
        self.series.trim(settled_ns=settled_ns, lookback=self.chain.lookback)

    def reports(self) -> Iterator[tuple[str, Any]]:
        """By stage over all keys, what it reports to its other half since the last call, if any."""
        for step in self.chain.steps:
            if isinstance(step.stage, AllKeysStage):
                report = self.states[step.name].report(self.stream.keys)
                if report is not None:
                    yield step.name, report

    def learning(self) -> dict[str, Learning]:
        """How far each stage that learns knows its series."""
        return {
            step.name: self.states[step.name].learning(self.stream.keys)
            for step in self.chain.steps
            if step.name in self.states and not isinstance(step.stage, AllKeysStage)
        }

    def newest_before(self, key: str, column: str, at_ns: int) -> tuple[float, int]:
        """Value and end of the newest closed window of ``key`` that ends at or before ``at_ns``.

        Returns:
            (NaN, -1) where there is none.
        """
        identity = self.stream.keys.find(key)
        if identity is None:
            return float("nan"), -1
        window = (at_ns - self.chain.width_ns) // self.chain.slide_ns
        if window < 0:
            return float("nan"), -1
        code = (identity << _CODE_BITS) | window
        at = int(np.searchsorted(self.series.code, code, side="right")) - 1
        if at < 0 or int(self.series.code[at]) >> _CODE_BITS != identity:
            return float("nan"), -1
        end_ns = int(self.series.end_ns(np.array([at]))[0])
        return float(self.series.column(column)[at]), end_ns

    def snapshot(self, prefix: str, into: StateParts) -> None:
        """Put this state into ``into``; to be called between two ticks."""
        for name, array in self.series.snapshot().items():
            into.arrays[f"{prefix}.{name}"] = array
        for name, array in self.closing.snapshot().items():
            into.arrays[f"{prefix}.closing.{name}"] = array
        for name, state in self.states.items():
            for part, array in state.snapshot().items():
                into.arrays[f"{prefix}.state.{name}.{part}"] = array

    def restore(self, prefix: str, parts: StateParts) -> None:
        """Inverse of :meth:`snapshot`."""
        self.series.restore({n: parts.arrays[f"{prefix}.{n}"] for n in ("code", "values")})
        self.closing.restore(_under(f"{prefix}.closing.", parts.arrays))
        for name, state in self.states.items():
            state.restore(_under(f"{prefix}.state.{name}.", parts.arrays))


def _under(begins: str, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    return {n.removeprefix(begins): a for n, a in arrays.items() if n.startswith(begins)}


def _concatenate(tables: list[WindowTable], chain: Chain) -> WindowTable:
    if len(tables) == 1:
        return tables[0]
    key = np.concatenate([t.key for t in tables])
    window = np.concatenate([t.window for t in tables])
    order = np.lexsort((window, key))
    columns = {
        name: np.concatenate([t.columns[name] for t in tables])[order] for name in tables[0].columns
    }
    return WindowTable(
        key=key[order],
        window=window[order],
        slide_ns=chain.slide_ns,
        width_ns=chain.width_ns,
        columns=columns,
    )


# --- passes ---------------------------------------------------------------------------------------

Say = Callable[[Step, SubjectTransitions, StepOutput], None]
Wrote = Callable[[Step, ChainState, IntArray, StepOutput], None]


class Passes:
    """The stages of each chain, run over the windows that changed; empty between two ticks.

    Args:
        plan: the checked pipeline.
        partition: number of the partition, for messages.
        say: told what changed for a subject.
        wrote: told which rows a stage wrote.
        timer: told where stages begin and end.
    """

    def __init__(
        self, plan: Plan, *, partition: int, say: Say, wrote: Wrote, timer: StageTimer
    ) -> None:
        self._plan = plan
        self._partition = partition
        self._say = say
        self._wrote = wrote
        self._timer = timer
        self._parked: list[tuple[ChainState, int, IntArray]] = []
        self._asked: dict[str, tuple[ChainState, int, IntArray, ArraysRequest]] = {}
        self._rules = {
            step.name: step.stage.guard.breaker
            for chain in plan.chains
            for step in chain.steps
            if step.stage.guard is not None
        }
        self.breakers: dict[str, BreakerState] = {}
        self._epoch = -1

    @property
    def is_waiting(self) -> bool:
        """Whether an outcome must come before the tick is done."""
        return bool(self._asked)

    def tick(self, epoch: int) -> None:
        """A tick begins.

        Raises:
            InvariantViolation: if outcomes of the tick before have not come.
        """
        if self._asked:
            raise InvariantViolation(
                expected="all outcomes before the next tick",
                got=f"open requests {sorted(self._asked)}",
                where=f"partition {self._partition}, epoch {epoch}",
                action="this is a defect of Sightline: keep the run directory and report it",
            )
        self._epoch = epoch
        for name, breaker in self.breakers.items():
            self.breakers[name] = breaker.ticked(self._rules[name])

    def add(self, chain: ChainState, targets: IntArray) -> None:
        """Let all stages of ``chain`` run over the windows ``targets``."""
        self._parked.append((chain, 0, targets))

    def run(self, output: StepOutput) -> None:
        """Run every pass until it is done or waits for an outcome."""
        while self._parked:
            chain, first, targets = self._parked.pop(0)
            self._run(chain, first, targets, output)

    def is_asked(self, request_id: str) -> bool:
        """Whether this request waits for its outcome."""
        return request_id in self._asked

    def answer(self, outcome: Outcome, output: StepOutput) -> None:
        """Take the outcome of a guarded stage, and go on with the pass that waited for it.

        Raises:
            LogError: if nobody asked.
        """
        asked = self._asked.pop(outcome.request_id, None)
        if asked is None:
            raise LogError(
                expected="the outcome of an open request",
                got=outcome.request_id,
                where=f"partition {self._partition}",
                action="run `sightline verify` on the run",
            )
        chain, index, targets, request = asked
        step = chain.chain.steps[index]
        breaker = self.breakers.get(step.name, BreakerState())
        self.breakers[step.name] = breaker.after(outcome.is_ok, self._rules[step.name])
        if outcome.is_ok:
            step.stage.take(self._windows(chain, step, targets), outcome.arrays, Mode.PRIMARY)
        else:
            self._fall_back(step, chain, targets, request)
        self._wrote(step, chain, targets, output)
        self._parked.append((chain, index + 1, targets))
        self.run(output)

    def _windows(self, chain: ChainState, step: Step, targets: IntArray) -> Windows:
        return Windows(chain, step, targets, self._plan.digest, chain.states.get(step.name))

    def _run(self, chain: ChainState, first: int, targets: IntArray, output: StepOutput) -> None:
        for at in range(first, len(chain.chain.steps)):
            step = chain.chain.steps[at]
            if step.stage.reads != self._kind_of_windows(chain):
                continue  # it is looked at when the tick is done
            windows = self._windows(chain, step, targets)
            if step.stage.guard is None:
                with self._timer.span(step.name):
                    for change in step.stage.run(windows):
                        self._say(step, change, output)
            else:
                request = ArraysRequest(
                    request_id=f"{self._epoch}:{step.name}",
                    stage=step.name,
                    asked=step.stage.ask(windows),
                )
                if self.breakers.get(step.name, BreakerState()).lets_through:
                    self._asked[request.request_id] = (chain, at, targets, request)
                    output.requests.append(request)
                    return
                self._fall_back(step, chain, targets, request)
            self._wrote(step, chain, targets, output)

    def _kind_of_windows(self, chain: ChainState) -> str:
        return "windows" if chain.writes == "windows" else ""

    def _fall_back(
        self, step: Step, chain: ChainState, targets: IntArray, request: ArraysRequest
    ) -> None:
        guard = step.stage.guard
        assert guard is not None
        assert guard.fallback is not None  # the planner has checked it
        with self._timer.span(step.name):
            answer = step.stage.answer(request.asked, guard.fallback)
            step.stage.take(self._windows(chain, step, targets), answer, Mode.FALLBACK)

    def snapshot(self) -> dict[str, Any]:
        """JSON-ready; to be called between two ticks."""
        return {name: breaker.as_mapping() for name, breaker in self.breakers.items()}

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        self.breakers = {n: BreakerState.from_mapping(b) for n, b in plain.items()}


# --- what a stage wrote ---------------------------------------------------------------------------


def stage_rows(
    stage: str, chain: ChainState, rows: IntArray, columns: tuple[str, ...]
) -> StageRows:
    """The values of ``columns`` at ``rows`` of a chain, sorted by subject, then window.

    Names, not dictionary ids, give the order: ids depend on arrival.
    """
    series, names = chain.series, chain.stream.keys
    key = (series.code[rows] >> _CODE_BITS).tolist()
    present = list(dict.fromkeys(key))
    by_name = sorted(present, key=names.__getitem__)
    if present != by_name or not bool((rows[1:] > rows[:-1]).all()):
        rank = {k: i for i, k in enumerate(by_name)}
        order = np.lexsort((series.code[rows], np.array([rank[k] for k in key], np.int64)))
        rows = rows[order]
        key = (series.code[rows] >> _CODE_BITS).tolist()
    return StageRows(
        stage=stage,
        subjects=tuple(names[k] for k in key),
        start_ns=series.start_ns(rows),
        values=series.table(rows, columns),
        columns=columns,
    )


def presence_summary(chain: ChainState, rows: IntArray) -> PresenceSummary:
    """First and last datum per group and slot among the presence rows that changed."""
    series = chain.series
    group = series.column("group")[rows].astype(np.int64)
    window = series.window[rows]
    order = np.lexsort((window, group))
    group, window = group[order], window[order]
    first = series.column("first_offset_ns")[rows][order]
    last = series.column("last_offset_ns")[rows][order]
    is_start = np.ones(len(order), np.bool_)
    is_start[1:] = (group[1:] != group[:-1]) | (window[1:] != window[:-1])
    start = np.flatnonzero(is_start)
    return PresenceSummary(
        chain=chain.chain.name,
        groups=tuple(chain.stream.groups[g] for g in group[start].tolist()),
        window=tuple(window[start].tolist()),
        first_offset_ns=tuple(int(v) for v in np.minimum.reduceat(first, start).tolist()),
        last_offset_ns=tuple(int(v) for v in np.maximum.reduceat(last, start).tolist()),
    )

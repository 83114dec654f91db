"""A decision made again by the real core from the log, with other values in some of its rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from sightline.errors import LogError
from sightline.evidence.log_replay import needs_files
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries, read_newest_checkpoint
from sightline.recorder.checkpoint import StateParts, pack_state, unpack_state
from sightline.recorder.retention import first_kept
from sightline.recorder.walk import is_logged_checkpoint
from sightline.records import Decision, Entry, EntryKind
from sightline.records.decision import Mode, Status, Transition
from sightline.records.entry import CORE_INPUTS
from sightline.records.signals import KEY, TIME_NS
from sightline.records.windows import FloatArray, IntArray
from sightline.runtime import Plan, RunDirectory
from sightline.runtime.engine.batches import decode_frame
from sightline.runtime.engine.core import PartitionCore
from sightline.runtime.engine.guard import (
    ArraysRequest,
    Outcome,
    OutcomeStatus,
)
from sightline.runtime.engine.outputs import StageRows, StepOutput
from sightline.runtime.engine.replay import fresh_core
from sightline.runtime.stage import Stage
from sightline.sense import admit

MAX_RUNS = 48
"""Times the core is run for one trial; at the bound the search ends and says so."""
MAX_ENTRIES = 20_000
"""Entries from the first row that may be changed to the end of a trial; more cannot be tried."""
MAX_WINDOWS = 4096
"""Windows of the deciding measures that are kept, the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSubject:
    """What is decided, and what may be changed.

    Attributes:
        decision: its last revision.
        partition: name of the key partition its rows are in.
        source: they came from.
        key: canonical key.
        field: whose values may be changed.
        measures: columns of window series that are kept track of.
        after_ns: event time beyond the decision that is run on, to see whether it is raised then.
    """

    decision: Decision
    partition: str
    source: str
    key: str
    field: str
    measures: tuple[str, ...]
    after_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Values are brought to between ``low`` and ``high`` where time is in [start, end), UTC ns."""

    start_ns: int
    end_ns: int
    low: float = -np.inf
    high: float = np.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOutcome:
    """What one run of the core came to.

    Attributes:
        is_raised: whether the decision stood at its end.
        measure: the deciding measure of its window, as decided; NaN if it was not decided.
        later: raised decisions of the same kind and subject after it, that stood at the end.
        windows: by measure, its windows' starts (UTC ns) and values.
    """

    is_raised: bool
    measure: float
    later: tuple[Decision, ...]
    windows: Mapping[str, Mapping[int, float]]


@dataclass(slots=True, kw_only=True)
class _Fed:
    """One entry of the tail, decoded once."""

    entry: Entry
    frame: pl.DataFrame | None = None
    rows: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    time_ns: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    values: FloatArray = field(default_factory=lambda: np.empty(0))


class PipelineTrial:
    """A decision ready to be made again.

    Args:
        run: it was made in.
        subject: what is decided.
        first: the epoch to begin with: log sequence before its first entry.
        limits: bounds.

    Raises:
        LogError: the log is damaged, or needs files to be read again.
    """

    def __init__(
        self,
        run: RunDirectory,
        subject: TrialSubject,
        *,
        first: int,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._run = run
        self._subject = subject
        self._limits = limits
        self._before: dict[str, dict[int, float]] = {m: {} for m in subject.measures}
        self.runs = 0
        self.began_after = -1
        self._state = self._brought_to(first)
        self.baseline, self._tail, self.until_ns = self._first_run(first)

    def values(self, start_ns: int, end_ns: int) -> FloatArray:
        """float64[n]: the values at hand in a span of time, as admitted."""
        parts = [f.values[(f.time_ns >= start_ns) & (f.time_ns < end_ns)] for f in self._tail]
        return np.concatenate([*parts, np.empty(0)])

    def times(self, start_ns: int, end_ns: int) -> IntArray:
        """int64[n]: their times."""
        parts = [f.time_ns[(f.time_ns >= start_ns) & (f.time_ns < end_ns)] for f in self._tail]
        return np.concatenate([*parts, np.empty(0, np.int64)])

    def run(self, clip: Clip) -> TrialOutcome:
        """Run the core on the same entries with values clipped.

        Raises:
            TooManyRunsError: ``MAX_RUNS`` were made.
        """
        if self.runs >= MAX_RUNS:
            raise TooManyRunsError
        self.runs += 1
        said = _Said(self._subject)
        core = self._core(said)
        core.restore(unpack_state(self._state))
        asked: dict[str, ArraysRequest] = {}
        for fed in self._tail:
            self._feed(core, fed, clip, asked, said)
        return said.outcome(self._before)

    # --- the core -------------------------------------------------------------------------------

    def _core(self, said: _Said) -> PartitionCore:
        core = fresh_core(
            self._run, self._subject.partition, observe=said.observe, limits=self._limits
        )
        assert isinstance(core, PartitionCore)
        return core

    def _brought_to(self, first: int) -> bytes:
        """The packed state after entry ``first``."""
        storage, name = self._run.storage, self._subject.partition
        checkpoint = read_newest_checkpoint(
            storage,
            name,
            is_logged=lambda sequence, chain_hash, digest: (
                sequence <= first
                and is_logged_checkpoint(
                    storage, name, sequence, chain_hash, digest, limits=self._limits
                )
            ),
            limits=self._limits,
        )
        kept = first_kept(storage, name, limits=self._limits)
        if checkpoint is None and kept:
            raise LogError(
                expected="a checkpoint before the decision: the log before it was pruned",
                got="none",
                where=f"partition {name}",
                action="restore the checkpoints of the run",
            )
        said = _Said(self._subject)
        core = self._core(said)
        if checkpoint is not None:
            core.restore(checkpoint.state)
            self.began_after = checkpoint.sequence
        if first > self.began_after:
            for entry in read_entries(
                storage,
                name,
                after=self.began_after,
                until=first,
                kinds=CORE_INPUTS,
                limits=self._limits,
            ):
                if entry.kind is EntryKind.INPUT_REFERENCE:
                    raise needs_files(name)
                core.step(entry)
        self._before = said.windows
        state: StateParts = core.snapshot()
        return pack_state(state)

    def _first_run(self, first: int) -> tuple[TrialOutcome, list[_Fed], int]:
        """The core on the log as it is, until long enough after the decision."""
        subject = self._subject
        self.runs += 1
        said = _Said(subject)
        core = self._core(said)
        core.restore(unpack_state(self._state))
        tail: list[_Fed] = []
        asked: dict[str, ArraysRequest] = {}
        until_ns = subject.decision.window_end_ns + subject.after_ns
        tick_ns = -1
        for entry in read_entries(
            self._run.storage,
            subject.partition,
            after=first,
            kinds=CORE_INPUTS,
            limits=self._limits,
        ):
            is_over = said.is_raised and tick_ns >= until_ns
            if is_over and entry.kind is not EntryKind.OUTCOME:
                break
            if len(tail) >= MAX_ENTRIES:
                break
            fed = self._decoded(entry)
            tail.append(fed)
            self._feed(core, fed, None, asked, said)
            if entry.kind is EntryKind.TICK:
                tick_ns = int(json.loads(entry.payload)["tick_ns"])
                if said.is_raised and said.raised_at_ns < 0:
                    said.raised_at_ns = tick_ns
                    until_ns = max(until_ns, tick_ns + subject.after_ns)
        return said.outcome(self._before), tail, tick_ns

    def _decoded(self, entry: Entry) -> _Fed:
        if entry.kind is EntryKind.INPUT_REFERENCE:
            raise needs_files(self._subject.partition)
        if entry.kind is not EntryKind.INPUT:
            return _Fed(entry=entry)
        frame = decode_frame(entry.payload)
        if entry.name != self._subject.source:
            return _Fed(entry=entry, frame=frame)
        admission = admit(self._run.plan.contracts[entry.name], frame, limits=self._limits)
        kept = np.arange(frame.height)
        kept = kept if admission.kept is None else kept[admission.kept]
        signals = admission.signals
        mine = (signals[KEY] == self._subject.key).to_numpy()
        return _Fed(
            entry=entry,
            frame=frame,
            rows=kept[mine],
            time_ns=signals[TIME_NS].to_numpy()[mine],
            values=signals[self._subject.field].to_numpy()[mine].astype(np.float64),
        )

    def _feed(
        self,
        core: PartitionCore,
        fed: _Fed,
        clip: Clip | None,
        asked: dict[str, ArraysRequest],
        said: _Said,
    ) -> None:
        entry = fed.entry
        if fed.frame is not None:
            output = core.step_rows(entry.name, self._clipped(fed, clip))
        elif entry.kind is EntryKind.OUTCOME and clip is not None:
            output = core.step(_answered(self._run.plan, entry, asked))
        else:
            output = core.step(entry)
        asked.update({r.request_id: r for r in output.requests if isinstance(r, ArraysRequest)})
        said.take(output)

    def _clipped(self, fed: _Fed, clip: Clip | None) -> pl.DataFrame:
        assert fed.frame is not None
        if clip is None or not len(fed.rows):
            return fed.frame
        form = self._run.plan.contracts[self._subject.source].fields[self._subject.field]
        low, high = clip.low, clip.high
        if form.type == "integer":
            low, high = np.ceil(low), np.floor(high)
        now = np.clip(fed.values, low, high)
        inside = (fed.time_ns >= clip.start_ns) & (fed.time_ns < clip.end_ns)
        changed = inside & np.isfinite(fed.values) & (now != fed.values)
        if not changed.any():
            return fed.frame
        name = form.column or self._subject.field
        column = fed.frame[name]
        put = pl.Series(now[changed])
        if column.dtype == pl.String:
            put = pl.Series([repr(v) for v in now[changed].tolist()], dtype=pl.String)
        return fed.frame.with_columns(
            column.scatter(fed.rows[changed], put.cast(column.dtype)).alias(name)
        )


class TooManyRunsError(Exception):
    """``MAX_RUNS`` were made."""


class _Said:
    """What a core says about one decision, and the windows it is about."""

    def __init__(self, subject: TrialSubject) -> None:
        self._subject = subject
        self._last: dict[str, Decision] = {}
        self.windows: dict[str, dict[int, float]] = {m: {} for m in subject.measures}
        self.raised_at_ns = -1

    @property
    def is_raised(self) -> bool:
        found = self._last.get(self._subject.decision.decision_id)
        return found is not None and found.status is not Status.RETRACTED

    def take(self, output: StepOutput) -> None:
        # What a wider decision may inhibit is a candidate in the summary for the fan-in.
        candidates = () if output.summary is None else output.summary.candidates
        mine = self._subject.decision
        for said in (*output.decisions, *candidates):
            if said.kind == mine.kind and said.subject == mine.subject:
                known = self._last.get(said.decision_id)
                if known is None or said.revision >= known.revision:
                    self._last[said.decision_id] = said

    def observe(self, rows: StageRows) -> None:
        wanted = [(i, c) for i, c in enumerate(rows.columns) if c in self.windows]
        if not wanted or self._subject.key not in rows.subjects:
            return
        for at, name in enumerate(rows.subjects):
            if name == self._subject.key:
                for i, column in wanted:
                    self.windows[column][int(rows.start_ns[at])] = float(rows.values[at, i])
        for known in self.windows.values():
            for start in list(known)[: max(len(known) - MAX_WINDOWS, 0)]:
                del known[start]

    def outcome(self, before: Mapping[str, Mapping[int, float]]) -> TrialOutcome:
        mine = self._subject.decision
        later = sorted(
            (
                d
                for d in self._last.values()
                if d.transition is Transition.RAISED
                and d.status is not Status.RETRACTED
                and d.event_ns > mine.event_ns
            ),
            key=lambda d: d.event_ns,
        )
        windows = {m: {**before.get(m, {}), **self.windows[m]} for m in self.windows}
        column = windows.get(self._subject.measures[0], {}) if self._subject.measures else {}
        return TrialOutcome(
            is_raised=self.is_raised,
            measure=column.get(mine.window_start_ns, np.nan),
            later=tuple(later),
            windows=windows,
        )


def _answered(plan: Plan, entry: Entry, asked: Mapping[str, ArraysRequest]) -> Entry:
    """The outcome of a guarded stage, of what it is asked now; late and broken stays so."""
    logged = Outcome.from_bytes(entry.payload)
    request = asked.get(logged.request_id)
    if request is None or logged.answer is None:
        return entry
    stage = plan.stage(logged.stage)
    assert isinstance(stage, Stage)
    guard = stage.guard
    use = stage.use if logged.mode is Mode.PRIMARY or guard is None else guard.fallback
    found = stage.answer(request.asked, use or stage.use)
    is_usable = stage.is_usable(found, request.asked)
    answer = replace(
        logged,
        status=logged.status if is_usable else OutcomeStatus.NAN,
        answer=found if is_usable else None,
    )
    return replace(entry, payload=answer.to_bytes())

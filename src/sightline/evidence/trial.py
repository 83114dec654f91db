"""A decision made again by the real core from the log, with other values in some of its rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import polars as pl

from sightline.errors import LogError
from sightline.evidence.circumstances import log_epochs, may_hold
from sightline.evidence.counterfactual import Counterfactual, least_change
from sightline.evidence.log_replay import needs_files
from sightline.evidence.rows_account import (
    DecisionSubject,
    MeasureHistory,
    measure_history,
)
from sightline.evidence.words import figure, moment
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
from sightline.runtime.engine.hosting import FAN_IN
from sightline.runtime.engine.outputs import StageRows, StepOutput
from sightline.runtime.engine.replay import fresh_core
from sightline.runtime.stage import Stage
from sightline.sense import admit
from sightline.sense.admission import Share

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
            output = core.step_rows(entry.name, Share.of(self._clipped(fed, clip)))
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


# --- the search -----------------------------------------------------------------------------------

CONTEXT_WINDOWS = 60
"""Windows before the decided one whose values say what the field was before."""
LEAD_WINDOWS = 32
"""Windows before the decided one that are changed with it, where it alone ends nothing."""
_GRID, _HALVINGS = 3, 9  # the core is slower than a detector: fewer points, to 1/2048 of the line


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedDecision:
    """What running the core again gave.

    Attributes:
        counterfactual: of the decided window.
        whole: the same over all windows up to when the run ended, where the first alone only
            put the alarm off; None otherwise.
        put_off_ns: when it would then have been raised, UTC ns; -1: not by the end of the run.
        until_ns: event time up to which the core was run.
        history: of the deciding measure; None where the core could not be run.
        before: what the field was in the windows before its measure departed: median, least,
            greatest.
        runs: times the core was run.
        began_after: log sequence of the checkpoint it was brought up from; -1: the beginning.
    """

    counterfactual: Counterfactual
    whole: Counterfactual | None = None
    put_off_ns: int = -1
    until_ns: int = -1
    history: MeasureHistory | None = None
    before: tuple[float, float, float] = (np.nan, np.nan, np.nan)
    runs: int = 0
    began_after: int = -1


NOT_TRIED = TriedDecision(
    counterfactual=Counterfactual(family="", change=None, note="not tried: the core was not run")
)


def try_decision(
    run: RunDirectory,
    decision: Decision,
    about: DecisionSubject,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> TriedDecision:
    """Search for the least change of the deciding field's values that does not raise a decision.

    Args:
        run: of rows.
        decision: its last revision.
        about: what it is about.
        limits: bounds for reading the log.

    Returns:
        Also where it cannot be tried: then its note says why.

    Raises:
        LogError: the log is damaged.
    """
    why = about.why_no_field
    if about.is_measured and not why:
        why = f"{about.source} measured its values on pictures, and they are not run again"
    if decision.transition is not Transition.RAISED:
        why = "it says that an alert is over: see what raised it"
    if why:
        return TriedDecision(counterfactual=Counterfactual(family="", change=None, note=why))
    found = _tried_from(run, decision, about, decision.window_start_ns, limits)
    since_ns = -1 if found.history is None else found.history.since_ns
    if found.counterfactual.is_found or not 0 <= since_ns < decision.window_start_ns:
        return found
    # A score that remembers, or persistence, was brought on by the windows before as well.
    lead_ns = max(since_ns, decision.window_start_ns - LEAD_WINDOWS * about.slide_ns)
    longer = _tried_from(run, decision, about, lead_ns, limits)
    if not longer.counterfactual.is_found:
        return replace(found, runs=found.runs + longer.runs)
    return replace(longer, history=found.history, runs=found.runs + longer.runs)


def _tried_from(
    run: RunDirectory,
    decision: Decision,
    about: DecisionSubject,
    start_ns: int,
    limits: Limits,
) -> TriedDecision:
    """The search over the windows from ``start_ns`` to the decided one."""
    at = _first_epoch(run, decision, about, start_ns, limits)
    if isinstance(at, str):
        return TriedDecision(counterfactual=Counterfactual(family="", change=None, note=at))
    windows = (1 if about.rule is None else about.rule.n) + 1
    subject = TrialSubject(
        decision=decision,
        partition=at.partition,
        source=about.source,
        key=about.key,
        field=about.field,
        measures=about.measures,
        after_ns=windows * about.slide_ns,
    )
    try:
        trial = PipelineTrial(run, subject, first=at.after, limits=limits)
    except LogError as error:
        note = f"{error.got} where {error.expected} is needed: {error.action}"
        return TriedDecision(counterfactual=Counterfactual(family="", change=None, note=note))
    return _Search(trial, subject, about, at).found(start_ns)


class _Place(NamedTuple):
    partition: str
    after: int
    before_ns: IntArray
    before: FloatArray


def _first_epoch(
    run: RunDirectory, decision: Decision, about: DecisionSubject, start_ns: int, limits: Limits
) -> _Place | str:
    """The partition and epoch of the first row of ``start_ns`` or after, and values before it."""
    contract = run.plan.contracts[about.source]
    from_ns = decision.window_start_ns - CONTEXT_WINDOWS * about.slide_ns
    before: list[FloatArray] = []
    before_ns: list[IntArray] = []
    for name in run.partitions:
        if name == FAN_IN:
            continue
        for epoch in log_epochs(run, name, limits=limits):
            if not may_hold(epoch, from_ns=from_ns, skew_ns=contract.clock_skew_ns):
                continue
            for entry in epoch.entries:
                if entry.name != about.source:
                    continue
                if entry.kind is EntryKind.INPUT_REFERENCE:
                    return f"rows of {about.source} are not in the log: it refers to files"
                if entry.kind is not EntryKind.INPUT:
                    continue
                signals = admit(contract, decode_frame(entry.payload), limits=limits).signals
                mine = (signals[KEY] == about.key).to_numpy()
                if not mine.any():
                    continue
                time_ns = signals[TIME_NS].to_numpy()[mine]
                values = signals[about.field].to_numpy()[mine].astype(np.float64)
                earlier = (time_ns >= from_ns) & (time_ns < start_ns)
                before.append(values[earlier])
                before_ns.append(time_ns[earlier])
                if ((time_ns >= start_ns) & (time_ns < decision.window_end_ns)).any():
                    return _Place(
                        name, epoch.after, np.concatenate(before_ns), np.concatenate(before)
                    )
    return "its rows are not in the log any more"


class _Search:
    """Lines that are tried on one decision."""

    def __init__(
        self, trial: PipelineTrial, subject: TrialSubject, about: DecisionSubject, place: _Place
    ) -> None:
        self._trial = trial
        self._decision = subject.decision
        self._about = about
        self._history = self._measured()
        # What led to it in the windows before says nothing of what it was before.
        since_ns = self._history.since_ns
        departed_ns = since_ns if since_ns >= 0 else subject.decision.window_start_ns
        known = place.before[np.isfinite(place.before) & (place.before_ns < departed_ns)]
        self._before = (
            (float(np.median(known)), float(known.min()), float(known.max()))
            if len(known)
            else (np.nan, np.nan, np.nan)
        )
        self._outcomes: dict[Clip, TrialOutcome] = {}

    def found(self, start_ns: int) -> TriedDecision:
        """What changes of the values from ``start_ns`` to the end of the decided window give."""
        decision, trial = self._decision, self._trial
        result = TriedDecision(
            counterfactual=Counterfactual(family="", change=None),
            until_ns=trial.until_ns,
            history=self._history,
            before=self._before,
            began_after=trial.began_after,
        )
        if not trial.baseline.is_raised:
            note = "the log as it is does not raise it again: run `sightline replay` on the run"
            return replace(result, counterfactual=Counterfactual(family="", change=None, note=note))
        span = (start_ns, decision.window_end_ns)
        one, later = self._over(span, whole=False)
        result = replace(result, counterfactual=one)
        if later:
            result = replace(result, put_off_ns=later[0].event_ns)
            whole, _ = self._over((span[0], max(trial.until_ns, span[1])), whole=True)
            result = replace(result, whole=whole)
        return replace(result, runs=trial.runs)

    def _measured(self) -> MeasureHistory:
        reason = self._decision.reasons[0]
        return measure_history(
            self._trial.baseline.windows.get(reason.measure, {}),
            measure=reason.measure,
            unit=reason.unit,
            rule=self._about.rule,
            at_ns=self._decision.window_start_ns,
        )

    # --- lines ----------------------------------------------------------------------------------

    def _over(
        self, span: tuple[int, int], *, whole: bool
    ) -> tuple[Counterfactual, tuple[Decision, ...]]:
        """The first line that ends it, over a span of time, or what stood in the way.

        And what the alarm raises later, with that change.
        """
        values = self._trial.values(*span)
        known = values[np.isfinite(values)]
        empty = Counterfactual(family="", change=None, unit=self._about.unit)
        if not len(known):
            note = "there is no value in its window that could be clipped"
            return replace(empty, note=note), ()
        was = float(known.min()), float(known.max())
        empty = replace(empty, was_low=was[0], was_high=was[1], start_ns=span[0], end_ns=span[1])
        try:
            for family, ends in self._lines(known, was):
                if self._alerts(_clip(span, was, ends, 1.0), whole):
                    continue
                change = least_change(
                    lambda s, ends=ends: self._alerts(  # type: ignore[misc]
                        _clip(span, was, ends, s), whole
                    ),
                    grid=_GRID,
                    halvings=_HALVINGS,
                )
                if change.is_found:
                    clip = _clip(span, was, ends, change.strength)
                    told = replace(self._described(clip, values, was), family=family, change=change)
                    return told, self._outcomes[clip].later
        except TooManyRunsError:
            return replace(empty, note=f"not found in {MAX_RUNS} runs of the core"), ()
        note = (
            f"no limit to {self._about.field} within what it was before: it would have been raised "
            "all the same, by how the values follow each other and not by how high they are"
        )
        return replace(empty, note=note), ()

    def _lines(
        self, known: FloatArray, was: tuple[float, float]
    ) -> list[tuple[str, tuple[float, float]]]:
        """Family, and the least and the greatest value that are let through at its end."""
        median, least, greatest = self._before
        if not np.isfinite(median):
            median = least = greatest = float(np.median(known))
        ends = (median, greatest, least), (median, least, greatest)
        upper = [("at most", (was[0], end)) for end in ends[0] if end < was[1]]
        lower = [("at least", (end, was[1])) for end in ends[1] if end > was[0]]
        # First the side on which the window lies.
        sides = upper + lower if np.median(known) >= median else lower + upper
        return [*sides, ("band", (median, median))]

    def _alerts(self, clip: Clip, whole: bool) -> bool:
        outcome = self._outcomes.get(clip)
        if outcome is None:
            is_original = clip.low == -np.inf and clip.high == np.inf
            outcome = self._trial.baseline if is_original else self._trial.run(clip)
            self._outcomes[clip] = outcome
        return outcome.is_raised or (whole and bool(outcome.later))

    def _described(
        self, clip: Clip, values: FloatArray, was: tuple[float, float]
    ) -> Counterfactual:
        times = self._trial.times(clip.start_ns, clip.end_ns)
        changed = np.isfinite(values) & ((values < clip.low) | (values > clip.high))
        outcome = self._outcomes[clip]
        low = np.ceil(clip.low) if self._about.is_integer else clip.low
        high = np.floor(clip.high) if self._about.is_integer else clip.high
        return Counterfactual(
            family="",
            change=None,
            low=float(low) if np.isfinite(low) else np.nan,
            high=float(high) if np.isfinite(high) else np.nan,
            was_low=was[0],
            was_high=was[1],
            start_ns=int(times[changed].min()) if changed.any() else clip.start_ns,
            end_ns=int(times[changed].max()) if changed.any() else clip.end_ns,
            changed=int(changed.sum()),
            unit=self._about.unit,
            reached=outcome.measure,
        )


def _clip(
    span: tuple[int, int], was: tuple[float, float], ends: tuple[float, float], strength: float
) -> Clip:
    """The clip at a strength: nothing at 0, to ``ends`` at 1; a side that is not moved is open."""
    low = was[0] + strength * (ends[0] - was[0])
    high = was[1] + strength * (ends[1] - was[1])
    return Clip(
        start_ns=span[0],
        end_ns=span[1],
        low=low if low > was[0] else -np.inf,
        high=high if high < was[1] else np.inf,
    )


def put_off_words(found: TriedDecision) -> str:
    """What came of it afterwards, in words; ``""`` where nothing was put off."""
    if found.put_off_ns < 0:
        return ""
    text = f"it would have been raised at {moment(found.put_off_ns)} instead"
    whole = found.whole
    if whole is not None and whole.is_found and whole.end_ns is not None:
        low, high = figure(whole.low, whole.unit), figure(whole.high, whole.unit)
        bounds = [f"at least {low}"] if np.isfinite(whole.low) else []
        bounds += [f"at most {high}"] if np.isfinite(whole.high) else []
        text += f"; not at all had it stayed {' and '.join(bounds)} until {moment(whole.end_ns)}"
    elif whole is not None:
        text += f"; no bound was found that keeps it away until {moment(found.until_ns)}"
    return text

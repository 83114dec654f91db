"""From window series to decisions: the steps of a chain, as functions of its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sightline.assess import ContactPlan, SilenceEpisodes, loss_ratio, silence_episodes
from sightline.decide import AlarmRule, alarm_states
from sightline.perceive import level_deviation, robust_deviation
from sightline.perceive.window_series import WindowSeries
from sightline.records import Decision
from sightline.records.decision import Mode, Reason, Status, Transition, decision_id, trace_id
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray
from sightline.runtime.chain import ChainState, mode_column
from sightline.runtime.guard import ScoreRequest
from sightline.runtime.pipeline import AlarmForm, ScorerForm, SilenceForm
from sightline.runtime.plan import Measure, Plan, Step
from sightline.runtime.scored_values import scored_values

BoolArray = npt.NDArray[np.bool_]
Scorer = Callable[..., FloatArray]

SCORERS: dict[str, Scorer] = {
    "robust_deviation": robust_deviation,
    "level_deviation": level_deviation,
}

_DEGRADED_SHARE = 0.5  # a window with less than this share of its expected rows is degraded
_LEAST_SPREAD = 1e-9


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


# --- scores -----------------------------------------------------------------------------------


def score_request(
    step: Step, series: WindowSeries, targets: IntArray, *, request_id: str
) -> ScoreRequest:
    """Everything a scorer needs for the windows ``targets``, measures one after the other."""
    form = step.form
    assert isinstance(form, ScorerForm)
    history = [series.history(targets, m.column, form.history) for m in step.reads]
    current = [series.column(m.column)[targets] for m in step.reads]
    floor = [np.full(len(targets), form.floor.get(asked, _LEAST_SPREAD)) for asked in form.measures]
    return ScoreRequest(
        request_id=request_id,
        stage=step.name,
        scorer=form.use,
        history=np.concatenate(history),
        current=np.concatenate(current),
        floor=np.concatenate(floor),
        min_history=form.min_history,
        budget_s=form.guarded.budget_s if form.guarded else 0.0,
        run_on=form.guarded.run_on if form.guarded else "thread",
    )


def run_scorer(request: ScoreRequest, scorer: str) -> FloatArray:
    """float64[n]: the answer of ``scorer`` to ``request``."""
    return SCORERS[scorer](
        history=request.history,
        current=request.current,
        floor=request.floor,
        min_history=request.min_history,
    )


def put_scores(
    step: Step, series: WindowSeries, targets: IntArray, scores: FloatArray, mode: Mode
) -> None:
    """Write scores, and how they came about, into the series."""
    for measure, part in zip(step.adds, np.split(scores, len(step.adds)), strict=True):
        series.column(measure.column)[targets] = part
    series.column(mode_column(step.name))[targets] = float(mode is Mode.FALLBACK)


def put_loss_ratio(step: Step, series: WindowSeries, targets: IntArray) -> None:
    """Write the packet loss of the windows ``targets`` into the series."""
    before = series.previous(targets, 1)
    sequence_max = series.column("sequence_max")
    series.column(step.adds[0].column)[targets] = loss_ratio(
        sequence_max=sequence_max[targets],
        previous_sequence_max=np.where(before >= 0, sequence_max[np.maximum(before, 0)], np.nan),
        received=series.column("sequence_distinct")[targets],
    )


# --- alarms -----------------------------------------------------------------------------------


def alarm_rule(form: AlarmForm) -> AlarmRule:
    """The thresholds of an alarm stage; without a clear threshold there is no dead-band."""
    is_high = form.raise_above is not None
    at = form.raise_above if is_high else form.raise_below
    clear = form.clear_below if is_high else form.clear_above
    assert at is not None
    return AlarmRule(
        raise_at=at, clear_at=at if clear is None else clear, is_high=is_high, m=form.m, n=form.n
    )


def alarm_transitions(
    plan: Plan, step: Step, chain: ChainState, targets: IntArray
) -> list[SubjectTransitions]:
    """Write alarm states for ``targets``; what changed, per subject looked at that matters."""
    form = step.form
    assert isinstance(form, AlarmForm)
    rule = alarm_rule(form)
    series = chain.series
    key, window = series.key, series.window
    found: list[SubjectTransitions] = []
    before = series.previous(targets, 1)
    is_first = np.ones(len(targets), np.bool_)
    is_first[1:] = key[targets[1:]] != key[targets[:-1]]
    start = np.flatnonzero(is_first)
    end = np.append(start[1:], len(targets))
    for measure, state in zip(step.reads, step.adds, strict=True):
        state_column = series.column(state.column)
        was = (before >= 0) & (state_column[np.maximum(before, 0)] == 1.0)
        # What these windows said before; where it was silent and still is, nothing can change.
        had = state_column[targets].copy()
        states = alarm_states(
            rule,
            key=key,
            window=window,
            measure=series.column(measure.column),
            targets=targets,
            was_raised=was,
        )
        state_column[targets] = states.is_raised
        matters = states.changed | (np.isfinite(had) & (had != was)) | (had == 1.0)
        touched = np.add.reduceat(matters, start) > 0 if len(start) else np.empty(0, np.bool_)
        for lo, hi in zip(start[touched], end[touched], strict=True):
            changed = np.flatnonzero(states.changed[lo:hi]) + lo
            name = chain.stream.keys[int(key[targets[lo]])]
            subject = f"{name}/{measure.field}" if measure.field else name
            found.append(
                SubjectTransitions(
                    subject=subject,
                    from_ns=int(series.end_ns(targets[lo : lo + 1])[0]),
                    decisions=[
                        _alarm_decision(
                            plan,
                            step,
                            measure,
                            rule,
                            chain=chain,
                            subject=subject,
                            row=int(targets[i]),
                            raised=bool(states.is_raised[i]),
                            agreeing=int(states.agreeing[i]),
                        )
                        for i in changed
                    ],
                )
            )
    return found


def _alarm_decision(
    plan: Plan,
    step: Step,
    measure: Measure,
    rule: AlarmRule,
    *,
    chain: ChainState,
    subject: str,
    row: int,
    raised: bool,
    agreeing: int,
) -> Decision:
    form = step.form
    assert isinstance(form, AlarmForm)
    series = chain.series
    at = np.array([row])
    start_ns, end_ns = int(series.start_ns(at)[0]), int(series.end_ns(at)[0])
    value = float(series.column(measure.column)[row])
    threshold = rule.raise_at if raised else rule.clear_at
    reasons = [
        Reason(
            code=form.code,
            measure=measure.column,
            value=value,
            threshold=threshold,
            unit=measure.unit,
            version=step.version,
        )
    ]
    scored, is_fallback = scored_values(chain, measure, row)
    reasons += scored
    mode = Mode.FALLBACK if is_fallback else Mode.PRIMARY
    if form.n > 1:
        reasons.append(
            Reason(
                code="PERSISTENCE",
                measure="windows_agreeing",
                value=float(agreeing),
                threshold=float(form.m),
                unit="1",
                version=step.version,
            )
        )
    implausible = _implausible(chain, measure.field, row, but=measure.column)
    if implausible:
        reasons += implausible
        mode = Mode.DEGRADED if mode is Mode.PRIMARY else mode
    rate_hz = chain.stream.contract.expected_rate_hz
    if mode is Mode.PRIMARY and rate_hz is not None:
        expected_rows = rate_hz * chain.chain.width_ns / NS_PER_S
        if series.column("rows")[row] < _DEGRADED_SHARE * expected_rows:
            mode = Mode.DEGRADED
    return make_decision(
        plan,
        step,
        subject=subject,
        group=chain.stream.groups[int(series.column("group")[row])],
        raised=raised,
        event_ns=end_ns,
        window_start_ns=start_ns,
        window_end_ns=end_ns,
        score=value,
        confidence=min(1.0, agreeing / form.n),
        reasons=tuple(reasons),
        mode=mode,
    )


def _implausible(chain: ChainState, field: str, row: int, *, but: str) -> list[Reason]:
    """Why the window's values of ``field`` should not be trusted, by the contract's plausibility.

    ``but`` is the column that is decided on: what an alarm is about does not speak against it.
    """
    found: list[Reason] = []
    for check in chain.chain.plausibility:
        if check.field != field or check.column == but:
            continue
        value = float(chain.series.column(check.column)[row])
        if value > check.above:
            found.append(
                Reason(
                    code=check.code,
                    measure=check.column,
                    value=value,
                    threshold=check.above,
                    unit=check.unit,
                    version=check.version,
                )
            )
    return found


# --- silence ----------------------------------------------------------------------------------


def presence_episodes(
    series: WindowSeries,
    *,
    now_ns: int,
    timeout_ns: int,
    plans: dict[int, ContactPlan],
    default_plan: ContactPlan | None,
    heard_ns: IntArray | None = None,
) -> SilenceEpisodes:
    """Silences of every subject of a presence series.

    Args:
        series: presence, with ``first_offset_ns`` and ``last_offset_ns``.
        now_ns: time up to which all punctual data has arrived.
        timeout_ns: expected contact time without data that makes a silence.
        plans: contact plan by subject id.
        default_plan: of all others; None: always expected.
        heard_ns: int64[subjects], when each last delivered anything, however old. A subject that
            delivers its backlog is behind, not silent: the silence it may end with is not known
            yet. None: nothing more can come.
    """
    start = series.window * series.slide_ns
    found = silence_episodes(
        subject=series.key,
        first_ns=start + series.column("first_offset_ns").astype(np.int64),
        last_ns=start + series.column("last_offset_ns").astype(np.int64),
        now_ns=now_ns,
        timeout_ns=timeout_ns,
        plans=plans,
        default_plan=default_plan,
    )
    if heard_ns is None:
        return found
    subject = (series.code[found.row] >> 42).astype(np.int64)
    is_known = (found.cleared_ns >= 0) | (heard_ns[subject] + timeout_ns <= now_ns)
    return SilenceEpisodes(
        row=found.row[is_known],
        last_ns=found.last_ns[is_known],
        raised_ns=found.raised_ns[is_known],
        cleared_ns=found.cleared_ns[is_known],
    )


def silence_decisions(
    plan: Plan,
    step: Step,
    *,
    subject: str,
    group: str,
    timeout_ns: int,
    episodes: list[tuple[int, int, int]],
) -> list[Decision]:
    """Decisions of one subject's episodes, each ``(last_ns, raised_ns, cleared_ns or -1)``."""
    form = step.form
    assert isinstance(form, SilenceForm)
    found: list[Decision] = []
    timeout_s = timeout_ns / NS_PER_S
    for last_ns, raised_ns, cleared_ns in episodes:
        found.append(
            make_decision(
                plan,
                step,
                subject=subject,
                group=group,
                raised=True,
                event_ns=raised_ns,
                window_start_ns=last_ns,
                window_end_ns=raised_ns,
                score=timeout_s,
                confidence=1.0,
                reasons=(
                    Reason(
                        code=form.code,
                        measure="silent_s",
                        value=timeout_s,
                        threshold=timeout_s,
                        unit="s",
                        version=step.version,
                    ),
                ),
                mode=Mode.PRIMARY,
            )
        )
        if cleared_ns >= 0:
            silent_s = (cleared_ns - last_ns) / NS_PER_S
            found.append(
                make_decision(
                    plan,
                    step,
                    subject=subject,
                    group=group,
                    raised=False,
                    event_ns=cleared_ns,
                    window_start_ns=raised_ns,
                    window_end_ns=cleared_ns,
                    score=silent_s,
                    confidence=1.0,
                    reasons=(
                        Reason(
                            code=f"{form.code}_OVER",
                            measure="silent_s",
                            value=silent_s,
                            threshold=timeout_s,
                            unit="s",
                            version=step.version,
                        ),
                    ),
                    mode=Mode.PRIMARY,
                )
            )
    return found


def make_decision(
    plan: Plan,
    step: Step,
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
    """A decision with its derived ids; revision 0, to be numbered when it is issued."""
    form = step.form
    assert isinstance(form, AlarmForm | SilenceForm)
    return Decision(
        decision_id=decision_id(
            pipeline=plan.digest,
            subject=subject,
            kind=step.name,
            window_start_ns=window_start_ns,
            window_end_ns=window_end_ns,
        ),
        pipeline=plan.digest,
        subject=subject,
        group=group,
        kind=step.name,
        transition=Transition.RAISED if raised else Transition.CLEARED,
        event_ns=event_ns,
        window_start_ns=window_start_ns,
        window_end_ns=window_end_ns,
        severity=form.severity,
        score=score,
        confidence=confidence,
        revision=0,
        status=Status.ISSUED,
        reasons=reasons,
        mode=mode,
        trace_id=trace_id(pipeline=plan.digest, subject=subject, window_start_ns=window_start_ns),
    )

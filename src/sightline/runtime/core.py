"""The engine core of a key partition: (state, entry) → (state, outputs), and nothing else.

It reads no clock, no file, no network and draws no random number. Everything it knows came in as
a log entry; everything it does goes out as a value that the shell carries out.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from sightline.assess import ContactPlan
from sightline.assess.silence import EVERYONE
from sightline.decide import IssuedDecisions, Mask, unmasked
from sightline.errors import InvariantViolation, LogError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder.checkpoint import StateParts
from sightline.records import Accounts, Decision, Entry, EntryKind, Mode
from sightline.records.signals import NS_PER_S
from sightline.records.windows import IntArray
from sightline.runtime.chain import ChainState, Changed
from sightline.runtime.deciding import (
    alarm_transitions,
    presence_episodes,
    put_loss_ratio,
    put_scores,
    run_scorer,
    score_request,
    silence_decisions,
)
from sightline.runtime.guard import BreakerState, Outcome, OutcomeStatus, ScoreRequest
from sightline.runtime.pipeline import (
    AlarmForm,
    PacketLossForm,
    PresenceForm,
    ScorerForm,
    SilenceForm,
    WindowsForm,
)
from sightline.runtime.plan import Chain, Plan, Step
from sightline.runtime.stream import StreamState, pane_ns
from sightline.runtime.summary import PresenceSummary, Summary

CORE_STATE_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRows:
    """What one stage wrote in one step; for comparing runs stage by stage.

    Attributes:
        stage: name of the stage.
        subjects: name of the key of each row.
        start_ns: int64[n] window starts.
        values: float64[n, columns].
        columns: what the columns are.
    """

    stage: str
    subjects: tuple[str, ...]
    start_ns: IntArray
    values: np.ndarray[Any, np.dtype[np.float64]]
    columns: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class StepOutput:
    """What the shell has to log and carry out after one entry."""

    decisions: list[Decision] = field(default_factory=list)
    refused: list[tuple[str, pl.DataFrame]] = field(default_factory=list)
    requests: list[ScoreRequest] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    summary: Summary | None = None
    accounts: Accounts | None = None


class PartitionCore:
    """State of one key partition. ``step`` is its only way forward.

    Args:
        plan: the checked pipeline.
        partition: number of this partition, for messages.
        limits: bounds of its state.
        observe: called with the rows each stage wrote; used by the run comparison only.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        partition: int,
        limits: Limits = DEFAULT_LIMITS,
        observe: Callable[[StageRows], None] | None = None,
    ) -> None:
        self.plan = plan
        self.partition = partition
        self.limits = limits
        self._observe = observe
        idle_ns = round(plan.pipeline.idle_s * NS_PER_S)
        self.streams = {
            name: StreamState(
                contract, pane_ns=_pane_ns(plan, name), idle_ns=idle_ns, limits=limits
            )
            for name, contract in plan.contracts.items()
        }
        self.chains = [ChainState(c, self.streams[c.source]) for c in plan.chains]
        self.issued = IssuedDecisions()
        self.breakers: dict[str, BreakerState] = {}
        self.epoch = -1
        self._contacts = {
            name: [(c.key, c.start_ns, c.end_ns) for c in contract.contacts]
            for name, contract in plan.contracts.items()
        }
        self._masks: list[Mask] = []
        self._silent: dict[str, dict[str, tuple[tuple[int, int, int], ...]]] = {}
        self._received = 0
        self._decided = 0
        self._superseded = 0
        self._dropped: Counter[str] = Counter()
        self._quarantined: Counter[str] = Counter()
        self._parked: list[tuple[ChainState, int, IntArray]] = []
        self._asked: dict[str, tuple[ChainState, int, IntArray, ScoreRequest]] = {}
        self._tick: dict[str, Any] | None = None
        self._presence_out: list[PresenceSummary] = []
        self._candidates_out: list[Decision] = []
        self._held = {
            name
            for name, step in plan.deciding_steps().items()
            if isinstance(step.form, AlarmForm | SilenceForm) and step.form.inhibited_by
        }
        self._watched = {
            wider
            for step in plan.deciding_steps().values()
            if isinstance(step.form, AlarmForm | SilenceForm)
            for wider in step.form.inhibited_by
        }

    @property
    def is_finished(self) -> bool:
        """Whether the final tick has been seen."""
        return any(s.clock.is_final for s in self.streams.values())

    # --- the one way forward --------------------------------------------------------------------

    def step(self, entry: Entry) -> StepOutput:
        """Apply one entry.

        Raises:
            LogError: if the entry cannot be read.
            InvariantViolation: if a promise of the engine does not hold.
        """
        handler = self._HANDLERS.get(entry.kind)
        if handler is None:
            raise LogError(
                expected="an entry the core reads",
                got=str(entry.kind),
                where=f"partition {self.partition}, sequence {entry.sequence}",
                action="feed only the kinds in CORE_INPUTS",
            )
        return handler(self, entry)

    def step_rows(self, source: str, raw: pl.DataFrame) -> StepOutput:
        """Apply an INPUT entry whose rows the caller already has as a frame."""
        stream = self.streams[source]
        fed = stream.feed(raw)
        self._received += fed.received
        self._quarantined.update(_count_reasons(fed.refused))
        if fed.dropped:
            self._dropped["BUFFER_FULL"] += fed.dropped
        if fed.rows is not None:
            for chain in self.chains:
                if chain.chain.source == source:
                    chain.note(fed.rows)
        return StepOutput(refused=[(source, fed.refused)] if fed.refused.height else [])

    def _on_input(self, entry: Entry) -> StepOutput:
        return self.step_rows(entry.name, pl.read_ipc_stream(io.BytesIO(entry.payload)))

    def _on_rejected(self, entry: Entry) -> StepOutput:
        refused = pl.read_ipc_stream(io.BytesIO(entry.payload))
        self._received += refused.height
        self._quarantined.update(_count_reasons(refused))
        return StepOutput(refused=[(entry.name, refused)])

    def _on_drop(self, entry: Entry) -> StepOutput:
        plain = json.loads(entry.payload)
        rows = int(plain["rows"])
        self._received += rows
        if plain["cause"] == "SUPERSEDED":
            self._superseded += rows
        else:
            self._dropped[str(plain["cause"])] += rows
        return StepOutput()

    def _on_control(self, entry: Entry) -> StepOutput:
        plain = json.loads(entry.payload)
        if plain.get("control") == "contacts":
            self._contacts[plain["source"]] = [
                (c["key"], int(c["start_ns"]), int(c["end_ns"])) for c in plain["contacts"]
            ]
        elif plain.get("control") == "mask":
            self._masks.append(Mask.from_mapping(plain))
        return StepOutput()

    def _on_tick(self, entry: Entry) -> StepOutput:
        if self._asked:
            raise InvariantViolation(
                expected="all outcomes before the next tick",
                got=f"open requests {sorted(self._asked)}",
                where=f"partition {self.partition}, sequence {entry.sequence}",
                action="this is a defect of Sightline: keep the run directory and report it",
            )
        self._tick = json.loads(entry.payload)
        assert self._tick is not None
        self.epoch = int(self._tick["epoch"])
        for stream in self.streams.values():
            stream.clock.tick(int(self._tick["tick_ns"]), final=bool(self._tick["final"]))
        for name, breaker in self.breakers.items():
            self.breakers[name] = breaker.ticked(self._breaker_rule(name))
        output = StepOutput()
        for chain in self.chains:
            changed = chain.close()
            if changed is not None:
                self._closed(chain, changed, output)
        self._continue(output)
        return output

    def _on_outcome(self, entry: Entry) -> StepOutput:
        outcome = Outcome.from_bytes(entry.payload)
        asked = self._asked.pop(outcome.request_id, None)
        if asked is None:
            raise LogError(
                expected="the outcome of an open request",
                got=outcome.request_id,
                where=f"partition {self.partition}, sequence {entry.sequence}",
                action="run `sightline verify` on the run",
            )
        chain, index, targets, request = asked
        step = chain.chain.steps[index]
        form = step.form
        assert isinstance(form, ScorerForm)
        assert form.guarded is not None
        ok = outcome.status is OutcomeStatus.OK
        self.breakers[step.name] = self.breakers.get(step.name, BreakerState()).after(
            ok, form.guarded.breaker
        )
        output = StepOutput()
        if ok:
            put_scores(step, chain.series, targets, outcome.scores, Mode.PRIMARY)
        else:
            assert form.guarded.fallback is not None
            scores = run_scorer(request, form.guarded.fallback)
            put_scores(step, chain.series, targets, scores, Mode.FALLBACK)
        self._wrote(step, chain, targets, output)
        self._parked.append((chain, index + 1, targets))
        self._continue(output)
        return output

    _HANDLERS: Mapping[EntryKind, Callable[[PartitionCore, Entry], StepOutput]] = {
        EntryKind.INPUT: _on_input,
        EntryKind.REJECTED: _on_rejected,
        EntryKind.DROP: _on_drop,
        EntryKind.TICK: _on_tick,
        EntryKind.OUTCOME: _on_outcome,
        EntryKind.CONTROL: _on_control,
        EntryKind.CONFIGURATION: lambda core, entry: StepOutput(),
        EntryKind.MODEL: lambda core, entry: StepOutput(),
    }

    # --- a tick's work --------------------------------------------------------------------------

    def _closed(self, chain: ChainState, changed: Changed, output: StepOutput) -> None:
        self._digest(chain.chain.name, chain, changed.rows, chain.chain.own_columns, output)
        if chain.is_presence and self.plan.has_fan_in:
            self._presence_out.append(_presence_summary(chain, changed.rows))
        self._parked.append((chain, 0, changed.targets))

    def _continue(self, output: StepOutput) -> None:
        """Run parked passes until each is done or waits for an outcome."""
        while self._parked:
            chain, index, targets = self._parked.pop(0)
            self._run_steps(chain, index, targets, output)
        if not self._asked:
            self._finish_tick(output)

    def _run_steps(
        self, chain: ChainState, index: int, targets: IntArray, output: StepOutput
    ) -> None:
        for at in range(index, len(chain.chain.steps)):
            step = chain.chain.steps[at]
            form = step.form
            if isinstance(form, ScorerForm):
                request = score_request(
                    step, chain.series, targets, request_id=f"{self.epoch}:{step.name}"
                )
                if form.guarded is None:
                    scores = run_scorer(request, form.use)
                    put_scores(step, chain.series, targets, scores, Mode.PRIMARY)
                elif self.breakers.get(step.name, BreakerState()).lets_through:
                    self._asked[request.request_id] = (chain, at, targets, request)
                    output.requests.append(request)
                    return
                else:
                    assert form.guarded.fallback is not None
                    scores = run_scorer(request, form.guarded.fallback)
                    put_scores(step, chain.series, targets, scores, Mode.FALLBACK)
                self._wrote(step, chain, targets, output)
            elif isinstance(form, PacketLossForm):
                put_loss_ratio(step, chain.series, targets)
                self._wrote(step, chain, targets, output)
            elif isinstance(form, AlarmForm):
                for change in alarm_transitions(self.plan, step, chain, targets):
                    self._say(step, change.subject, change.decisions, change.from_ns, output)
                self._wrote(step, chain, targets, output)

    def _say(
        self,
        step: Step,
        subject: str,
        decisions: list[Decision],
        from_ns: int,
        output: StepOutput,
    ) -> None:
        said = self.issued.reconcile(
            step.name, subject, unmasked(decisions, self._masks), from_ns=from_ns
        )
        if not said:
            return
        if step.name in self._held:
            self._candidates_out.extend(said)  # published by the fan-in, if at all
            return
        output.decisions.extend(said)
        if step.name in self._watched:
            self._candidates_out.extend(said)

    def _finish_tick(self, output: StepOutput) -> None:
        assert self._tick is not None
        for chain in self.chains:
            for step in chain.chain.steps:
                if isinstance(step.form, SilenceForm):
                    self._silences(chain, step, output)
        for name, stream in self.streams.items():
            self._settle(name, stream)
        tick = self._tick
        if self.plan.has_fan_in:
            output.summary = Summary(
                partition=self.partition,
                epoch=self.epoch,
                tick_ns=int(tick["tick_ns"]),
                is_final=bool(tick["final"]),
                presence=tuple(self._presence_out),
                candidates=tuple(self._candidates_out),
            )
            self._presence_out, self._candidates_out = [], []
        output.decisions.sort(key=lambda d: (d.event_ns, d.subject, d.kind, d.revision))
        output.accounts = self.accounts()
        output.accounts.check(f"partition {self.partition}, epoch {self.epoch}")

    def _silences(self, chain: ChainState, step: Step, output: StepOutput) -> None:
        form = step.form
        assert isinstance(form, SilenceForm)
        stream = chain.stream
        timeout_ns = silence_timeout_ns(self.plan, step, chain.chain)
        plans, default = self._plans(stream, chain.chain.source)
        found = presence_episodes(
            chain.series,
            now_ns=stream.clock.effective_ns,
            timeout_ns=timeout_ns,
            plans=plans,
            default_plan=default,
            heard_ns=None
            if stream.clock.is_final
            else stream.clock.heard_ns[stream.clock_group],
        )
        now: dict[str, list[tuple[int, int, int]]] = {}
        groups: dict[str, str] = {}
        key = chain.series.code[found.row] >> 42
        group = chain.series.column("group")[found.row]
        for k, g, last, raised, cleared in zip(
            key.tolist(), group.tolist(), found.last_ns.tolist(), found.raised_ns.tolist(),
            found.cleared_ns.tolist(), strict=True,
        ):
            subject = stream.keys[k]
            now.setdefault(subject, []).append((last, raised, cleared))
            groups[subject] = stream.groups[int(g)]
        known = self._silent.setdefault(step.name, {})
        changed = [s for s in sorted({*now, *known}) if tuple(now.get(s, ())) != known.get(s)]
        oldest = self._oldest_presence(chain) if changed else {}
        for subject in changed:
            decisions = silence_decisions(
                self.plan, step, subject=subject, group=groups.get(subject, ""),
                timeout_ns=timeout_ns, episodes=now.get(subject, []),
            )
            self._say(step, subject, decisions, oldest[subject], output)
        self._silent[step.name] = {s: tuple(e) for s, e in now.items()}
        if changed:
            text = json.dumps([[s, now.get(s, [])] for s in changed])
            output.digests[step.name] = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
            if self._observe is not None:
                self._observe(_silence_rows(step, changed, now))

    def _oldest_presence(self, chain: ChainState) -> dict[str, int]:
        """Last datum of the oldest presence row held of each key: what lies before is settled."""
        series = chain.series
        key = series.code >> 42
        is_first = np.ones(len(key), np.bool_)
        is_first[1:] = key[1:] != key[:-1]
        rows = np.flatnonzero(is_first)
        last_ns = series.start_ns(rows) + series.column("last_offset_ns")[rows].astype(np.int64)
        return {
            chain.stream.keys[k]: t for k, t in zip(key[rows].tolist(), last_ns.tolist(), strict=True)
        }

    def _plans(
        self, stream: StreamState, source: str
    ) -> tuple[dict[int, ContactPlan], ContactPlan | None]:
        contacts = self._contacts[source]
        if not contacts:
            return {}, None
        everyone = [(s, e) for k, s, e in contacts if k == EVERYONE]
        by_key: dict[str, list[tuple[int, int]]] = {}
        for key, start, end in contacts:
            if key != EVERYONE:
                by_key.setdefault(key, []).append((start, end))
        ids = {name: i for i, name in enumerate(stream.keys.all()) if name in by_key}
        plans = {ids[k]: ContactPlan.of([*v, *everyone]) for k, v in by_key.items() if k in ids}
        return plans, ContactPlan.of(everyone) if everyone else None

    def _settle(self, name: str, stream: StreamState) -> None:
        settled_ns = stream.key_settled_ns()
        width_ns = _widest_ns(self.plan, name)
        pane = (settled_ns - width_ns) // stream.store.pane_ns + 1
        gone = stream.store.settle(settled_pane=pane, everything=stream.clock.is_final)
        self._decided += gone.decided
        self._superseded += gone.superseded
        for chain in self.chains:
            if chain.chain.source == name:
                chain.trim(settled_ns)
        if len(self.issued):
            self._settle_issued(stream, settled_ns)

    def _settle_issued(self, stream: StreamState, settled_ns: IntArray) -> None:
        ids = {s: i for i, s in enumerate(stream.keys.all())}
        until: dict[tuple[str, str], int] = {}
        for kind, subject in self.issued.identities():
            identity = ids.get(subject)
            if identity is None:
                identity = ids.get(subject.rsplit("/", 1)[0])
            if identity is not None:
                until[(kind, subject)] = int(settled_ns[identity])
        self.issued.settle(until)

    def _breaker_rule(self, stage: str) -> Any:
        form = self.plan.pipeline.stages[stage]
        assert isinstance(form, ScorerForm)
        assert form.guarded is not None
        return form.guarded.breaker

    # --- accounts, digests, checkpoint ----------------------------------------------------------

    def accounts(self) -> Accounts:
        """Where every row of this partition is now."""
        return Accounts(
            received=self._received,
            decided=self._decided,
            superseded=self._superseded,
            dropped=dict(sorted(self._dropped.items())),
            quarantined=dict(sorted(self._quarantined.items())),
            in_flight=sum(len(s.store) for s in self.streams.values()),
        )

    def open_rows(self) -> int:
        """Rows in windows that may still change."""
        return sum(len(s.store) for s in self.streams.values())

    def _wrote(
        self, step: Step, chain: ChainState, targets: IntArray, output: StepOutput
    ) -> None:
        self._digest(step.name, chain, targets, tuple(m.column for m in step.adds), output)

    def _digest(
        self,
        stage: str,
        chain: ChainState,
        rows: IntArray,
        columns: tuple[str, ...],
        output: StepOutput,
    ) -> None:
        """Digest what a stage wrote, in an order that does not depend on dictionary ids."""
        series = chain.series
        # Group ids are dictionary ids, which depend on arrival; names are compared instead.
        own = [c for c in columns if c != "group"]
        window = series.window[rows]
        key = (series.code[rows] >> 42).tolist()
        values = np.column_stack([series.column(c)[rows] for c in own])
        names = chain.stream.keys
        digest = hashlib.blake2b(digest_size=8)
        present = sorted(set(key), key=names.__getitem__)
        rank = {k: i for i, k in enumerate(present)}
        order = np.lexsort((window, np.array([rank[k] for k in key])))
        digest.update("\n".join(names[k] for k in present).encode())
        digest.update(window[order].tobytes())
        digest.update(np.ascontiguousarray(values[order]).tobytes())
        before = output.digests.get(stage, "")
        output.digests[stage] = before + digest.hexdigest()
        if self._observe is not None:
            self._observe(
                StageRows(
                    stage=stage,
                    subjects=tuple(names[key[i]] for i in order.tolist()),
                    start_ns=series.start_ns(rows)[order],
                    values=values[order],
                    columns=tuple(own),
                )
            )

    def snapshot(self) -> StateParts:
        """The whole state, between two ticks."""
        parts = StateParts(meta={}, arrays={}, frames={})
        parts.meta["core"] = {
            "version": CORE_STATE_VERSION,
            "plan": self.plan.digest,
            "partition": self.partition,
            "epoch": self.epoch,
            "received": self._received,
            "decided": self._decided,
            "superseded": self._superseded,
            "dropped": dict(self._dropped),
            "quarantined": dict(self._quarantined),
            "contacts": self._contacts,
            "masks": [m.as_mapping() for m in self._masks],
            "breakers": {n: b.as_mapping() for n, b in self.breakers.items()},
            "issued": self.issued.snapshot(),
            "silent": self._silent,
        }
        for name, stream in self.streams.items():
            stream.snapshot(f"stream.{name}", parts)
        for chain in self.chains:
            chain.snapshot(f"chain.{chain.chain.name}", parts)
        return parts

    def restore(self, parts: StateParts) -> None:
        """Inverse of :meth:`snapshot`.

        Raises:
            LogError: if the state is of another version or pipeline.
        """
        core = parts.meta["core"]
        if core["version"] != CORE_STATE_VERSION or core["plan"] != self.plan.digest:
            raise LogError(
                expected=f"state version {CORE_STATE_VERSION} of pipeline {self.plan.digest}",
                got=f"version {core['version']} of {core['plan']}",
                where=f"checkpoint of partition {self.partition}",
                action="resume with the pipeline file the run was started with",
            )
        self.epoch = core["epoch"]
        self._received, self._decided = core["received"], core["decided"]
        self._superseded = core["superseded"]
        self._dropped = Counter(core["dropped"])
        self._quarantined = Counter(core["quarantined"])
        self._contacts = {n: [tuple(c) for c in cs] for n, cs in core["contacts"].items()}
        self._masks = [Mask.from_mapping(m) for m in core["masks"]]
        self.breakers = {n: BreakerState.from_mapping(b) for n, b in core["breakers"].items()}
        self.issued.restore(core["issued"])
        self._silent = {
            stage: {s: tuple(tuple(e) for e in es) for s, es in subjects.items()}
            for stage, subjects in core["silent"].items()
        }
        for name, stream in self.streams.items():
            stream.restore(f"stream.{name}", parts)
        for chain in self.chains:
            chain.restore(f"chain.{chain.chain.name}", parts)


def silence_timeout_ns(plan: Plan, step: Step, chain: Chain | None) -> int:
    """Time-out of a silence stage: its own, or that of the source's contract."""
    form = step.form
    assert isinstance(form, SilenceForm)
    if form.timeout_s is not None:
        return round(form.timeout_s * NS_PER_S)
    source = chain.source if chain else plan.pipeline.stages[form.input].input
    silence = plan.contracts[source].silence
    assert silence is not None
    return round(silence.timeout_s * NS_PER_S)


def _pane_ns(plan: Plan, source: str) -> int:
    chains = [c for c in plan.chains if c.source == source]
    slides = [c.slide_ns for c in chains if isinstance(c.form, WindowsForm)]
    widths = [c.width_ns for c in chains if isinstance(c.form, PresenceForm)]
    return pane_ns(slides, widths or [plan.tick_ns])


def _widest_ns(plan: Plan, source: str) -> int:
    widths = [
        c.width_ns
        for c in plan.chains
        if c.source == source and isinstance(c.form, WindowsForm)
    ]
    return max(widths, default=_pane_ns(plan, source))


def _count_reasons(refused: pl.DataFrame) -> dict[str, int]:
    if not refused.height:
        return {}
    counts = refused["reason"].value_counts()
    return dict(zip(counts["reason"].to_list(), counts["count"].to_list(), strict=True))


def _presence_summary(chain: ChainState, rows: IntArray) -> PresenceSummary:
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


def _silence_rows(
    step: Step, subjects: list[str], now: Mapping[str, list[tuple[int, int, int]]]
) -> StageRows:
    flat = [(s, e) for s in subjects for e in now.get(s, [])]
    return StageRows(
        stage=step.name,
        subjects=tuple(s for s, _ in flat),
        start_ns=np.array([e[0] for _, e in flat], np.int64),
        values=np.array([e for _, e in flat], np.float64).reshape(-1, 3),
        columns=("last_ns", "raised_ns", "cleared_ns"),
    )

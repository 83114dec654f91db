"""The core of the fan-in partition: what needs more than one key.

It reads the summaries of the key partitions and acts only when all of them have reached an epoch,
in partition order. So neither the number of workers nor their speed can change what it says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from sightline.assess import ContactPlan
from sightline.assess.silence import EVERYONE
from sightline.decide import (
    Episode,
    InhibitionRule,
    IssuedDecisions,
    Mask,
    episodes,
    released,
    unmasked,
)
from sightline.errors import LogError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.perceive.window_series import WindowSeries
from sightline.recorder.checkpoint import StateParts
from sightline.records import Accounts, Decision, Entry, EntryKind, Status, Transition
from sightline.records.signals import NS_PER_S
from sightline.records.windows import WindowTable
from sightline.runtime.core import CORE_STATE_VERSION, StageRows, StepOutput, silence_timeout_ns
from sightline.runtime.deciding import presence_episodes, silence_decisions
from sightline.runtime.pipeline import AlarmForm, SilenceForm
from sightline.runtime.plan import Plan, Step
from sightline.runtime.stream import Names
from sightline.runtime.summary import PresenceSummary, Summary

EVERYWHERE = "*"
"""Group name of everything, for stages of scope global."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _GroupPresence:
    """Presence of the groups, as one group silence stage sees it."""

    step: Step
    chain: str
    source: str
    timeout_ns: int
    is_global: bool
    names: Names
    series: WindowSeries


class FanInCore:
    """State of the fan-in partition. ``step`` is its only way forward.

    Args:
        plan: the checked pipeline.
        partitions: number of key partitions to wait for.
        limits: bounds of its state.
        observe: called with the rows each stage wrote; used by the run comparison only.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        partitions: int,
        limits: Limits = DEFAULT_LIMITS,
        observe: Callable[[StageRows], None] | None = None,
    ) -> None:
        self.plan = plan
        self.partitions = partitions
        self.limits = limits
        self._observe = observe
        self.issued = IssuedDecisions()
        self.epoch = -1
        self.is_finished = False
        self._waiting: dict[int, Summary] = {}
        self._presence = [_group_presence(plan, step) for step in plan.group_silences]
        self._masks: list[Mask] = []
        self._silent: dict[str, dict[str, tuple[tuple[int, int, int], ...]]] = {}
        self._candidates: dict[tuple[str, str], dict[str, Decision]] = {}
        self._wider: dict[tuple[str, str], dict[str, list[Episode]]] = {}
        self._held: set[tuple[str, str]] = set()
        self._rules = {
            name: InhibitionRule(
                kind=name,
                inhibited_by=step.form.inhibited_by,
                hold_ns=round((step.form.inhibit_hold_s or 0.0) * NS_PER_S),
            )
            for name, step in plan.deciding_steps().items()
            if isinstance(step.form, AlarmForm | SilenceForm) and step.form.inhibited_by
        }
        self._contacts = {
            name: [(c.key, c.start_ns, c.end_ns) for c in contract.contacts]
            for name, contract in plan.contracts.items()
        }

    def step(self, entry: Entry) -> StepOutput:
        """Apply one entry; says something only when the last summary of an epoch has come."""
        if entry.kind in (EntryKind.CONFIGURATION, EntryKind.MODEL):
            return StepOutput()
        if entry.kind is EntryKind.CONTROL:
            plain = json.loads(entry.payload)
            if plain.get("control") == "contacts":
                self._contacts[plain["source"]] = [
                    (c["key"], int(c["start_ns"]), int(c["end_ns"])) for c in plain["contacts"]
                ]
            elif plain.get("control") == "mask":
                self._masks.append(Mask.from_mapping(plain))
            return StepOutput()
        if entry.kind is not EntryKind.SUMMARY_IN:
            raise LogError(
                expected="an entry the fan-in reads",
                got=str(entry.kind),
                where=f"fan-in, sequence {entry.sequence}",
                action="run `sightline verify` on the run",
            )
        summary = Summary.from_bytes(entry.payload)
        self._waiting[summary.partition] = summary
        if len(self._waiting) < self.partitions:
            return StepOutput()
        summaries = [self._waiting[p] for p in sorted(self._waiting)]
        self._waiting = {}
        return self._epoch(summaries)

    def _epoch(self, summaries: list[Summary]) -> StepOutput:
        self.epoch = summaries[0].epoch
        tick_ns = min(s.tick_ns for s in summaries)
        is_final = self.is_finished = all(s.is_final for s in summaries)
        now_ns = tick_ns if is_final else tick_ns - self.plan.out_of_order_ns
        output = StepOutput()
        touched: set[tuple[str, str]] = set()
        for summary in summaries:
            for part in summary.presence:
                for presence in self._presence:
                    if presence.chain == part.chain:
                        _widen(presence, part)
            for candidate in summary.candidates:
                touched.add(self._note(candidate))
        for presence in self._presence:
            for decision in self._silences(presence, now_ns, is_final, tick_ns, output):
                output.decisions.append(decision)
                touched.add(self._note(decision))
        self._release(touched, (1 << 62) if is_final else now_ns, output)
        self._settle(tick_ns)
        output.decisions.sort(key=lambda d: (d.event_ns, d.subject, d.kind, d.revision))
        output.accounts = Accounts()
        return output

    def _note(self, decision: Decision) -> tuple[str, str]:
        """Remember the newest revision of a candidate or of an inhibiting decision."""
        identity = (decision.kind, decision.subject)
        store = self._candidates.setdefault(identity, {})
        if decision.status is Status.RETRACTED:
            store.pop(decision.decision_id, None)
        else:
            store[decision.decision_id] = decision
        return identity

    # --- group silence ------------------------------------------------------------------------

    def _silences(
        self,
        presence: _GroupPresence,
        now_ns: int,
        is_final: bool,
        tick_ns: int,
        output: StepOutput,
    ) -> list[Decision]:
        step, series = presence.step, presence.series
        # The clock of a group is that of its source, which may wait less than the fan-in does.
        contract = self.plan.contracts[presence.source]
        source_now_ns = tick_ns if is_final else tick_ns - contract.out_of_order_ns
        plans, default = self._plans(presence)
        found = presence_episodes(
            series,
            now_ns=min(source_now_ns, now_ns),
            timeout_ns=presence.timeout_ns,
            plans=plans,
            default_plan=default,
        )
        now: dict[str, list[tuple[int, int, int]]] = {}
        for k, last, raised, cleared in zip(
            (series.code[found.row] >> 42).tolist(), found.last_ns.tolist(),
            found.raised_ns.tolist(), found.cleared_ns.tolist(), strict=True,
        ):
            now.setdefault(presence.names[k], []).append((last, raised, cleared))
        known = self._silent.setdefault(step.name, {})
        changed = [s for s in sorted({*now, *known}) if tuple(now.get(s, ())) != known.get(s)]
        said: list[Decision] = []
        for subject in changed:
            decisions = silence_decisions(
                self.plan, step, subject=subject, group=subject,
                timeout_ns=presence.timeout_ns, episodes=now.get(subject, []),
            )
            oldest_ns = _oldest_ns(presence, subject)
            said += self.issued.reconcile(
                step.name, subject, unmasked(decisions, self._masks), from_ns=oldest_ns
            )
        self._silent[step.name] = {s: tuple(e) for s, e in now.items()}
        if changed:
            text = json.dumps([[s, now.get(s, [])] for s in changed])
            output.digests[step.name] = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
            if self._observe is not None:
                self._observe(_rows(step.name, [(s, e) for s in changed for e in now.get(s, [])]))
        lookback = 1
        settled = np.full(len(presence.names), tick_ns - contract.max_backlog_ns, np.int64)
        series.trim(settled_ns=settled, lookback=lookback)
        return said

    def _plans(
        self, presence: _GroupPresence
    ) -> tuple[dict[int, ContactPlan], ContactPlan | None]:
        contacts = self._contacts[presence.source]
        everyone = [(s, e) for k, s, e in contacts if k == EVERYONE]
        plans = {}
        for identity, name in enumerate(presence.names.all()):
            own = [(s, e) for k, s, e in contacts if k == name]
            if own:
                plans[identity] = ContactPlan.of([*own, *everyone])
        return plans, ContactPlan.of(everyone) if everyone else None

    # --- inhibition ---------------------------------------------------------------------------

    def _release(
        self, touched: set[tuple[str, str]], now_ns: int, output: StepOutput
    ) -> None:
        """Publish the candidates whose verdict is in."""
        wider_kinds = {k for rule in self._rules.values() for k in rule.inhibited_by}
        if any(identity[0] in wider_kinds for identity in touched):
            self._wider = self._index_wider(wider_kinds)
            # A verdict may also have been taken back, whose group is not in the store any more.
            touched = touched | {i for i in self._candidates if i[0] in self._rules}
        looked_at = sorted((touched | self._held) & {i for i in self._candidates if i[0] in self._rules})
        for identity in looked_at:
            rule = self._rules[identity[0]]
            store = self._candidates[identity]
            own = episodes(list(store.values()))
            group = next((d.group for d in reversed(list(store.values()))), "")
            wider: dict[str, list[Episode]] = {}
            for kind in rule.inhibited_by:
                for name, found in self._wider.get((kind, ""), {}).items():
                    wider.setdefault(name, []).extend(found)
            if EVERYWHERE in wider:
                wider.setdefault(group, []).extend(wider[EVERYWHERE])
            decisions = released(rule, own, wider, group=group, now_ns=now_ns)
            said = self.issued.reconcile(
                identity[0], identity[1], decisions, from_ns=-(1 << 62)
            )
            output.decisions.extend(said)
            waits = any(e.raised and e.start_ns + rule.hold_ns > now_ns for e in own)
            (self._held.add if waits else self._held.discard)(identity)
            if said:
                text = b"\n".join(d.content_bytes() for d in said)
                name = f"{identity[0]}:inhibition"
                before = output.digests.get(name, "")
                output.digests[name] = (
                    before + hashlib.blake2b(text, digest_size=8).hexdigest()
                )

    def _index_wider(self, kinds: set[str]) -> dict[tuple[str, str], dict[str, list[Episode]]]:
        index: dict[tuple[str, str], dict[str, list[Episode]]] = {}
        for (kind, _), store in self._candidates.items():
            if kind not in kinds:
                continue
            by_group = index.setdefault((kind, ""), {})
            for episode in episodes(list(store.values())):
                decision = episode.raised or episode.cleared
                assert decision is not None
                by_group.setdefault(decision.group, []).append(episode)
        return index

    def _settle(self, tick_ns: int) -> None:
        """Forget what can no longer be revised; an open episode keeps the decision that began it."""
        until_ns = tick_ns - max(c.max_backlog_ns for c in self.plan.contracts.values())
        gone: list[tuple[str, str]] = []
        for identity, store in self._candidates.items():
            old = [d for d in store.values() if d.event_ns <= until_ns]
            if not old:
                continue
            newest = max(store.values(), key=lambda d: d.event_ns)
            for decision in old:
                if decision is newest and decision.transition is Transition.RAISED:
                    continue
                del store[decision.decision_id]
            if not store:
                gone.append(identity)
        for identity in gone:
            del self._candidates[identity]
            self._held.discard(identity)

    # --- checkpoint ---------------------------------------------------------------------------

    def accounts(self) -> Accounts:
        """The fan-in receives summaries, not rows: nothing to account for."""
        return Accounts()

    def open_rows(self) -> int:
        """The fan-in holds no rows."""
        return 0

    def snapshot(self) -> StateParts:
        """The whole state, between two epochs."""
        parts = StateParts(meta={}, arrays={}, frames={})
        parts.meta["core"] = {
            "version": CORE_STATE_VERSION,
            "plan": self.plan.digest,
            "epoch": self.epoch,
            "finished": self.is_finished,
            "issued": self.issued.snapshot(),
            "silent": self._silent,
            "candidates": [
                d.as_mapping() for _, s in sorted(self._candidates.items()) for d in s.values()
            ],
            "held": sorted(self._held),
            "contacts": self._contacts,
            "masks": [m.as_mapping() for m in self._masks],
            "waiting": [
                self._waiting[p].to_bytes().decode() for p in sorted(self._waiting)
            ],
            "names": {p.step.name: p.names.all() for p in self._presence},
        }
        for presence in self._presence:
            for name, array in presence.series.snapshot().items():
                parts.arrays[f"presence.{presence.step.name}.{name}"] = array
        return parts

    def restore(self, parts: StateParts) -> None:
        """Inverse of :meth:`snapshot`.

        Raises:
            LogError: if the state is of another version or pipeline.
        """
        core: dict[str, Any] = parts.meta["core"]
        if core["version"] != CORE_STATE_VERSION or core["plan"] != self.plan.digest:
            raise LogError(
                expected=f"state version {CORE_STATE_VERSION} of pipeline {self.plan.digest}",
                got=f"version {core['version']} of {core['plan']}",
                where="checkpoint of the fan-in partition",
                action="resume with the pipeline file the run was started with",
            )
        self.epoch = core["epoch"]
        self.is_finished = core["finished"]
        self.issued.restore(core["issued"])
        self._silent = {
            stage: {s: tuple(tuple(e) for e in es) for s, es in subjects.items()}
            for stage, subjects in core["silent"].items()
        }
        self._candidates = {}
        for plain in core["candidates"]:
            self._note(Decision.from_mapping(plain))
        self._held = {(kind, subject) for kind, subject in core["held"]}
        self._contacts = {n: [tuple(c) for c in cs] for n, cs in core["contacts"].items()}
        self._masks = [Mask.from_mapping(m) for m in core["masks"]]
        waiting = [Summary.from_bytes(text.encode()) for text in core["waiting"]]
        self._waiting = {s.partition: s for s in waiting}
        for i, presence in enumerate(self._presence):
            name = presence.step.name
            self._presence[i] = _group_presence(self.plan, presence.step, core["names"][name])
            self._presence[i].series.restore(
                {n: parts.arrays[f"presence.{name}.{n}"] for n in ("code", "values")}
            )
        kinds = {k for rule in self._rules.values() for k in rule.inhibited_by}
        self._wider = self._index_wider(kinds)

    def step_rows(self, source: str, raw: pl.DataFrame) -> StepOutput:
        """The fan-in takes no rows."""
        raise LogError(
            expected="summaries",
            got=f"{raw.height} rows of {source}",
            where="fan-in",
            action="run `sightline verify` on the run",
        )


def _group_presence(plan: Plan, step: Step, names: list[str] | None = None) -> _GroupPresence:
    form = step.form
    assert isinstance(form, SilenceForm)
    chain = next(c for c in plan.chains if c.name == form.input)
    return _GroupPresence(
        step=step,
        chain=chain.name,
        source=chain.source,
        timeout_ns=silence_timeout_ns(plan, step, chain),
        is_global=form.scope == "global",
        names=Names(names),
        series=WindowSeries(
            ("first_offset_ns", "last_offset_ns"),
            slide_ns=chain.slide_ns,
            width_ns=chain.width_ns,
        ),
    )


def _widen(presence: _GroupPresence, part: PresenceSummary) -> None:
    """Merge a partition's presence into the groups': earliest first, latest last."""
    names = [EVERYWHERE] * len(part.groups) if presence.is_global else list(part.groups)
    ids = presence.names.encode(pl.Series(names, dtype=pl.String), most=(1 << 21) - 1)
    merged: dict[tuple[int, int], tuple[int, int]] = {}
    for key, window, first, last in zip(
        ids.tolist(), part.window, part.first_offset_ns, part.last_offset_ns, strict=True
    ):
        old = merged.get((key, window), (first, last))
        merged[key, window] = (min(first, old[0]), max(last, old[1]))
    if not merged:
        return
    codes = sorted(merged)
    key = np.array([c[0] for c in codes], np.uint32)
    window = np.array([c[1] for c in codes], np.int64)
    first = np.array([merged[c][0] for c in codes], np.float64)
    last = np.array([merged[c][1] for c in codes], np.float64)
    series = presence.series
    code = (key.astype(np.int64) << 42) | window
    at = np.searchsorted(series.code, code)
    inside = at < len(series)
    known = np.zeros(len(code), np.bool_)
    known[inside] = series.code[at[inside]] == code[inside]
    first[known] = np.minimum(first[known], series.column("first_offset_ns")[at[known]])
    last[known] = np.maximum(last[known], series.column("last_offset_ns")[at[known]])
    series.upsert(
        WindowTable(
            key=key,
            window=window,
            slide_ns=series.slide_ns,
            width_ns=series.width_ns,
            columns={"first_offset_ns": first, "last_offset_ns": last},
        )
    )


def _oldest_ns(presence: _GroupPresence, subject: str) -> int:
    """Last datum of the oldest slot held of a group."""
    identity = presence.names.all().index(subject)
    rows = np.flatnonzero(presence.series.code >> 42 == identity)[:1]
    start = int(presence.series.start_ns(rows)[0])
    return start + int(presence.series.column("last_offset_ns")[rows][0])


def _rows(stage: str, flat: list[tuple[str, tuple[int, int, int]]]) -> StageRows:
    return StageRows(
        stage=stage,
        subjects=tuple(s for s, _ in flat),
        start_ns=np.array([e[0] for _, e in flat], np.int64),
        values=np.array([e for _, e in flat], np.float64).reshape(-1, 3),
        columns=("last_ns", "raised_ns", "cleared_ns"),
    )

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

from sightline.decide import Episode, InhibitionRule, IssuedDecisions, episodes, released
from sightline.errors import LogError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.perceive.window_series import WindowSeries
from sightline.recorder.checkpoint import StateParts
from sightline.records import Accounts, Decision, Entry, EntryKind
from sightline.records.decision import Status, Transition
from sightline.records.signals import NS_PER_S
from sightline.records.windows import WindowTable
from sightline.runtime.alerting.desk import DESK, DeskStage
from sightline.runtime.engine.learning import Learning
from sightline.runtime.engine.operator_inputs import OperatorInputs, is_for_desk
from sightline.runtime.engine.outputs import StageRows, StepOutput
from sightline.runtime.engine.stage_timer import StageTimer, Untimed
from sightline.runtime.engine.stream import Names
from sightline.runtime.engine.summary import PresenceSummary, Summary
from sightline.runtime.plan import Plan
from sightline.runtime.stage import AllKeys, AllKeysStage, Step, Watch, WatchStage
from sightline.sense.admission import Share
from sightline.sense.event_time import FOREVER_NS, NEVER_NS

FAN_IN_STATE_VERSION = 3
INHIBITION = "inhibition"
"""Name under which the release of held decisions is timed."""


class FanInCore:
    """State of the fan-in partition. ``step`` is its only way forward.

    Args:
        plan: the checked pipeline.
        partitions: number of key partitions to wait for.
        limits: bounds of its state.
        observe: called with the rows each stage wrote; used by the run comparison only.
        timer: told where the work of each stage begins and ends; the core never reads it.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        partitions: int,
        limits: Limits = DEFAULT_LIMITS,
        observe: Callable[[StageRows], None] | None = None,
        timer: StageTimer = Untimed(),
    ) -> None:
        self.plan = plan
        self.partitions = partitions
        self.limits = limits
        self._observe = observe
        self._timer = timer
        self.models: dict[str, str] = {}
        """No model is live in the fan-in."""
        self.issued = IssuedDecisions(most=limits.max_open_decisions)
        self.epoch = -1
        self.is_finished = False
        self._waiting: dict[int, Summary] = {}
        self._presence = [group_presence(plan, step) for step in plan.watches]
        self._all_keys = [_begun(plan, step, limits) for step in plan.over_all_keys]
        has_desk = plan.pipeline.alerting is not None
        self.desk = DeskStage(plan, limits=limits) if has_desk else None
        """The alert desk, if the pipeline has one."""
        self._inputs = OperatorInputs(plan, limits=limits)
        self._settled_ns = NEVER_NS
        self._candidates: dict[tuple[str, str], dict[str, Decision]] = {}
        self._wider: dict[tuple[str, str], list[Episode]] = {}
        self._held: set[tuple[str, str]] = set()
        self._rules = {
            name: InhibitionRule(
                kind=name,
                inhibited_by=step.stage.settings.inhibited_by,
                hold_ns=round((step.stage.settings.inhibit_hold_s or 0.0) * NS_PER_S),
            )
            for name, step in plan.deciding_steps().items()
            if step.stage.settings.inhibited_by
        }
        self._wider_kinds = {kind for rule in self._rules.values() for kind in rule.inhibited_by}

    def step(self, entry: Entry) -> StepOutput:
        """Apply one entry; says something only when the last summary of an epoch has come."""
        if entry.kind in (EntryKind.CONFIGURATION, EntryKind.MODEL):
            return StepOutput()
        if entry.kind is EntryKind.CONTROL:
            control = self._inputs.apply(entry.payload)
            if control is not None and self.desk is not None and is_for_desk(control):
                self.desk.control(control)
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
        self._inputs.go_to(tick_ns)
        output = StepOutput()
        touched: set[tuple[str, str]] = set()
        for summary in summaries:
            for part in summary.presence:
                for presence in self._presence:
                    if presence.chain == part.chain:
                        widen(presence, part)
            for candidate in summary.candidates:
                if candidate.kind in self._rules or candidate.kind in self._wider_kinds:
                    touched.add(self._note(candidate))
        for presence in self._presence:
            with self._timer.span(presence.watch.step.name):
                said = self._silences(presence, tick_ns=tick_ns, is_final=is_final, output=output)
            output.decisions.extend(said)
            touched.update(self._note(decision) for decision in said)
        for half in self._all_keys:
            with self._timer.span(half.step.name):
                said = self._of_all_keys(half, summaries, tick_ns=tick_ns, is_final=is_final)
            output.decisions.extend(said)
            touched.update(self._note(decision) for decision in said)
        with self._timer.span(INHIBITION):
            self._release(touched, FOREVER_NS if is_final else now_ns, output)
        if self.desk is not None:
            with self._timer.span(DESK):
                # Partitions have published the others themselves; here they are only told of.
                theirs = [c for s in summaries for c in s.candidates if c.kind not in self._rules]
                output.alerting = self.desk.epoch(
                    self.epoch,
                    [*theirs, *output.decisions],
                    [key for summary in summaries for key in summary.new_keys],
                    now_ns=now_ns,
                    is_last=is_final,
                )
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
        self, presence: GroupPresence, *, tick_ns: int, is_final: bool, output: StepOutput
    ) -> list[Decision]:
        contract = self.plan.streams[presence.source]
        said: list[Decision] = []
        for change in presence.watch.look(
            presence.series,
            presence.names,
            self._inputs,
            now_ns=tick_ns if is_final else tick_ns - contract.out_of_order_ns,
            heard_ns=None,
            group_of=lambda key, row: presence.names[key],
            observe=self._observe,
        ):
            said += self.issued.reconcile(
                presence.watch.step.name,
                change.subject,
                self._inputs.visible(change.decisions),
                from_ns=change.from_ns,
                settled_ns=self._settled_ns,
            )
        if presence.watch.digest:
            output.digests[presence.watch.step.name] = presence.watch.digest
        settled = np.full(len(presence.names), tick_ns - contract.max_backlog_ns, np.int64)
        presence.series.trim(settled_ns=settled, lookback=1)
        return said

    # --- stages over all keys -----------------------------------------------------------------

    def _of_all_keys(
        self, half: AllKeys, summaries: list[Summary], *, tick_ns: int, is_final: bool
    ) -> list[Decision]:
        """Hand on what the partitions report; what follows when nothing can be late any more."""
        for summary in summaries:
            if half.step.name in summary.reports:
                half.take(summary.reports[half.step.name])
        said: list[Decision] = []
        for change in half.look(FOREVER_NS if is_final else tick_ns - self.plan.max_backlog_ns):
            said += self.issued.reconcile(
                half.step.name,
                change.subject,
                self._inputs.visible(change.decisions),
                from_ns=change.from_ns,
            )
        return said

    # --- inhibition ---------------------------------------------------------------------------

    def _release(self, touched: set[tuple[str, str]], now_ns: int, output: StepOutput) -> None:
        """Publish the candidates whose verdict is in."""
        if any(identity[0] in self._wider_kinds for identity in touched):
            self._wider = self._index_wider(self._wider_kinds)
            # A verdict may also have been taken back, whose group is not in the store any more.
            touched = touched | {i for i in self._candidates if i[0] in self._rules}
        looked_at = sorted(
            i for i in touched | self._held if i[0] in self._rules and i in self._candidates
        )
        for identity in looked_at:
            kind, subject = identity
            rule = self._rules[kind]
            store = list(self._candidates[identity].values())
            groups = {EVERYWHERE, *(d.group for d in store)}
            wider = [
                episode
                for wider_kind in rule.inhibited_by
                for group in groups
                for episode in self._wider.get((wider_kind, group), ())
            ]
            decisions, waits = released(rule, episodes(store), wider, now_ns=now_ns)
            said = self.issued.reconcile(
                kind,
                subject,
                self._inputs.visible(decisions),
                from_ns=NEVER_NS,
                settled_ns=self._settled_ns,
            )
            output.decisions.extend(said)
            (self._held.add if waits else self._held.discard)(identity)
            if said:
                # Without ids, which every change of the pipeline changes.
                text = json.dumps(
                    [[d.subject, d.transition, d.event_ns, d.score, d.status] for d in said]
                ).encode()
                name = f"{kind}:inhibition"
                before = output.digests.get(name, "")
                output.digests[name] = before + hashlib.blake2b(text, digest_size=8).hexdigest()

    def _index_wider(self, kinds: set[str]) -> dict[tuple[str, str], list[Episode]]:
        """Episodes of the inhibiting kinds by (kind, group)."""
        index: dict[tuple[str, str], list[Episode]] = {}
        for (kind, _), store in self._candidates.items():
            if kind not in kinds:
                continue
            for episode in episodes(list(store.values())):
                decision = episode.raised or episode.cleared
                assert decision is not None
                index.setdefault((kind, decision.group), []).append(episode)
        return index

    def _settle(self, tick_ns: int) -> None:
        """Forget what can no longer be revised; an open episode keeps its beginning."""
        until_ns = tick_ns - self.plan.max_backlog_ns
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
        self.issued.settle(dict.fromkeys(self.issued.identities(), until_ns))
        if self.desk is not None:
            self.desk.settle(until_ns)
        self._settled_ns = until_ns

    # --- checkpoint ---------------------------------------------------------------------------

    def accounts(self) -> Accounts:
        """The fan-in receives summaries, not rows: nothing to account for."""
        return Accounts()

    def learning(self) -> tuple[tuple[str, Learning], ...]:
        """No stage here learns."""
        return ()

    def at_bounds(self) -> tuple[tuple[str, int], ...]:
        """Decisions that became final early, for want of room."""
        count = self.issued.made_final
        final = (("max_open_decisions", count),) if count else ()
        return (*final, *(one for half in self._all_keys for one in half.at_bounds()))

    def left_aside(self) -> tuple[tuple[str, str, int], ...]:
        """The fan-in sees no pictures."""
        return ()

    def advice(self) -> tuple[tuple[str, str], ...]:
        """(stage, text): what a stage over all keys could not judge."""
        return tuple((half.step.name, text) for half in self._all_keys if (text := half.advice()))

    def breaker_phases(self) -> tuple[tuple[str, str], ...]:
        """The fan-in has no guarded stages."""
        return ()

    def snapshot(self) -> StateParts:
        """The whole state, between two epochs."""
        parts = StateParts(meta={}, arrays={}, frames={})
        parts.meta["core"] = {
            "version": FAN_IN_STATE_VERSION,
            "plan": self.plan.digest,
            "epoch": self.epoch,
            "finished": self.is_finished,
            "issued": self.issued.snapshot(),
            "silent": {p.watch.step.name: p.watch.snapshot() for p in self._presence},
            "settled_ns": self._settled_ns,
            "candidates": [
                d.as_mapping() for _, s in sorted(self._candidates.items()) for d in s.values()
            ],
            "held": sorted(self._held),
            "inputs": self._inputs.snapshot(),
            "waiting": [self._waiting[p].to_bytes().decode() for p in sorted(self._waiting)],
            "names": {p.watch.step.name: p.names.all() for p in self._presence},
        }
        if self.desk is not None:
            parts.meta["core"]["desk"] = self.desk.snapshot()
        for presence in self._presence:
            for name, array in presence.series.snapshot().items():
                parts.arrays[f"presence.{presence.watch.step.name}.{name}"] = array
        for half in self._all_keys:
            for name, array in half.snapshot().items():
                parts.arrays[f"all_keys.{half.step.name}.{name}"] = array
        return parts

    def restore(self, parts: StateParts) -> None:
        """Inverse of :meth:`snapshot`.

        Raises:
            LogError: if the state is of another version or pipeline.
        """
        core: dict[str, Any] = parts.meta["core"]
        if core["version"] != FAN_IN_STATE_VERSION or core["plan"] != self.plan.digest:
            raise LogError(
                expected=f"state version {FAN_IN_STATE_VERSION} of pipeline {self.plan.digest}",
                got=f"version {core['version']} of {core['plan']}",
                where="checkpoint of the fan-in partition",
                action="resume with the pipeline file the run was started with",
            )
        self.epoch = core["epoch"]
        self.is_finished = core["finished"]
        self.issued.restore(core["issued"])
        self._settled_ns = core["settled_ns"]
        self._inputs.restore(core["inputs"])
        self._candidates = {}
        for plain in core["candidates"]:
            self._note(Decision.from_mapping(plain))
        self._held = {(kind, subject) for kind, subject in core["held"]}
        waiting = [Summary.from_bytes(text.encode()) for text in core["waiting"]]
        self._waiting = {s.partition: s for s in waiting}
        for i, presence in enumerate(self._presence):
            name = presence.watch.step.name
            again = group_presence(self.plan, presence.watch.step, core["names"][name])
            again.series.restore(
                {n: parts.arrays[f"presence.{name}.{n}"] for n in ("code", "values")}
            )
            again.watch.restore(core["silent"][name])
            self._presence[i] = again
        for half in self._all_keys:
            begins = f"all_keys.{half.step.name}."
            half.restore(
                {n.removeprefix(begins): a for n, a in parts.arrays.items() if n.startswith(begins)}
            )
        if self.desk is not None:
            self.desk.restore(core["desk"])
        self._wider = self._index_wider(self._wider_kinds)

    def step_rows(self, source: str, share: Share) -> StepOutput:
        """The fan-in takes no rows."""
        raise LogError(
            expected="summaries",
            got=f"{share.height} rows of {source}",
            where="fan-in",
            action="run `sightline verify` on the run",
        )


def _begun(plan: Plan, step: Step, limits: Limits) -> AllKeys:
    """The half of a stage that is over all keys; empty."""
    assert isinstance(step.stage, AllKeysStage)
    return step.stage.begin_all_keys(step, pipeline=plan.digest, limits=limits)


# --- stages that watch for what does not come -----------------------------------------------------
# Stages that watch for what does not come: looked at every tick, over keys or over groups.
#
# A watch of keys lives in the key's partition. One of groups, or of everything, lives in the fan-in
# partition, which puts together from all partitions when each group had data.

EVERYWHERE = "*"
"""Group name of everything, for stages of scope global."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPresence:
    """Presence of the groups, as one watch of groups sees it."""

    watch: Watch
    chain: str
    source: str
    is_global: bool
    names: Names
    series: WindowSeries


def group_presence(plan: Plan, step: Step, names: list[str] | None = None) -> GroupPresence:
    """Of a stage that watches groups; empty.

    ``names`` are the groups that are known.
    """
    stage = step.stage
    assert isinstance(stage, WatchStage)
    chain = next(c for c in plan.chains if c.name == stage.settings.input)
    return GroupPresence(
        watch=stage.begin_watch(
            step,
            pipeline=plan.digest,
            source=chain.source,
            contract=plan.streams[chain.source],
        ),
        chain=chain.name,
        source=chain.source,
        is_global=stage.settings.scope == "global",
        names=Names(names),
        series=WindowSeries(
            ("first_offset_ns", "last_offset_ns"),
            slide_ns=chain.slide_ns,
            width_ns=chain.width_ns,
        ),
    )


def widen(presence: GroupPresence, part: PresenceSummary) -> None:
    """Merge a partition's presence into the groups': earliest first, latest last."""
    subjects = [EVERYWHERE] * len(part.groups) if presence.is_global else list(part.groups)
    ids = presence.names.encode(pl.Series(subjects, dtype=pl.String), most=(1 << 21) - 1)
    if not len(ids):
        return
    # Several groups of a part may be one subject (scope global): widest of each (subject, slot).
    slots = np.array(part.window, np.int64)
    order = np.lexsort((slots, ids))
    key, window = ids[order], slots[order]
    is_start = np.ones(len(order), np.bool_)
    is_start[1:] = (key[1:] != key[:-1]) | (window[1:] != window[:-1])
    start = np.flatnonzero(is_start)
    key, window = key[start], window[start]
    first = np.minimum.reduceat(np.array(part.first_offset_ns, np.float64)[order], start)
    last = np.maximum.reduceat(np.array(part.last_offset_ns, np.float64)[order], start)
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

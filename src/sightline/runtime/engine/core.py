"""The core of one partition: (state, entry) → (state, outputs), and nothing else.

It reads no clock, no file, no network and draws no random number. Everything it knows came in as
a log entry; everything it does goes out as a value that the shell carries out. Rows and frames are
entries of one log, and both kinds of stages live on one tick.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl

from sightline.decide import IssuedDecisions
from sightline.errors import LogError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder.checkpoint import StateParts
from sightline.records import Accounts, Decision, Entry, EntryKind
from sightline.records.signals import NS_PER_S
from sightline.records.windows import IntArray
from sightline.runtime.alerting.desk import NewKeys
from sightline.runtime.engine.batches import decode_frame
from sightline.runtime.engine.chain import ChainState, Changed, Passes, presence_summary, stage_rows
from sightline.runtime.engine.clock_watch import ClockWatch
from sightline.runtime.engine.guard import Outcome
from sightline.runtime.engine.headers import FrameHeader
from sightline.runtime.engine.items import Items
from sightline.runtime.engine.learning import Learning
from sightline.runtime.engine.one_thread import OneThread
from sightline.runtime.engine.operator_inputs import OperatorInputs
from sightline.runtime.engine.outputs import StageRows, StepOutput
from sightline.runtime.engine.row_counts import RowCounts
from sightline.runtime.engine.stage_timer import StageTimer, Untimed
from sightline.runtime.engine.stream import StreamState
from sightline.runtime.engine.summary import PresenceSummary, Summary
from sightline.runtime.plan import Plan
from sightline.runtime.stage import Step, SubjectTransitions, Watch, WatchStage
from sightline.sense.admission import Share
from sightline.sense.event_time import NEVER_NS
from sightline.sense.source import Position

CORE_STATE_VERSION = 5


class PartitionCore:
    """State of one partition. ``step`` is its only way forward.

    Args:
        plan: the checked pipeline.
        partition: number of this partition, for messages.
        limits: bounds of its state.
        observe: called with the rows each series stage wrote; used by the run comparison only.
        observe_item: sees each item after its stages, with what they said; for drawing a run.
        timer: told where the work of each stage begins and ends; the core never reads it.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        partition: int,
        limits: Limits = DEFAULT_LIMITS,
        observe: Callable[[StageRows], None] | None = None,
        observe_item: Callable[[FrameHeader, Mapping[str, Any]], None] | None = None,
        timer: StageTimer = Untimed(),
    ) -> None:
        self.plan = plan
        self.partition = partition
        self.limits = limits
        self._observe = observe
        self._timer = timer
        idle_ns = round(plan.pipeline.idle_s * NS_PER_S)
        self.streams = {
            name: StreamState(contract, pane_ns=plan.pane_ns(name), idle_ns=idle_ns, limits=limits)
            for name, contract in plan.streams.items()
        }
        self.chains = [ChainState(c, self.streams[c.source]) for c in plan.chains]
        self._chain_of = {
            s.name: chain for chain in self.chains for s in (chain.chain.root, *chain.chain.steps)
        }
        self.issued = IssuedDecisions(most=limits.max_open_decisions)
        self.passes = Passes(
            plan, partition=partition, say=self._say, wrote=self._wrote, timer=timer
        )
        self._counts = RowCounts()
        self.items = Items(
            plan,
            counts=self._counts,
            read_series=self._known,
            timer=timer,
            limits=limits,
            observe=observe_item,
        )
        self.models: dict[str, str] = {}
        """Version of the model that is live, by stage and role, as logged."""
        self.epoch = -1
        self.tick_ns = -1
        """Time of the newest tick, UTC ns; -1 before the first."""
        self.positions: dict[str, dict[str, Position]] = {}
        """By source and stream, up to where each row of this partition was fed; of sources that
        are found again by it."""
        self._is_finished = False
        self._has_desk = plan.pipeline.alerting is not None
        self._new_keys = NewKeys(self.streams) if self._has_desk else None
        self._inputs = OperatorInputs(plan, limits=limits)
        self._clock = ClockWatch(plan.digest)
        self._one_thread = OneThread()  # all that the stages need is loaded by now
        self._watches: dict[str, list[Watch]] = {
            chain.chain.name: [
                step.stage.begin_watch(
                    step,
                    pipeline=plan.digest,
                    source=chain.chain.source,
                    contract=plan.streams[chain.chain.source],
                )
                for step in chain.chain.steps
                if isinstance(step.stage, WatchStage)
            ]
            for chain in self.chains
        }
        # Up to where each key was settled before the current tick; nothing there is news.
        self._settled_ns = {name: np.empty(0, np.int64) for name in self.streams}
        self._presence_out: list[PresenceSummary] = []
        self._candidates_out: list[Decision] = []
        deciding = plan.deciding_steps()
        self._held = {n for n, s in deciding.items() if s.stage.settings.inhibited_by}
        self._watched = {
            wider for step in deciding.values() for wider in step.stage.settings.inhibited_by
        }

    @property
    def is_finished(self) -> bool:
        """Whether the final tick has been seen."""
        return self._is_finished

    @property
    def now_ns(self) -> int:
        """Event time of the newest item or tick, UTC ns; -1 before the first."""
        return self.items.now_ns

    # --- the one way forward ----------------------------------------------------------------------

    def step(self, entry: Entry) -> StepOutput:
        """Apply one entry.

        Raises:
            LogError: if the entry cannot be read, or comes after the final tick.
            InvariantViolation: if a promise of the engine does not hold.
        """
        handler = self._HANDLERS.get(entry.kind)
        if handler is None or (self._is_finished and entry.kind in _NOTHING_AFTER_THE_END):
            raise LogError(
                expected="an entry the core reads, before its final tick",
                got=str(entry.kind),
                where=f"partition {self.partition}, sequence {entry.sequence}",
                action="run `sightline verify` on the run",
            )
        with self._one_thread:
            return handler(self, entry)

    def step_rows(self, source: str, share: Share) -> StepOutput:
        """Apply an INPUT entry whose rows the caller already has."""
        refused, received, dropped = self._feed(source, share)
        self._counts.received += received
        self._counts.refuse(refused)
        self._counts.drop("BUFFER_FULL", dropped)
        return StepOutput(refused=[(source, refused)] if refused.height else [])

    def _feed(self, source: str, share: Share) -> tuple[pl.DataFrame, int, int]:
        """Give rows to a stream and its chains: refused rows, rows received, rows dropped."""
        stream = self.streams[source]
        with self._timer.span(source):
            fed = stream.feed(share)
        if self._new_keys is not None:
            self._new_keys.note(source, fed.rows)
        if fed.rows is not None:
            self.items.on_rows(source, fed.signals)
            for chain in self.chains:
                if chain.chain.source == source:
                    chain.note(fed.rows)
                chain.note_beside(source, fed.rows, stream.keys)
        return fed.refused, fed.received, fed.dropped

    def _on_input(self, entry: Entry) -> StepOutput:
        return self.step_rows(entry.name, Share.of(decode_frame(entry.payload)))

    def _on_rejected(self, entry: Entry) -> StepOutput:
        refused = decode_frame(entry.payload)
        self._counts.received += refused.height
        self._counts.refuse(refused)
        return StepOutput(refused=[(entry.name, refused)])

    def _on_drop(self, entry: Entry) -> StepOutput:
        plain = json.loads(entry.payload)
        self._counts.received += int(plain["rows"])
        self._counts.drop(str(plain["cause"]), int(plain["rows"]))
        return StepOutput()

    def _on_frame(self, entry: Entry) -> StepOutput:
        output = StepOutput()
        self._say_once(self.items.on_frame(entry, output), output)
        return output

    def _on_fault(self, entry: Entry) -> StepOutput:
        self.items.on_fault(entry)
        return StepOutput()

    def _on_control(self, entry: Entry) -> StepOutput:
        output = StepOutput()
        plain = self._inputs.apply(entry.payload)
        if plain is not None:
            self.items.on_control(plain, output)
            for chain in self.chains:
                chain.take_control(plain)
        return output

    def _on_clock(self, entry: Entry) -> StepOutput:
        output = StepOutput()
        self._say_once(self._clock.take(entry.payload), output)
        return output

    def _on_model(self, entry: Entry) -> StepOutput:
        self.models[entry.name] = str(json.loads(entry.payload)["version"])
        return StepOutput()

    def _on_tick(self, entry: Entry) -> StepOutput:
        tick = json.loads(entry.payload)
        self.epoch, self.tick_ns = int(tick["epoch"]), int(tick["tick_ns"])
        self._is_finished = bool(tick["final"])
        for source, streams in tick.get("positions", {}).items():
            self.positions.setdefault(source, {}).update(streams)
        self.passes.tick(self.epoch)
        self._inputs.go_to(self.tick_ns)
        output = StepOutput()
        if self.plan.items:
            # Before the windows: what items have measured up to here is in them at this tick.
            self._say_once(
                self.items.on_tick(self.tick_ns, output, is_final=self._is_finished), output
            )
            for stage, rows in self.items.take_rows():
                refused, _, dropped = self._feed(stage, Share.of(rows))
                # Rows that items have measured are accounted for where they are lost.
                self._counts.received += refused.height + dropped
                self._counts.refuse(refused)
                self._counts.drop("BUFFER_FULL", dropped)
                if refused.height:
                    output.refused.append((stage, refused))
        for stream in self.streams.values():
            stream.clock.tick(self.tick_ns, final=self._is_finished)
        for chain in self.chains:
            with self._timer.span(chain.chain.name):
                changed = chain.close()
            if changed is not None:
                self._closed(chain, changed, output)
        self.passes.run(output)
        if not self.passes.is_waiting:
            self._finish_tick(output)
        return output

    def _on_outcome(self, entry: Entry) -> StepOutput:
        output = StepOutput()
        outcome = Outcome.of(entry)
        if self.items.is_asked(outcome.request_id):
            self._say_once(self.items.on_outcome(outcome, output), output)
            return output
        self.passes.answer(outcome, output)
        if not self.passes.is_waiting:
            self._finish_tick(output)
        return output

    _HANDLERS: Mapping[EntryKind, Callable[[PartitionCore, Entry], StepOutput]] = {
        EntryKind.INPUT: _on_input,
        EntryKind.REJECTED: _on_rejected,
        EntryKind.DROP: _on_drop,
        EntryKind.FRAME: _on_frame,
        EntryKind.FRAME_FAULT: _on_fault,
        EntryKind.TICK: _on_tick,
        EntryKind.OUTCOME: _on_outcome,
        EntryKind.CONTROL: _on_control,
        EntryKind.CLOCK: _on_clock,
        EntryKind.CONFIGURATION: lambda core, entry: StepOutput(),
        EntryKind.MODEL: _on_model,
    }

    # --- a tick's work ----------------------------------------------------------------------------

    def _closed(self, chain: ChainState, changed: Changed, output: StepOutput) -> None:
        self._digest(chain.chain.name, chain, changed.rows, chain.chain.own_columns, output)
        if chain.writes == "presence" and self.plan.has_fan_in:
            self._presence_out.append(presence_summary(chain, changed.rows))
        self.passes.add(chain, changed.targets)

    def _say(
        self,
        step: Step,
        change: SubjectTransitions,
        output: StepOutput,
        *,
        settled_ns: int = NEVER_NS,
    ) -> None:
        said = self.issued.reconcile(
            step.name,
            change.subject,
            self._inputs.visible(change.decisions),
            from_ns=change.from_ns,
            settled_ns=settled_ns,
        )
        if self._has_desk or step.name in self._held or step.name in self._watched:
            self._candidates_out.extend(said)
        if step.name not in self._held:  # the others are published by the fan-in, if at all
            output.decisions.extend(said)

    def _say_once(self, decided: list[Decision], output: StepOutput) -> None:
        """What is decided once, by item stages or of the clock: it is issued as it is."""
        if not decided:
            return
        visible = self._inputs.visible(decided)
        if self._has_desk:
            self._candidates_out.extend(visible)
        output.decisions.extend(visible)

    def _finish_tick(self, output: StepOutput) -> None:
        for chain in self.chains:
            for watch in self._watches[chain.chain.name]:
                with self._timer.span(watch.step.name):
                    self._look(chain, watch, output)
        for name, stream in self.streams.items():
            self._settle(name, stream)
        if self.plan.has_fan_in:
            output.summary = Summary(
                partition=self.partition,
                epoch=self.epoch,
                tick_ns=self.tick_ns,
                is_final=self._is_finished,
                presence=tuple(self._presence_out),
                candidates=tuple(self._candidates_out),
                new_keys=self._new_keys.take() if self._new_keys else (),
                reports={n: r for chain in self.chains for n, r in chain.reports()},
            )
            self._presence_out, self._candidates_out = [], []
        if self.chains:
            output.decisions.sort(key=lambda d: (d.event_ns, d.subject, d.kind, d.revision))
        output.accounts = self.accounts()
        output.accounts.check(f"partition {self.partition}, epoch {self.epoch}")

    def _look(self, chain: ChainState, watch: Watch, output: StepOutput) -> None:
        stream = chain.stream
        clock = stream.clock
        group = chain.series.column("group")
        settled_ns = self._settled_ns[chain.chain.source]
        for change in watch.look(
            chain.series,
            stream.keys,
            self._inputs,
            now_ns=clock.effective_ns,
            heard_ns=None if clock.is_final else clock.heard_ns[stream.clock_group],
            group_of=lambda key, row: stream.groups[int(group[row])],
            observe=self._observe,
        ):
            identity = stream.keys.find(change.subject)
            is_known = identity is not None and identity < len(settled_ns)
            until_ns = int(settled_ns[identity]) if is_known else NEVER_NS
            self._say(watch.step, change, output, settled_ns=until_ns)
        if watch.digest:
            output.digests[watch.step.name] = watch.digest

    def _settle(self, name: str, stream: StreamState) -> None:
        settled_ns = stream.key_settled_ns()
        width_ns = self.plan.widest_ns(name)
        pane = (settled_ns - width_ns) // stream.store.pane_ns + 1
        gone = stream.store.settle(settled_pane=pane, everything=stream.clock.is_final)
        self._settled_ns[name] = settled_ns
        if name in self.plan.contracts:  # what was measured on items is no row of a source
            self._counts.decided += gone.decided
            self._counts.superseded += gone.superseded
        for chain in self.chains:
            if chain.chain.source == name:
                chain.trim(settled_ns)
        if len(self.issued):
            self._settle_issued(name, stream, settled_ns)

    def _settle_issued(self, name: str, stream: StreamState, settled_ns: IntArray) -> None:
        """Let go of decisions on rows of the source ``name`` that cannot be revised any more."""
        until: dict[tuple[str, str], int] = {}
        for kind, subject in self.issued.identities():
            if self._chain_of[kind].chain.source != name:
                continue  # another source's clock says nothing of it
            identity = stream.keys.find(subject)
            if identity is None:
                identity = stream.keys.find(subject.rsplit("/", 1)[0])
            if identity is not None:
                until[(kind, subject)] = int(settled_ns[identity])
        self.issued.settle(until)

    def _known(self, stage: str, column: str, key: str, at_ns: int) -> tuple[float, int]:
        chain = self._chain_of.get(stage)
        columns = () if chain is None else chain.chain.columns
        if column not in columns:
            column = f"{stage}.{column}"
        if chain is None or column not in columns or column == "group":
            raise UsageError(
                expected="a column of a stage on windows, as STAGE.COLUMN",
                got=column,
                where="turn.known",
                action="name one that `planning.column` gives, and check it in `plan`",
            )
        return chain.newest_before(key, column, at_ns)

    # --- accounts, digests, checkpoint ------------------------------------------------------------

    def accounts(self) -> Accounts:
        """Where every row and frame of this partition is now."""
        return self._counts.accounts(in_flight=self.open_rows())

    def breaker_phases(self) -> tuple[tuple[str, str], ...]:
        """(stage, phase) of every circuit breaker that was ever used."""
        series = [(name, str(b.phase)) for name, b in sorted(self.passes.breakers.items())]
        return (*series, *self.items.breaker_phases())

    def learning(self) -> tuple[tuple[str, Learning], ...]:
        """How far each stage that learns knows its series."""
        return tuple(pair for chain in self.chains for pair in chain.learning().items())

    def at_bounds(self) -> tuple[tuple[str, int], ...]:
        """By bound that was reached: decisions that became final early, conditions not said."""
        found = (("max_open_decisions", self.issued.made_final),
                 ("max_standing", self.items.unsaid))  # fmt: skip
        return tuple((name, count) for name, count in found if count)

    def left_aside(self) -> tuple[tuple[str, str, int], ...]:
        """(camera, cause, count) of what was found in pictures and is in no track."""
        return self.items.left_aside()

    def advice(self) -> tuple[tuple[str, str], ...]:
        """(camera, text): which setting of its detector would fit what was seen."""
        return self.items.advice()

    def open_rows(self) -> int:
        """Rows in windows that may still change, and frames that were asked about."""
        rows = sum(len(self.streams[name].store) for name in self.plan.contracts)
        return rows + self.items.waiting

    def _wrote(self, step: Step, chain: ChainState, targets: IntArray, output: StepOutput) -> None:
        self._digest(step.name, chain, targets, tuple(m.column for m in step.adds), output)

    def _digest(
        self,
        stage: str,
        chain: ChainState,
        rows: IntArray,
        columns: tuple[str, ...],
        output: StepOutput,
    ) -> None:
        # Group ids are dictionary ids, which depend on arrival; names are compared instead.
        own = tuple(c for c in columns if c != "group")
        wrote = stage_rows(stage, chain, rows, own)
        output.digests[stage] = output.digests.get(stage, "") + wrote.digest()
        if self._observe is not None:
            self._observe(wrote)

    def snapshot(self) -> StateParts:
        """The whole state, between two ticks or items."""
        parts = StateParts(meta={}, arrays={}, frames={})
        parts.meta["core"] = {
            "version": CORE_STATE_VERSION,
            "plan": self.plan.digest,
            "partition": self.partition,
            "epoch": self.epoch,
            "tick_ns": self.tick_ns,
            "finished": self._is_finished,
            "counts": self._counts.snapshot(),
            "inputs": self._inputs.snapshot(),
            "clock": self._clock.snapshot(),
            "breakers": self.passes.snapshot(),
            "models": self.models,
            "positions": self.positions,
            "issued": self.issued.snapshot(),
            "candidates": [d.as_mapping() for d in self._candidates_out],
            "watches": {w.step.name: w.snapshot() for ws in self._watches.values() for w in ws},
        }
        if self._new_keys is not None:
            parts.meta["core"]["new_keys"] = self._new_keys.snapshot()
        for name, stream in self.streams.items():
            stream.snapshot(f"stream.{name}", parts)
            parts.arrays[f"settled.{name}"] = self._settled_ns[name]
        for chain in self.chains:
            chain.snapshot(f"chain.{chain.chain.name}", parts)
        if self.plan.items:
            self.items.snapshot(parts)
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
                action="resume with the pipeline file the run was started with, or delete the "
                "checkpoints: the state is rebuilt from the log",
            )
        self.epoch, self.tick_ns = core["epoch"], core["tick_ns"]
        self._is_finished = core["finished"]
        self._counts.restore(core["counts"])
        self._inputs.restore(core["inputs"])
        self._clock.restore(core["clock"])
        self.passes.restore(core["breakers"])
        self.models = dict(core["models"])
        self.positions = {n: dict(streams) for n, streams in core["positions"].items()}
        self._candidates_out = [Decision.from_mapping(d) for d in core["candidates"]]
        if self._new_keys is not None:
            self._new_keys.restore(core["new_keys"])
        self.issued.restore(core["issued"])
        for watches in self._watches.values():
            for watch in watches:
                watch.restore(core["watches"][watch.step.name])
        for name, stream in self.streams.items():
            stream.restore(f"stream.{name}", parts)
            self._settled_ns[name] = parts.arrays[f"settled.{name}"]
        for chain in self.chains:
            chain.restore(f"chain.{chain.chain.name}", parts)
        if self.plan.items:
            self.items.restore(parts)


_NOTHING_AFTER_THE_END = frozenset(
    {EntryKind.INPUT, EntryKind.FRAME, EntryKind.FRAME_FAULT, EntryKind.TICK}
)

"""The engine core of a key partition: (state, entry) → (state, outputs), and nothing else.

It reads no clock, no file, no network and draws no random number. Everything it knows came in as
a log entry; everything it does goes out as a value that the shell carries out.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl

from sightline.decide import IssuedDecisions
from sightline.errors import LogError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder.checkpoint import StateParts
from sightline.records import Accounts, Decision, Entry, EntryKind
from sightline.records.signals import NS_PER_S
from sightline.records.windows import IntArray
from sightline.runtime.alerting.new_keys import NewKeys
from sightline.runtime.chain import ChainState, Changed
from sightline.runtime.deciding import SubjectTransitions
from sightline.runtime.guard import Outcome
from sightline.runtime.learning_stage import Learning
from sightline.runtime.operator_inputs import OperatorInputs
from sightline.runtime.outputs import StepOutput
from sightline.runtime.pipeline import AlarmForm, SilenceForm
from sightline.runtime.plan import Plan, Step
from sightline.runtime.row_counts import RowCounts
from sightline.runtime.silence_watch import SilenceWatch
from sightline.runtime.stage_passes import StagePasses
from sightline.runtime.stage_rows import StageRows, presence_summary, stage_rows
from sightline.runtime.stage_timer import StageTimer, Untimed
from sightline.runtime.stream import StreamState
from sightline.runtime.summary import PresenceSummary, Summary
from sightline.sense.event_time import NEVER_NS

CORE_STATE_VERSION = 2


class PartitionCore:
    """State of one key partition. ``step`` is its only way forward.

    Args:
        plan: the checked pipeline.
        partition: number of this partition, for messages.
        limits: bounds of its state.
        observe: called with the rows each stage wrote; used by the run comparison only.
        timer: told where the work of each stage begins and ends; the core never reads it.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        partition: int,
        limits: Limits = DEFAULT_LIMITS,
        observe: Callable[[StageRows], None] | None = None,
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
            for name, contract in plan.contracts.items()
        }
        self.chains = [ChainState(c, self.streams[c.source]) for c in plan.chains]
        self.issued = IssuedDecisions()
        self.passes = StagePasses(
            plan, partition=partition, say=self._say, wrote=self._wrote, timer=timer
        )
        self.models: dict[str, str] = {}
        """Version of the model that is live, by stage, as logged."""
        self.epoch = -1
        self._has_desk = plan.pipeline.alerting is not None
        self._new_keys = NewKeys(self.streams) if self._has_desk else None
        self._inputs = OperatorInputs(plan.contracts, has_desk=self._has_desk)
        self._watches = {
            chain.chain.name: [
                SilenceWatch(plan, step, chain.chain.source)
                for step in chain.chain.steps
                if isinstance(step.form, SilenceForm)
            ]
            for chain in self.chains
        }
        # Up to where each key was settled before the current tick; nothing there is news.
        self._settled_ns = {name: np.empty(0, np.int64) for name in self.streams}
        self._counts = RowCounts()
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
        with self._timer.span(source):
            fed = stream.feed(raw)
        self._counts.received += fed.received
        self._counts.refuse(fed.refused)
        self._counts.drop("BUFFER_FULL", fed.dropped)
        if self._new_keys is not None:
            self._new_keys.note(source, fed.rows)
        if fed.rows is not None:
            for chain in self.chains:
                if chain.chain.source == source:
                    chain.note(fed.rows)
        return StepOutput(refused=[(source, fed.refused)] if fed.refused.height else [])

    def _on_input(self, entry: Entry) -> StepOutput:
        return self.step_rows(entry.name, pl.read_ipc_stream(io.BytesIO(entry.payload)))

    def _on_rejected(self, entry: Entry) -> StepOutput:
        refused = pl.read_ipc_stream(io.BytesIO(entry.payload))
        self._counts.received += refused.height
        self._counts.refuse(refused)
        return StepOutput(refused=[(entry.name, refused)])

    def _on_drop(self, entry: Entry) -> StepOutput:
        plain = json.loads(entry.payload)
        self._counts.received += int(plain["rows"])
        self._counts.drop(str(plain["cause"]), int(plain["rows"]))
        return StepOutput()

    def _on_control(self, entry: Entry) -> StepOutput:
        self._inputs.apply(entry.payload)
        return StepOutput()

    def _on_model(self, entry: Entry) -> StepOutput:
        self.models[entry.name] = str(json.loads(entry.payload)["version"])
        return StepOutput()

    def _on_tick(self, entry: Entry) -> StepOutput:
        self._tick = json.loads(entry.payload)
        assert self._tick is not None
        self.epoch = int(self._tick["epoch"])
        self.passes.tick(self.epoch)
        self._inputs.go_to(int(self._tick["tick_ns"]))
        for stream in self.streams.values():
            stream.clock.tick(int(self._tick["tick_ns"]), final=bool(self._tick["final"]))
        output = StepOutput()
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
        self.passes.answer(Outcome.from_bytes(entry.payload), output)
        if not self.passes.is_waiting:
            self._finish_tick(output)
        return output

    _HANDLERS: Mapping[EntryKind, Callable[[PartitionCore, Entry], StepOutput]] = {
        EntryKind.INPUT: _on_input,
        EntryKind.REJECTED: _on_rejected,
        EntryKind.DROP: _on_drop,
        EntryKind.TICK: _on_tick,
        EntryKind.OUTCOME: _on_outcome,
        EntryKind.CONTROL: _on_control,
        EntryKind.CONFIGURATION: lambda core, entry: StepOutput(),
        EntryKind.MODEL: _on_model,
    }

    # --- a tick's work --------------------------------------------------------------------------

    def _closed(self, chain: ChainState, changed: Changed, output: StepOutput) -> None:
        self._digest(chain.chain.name, chain, changed.rows, chain.chain.own_columns, output)
        if chain.is_presence and self.plan.has_fan_in:
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

    def _finish_tick(self, output: StepOutput) -> None:
        assert self._tick is not None
        for chain in self.chains:
            for watch in self._watches[chain.chain.name]:
                with self._timer.span(watch.step.name):
                    self._silences(chain, watch, output)
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
                new_keys=self._new_keys.take() if self._new_keys else (),
            )
            self._presence_out, self._candidates_out = [], []
        output.decisions.sort(key=lambda d: (d.event_ns, d.subject, d.kind, d.revision))
        output.accounts = self.accounts()
        output.accounts.check(f"partition {self.partition}, epoch {self.epoch}")

    def _silences(self, chain: ChainState, watch: SilenceWatch, output: StepOutput) -> None:
        stream = chain.stream
        clock = stream.clock
        group = chain.series.column("group")
        settled_ns = self._settled_ns[chain.chain.source]
        ids = {name: i for i, name in enumerate(stream.keys.all()[: len(settled_ns)])}
        for change in watch.look(
            chain.series,
            stream.keys,
            self._inputs,
            now_ns=clock.effective_ns,
            heard_ns=None if clock.is_final else clock.heard_ns[stream.clock_group],
            group_of=lambda key, row: stream.groups[int(group[row])],
            observe=self._observe,
        ):
            identity = ids.get(change.subject)
            until_ns = NEVER_NS if identity is None else int(settled_ns[identity])
            self._say(watch.step, change, output, settled_ns=until_ns)
        if watch.digest:
            output.digests[watch.step.name] = watch.digest

    def _settle(self, name: str, stream: StreamState) -> None:
        settled_ns = stream.key_settled_ns()
        width_ns = self.plan.widest_ns(name)
        pane = (settled_ns - width_ns) // stream.store.pane_ns + 1
        gone = stream.store.settle(settled_pane=pane, everything=stream.clock.is_final)
        self._settled_ns[name] = settled_ns
        self._counts.decided += gone.decided
        self._counts.superseded += gone.superseded
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

    # --- accounts, digests, checkpoint ----------------------------------------------------------

    def accounts(self) -> Accounts:
        """Where every row of this partition is now."""
        return self._counts.accounts(in_flight=self.open_rows())

    def breaker_phases(self) -> tuple[tuple[str, str], ...]:
        """(stage, phase) of every circuit breaker that was ever used."""
        return tuple((name, str(b.phase)) for name, b in sorted(self.passes.breakers.items()))

    def learning(self) -> tuple[tuple[str, Learning], ...]:
        """How far each stage that learns knows its series."""
        return tuple(
            (name, stage.learning(len(chain.stream.keys)))
            for chain in self.chains
            for name, stage in chain.learning.items()
        )

    def open_rows(self) -> int:
        """Rows in windows that may still change."""
        return sum(len(s.store) for s in self.streams.values())

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
        """The whole state, between two ticks."""
        parts = StateParts(meta={}, arrays={}, frames={})
        parts.meta["core"] = {
            "version": CORE_STATE_VERSION,
            "plan": self.plan.digest,
            "partition": self.partition,
            "epoch": self.epoch,
            "counts": self._counts.snapshot(),
            "inputs": self._inputs.snapshot(),
            "breakers": self.passes.snapshot(),
            "models": self.models,
            "issued": self.issued.snapshot(),
            "silent": {
                w.step.name: w.snapshot() for watches in self._watches.values() for w in watches
            },
        }
        if self._new_keys is not None:
            parts.meta["core"]["new_keys"] = self._new_keys.snapshot()
        for name, stream in self.streams.items():
            stream.snapshot(f"stream.{name}", parts)
            parts.arrays[f"settled.{name}"] = self._settled_ns[name]
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
        self._counts.restore(core["counts"])
        self._inputs.restore(core["inputs"])
        self.passes.restore(core["breakers"])
        self.models = dict(core["models"])
        if self._new_keys is not None:
            self._new_keys.restore(core["new_keys"])
        self.issued.restore(core["issued"])
        for watches in self._watches.values():
            for watch in watches:
                watch.restore(core["silent"][watch.step.name])
        for name, stream in self.streams.items():
            stream.restore(f"stream.{name}", parts)
            self._settled_ns[name] = parts.arrays[f"settled.{name}"]
        for chain in self.chains:
            chain.restore(f"chain.{chain.chain.name}", parts)

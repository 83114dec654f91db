"""Item stages in a core: frames come one by one, and each is decided on once, by a deadline.

No pixel ever comes here. A frame's header makes the stages that look ask for it; when the outcomes
are in the log, the item goes through the stages in their order. A tick goes through all of them, so
that silence can stop a machine as surely as a danger does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from sightline.decide.standing import StandingConditions
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder.checkpoint import StateParts
from sightline.records import Decision, Entry
from sightline.records.plain_json import null_or_number, number_or_null
from sightline.records.signals import NS_PER_S, ORIGIN, RECEIVED_NS, ROW
from sightline.runtime.engine.guard import BreakerState, FrameRequest, Outcome, OutcomeStatus
from sightline.runtime.engine.headers import CLOCK_SKEW, FrameFaultNote, FrameHeader
from sightline.runtime.engine.outputs import StepOutput
from sightline.runtime.engine.row_counts import RowCounts
from sightline.runtime.engine.stage_timer import StageTimer
from sightline.runtime.item_stage import TICK, ItemState, ItemStep, PlainState, Turn
from sightline.runtime.plan import ITEM_KEY, ITEM_TIME, Plan
from sightline.runtime.settings import Breaker

_NEVER_NS = -1
TIME_BACKWARDS = "TIME_BACKWARDS"
"""A frame that is not newer than the one before it: a clock was set back before a restart."""

ReadSeries = Callable[[str, str, str, int], tuple[float, int]]
"""(stage, column, key, at_ns) → value and window end of what is known of a series."""


@dataclass(slots=True)
class _Lane:
    """One camera: what came last, and what was asked about it."""

    waiting: FrameHeader | None = None
    newest: FrameHeader | None = None
    last_index: int = -1
    pending: set[str] = field(default_factory=set)
    outcomes: dict[str, Outcome] = field(default_factory=dict)


class Items:
    """All item stages of a core.

    Args:
        plan: the checked pipeline.
        counts: of the core: a frame is counted once.
        read_series: what is known of a series.
        timer: told what each stage takes.
        limits: ``max_standing``.
        observe: sees an item after it went through the stages, with what they said; for drawing.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        counts: RowCounts,
        read_series: ReadSeries,
        timer: StageTimer,
        limits: Limits = DEFAULT_LIMITS,
        observe: Callable[[FrameHeader, Mapping[str, Any]], None] | None = None,
    ) -> None:
        self.plan = plan
        self.pipeline = plan.digest
        self.read_series = read_series
        self.now_ns = _NEVER_NS
        self.states: dict[str, ItemState] = {
            step.name: step.stage.begin(plan.item_plan(step)) or PlainState(step.stage)
            for step in plan.items
        }
        self.fallback: set[str] = set()
        self._counts = counts
        self._timer = timer
        self._observe = observe
        self._lanes = {name: _Lane() for name in plan.cameras}
        self._steps = {
            name: [step for step in plan.items if name in step.cameras] for name in plan.cameras
        }
        self._lookers = {
            name: [s for s in steps if s.stage.looks and name in s.stage.settings.inputs]
            for name, steps in self._steps.items()
        }
        self._row_readers: dict[str, list[ItemStep]] = {}
        for step in plan.items:
            for source in step.stage.rows_from:
                self._row_readers.setdefault(source, []).append(step)
        self._breakers = {
            (step.name, name): BreakerState()
            for name, steps in self._lookers.items()
            for step in steps
        }
        self._rules = {
            s.name: Breaker() if s.stage.guard is None else s.stage.guard.breaker
            for s in plan.items
        }
        self._standing = StandingConditions(
            plan.digest,
            clear_ns=round(plan.pipeline.clear_s * NS_PER_S),
            most=limits.max_standing,
        )
        self._rows: dict[str, list[tuple[str, int, Mapping[str, float]]]] = {
            name: [] for name in plan.measured
        }
        self._row_number = dict.fromkeys(plan.measured, 0)

    # --- entries ----------------------------------------------------------------------------------

    def on_frame(self, entry: Entry, output: StepOutput) -> list[Decision]:
        """Take a frame's header: ask those who look at frames, or report that it was refused."""
        header = FrameHeader.of(entry)
        lane = self._lanes[header.camera]
        lane.last_index = header.index
        self._counts.received += 1
        at_ns = self._advance(header.received_ns)
        if lane.newest is not None and header.capture_ns <= lane.newest.capture_ns:
            # The source sees to the order, but a clock may have been set back before a restart.
            self._counts.refused(TIME_BACKWARDS, 1)
            return []
        if not any(sign.code == CLOCK_SKEW for sign in header.signs):
            lane.newest = header  # else one clock that jumped would put off all that follow
        turn = Turn(self, at_ns, output, header=header)
        for step in self._steps[header.camera]:
            self.states[step.name].on_arrival(turn.at(step))
        if not header.is_usable:
            self._counts.refused(header.signs[0].code if header.signs else "UNUSABLE", 1)
            for step in self._steps[header.camera]:
                self.states[step.name].on_refused(turn.at(step))
            return turn.finish(self._standing, self._timer)
        lane.waiting, lane.outcomes = header, {}
        for step in self._lookers[header.camera]:
            request = FrameRequest(
                request_id=f"{step.name}:{header.camera}:{header.index}",
                stage=step.name,
                camera=header.camera,
                ask_primary=self._breakers[step.name, header.camera].lets_through,
                empty_ns=self.empty_ns(header.camera, header.capture_ns),
            )
            lane.pending.add(request.request_id)
            output.requests.append(request)
        return [] if lane.pending else self._through(lane, output)

    def is_asked(self, request_id: str) -> bool:
        """Whether this request waits for its outcome."""
        return any(request_id in lane.pending for lane in self._lanes.values())

    def on_outcome(self, outcome: Outcome, output: StepOutput) -> list[Decision]:
        """An outcome about a frame; with the last one the item goes through the stages."""
        stage, camera, _ = outcome.request_id.rsplit(":", 2)
        lane = self._lanes[camera]
        lane.pending.discard(outcome.request_id)
        lane.outcomes[stage] = outcome
        if outcome.status is not OutcomeStatus.SKIPPED:
            breaker = self._breakers[stage, camera]
            self._breakers[stage, camera] = breaker.after(outcome.is_ok, self._rules[stage])
        return [] if lane.pending else self._through(lane, output)

    def _through(self, lane: _Lane, output: StepOutput) -> list[Decision]:
        header, lane.waiting = lane.waiting, None
        assert header is not None
        self._counts.decided += 1
        # Pairs are judged as of now, which is never before the picture.
        at_ns = self._advance(max(header.received_ns, header.capture_ns))
        turn = Turn(self, at_ns, output, header=header, outcomes=lane.outcomes)
        for step in self._steps[header.camera]:
            with self._timer.span(step.name):
                turn.at(step).looked()
                self.states[step.name].on_item(turn)
        found = turn.finish(self._standing, self._timer)
        if self._observe is not None:
            values = {s.name: self.states[s.name].value for s in self._steps[header.camera]}
            self._observe(header, values)
        return found

    def on_fault(self, entry: Entry) -> None:
        """Frames that could not be read."""
        note = FrameFaultNote.from_bytes(entry.payload)
        self._counts.received += note.frames
        self._counts.refused(note.reason, note.frames)
        if note.frames:
            self._lanes[note.camera].last_index = note.index + note.frames - 1

    def on_rows(self, source: str, signals: pl.DataFrame) -> None:
        """Rows of a source were admitted: stages that read them keep them until the next tick."""
        for step in self._row_readers.get(source, ()):
            self.states[step.name].on_rows(source, signals)

    def on_tick(self, tick_ns: int, output: StepOutput, *, is_final: bool) -> list[Decision]:
        """Time has gone on; ``is_final``: for the last time."""
        at_ns = self._advance(tick_ns)
        for (stage, camera), breaker in self._breakers.items():
            self._breakers[stage, camera] = breaker.ticked(self._rules[stage])
        turn = Turn(self, at_ns, output, is_final=is_final)
        with self._timer.span(TICK):
            for step in self.plan.items:
                self.states[step.name].on_tick(turn.at(step))
        return turn.finish(self._standing, self._timer)

    def on_control(self, control: Mapping[str, Any], output: StepOutput) -> None:
        """An operator input, for every stage that takes its kind."""
        turn = Turn(self, self.now_ns, output)
        for step in self.plan.items:
            stage, name = step.stage, control.get("control")
            takes = name in stage.controls and stage.check_control(control) is None
            if takes or name in stage.hears:
                self.states[step.name].on_control(control, turn.at(step))

    def _advance(self, at_ns: int) -> int:
        """Event time of this turn: it never stands still, so that turns have an order."""
        self.now_ns = max(at_ns, self.now_ns + 1)
        return self.now_ns

    def empty_ns(self, camera: str, before_ns: int) -> int:
        """Capture time of the camera's newest frame before ``before_ns`` known to show nobody; -1:
        there is no such frame.
        """
        states = [self.states[step.name] for step in self._lookers[camera]]
        return max((state.empty_ns(before_ns) for state in states), default=-1)

    def accepted_ns(self, camera: str) -> int:
        """Capture time of the camera's newest frame when its view was accepted last; -1: never."""
        states = [self.states[step.name] for step in self._steps[camera]]
        return max((state.accepted_ns for state in states), default=-1)

    # --- what is measured -------------------------------------------------------------------------

    def note_row(self, stage: str, camera: str, at_ns: int, values: Mapping[str, float]) -> None:
        """Keep a row until the next tick hands it to the windows; none if nobody reads them."""
        rows = self._rows.get(stage)
        if rows is not None:
            rows.append((camera, at_ns, values))

    def take_rows(self) -> list[tuple[str, pl.DataFrame]]:
        """What was measured since the last call, by stage, as raw rows of its contract."""
        found = []
        for stage, rows in self._rows.items():
            if not rows:
                continue
            contract = self.plan.measured[stage]
            columns: dict[str, Any] = {
                ITEM_KEY: [camera for camera, _, _ in rows],
                ITEM_TIME: [at_ns for _, at_ns, _ in rows],
            }
            for name in contract.fields:
                columns[name] = [float(values.get(name, float("nan"))) for _, _, values in rows]
            first = self._row_number[stage]
            self._row_number[stage] += len(rows)
            frame = pl.DataFrame(columns).with_columns(
                pl.lit(stage).alias(ORIGIN),
                pl.int_range(first, first + len(rows), dtype=pl.Int64).alias(ROW),
                pl.col(ITEM_TIME).alias(RECEIVED_NS),
            )
            found.append((stage, frame))
            self._rows[stage] = []
        return found

    # --- accounts, checkpoint ---------------------------------------------------------------------

    @property
    def unsaid(self) -> int:
        """Looks at which a condition found no room among those that stand."""
        return self._standing.unsaid

    def left_aside(self) -> tuple[tuple[str, str, int], ...]:
        """(camera, cause, count) of what the stages of one camera were given and did not use."""
        found: Counter[tuple[str, str]] = Counter()
        for step in self.plan.items:
            for cause, count in self.states[step.name].left_aside.items():
                found[", ".join(step.cameras), cause] += count
        return tuple((*at, count) for at, count in sorted(found.items()) if count)

    def advice(self) -> tuple[tuple[str, str], ...]:
        """(camera, text): which setting of its detector would fit what was seen."""
        said = ((", ".join(s.cameras), self.states[s.name].advice) for s in self.plan.items)
        return tuple((camera, text) for camera, text in said if text)

    @property
    def waiting(self) -> int:
        """Frames that somebody was asked about."""
        return sum(lane.waiting is not None for lane in self._lanes.values())

    def newest(self, camera: str) -> FrameHeader | None:
        """Header of a camera's newest frame; None before the first."""
        return self._lanes[camera].newest

    def last_index(self, camera: str) -> int:
        """Place of the newest frame, or lost frame, in a camera's counter; -1 before the first."""
        return self._lanes[camera].last_index

    def breaker_phases(self) -> list[tuple[str, str]]:
        """(stage, phase) of each circuit breaker."""
        return [(stage, str(b.phase)) for (stage, _), b in sorted(self._breakers.items())]

    def snapshot(self, into: StateParts) -> None:
        """Put the whole state into ``into``; to be called between two turns."""
        into.meta["items"] = {
            "now_ns": self.now_ns,
            "fallback": sorted(self.fallback),
            "standing": self._standing.snapshot(),
            "breakers": [[*at, b.as_mapping()] for at, b in sorted(self._breakers.items())],
            "rows": {
                stage: [[c, t, {n: number_or_null(v) for n, v in vs.items()}] for c, t, vs in rows]
                for stage, rows in self._rows.items()
            },
            "row_number": self._row_number,
            "lanes": {
                name: {
                    "newest": None if lane.newest is None else lane.newest.to_bytes().decode(),
                    "last_index": lane.last_index,
                }
                for name, lane in self._lanes.items()
            },
        }
        for name, state in self.states.items():
            parts = state.snapshot()
            into.meta[f"item.{name}"] = parts.meta
            for part, array in parts.arrays.items():
                into.arrays[f"item.{name}.{part}"] = array

    def restore(self, parts: StateParts) -> None:
        """Inverse of :meth:`snapshot`."""
        plain = parts.meta["items"]
        self.now_ns = plain["now_ns"]
        self.fallback = set(plain["fallback"])
        self._standing.restore(plain["standing"])
        for stage, camera, breaker in plain["breakers"]:
            self._breakers[stage, camera] = BreakerState.from_mapping(breaker)
        self._rows = {
            stage: [(c, t, {n: null_or_number(v) for n, v in vs.items()}) for c, t, vs in rows]
            for stage, rows in plain["rows"].items()
        }
        self._row_number = dict(plain["row_number"])
        for name, one in plain["lanes"].items():
            lane = self._lanes[name]
            newest = one["newest"]
            lane.newest = None if newest is None else FrameHeader.from_bytes(newest.encode())
            lane.last_index = one["last_index"]
        for name, state in self.states.items():
            begins = f"item.{name}."
            arrays = {n.removeprefix(begins): a for n, a in parts.arrays.items()
                      if n.startswith(begins)}  # fmt: skip
            state.restore(StateParts(meta=parts.meta[f"item.{name}"], arrays=arrays))

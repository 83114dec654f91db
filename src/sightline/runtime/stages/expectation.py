"""``expectation``: what each channel of a satellite should read, learnt from its own past.

The windows of a key are the rows of one satellite. What they mean is in
:mod:`sightline.perceive.normal.satellite_watch`; here they are put into the engine, whose windows
may be revised. A watch follows the settled windows, block by block; from there a look goes on
through the windows that may still change. So what is told is a function of the windows and of the
commands, and not of when they came.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from sightline.errors import LogError
from sightline.limits import Limits
from sightline.perceive.normal.channel_alert import ChannelAlert, Telling
from sightline.perceive.normal.expectation import CommandTimes
from sightline.perceive.normal.satellite_watch import (
    FALSE_ALERTS_PER_DAY,
    KEPT_DAYS,
    LEARN_DAYS,
    LEAST_LEARN_DAYS,
    SatelliteWatch,
)
from sightline.perceive.row_store import Rows
from sightline.perceive.window_series import WindowSeries
from sightline.records import Decision
from sightline.records.decision import Mode, Reason
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray
from sightline.runtime.engine.learning import (
    TAKE_AS_NORMAL,
    Learning,
    check_subject,
    subject_of,
)
from sightline.runtime.engine.stream import Names
from sightline.runtime.settings import DecidingSettings, Name
from sightline.runtime.stage import (
    Planning,
    Stage,
    Step,
    SubjectTransitions,
    Windows,
    Wiring,
)

VALUE_FIELD = "value"
"""Field of a source of commands that holds the value of a command, if it has one."""
EXPECTED, USUAL_SIZE = "EXPECTED", "USUAL_SIZE"
_EXPECTED, _USUAL = "expected", "usually within"
"""What these reasons measure, as a message says it."""
_DAY_NS = 86_400 * NS_PER_S
_WINDOW_BITS = 42
_WINDOW_MASK = (1 << _WINDOW_BITS) - 1
_LONGEST_NS = 600 * NS_PER_S
_TESTS = {
    "STEP": "how far it moved away from what was expected, against the most of its healthy past",
    "LEVEL": "how far it lies from what was expected, against the most of its healthy past",
    "GAIN": "how much more or less it follows what was expected than in its healthy past",
    "SWING": "how much it moves to and fro, against the most of its healthy past",
    "STUCK": "how long it has stood still, against the longest of its healthy past",
    "MISSING": "how long it has had no value, against the longest of its healthy past",
    "RANGE": "how far it is outside all that was learnt",
}


class ExpectationSettings(DecidingSettings):
    """What each channel of a satellite should read, learnt from its own past, and its commands."""

    measures: Annotated[tuple[str, ...], Field(min_length=1)] = ("*.mean",)
    """Columns of the input, one of each channel: ``*.mean`` for that of every field."""
    commands: Name | None = None
    """Source of the commands that were sent: its key is that of the telemetry and the command, and
    a field ``value`` is that of a command; null: none are on record."""
    learn_days: Annotated[int, Field(ge=LEAST_LEARN_DAYS, le=KEPT_DAYS)] = LEARN_DAYS
    """Days at the beginning of each key that are learnt from, with nothing told."""
    false_alerts_per_day: Annotated[float, Field(gt=0, le=10)] = FALSE_ALERTS_PER_DAY
    """False alerts of one key in a day that are borne, all its channels and tests together."""
    spread_windows: Annotated[int, Field(ge=0, le=100_000)] = 0
    """The days of a key begin up to so many windows late, by the hash of its name: so not all keys
    learn at one tick."""


class ExpectationStage(Stage):
    """A channel does not read what its past, its commands and its peers make one expect."""

    use = "expectation"
    version = 3  # 2 had smaller reserves, in proportion to one over the budget
    Settings = ExpectationSettings
    writes = "decisions"
    decides = True
    controls: ClassVar[tuple[str, ...]] = (TAKE_AS_NORMAL,)

    def plan(self, planning: Planning) -> Wiring:
        form: ExpectationSettings = self.settings
        width_ns = planning.width_ns
        if width_ns != planning.slide_ns or _DAY_NS % width_ns or width_ns > _LONGEST_NS:
            planning.fail(
                "windows that do not overlap, of a divisor of a day up to 10 min",
                f"{width_ns / NS_PER_S:g} s every {planning.slide_ns / NS_PER_S:g} s",
            )
        reads = planning.measures_like(form.input, form.measures)
        if len({m.field or m.column for m in reads}) < len(reads):
            planning.fail("one measure of each field", ", ".join(m.column for m in reads))
        if form.commands is not None:
            contract = planning.source(form.commands)
            if tuple(contract.key[:-1]) != tuple(planning.contract.key):
                planning.fail(
                    f"commands: a source with the key [{', '.join(planning.contract.key)}, "
                    f"COMMAND]",
                    f"{form.commands} with [{', '.join(contract.key)}]",
                )
            if tuple(contract.watermark_columns) != tuple(planning.contract.key):
                planning.fail(
                    f"commands: a source with timing.watermark_by: "
                    f"[{', '.join(planning.contract.key)}], so that its rows go where the "
                    f"telemetry goes",
                    f"[{', '.join(contract.watermark_columns)}]",
                )
        return Wiring(reads=reads)

    @property
    def beside(self) -> str | None:
        found: str | None = self.settings.commands
        return found

    def check_control(self, control: Mapping[str, Any]) -> str | None:
        return check_subject(control)

    def explain(self, reason: Reason) -> str:
        if reason.code == self.settings.code:
            return f"{reason.measure} as it was"
        if reason.code == EXPECTED:
            return "what was expected of it then"
        if reason.code == USUAL_SIZE:
            return "the usual size of what is left of an expectation"
        return _TESTS.get(reason.code) or super().explain(reason)

    def begin_state(self, step: Step, limits: Limits) -> FleetWatch:
        return FleetWatch(step, limits)

    def run(self, windows: Windows) -> Sequence[SubjectTransitions]:
        state: FleetWatch = windows.state
        return state.look(windows)


@dataclass(slots=True)
class _Commands:
    """Commands of one satellite, by time, then name; each time and name once."""

    time_ns: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    sequence: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    name: npt.NDArray[np.str_] = field(default_factory=lambda: np.empty(0, np.str_))
    value: FloatArray = field(default_factory=lambda: np.empty(0))

    def add(self, name: str, rows: Rows, at: IntArray, *, most: int) -> None:
        """Rows of one command; of those with one time the highest (sequence, value) wins."""
        none = np.full(len(at), np.nan)
        value = rows.values[VALUE_FIELD][at] if VALUE_FIELD in rows.values else none
        times = np.concatenate([self.time_ns, rows.time_ns[at]])
        sequence = np.concatenate([self.sequence, rows.sequence[at]])
        names = np.concatenate([self.name, np.full(len(at), name)])
        values = np.concatenate([self.value, value])
        order = np.lexsort((np.nan_to_num(values, nan=-np.inf), sequence, names, times))
        times, names = times[order], names[order]
        is_last = np.ones(len(order), np.bool_)
        is_last[:-1] = (times[1:] != times[:-1]) | (names[1:] != names[:-1])
        kept = np.flatnonzero(is_last)[-most:]
        self.time_ns, self.name = times[kept], names[kept]
        self.sequence, self.value = sequence[order][kept], values[order][kept]

    def since(self, origin_ns: int) -> CommandTimes:
        """With seconds since ``origin_ns``."""
        return CommandTimes(
            time_s=(self.time_ns - origin_ns) / NS_PER_S, name=self.name, value=self.value
        )


@dataclass(slots=True)
class _Satellite:
    """One key.

    Attributes:
        name: of the key.
        origin: number of the window that is row 0.
        watch: through the blocks whose windows are all settled.
        ahead: through each further whole block.
        settled: float64[n, c] rows of the next block that are settled.
        is_heard: bool[n], which of them had data.
        seen: rows that were looked at.
        told: of each channel of which something was told in rows that may still change, the newest.
        over: channels of which something stood before row 0, when the key was away for very long.
        tellings: how often something was told in blocks that are settled, and since.
    """

    name: str
    origin: int
    watch: SatelliteWatch
    settled: FloatArray
    is_heard: npt.NDArray[np.bool_]
    ahead: list[SatelliteWatch] = field(default_factory=list)
    seen: int = 0
    told: dict[int, int] = field(default_factory=dict)
    over: tuple[int, ...] = ()
    tellings: tuple[int, int] = (0, 0)

    @property
    def latest(self) -> SatelliteWatch:
        """Through the newest whole block."""
        return self.ahead[-1] if self.ahead else self.watch


class FleetWatch:
    """State of the stage in one partition.

    Args:
        step: of the plan; each of its measures is a channel.
        limits: ``max_learnt_series``, ``max_commands_of_key``.
    """

    def __init__(self, step: Step, limits: Limits) -> None:
        self._step = step
        self._form: ExpectationSettings = step.stage.settings
        self._columns = [m.column for m in step.reads]
        self._max_keys = limits.max_learnt_series // len(self._columns)
        self._max_commands = limits.max_commands_of_key
        self._max_commanded = limits.max_keys
        self._satellites: dict[int, _Satellite] = {}
        self._commands: dict[str, _Commands] = {}
        self._again_ns: dict[str, int] = {}
        """Of keys for which commands came, the time of the oldest of them since the last look."""
        self._slide_ns = 0

    # --- what comes beside ------------------------------------------------------------------------

    def take_beside(self, rows: Rows, names: Names) -> None:
        """Rows of the source of commands."""
        for identity in np.unique(rows.key).tolist():
            subject, _, command = names[identity].rpartition("/")
            known = self._commands.get(subject)
            if known is None:
                if len(self._commands) >= self._max_commanded:
                    continue
                known = self._commands[subject] = _Commands()
            at = np.flatnonzero(rows.key == identity)
            known.add(command, rows, at, most=self._max_commands)
            first_ns = int(rows.time_ns[at].min())
            self._again_ns[subject] = min(first_ns, self._again_ns.get(subject, first_ns))

    def again(self, names: Names) -> list[tuple[int, int]]:
        """(key, time) from which on keys are looked at again, because a command came late; ns."""
        found = []
        for subject, time_ns in self._again_ns.items():
            identity = names.find(subject)
            if identity is not None:
                found.append((identity, time_ns))
        self._again_ns = {}
        return found

    def take_control(self, control: Mapping[str, Any], names: Names) -> None:
        """What a subject shows from now on is normal; one that is not known is passed over."""
        subject = str(control["subject"])
        key, columns = subject_of(subject, names, self._step)
        satellite = self._satellites.get(-1 if key is None else key)
        if satellite is not None:
            satellite.ahead = []
            is_whole = names.find(subject) is not None
            satellite.watch.take_as_normal(None if is_whole else columns[0], satellite.seen)

    # --- looking ----------------------------------------------------------------------------------

    def look(self, windows: Windows) -> list[SubjectTransitions]:
        """What changed in the windows at hand."""
        series = windows.chain.series
        self._slide_ns = series.slide_ns
        key = series.code[windows.targets] >> _WINDOW_BITS
        is_first = np.ones(len(key), np.bool_)
        is_first[1:] = key[1:] != key[:-1]
        found: list[SubjectTransitions] = []
        for identity, first in zip(
            key[is_first].tolist(), windows.targets[is_first].tolist(), strict=True
        ):
            name = windows.chain.stream.keys[identity]
            window = int(series.code[first]) & _WINDOW_MASK
            satellite = self._of(identity, name, window)
            if satellite is not None:
                row = max(window - satellite.origin, satellite.watch.record.end)
                found += self._look_at(satellite, identity, row, windows)
        return found

    def _of(self, identity: int, name: str, window: int) -> _Satellite | None:
        """The satellite of a key whose window changed; None where there is no room for another.

        One that was away for longer than anything is kept begins anew.
        """
        known = self._satellites.get(identity)
        over: tuple[int, ...] = ()
        if known is not None:
            gap = window - known.origin - known.latest.record.end
            if gap < KEPT_DAYS * known.watch.record.rows_per_day:
                return known
            over = tuple(sorted({a.channel for a in known.latest.alerts if a.is_open}))
        elif len(self._satellites) >= self._max_keys:
            return None
        c = len(self._columns)
        found = self._satellites[identity] = _Satellite(
            name=name,
            origin=window + _late_windows(name, self._form.spread_windows),
            watch=SatelliteWatch.begin(
                c,
                step_s=self._slide_ns / NS_PER_S,
                learn_days=self._form.learn_days,
                budget=self._form.false_alerts_per_day,
            ),
            settled=np.empty((0, c)),
            is_heard=np.empty(0, np.bool_),
            over=over,
        )
        return found

    def _look_at(
        self, satellite: _Satellite, identity: int, row: int, windows: Windows
    ) -> list[SubjectTransitions]:
        while satellite.ahead and satellite.latest.record.end > row:
            satellite.ahead.pop()
        values, is_heard = self._dense(satellite, windows.chain.series, identity)
        commands = self._commands_of(satellite)
        at = satellite.latest.record.end - satellite.watch.record.end
        while at < len(values):
            end = at + _block_length(satellite.latest)
            if end > len(values):
                break
            following = satellite.latest.copy()
            following.advance(values[at:end], is_heard[at:end], commands)
            satellite.ahead.append(following)
            at = end
        satellite.seen = satellite.watch.record.end + len(values)
        latest = satellite.latest
        alerts = latest.alerts
        if latest.is_judging and at < len(values):
            now = latest.look(values[at:], is_heard[at:], commands)
            known = {(a.channel, a.told) for a in now}
            alerts = [*(a for a in alerts if (a.channel, a.told) not in known), *now]
        return self._transitions(satellite, alerts, row, identity, windows)

    def _dense(
        self, satellite: _Satellite, series: WindowSeries, identity: int, until: int = _WINDOW_MASK
    ) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Rows from the end of the watch on: those that are settled, then those of the series.

        Args:
            satellite: whose.
            series: of the chain.
            identity: of its key.
            until: number of the window before which they end.
        """
        begin = satellite.origin + satellite.watch.record.end
        known = len(satellite.settled)
        code = identity << _WINDOW_BITS
        lo, hi = np.searchsorted(series.code, [code + begin + known, code + until])
        place = (series.code[lo:hi] & _WINDOW_MASK) - begin
        length = int(place[-1]) + 1 if len(place) else known
        values = np.full((length, len(self._columns)), np.nan)
        is_heard = np.zeros(length, np.bool_)
        values[:known], is_heard[:known] = satellite.settled, satellite.is_heard
        values[place] = series.table(np.arange(lo, hi), self._columns)
        is_heard[place] = True
        return values, is_heard

    def _commands_of(self, satellite: _Satellite) -> CommandTimes:
        known = self._commands.get(satellite.name)
        origin_ns = satellite.origin * self._slide_ns
        return CommandTimes.none() if known is None else known.since(origin_ns)

    # --- telling ----------------------------------------------------------------------------------

    def _transitions(
        self,
        satellite: _Satellite,
        alerts: Sequence[ChannelAlert],
        row: int,
        identity: int,
        windows: Windows,
    ) -> list[SubjectTransitions]:
        """What is decided from ``row`` on, of each channel of which something is or was told."""
        judged = satellite.watch.learn_days * satellite.watch.record.rows_per_day
        told: dict[int, list[tuple[int, Telling | None]]] = {}
        if row == 0:
            told = {channel: [(0, None)] for channel in satellite.over}
        for alert in alerts:
            changes = [change for change in alert.changes() if change[0] >= row]
            if changes and alert.told >= judged:
                told.setdefault(alert.channel, []).extend(changes)
        series = windows.chain.series
        from_ns = (satellite.origin + row) * series.slide_ns + series.width_ns
        found = []
        for channel in sorted({*told, *satellite.told}):
            measure = self._step.reads[channel]
            subject = f"{satellite.name}/{measure.field or measure.column}"
            decisions = [
                self._decision(satellite, identity, channel, at, telling, subject, windows)
                for at, telling in sorted(told.get(channel, []), key=lambda change: change[0])
            ]
            found.append(SubjectTransitions(subject=subject, from_ns=from_ns, decisions=decisions))
        satellite.told = {c: at for c, at in satellite.told.items() if at < row}
        satellite.told |= {c: max(at for at, _ in changes) for c, changes in told.items()}
        end = satellite.watch.record.end
        since = sum(t.row >= max(end, judged) for a in alerts for t in a.raised)
        satellite.tellings = (satellite.tellings[0], since)
        return found

    def _decision(  # noqa: PLR0917 - what one decision is made of
        self,
        satellite: _Satellite,
        identity: int,
        channel: int,
        row: int,
        telling: Telling | None,
        subject: str,
        windows: Windows,
    ) -> Decision:
        step, chain = self._step, windows.chain
        series = chain.series
        measure, code = step.reads[channel], self._form.code
        start_ns = (satellite.origin + row) * series.slide_ns
        # A window without data has no row; the one before it says as much of its group.
        here = (identity << _WINDOW_BITS) + satellite.origin + row
        place = int(np.searchsorted(series.code, here, side="right")) - 1
        if place < 0 or int(series.code[place]) >> _WINDOW_BITS != identity:
            place += 1

        def reason(code: str, measured: str, value: float, threshold: float, unit: str) -> Reason:
            return Reason(
                code=code,
                measure=measured,
                value=value,
                threshold=threshold,
                unit=unit,
                version=step.version,
            )

        if telling is None:
            value = float(series.column(measure.column)[place])
            reasons = [reason(code, measure.column, value, math.nan, measure.unit)]
        else:
            reasons = [
                reason(code, measure.column, telling.measured, math.nan, measure.unit),
                reason(EXPECTED, _EXPECTED, telling.expected, math.nan, measure.unit),
                reason(USUAL_SIZE, _USUAL, telling.usual, math.nan, measure.unit),
                reason(telling.test.upper(), telling.reason, telling.score, 1.0, "1"),
            ]
        return step.decision(
            windows.pipeline,
            subject=subject,
            group=chain.stream.groups[int(series.column("group")[place])],
            raised=telling is not None,
            event_ns=start_ns + series.width_ns,
            window_start_ns=start_ns,
            window_end_ns=start_ns + series.width_ns,
            score=0.0 if telling is None else telling.score,
            confidence=1.0 if telling is None else min(1.0, telling.score / 2),
            reasons=tuple(reasons),
            mode=Mode.PRIMARY,
        )

    # --- settling ---------------------------------------------------------------------------------

    def settle(self, series: WindowSeries, settled_ns: IntArray) -> None:
        """Follow what cannot change any more; to be called before ``series`` lets go of it."""
        after = (settled_ns - series.width_ns) // series.slide_ns + 1  # first open window
        for identity, satellite in self._satellites.items():
            begin = satellite.origin + satellite.watch.record.end + len(satellite.settled)
            if identity < len(after) and after[identity] > begin:
                self._settle(satellite, series, identity, int(after[identity]))

    def _settle(
        self, satellite: _Satellite, series: WindowSeries, identity: int, until: int
    ) -> None:
        values, is_heard = self._dense(satellite, series, identity, until)
        at = 0
        while (end := at + _block_length(satellite.watch)) <= len(values):
            if satellite.ahead:
                satellite.watch = satellite.ahead.pop(0)
            else:
                commands = self._commands_of(satellite)
                satellite.watch.advance(values[at:end], is_heard[at:end], commands)
            watch = satellite.watch
            first = max(watch.record.end - (end - at), watch.learn_days * watch.record.rows_per_day)
            said = sum(first <= t.row < watch.record.end for a in watch.alerts for t in a.raised)
            satellite.tellings = (satellite.tellings[0] + said, satellite.tellings[1] - said)
            satellite.told = {c: r for c, r in satellite.told.items() if r >= watch.record.end}
            watch.forget()
            at = end
        satellite.settled, satellite.is_heard = values[at:].copy(), is_heard[at:].copy()

    def learning(self, names: Names) -> Learning:
        """How far each channel is known, and what its budget came to."""
        c = len(self._columns)
        known, tellings, judged_days = 0, 0, 0.0
        for satellite in self._satellites.values():
            known += satellite.latest.is_judging
            tellings += sum(satellite.tellings)
            days = satellite.seen / satellite.watch.record.rows_per_day
            judged_days += max(days - satellite.watch.learn_days, 0.0)
        return Learning(
            known=known * c,
            learning=(len(self._satellites) - known) * c,
            without_room=max(len(names) - self._max_keys, 0) * c,
            tellings=tellings,
            judged_days=judged_days,
            borne=judged_days * self._form.false_alerts_per_day,
        )

    def watch_of(self, name: str) -> SatelliteWatch | None:
        """What was learnt of a key, as of its newest whole block; None of one that is not known."""
        found = next((s for s in self._satellites.values() if s.name == name), None)
        return None if found is None else found.latest

    def origin_ns(self, name: str) -> int:
        """Start of row 0 of a key, UTC ns."""
        return next(s.origin for s in self._satellites.values() if s.name == name) * self._slide_ns

    @property
    def names(self) -> list[str]:
        """Of the keys that are known."""
        return sorted(satellite.name for satellite in self._satellites.values())

    # --- checkpoint -------------------------------------------------------------------------------

    def snapshot(self) -> Mapping[str, npt.NDArray[np.generic]]:
        """What is settled, and the commands: the rest follows from the windows."""
        arrays: dict[str, npt.NDArray[np.generic]] = {}
        satellites, commands = {}, {}
        for identity, one in self._satellites.items():
            plain, parts = one.watch.state()
            satellites[identity] = {
                "name": one.name,
                "origin": one.origin,
                "seen": one.seen,
                "told": list(one.told.items()),
                "over": one.over,
                "tellings": one.tellings,
                "watch": plain,
            }
            arrays |= {f"{identity}.{name}": array for name, array in parts.items()}
            arrays[f"{identity}.settled"] = one.settled
            arrays[f"{identity}.settled_heard"] = one.is_heard
        for number, (name, known) in enumerate(self._commands.items()):
            commands[name] = known.name.tolist()
            for part in ("time_ns", "sequence", "value"):
                arrays[f"commands.{number}.{part}"] = getattr(known, part)
        text = json.dumps(
            {
                "version": self._step.stage.version,
                "slide_ns": self._slide_ns,
                "again_ns": self._again_ns,
                "satellites": satellites,
                "commands": commands,
            }
        )
        return {**arrays, "plain": np.frombuffer(text.encode(), np.uint8).copy()}

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Inverse of :meth:`snapshot`.

        Raises:
            LogError: state of another version of the stage.
        """
        plain: dict[str, Any] = json.loads(arrays["plain"].tobytes())
        if plain["version"] != self._step.stage.version:
            raise LogError(
                expected=f"state of {self._step.stage.use}, version {self._step.stage.version}",
                got=f"version {plain['version']}",
                where=f"checkpoint, stage {self._step.name}",
                action="delete the checkpoints: the state is rebuilt from the log",
            )
        self._slide_ns = int(plain["slide_ns"])
        self._again_ns = {name: int(ns) for name, ns in plain["again_ns"].items()}
        self._satellites = {}
        for identity, one in plain["satellites"].items():
            begins = f"{identity}."
            parts = {n.removeprefix(begins): a for n, a in arrays.items() if n.startswith(begins)}
            self._satellites[int(identity)] = _Satellite(
                name=one["name"],
                origin=int(one["origin"]),
                watch=SatelliteWatch.from_state(one["watch"], parts),
                settled=np.asarray(parts["settled"], np.float64),
                is_heard=np.asarray(parts["settled_heard"], np.bool_),
                seen=int(one["seen"]),
                told={int(c): int(row) for c, row in one["told"]},
                over=tuple(one["over"]),
                tellings=(int(one["tellings"][0]), int(one["tellings"][1])),
            )
        self._commands = {
            name: _Commands(
                time_ns=np.asarray(arrays[f"commands.{number}.time_ns"], np.int64),
                sequence=np.asarray(arrays[f"commands.{number}.sequence"], np.int64),
                name=np.array(names, np.str_),
                value=np.asarray(arrays[f"commands.{number}.value"], np.float64),
            )
            for number, (name, names) in enumerate(plain["commands"].items())
        }


def _block_length(watch: SatelliteWatch) -> int:
    """Rows of the block that is next."""
    begin, end = watch.block_rows(watch.next_block)
    return end - begin


def _late_windows(name: str, most: int) -> int:
    """How many windows late the days of a key begin: a number from 0 to ``most``, of its name."""
    share = hashlib.blake2b(name.encode(), digest_size=4).digest()
    return int.from_bytes(share) % (most + 1)

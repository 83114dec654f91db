"""What else happened around a decision, and the log epoch by epoch.

Everything is of one span of time. Decisions and rows lie in it by their event time; what has none
of its own, such as refused rows, overruns and operator inputs, by the ticks of its epoch.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from sightline.evidence.words import figure, moment
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries
from sightline.records import Decision, Entry, EntryKind
from sightline.records.decision import Transition, final_revisions
from sightline.records.signals import GROUP, KEY, TIME_NS
from sightline.runtime import RunDirectory
from sightline.runtime.engine.batches import decode_frame
from sightline.runtime.engine.guard import Outcome, OutcomeStatus
from sightline.runtime.engine.stepping import heeded
from sightline.runtime.engine.summary import Summary
from sightline.sense import admit

MAX_NAMED = 8
"""Neighbours, operator inputs, and kinds of lines that are named; all are counted."""
MAX_LINES = 4
"""Lines of another source that are shown: the least frequent kinds first."""
MAX_OTHER_ROWS = 200_000
"""Rows of other sources that are looked at; more are counted as not looked at."""
_LINE_CHARS = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherRows:
    """Rows of another source of the same key or group in the span.

    Attributes:
        source: name of it.
        rows: how many.
        kinds: the values of its text fields and how many rows have them, the most first.
        lines: (time UTC ns, key, all fields as text), the least frequent kinds first.
    """

    source: str
    rows: int
    kinds: tuple[tuple[str, int], ...]
    lines: tuple[tuple[int, str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What happened around a decision.

    Attributes:
        from_ns, to_ns: the span, UTC ns.
        neighbours: other raised decisions of the same group, also about its own subject, by
            nearness in time; at most ``MAX_NAMED``.
        in_group: how many there are, by kind.
        same_code: raised decisions with its reason code about other subjects, by group.
        controls: operator inputs that concern it, in words; at most ``MAX_NAMED``.
        quarantined: refused rows of its source by reason, and how many name its key.
        dropped: rows lost before the core, by cause.
        missed: overruns, by stage, and the longest of each in seconds.
        fallbacks: guarded stages that did not answer, by ``stage: status``.
        other: other sources.
        not_looked_at: rows of other sources beyond the bound.
        notes: what is missing and why.
    """

    from_ns: int
    to_ns: int
    neighbours: tuple[Decision, ...] = ()
    in_group: tuple[tuple[str, int], ...] = ()
    same_code: tuple[tuple[str, int], ...] = ()
    controls: tuple[str, ...] = ()
    quarantined: tuple[tuple[str, int], ...] = ()
    quarantined_of_key: int = 0
    dropped: tuple[tuple[str, int], ...] = ()
    missed: tuple[tuple[str, int, float], ...] = ()
    fallbacks: tuple[tuple[str, int], ...] = ()
    other: tuple[OtherRows, ...] = ()
    not_looked_at: int = 0
    notes: tuple[str, ...] = ()

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "from_ns": self.from_ns,
            "to_ns": self.to_ns,
            "neighbours": [d.as_mapping() for d in self.neighbours],
            "in_group": dict(self.in_group),
            "same_code_by_group": dict(self.same_code),
            "operator_inputs": list(self.controls),
            "quarantined": dict(self.quarantined),
            "quarantined_of_key": self.quarantined_of_key,
            "dropped": dict(self.dropped),
            "deadlines_missed": [
                {"stage": stage, "times": n, "longest_s": took} for stage, n, took in self.missed
            ],
            "fallbacks": dict(self.fallbacks),
            "other_sources": [
                {
                    "source": one.source,
                    "rows": one.rows,
                    "kinds": dict(one.kinds),
                    "lines": [
                        {"time_ns": t, "key": key, "text": text} for t, key, text in one.lines
                    ],
                }
                for one in self.other
            ],
            "rows_not_looked_at": self.not_looked_at,
            "notes": list(self.notes),
        }


class CircumstancesSeen:
    """Gathers what happened around a decision while the log goes by, epoch by epoch.

    Args:
        run: any.
        decision: its last revision; of a command what it says of its machine.
        source: of its rows; ``""`` of a decision on pictures.
        key: of its rows; ``""`` for a decision on a group.
        names: subjects and groups that it concerns, its own among them.
        span_ns: first and last event time.
        limits: bounds for reading the log.
    """

    def __init__(
        self,
        run: RunDirectory,
        *,
        source: str,
        key: str,
        names: Iterable[str],
        span_ns: tuple[int, int],
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        contracts = run.plan.contracts.values()
        self._run = run
        self._source = source
        self._names = {name for name in (key, *names) if name}
        self._key = key
        self._from_ns, self._to_ns = span_ns
        self._limits = limits
        self._skew_ns = max((c.clock_skew_ns for c in contracts), default=0)
        self._late_ns = max(
            (c.out_of_order_ns + c.revision_allowance_ns for c in contracts), default=0
        )
        self._tick_ns = -1
        self.controls: list[str] = []
        self.quarantined: Counter[str] = Counter()
        self.quarantined_of_key = 0
        self.dropped: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        self.longest_s: dict[str, float] = {}
        self.fallbacks: Counter[str] = Counter()
        self.not_looked_at = 0
        self.notes: set[str] = set()
        self._others: dict[str, list[pl.DataFrame]] = {}
        self._looked_at = 0

    def begin(self) -> None:
        """The log of another partition comes."""
        self._tick_ns = -1

    def take(self, epoch: LogEpoch) -> bool:
        """The next epoch; whether later ones of this partition matter."""
        # Operator inputs hold from when they were given, so all until the end count.
        for entry in epoch.entries:
            if entry.kind is EntryKind.CONTROL and self._tick_ns <= self._to_ns:
                self._control(entry)
        before = self._tick_ns
        self._tick_ns = epoch.tick_ns if epoch.tick_ns >= 0 else before
        if not may_hold(epoch, from_ns=self._from_ns, skew_ns=self._skew_ns):
            return True
        if before > self._to_ns + self._late_ns:
            return False
        self._epoch(epoch, is_within=before <= self._to_ns)
        return True

    def found(self, decision: Decision | None, every: Sequence[Decision]) -> Circumstances:
        """What was gathered, and the decisions around.

        Args:
            decision: its last revision; None for a command.
            every: all revisions of all decisions of the run.
        """
        raised = [
            d
            for d in final_revisions(every)
            if self._from_ns <= d.event_ns <= self._to_ns and d.transition is Transition.RAISED
        ]
        near: list[Decision] = []
        alike: list[Decision] = []
        if decision is not None:
            raised = [d for d in raised if d.decision_id != decision.decision_id]
            near = [d for d in raised if d.group == decision.group and d.group]
            near.sort(key=lambda d: (abs(d.event_ns - decision.event_ns), d.subject, d.kind))
            code = decision.reasons[0].code
            alike = [d for d in raised if d.reasons[0].code == code]
            alike = [d for d in alike if d.subject != decision.subject]
        return Circumstances(
            from_ns=self._from_ns,
            to_ns=self._to_ns,
            neighbours=tuple(near[:MAX_NAMED]),
            in_group=_counted(d.kind for d in near),
            same_code=_counted(d.group for d in alike),
            controls=tuple(dict.fromkeys(self.controls))[:MAX_NAMED],
            quarantined=tuple(self.quarantined.most_common()),
            quarantined_of_key=self.quarantined_of_key,
            dropped=tuple(self.dropped.most_common()),
            missed=tuple((s, n, self.longest_s[s]) for s, n in self.missed.most_common()),
            fallbacks=tuple(self.fallbacks.most_common()),
            other=tuple(self.others()),
            not_looked_at=self.not_looked_at,
            notes=tuple(sorted(self.notes)),
        )

    def _epoch(self, epoch: LogEpoch, *, is_within: bool) -> None:
        for entry in epoch.entries:
            if entry.kind is EntryKind.INPUT and entry.name != self._source:
                self._other(entry)
            elif entry.kind is EntryKind.INPUT_REFERENCE and entry.name != self._source:
                self.notes.add(f"rows of {entry.name} are not in the log: it refers to files")
            elif not is_within:
                continue
            elif entry.kind is EntryKind.QUARANTINE and entry.name == self._source:
                self._refused(entry)
            elif entry.kind is EntryKind.DROP:
                plain = json.loads(entry.payload)
                self.dropped[str(plain["cause"])] += int(plain["rows"])
            elif entry.kind is EntryKind.DEADLINE_MISSED:
                plain = json.loads(entry.payload)
                stage, took_s = str(plain["stage"]), float(plain.get("took_s", 0.0))
                self.missed[stage] += 1
                self.longest_s[stage] = max(self.longest_s.get(stage, 0.0), took_s)
            elif entry.kind is EntryKind.OUTCOME:
                outcome = Outcome.from_bytes(entry.payload)
                if outcome.status is not OutcomeStatus.OK:
                    self.fallbacks[f"{outcome.stage}: {outcome.status}"] += 1

    def _control(self, entry: Entry) -> None:
        plain = json.loads(entry.payload)
        kind = str(plain.get("control", ""))
        if kind == "contacts":
            mine = [
                c
                for c in plain["contacts"]
                if c["key"] in (*self._names, "*") and _overlaps(c["start_ns"], c["end_ns"], self)
            ]
            whose = f"contacts of {plain['source']} set for {len(plain['contacts'])} spans"
            self.controls.append(f"{whose}, {len(mine)} of them of this subject in this time")
            return
        subject = str(plain.get("subject", ""))
        # A decision about a satellite concerns its fields, and one about a field its satellite.
        about = {*self._names, *(name.split("/")[0] for name in self._names)}
        from_ns = plain.get("from_ns") or plain.get("event_ns") or 0
        until_ns = plain.get("until_ns")
        until_ns = self._to_ns if until_ns is None else until_ns
        if subject not in about or not _overlaps(from_ns, until_ns, self):
            return
        how = f" ({plain['as']})" if "as" in plain else ""
        when = f" at {moment(int(plain['event_ns']))}" if plain.get("event_ns") else ""
        why = f": {plain['reason']}" if plain.get("reason") else ""
        self.controls.append(f"{kind}{how} on {subject}{when}{why}"[:_LINE_CHARS])

    @property
    def span_ns(self) -> tuple[int, int]:
        return self._from_ns, self._to_ns

    def _refused(self, entry: Entry) -> None:
        refused = decode_frame(entry.payload)
        self.quarantined.update(refused["reason"].to_list())
        if self._key:
            raw = refused["raw"].fill_null("")
            named = pl.Series([True]).new_from_index(0, len(raw))
            for part in self._key.split("/"):  # as a whole word: sat-1 is not sat-11
                word = re.escape(part).replace("\\-", "-").replace("\\ ", " ")
                named &= raw.str.contains(rf"(^|[^\w-]){word}([^\w-]|$)")
            self.quarantined_of_key += int(named.sum())

    def _other(self, entry: Entry) -> None:
        contract = self._run.plan.contracts[entry.name]
        frame = decode_frame(entry.payload)
        if self._looked_at + frame.height > MAX_OTHER_ROWS:
            self.not_looked_at += frame.height
            return
        self._looked_at += frame.height
        signals = admit(contract, frame, limits=self._limits).signals
        names = sorted(self._names)
        mine = signals.filter(
            (pl.col(KEY).is_in(names) | pl.col(GROUP).is_in(names))
            & pl.col(TIME_NS).is_between(self._from_ns, self._to_ns)
        )
        if mine.height:
            self._others.setdefault(entry.name, []).append(mine)

    def others(self) -> Iterable[OtherRows]:
        for source, parts in sorted(self._others.items()):
            contract = self._run.plan.contracts[source]
            rows = pl.concat(parts).sort(TIME_NS, KEY)
            texts = [n for n, f in contract.fields.items() if not f.is_numeric]
            fields = [n for n in contract.fields if n in rows.columns]
            kind = (
                pl.concat_str(texts, separator=" ", ignore_nulls=True)
                if texts
                else pl.lit("rows", pl.String)
            )
            rows = rows.with_columns(kind.alias("kind"))
            counts = rows["kind"].value_counts(sort=True)
            rows = rows.with_columns(pl.len().over("kind").alias("often"))
            shown = rows.sort("often", TIME_NS, maintain_order=True).head(MAX_LINES)
            lines = [
                (
                    int(row[TIME_NS]),
                    str(row[KEY]),
                    " ".join(f"{n}={_cell(row[n])}" for n in fields)[:_LINE_CHARS],
                )
                for row in shown.iter_rows(named=True)
            ]
            yield OtherRows(
                source=source,
                rows=rows.height,
                kinds=tuple((str(k), int(n)) for k, n in list(counts.iter_rows())[:MAX_NAMED]),
                lines=tuple(sorted(lines)),
            )


def _overlaps(start_ns: object, end_ns: object, seen: CircumstancesSeen) -> bool:
    from_ns, to_ns = seen.span_ns
    return int(str(start_ns)) <= to_ns and int(str(end_ns)) >= from_ns


def _cell(value: object) -> str:
    return figure(value) if isinstance(value, float) else str(value)


def _counted(names: Iterable[str]) -> tuple[tuple[str, int], ...]:
    return tuple(Counter(names).most_common())


_BEFORE_TICK = frozenset(
    {
        EntryKind.INPUT,
        EntryKind.INPUT_REFERENCE,
        EntryKind.REJECTED,
        EntryKind.DROP,
        EntryKind.CONTROL,
        EntryKind.MODEL,
        EntryKind.CONFIGURATION,
        EntryKind.FRAME,
        EntryKind.FRAME_FAULT,
    }
)
_TICKS = frozenset({EntryKind.TICK, EntryKind.SUMMARY_IN})
READ = _BEFORE_TICK | {
    *_TICKS,
    EntryKind.OUTCOME,
    EntryKind.QUARANTINE,
    EntryKind.DEADLINE_MISSED,
    EntryKind.DECISION,
    EntryKind.COMMAND,
    EntryKind.ALERTING,
    EntryKind.STAGE_DIGEST,
    EntryKind.MEASUREMENT,
}
"""The kinds of entries an epoch is given with."""


@dataclass(slots=True, kw_only=True)
class LogEpoch:
    """Entries that belong to one tick.

    Attributes:
        entries: in order of the log, of the kinds in ``READ``.
        tick_ns: event time of its tick, UTC ns; -1 where the log ends before it.
        after: log sequence before the first of them: state is whole there.
    """

    after: int
    entries: list[Entry] = field(default_factory=list)
    tick_ns: int = -1


def log_epochs(
    run: RunDirectory, name: str, *, after: int = -1, limits: Limits = DEFAULT_LIMITS
) -> Iterator[LogEpoch]:
    """Epochs of a partition, of the fan-in one for each summary it was given.

    One is held at a time; what was pruned is passed over.

    Args:
        run: any.
        name: of the partition.
        after: only entries with a higher sequence; an epoch has to begin there.
        limits: bounds for reading the log.

    Raises:
        LogError: the log is damaged.
    """
    epoch = LogEpoch(after=after)
    for entry in read_entries(
        run.storage, name, after=after, kinds=READ, skip_pruned=True, limits=limits
    ):
        if epoch.tick_ns >= 0 and entry.kind in _BEFORE_TICK | _TICKS:
            yield epoch
            epoch = LogEpoch(after=entry.sequence - 1)
        epoch.entries.append(entry)
        if entry.kind is EntryKind.TICK:
            epoch.tick_ns = heeded(
                lambda e=entry: int(json.loads(e.payload)["tick_ns"]),  # type: ignore[misc]
                where=f"partition {name}, log sequence {entry.sequence}",
            )
        elif entry.kind is EntryKind.SUMMARY_IN:
            epoch.tick_ns = Summary.from_bytes(entry.payload).tick_ns
    if epoch.entries:
        yield epoch


def may_hold(epoch: LogEpoch, *, from_ns: int, skew_ns: int) -> bool:
    """Whether rows of an epoch may be as late as ``from_ns``: none is later than its tick."""
    return epoch.tick_ns < 0 or epoch.tick_ns + skew_ns >= from_ns

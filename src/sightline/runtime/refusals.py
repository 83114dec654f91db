"""Runs of which most rows or frames are refused: said as it happens, and at the end.

One bad row among many is what quarantine is for. When it is most of them, the contract and the
source do not fit, and somebody has to know at once which line to change.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import polars as pl

from sightline.errors import LogError, RefusedError, SourceError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import Accounts
from sightline.records.refusal import RefusalReason
from sightline.records.signals import ORIGIN, ROW
from sightline.runtime.engine.frame_shell import FrameTally
from sightline.runtime.plan import Plan
from sightline.runtime.run_directory import RunDirectory
from sightline.sense import Contract
from sightline.sense.admission import written_event_time
from sightline.sense.describing import describe_table
from sightline.sense.field_values import parse_times
from sightline.sense.frames import FrameReason
from sightline.sense.frames.usual_view import likeness
from sightline.sense.yaml_form import line_of

_ENOUGH = 50
"""Rows or frames from which on a share is one, while the run goes on."""
_ENOUGH_FRAMES = 15
"""Of a camera, from which on it is said that most are refused."""
_ALIKE, _FAR_MORE = 0.5, 0.25
"""Likeness of a picture to another camera's view, and how much more it is than to its own: chance
alone gives about 0, and the same place in another light, with people in it, mostly over 0.5."""
_MOST = 0.5
"""Share of them that are refused from which on it is said."""
_SMALLEST_NS, _GREATEST_NS = 946_684_800 * 10**9, 2_524_608_000 * 10**9
"""From 2000 to 2050, UTC ns."""
_LARGER = MappingProxyType({"unix_ns": "unix_us", "unix_us": "unix_ms", "unix_ms": "unix_s"})
"""The unit that is a thousand times as long."""
_LEAST_STEPS, _MOST_BACK = 3, 0.9
"""From row to row, of which so large a share goes back in a table sorted newest first."""
_LOOKED_AT = 500
"""Refused rows that are looked at for what to write."""
_R = RefusalReason
_CAUSES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        _R.SCHEMA: ("the rows have other columns or values than the contract says", "fields"),
        _R.UNIT: ("the values come in another unit than the contract says", "fields"),
        _R.NOT_FINITE: ("the values are NaN or infinite, which the contract forbids", "fields"),
        _R.RANGE: ("the range in the contract is too narrow, or of another unit", "fields"),
        _R.UNKNOWN_KEY: ("the contract lists other keys", "known_keys"),
        _R.UNKNOWN_VALUE: ("the contract allows other values", "fields"),
        _R.TIME_UNREADABLE: ("the times are written in another form", "event_time"),
        _R.TIME_ZONE: ("the times state no zone", "event_time"),
        _R.TIME_RANGE: ("the times are of another unit or century", "event_time"),
        _R.CLOCK_SKEW: ("the clock of the source is ahead", "timing"),
        _R.LATE_BEYOND_ALLOWANCE: ("rows come later than the contract allows", "timing"),
        _R.LATE_BEYOND_BACKLOG: ("rows are older than the contract allows", "timing"),
        _R.SEQUENCE: ("the sequence numbers are none", "sequence"),
        _R.FILE_UNREADABLE: ("the file is damaged, or has no header of these columns", ""),
        _R.FILE_EMPTY: ("the file has no rows", ""),
        _R.ENCODING: ("the text has another encoding: iconv -f WINDOWS-1252 -t UTF-8", ""),
        _R.LINE_UNREADABLE: ("the lines are of another form than the file's name says", ""),
    }
)
"""Why rows may be refused, and the part of the contract that says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """What is refused most, with its first row.

    Attributes:
        refused: rows or frames that were.
        received: of so many.
        reason: the most frequent one.
        first: the first of them: origin, row, what was expected and found.
        cause: what is likely; ``""`` where nothing is.
        change: file and line to look at, and what to write there, as far as the refused rows tell;
            ``""`` where there is none.
    """

    refused: int
    received: int
    reason: str
    first: str
    cause: str
    change: str

    def words(self) -> str:
        """In one sentence."""
        cause = f"; likely {self.cause}" if self.cause else ""
        change = f"; see {self.change}" if self.change else ""
        how_many = f"{self.refused:,} of {self.received:,} refused, most as {self.reason}"
        return f"{how_many}: {self.first}{cause}{change}"


class RefusalWatch:
    """Tells once, while a run goes on, that most of what comes is refused.

    Args:
        run: the run.
        plan: as its files say it.
        on_trouble: told in one sentence.
    """

    def __init__(self, run: RunDirectory, plan: Plan, on_trouble: Callable[[str], None]) -> None:
        self._run = run
        self._plan = plan
        self._on_trouble = on_trouble
        self._accounts: dict[str, Accounts] = {}
        self._has_told = False
        self._has_told_unit = False
        self._cameras_told: set[str] = set()
        self._views: dict[str, str] = {}
        self._views_told: set[str] = set()

    def note(self, partition: str, accounts: Accounts) -> None:
        """What has become of the rows of a partition so far."""
        self._accounts[partition] = accounts
        if self._has_told:
            return
        received = sum(one.received for one in self._accounts.values())
        refused = sum(sum(one.quarantined.values()) for one in self._accounts.values())
        if received < _ENOUGH or refused <= _MOST * received:
            return
        self._has_told = True
        found = main_refusal(self._run, self._plan, refused=refused, received=received)
        if found is not None:
            self._on_trouble(found.words())

    def note_time(self, tick_ns: int) -> None:
        """Event time has come to a tick: whether times are read in a unit too small."""
        if self._has_told_unit or not _SMALLEST_NS <= tick_ns * 1000 < _GREATEST_NS:
            return
        self._has_told_unit = True
        for name, contract in self._plan.contracts.items():
            larger = _LARGER.get(str(contract.event_time.format))
            if larger is not None:
                change = _change(self._plan, name, contract, "event_time", {"field": ""})
                self._on_trouble(
                    f"source {name}: its times are read as days of 1970; as {larger} they would be "
                    f"of this century; see {change}: write `format: {larger}` if they are"
                )

    def note_frames(self, tallies: Mapping[str, FrameTally]) -> None:
        """What has come of each camera so far."""
        self._note_views({name: t.view for name, t in tallies.items() if t.view is not None})
        for name, tally in tallies.items():
            refused = sum(tally.refused.values())
            if name in self._cameras_told or refused < _ENOUGH_FRAMES:
                continue
            words = camera_refusals(self._plan, tallies).get(name)
            if words is not None:
                self._cameras_told.add(name)
                self._on_trouble(f"camera {name}: {refused:,} frames refused: {words}")

    def _note_views(self, views: dict[str, str]) -> None:
        if views == self._views:
            return
        self._views = views
        for name, words in mistaken_views(self._plan, views).items():
            if name not in self._views_told:
                self._views_told.add(name)
                self._on_trouble(f"camera {name}: {words}")


def mistaken_views(plan: Plan, views: Mapping[str, str]) -> dict[str, str]:
    """Of each camera that shows what another one should: what to change.

    A camera that was turned, or sees nothing by night, is like none of them: that is no mistake
    of who gave the sources.

    Args:
        plan: with the cameras, and the prints of what they should show.
        views: prints of what they show.
    """
    known = {name: camera.view for name, camera in plan.cameras.items() if camera.view is not None}
    shown = {name: _shown_by(view, name, known) for name, view in views.items() if name in known}
    found: dict[str, str] = {}
    for name, other in shown.items():
        is_swapped = shown.get(other) == name
        if other == name or other not in shown or (is_swapped and other in found):
            continue  # as it should be; what the other shows is not known yet; said already
        if is_swapped:
            found[name] = (
                f"it shows what {other} should show, and {other} what {name} should (`view` of "
                f"both in {plan.origin}): swap the two, so that --source {name}= has what "
                f"--source {other}= has now, and the other way round"
            )
        else:
            found[name] = (
                f"it shows what {other} should show (`view` of both in {plan.origin}): give "
                f"--source {name}= its own pictures"
            )
    return found


def _shown_by(view: str, name: str, known: Mapping[str, str]) -> str:
    """Whose pictures these are: another camera's only if they are far more like its own."""
    best = max(known, key=lambda other: likeness(view, known[other]))
    like = likeness(view, known[best])
    is_clear = like >= _ALIKE and like - likeness(view, known[name]) >= _FAR_MORE
    return best if is_clear else name


def camera_refusals(plan: Plan, tallies: Mapping[str, FrameTally]) -> dict[str, str]:
    """Of each camera of which most frames are refused: why, and what to write.

    Args:
        plan: with the cameras.
        tallies: what has come of each.
    """
    return {
        name: _swapped(plan, tallies, name) or tally.words[tally.main_reason]
        for name, tally in tallies.items()
        if tally.main_reason and (not tally.usable or sum(tally.refused.values()) > tally.usable)
    }


def _swapped(plan: Plan, tallies: Mapping[str, FrameTally], name: str) -> str:
    """What to say where a camera gives what another one should, if it does."""
    sizes_px = {n: (c.contract.width_px, c.contract.height_px) for n, c in plan.cameras.items()}
    size_px = tallies[name].wrong_size_px
    fitting = [other for other, fits_px in sizes_px.items() if fits_px == size_px]
    both_ways = [n for n in fitting if tallies[n].wrong_size_px == sizes_px[name]]
    if size_px is None or not fitting:
        return ""
    width_px, height_px = size_px
    other = (both_ways or fitting)[0]
    words = f"pictures of {width_px} x {height_px} px, which {other} should give"
    if both_ways:
        return (
            f"{words}, and {other} gives those of {name}: swap the two, so that --source {name}= "
            f"has what --source {other}= has now, and the other way round"
        )
    return f"{words}: give --source {name}= its own; {tallies[name].words[FrameReason.SIZE]}"


def refusal_problem(
    run: RunDirectory,
    plan: Plan,
    accounts: Accounts,
    *,
    tallies: Mapping[str, FrameTally],
    limits: Limits = DEFAULT_LIMITS,
) -> SourceError | RefusedError | None:
    """What the person who started a run must know at its end: no rows, or most were refused."""
    received, refused = accounts.received, sum(accounts.quarantined.values())
    if not received:
        return SourceError(
            expected="rows or frames",
            got="none",
            where=f"the sources of {plan.pipeline.pipeline}",
            action="give --source files that have rows, and are the right ones",
        )
    if refused <= _MOST * received:
        return None
    found = main_refusal(run, plan, refused=refused, received=received, limits=limits)
    cameras = camera_refusals(plan, tallies)
    of_frames = "".join(f"; camera {name}: {words}" for name, words in cameras.items())
    kind = SourceError if refused == received else RefusedError
    return kind(
        expected="rows or frames that the contract takes",
        got=f"{refused:,} of {received:,} refused{of_frames}" if found is None else found.words(),
        where=f"the sources of {plan.pipeline.pipeline}",
        action=_then(run.path, "" if found is None else found.reason),
    )


def _then(run: Path, reason: str) -> str:
    if reason == _R.FILE_EMPTY:
        return "give --source files that have rows, and are the right ones"
    return (
        f"change the contract or the source; `sightline quarantine {run}` shows the rows, and "
        "feeds them in again"
    )


def main_refusal(
    run: RunDirectory,
    plan: Plan,
    *,
    refused: int,
    received: int,
    limits: Limits = DEFAULT_LIMITS,
) -> Refusals | None:
    """What is refused most in a run so far; None where its log says nothing of it."""
    try:
        rows = run.quarantine(limits=limits)
    except LogError:
        return None
    if not rows.height:
        return None
    reason = rows["reason"].value_counts(sort=True)["reason"][0]
    alike = rows.filter(pl.col("reason") == reason)
    first = alike.row(0, named=True)
    place = first[ORIGIN] if first[ROW] < 0 else f"{first[ORIGIN]}, row {first[ROW]}"
    field = f"{first['field']}: " if first["field"] else ""
    cause, part = _CAUSES.get(reason, ("", ""))
    contract = plan.contracts.get(first["source"])
    change = "" if contract is None else _change(plan, first["source"], contract, part, first)
    if contract is not None and change:
        write = _to_write(contract, alike.filter(pl.col("field") == first["field"]), first)
        change += f": {write}" if write else ""
    if contract is not None and reason == _R.CLOCK_SKEW and _is_newest_first(contract, alike):
        cause, change = "the newest row is the first: sort the rows by time", ""
    return Refusals(
        refused=refused,
        received=received,
        reason=reason,
        first=f"{place}: {field}{first['detail']}",
        cause=cause,
        change=change,
    )


def _is_newest_first(contract: Contract, refused: pl.DataFrame) -> bool:
    """Whether the times of refused rows go back from row to row: a table sorted the other way."""
    rows = refused.filter(pl.col(ORIGIN) == refused[ORIGIN][0]).sort(ROW)["raw"].head(_LOOKED_AT)
    written = written_event_time(contract, _as_they_came(rows))
    if written is None:
        return False
    steps = parse_times(written, contract.event_time.format).ns.diff().drop_nulls()
    return len(steps) >= _LEAST_STEPS and int((steps <= 0).sum()) > _MOST_BACK * len(steps)


def _change(
    plan: Plan, source: str, contract: Contract, part: str, first: Mapping[str, str]
) -> str:
    """File and line of the part of the contract that refuses."""
    if not part:
        return ""
    file = Path(plan.origin).parent / plan.pipeline.tables[source].contract
    dotted, column = part, first["field"]
    if part == "fields":
        names = [n for n, f in contract.fields.items() if column in (n, f.column or n)]
        at_time = column in contract.event_time.columns
        dotted = f"fields.{names[0]}" if names else "event_time" if at_time else "key"
    try:
        line = line_of(file.read_text(encoding="utf-8"), dotted)
    except (OSError, ValueError):
        return ""
    return f"{file}, {'' if line is None else f'line {line}, '}{dotted}"


def _to_write(contract: Contract, refused: pl.DataFrame, first: Mapping[str, str]) -> str:
    """What to write in the contract for the refused rows to be taken, where they tell."""
    column, at = first["field"], contract.event_time.column
    table = _as_they_came(refused["raw"].head(_LOOKED_AT))
    if column not in table.columns:
        return _other_name(contract, column, table.columns) if table.columns else ""
    try:
        time = "+".join(contract.event_time.columns) or None
        found = describe_table(table, where=first["source"], time=time, key=())
    except UsageError:  # they do not tell: ambiguous, or of several forms
        return ""
    if column == at:
        is_new = found.time_format != contract.event_time.format
        return f"write `format: {found.time_format}`" if is_new and not found.unread_times else ""
    known = next((f for f in contract.fields.values() if f.column == column), None)
    field = contract.fields.get(column, known)
    seen = next((f for f in found.fields if f.column == column), None)
    if first["reason"] == _R.SCHEMA and field and seen and seen.decimal != field.decimal:
        return f'write `decimal: "{seen.decimal}"` in it'
    if first["reason"] == _R.RANGE and field and field.range is not None:
        values = table[column].cast(pl.Float64, strict=False).drop_nulls()
        ends = [end for end in field.range if end is not None]
        lower, upper = min(*ends, *values), max(*ends, *values)
        return f"write `range: [{lower:g}, {upper:g}]` if these values may be"
    return ""


def _as_they_came(raw: pl.Series) -> pl.DataFrame:
    """Refused rows as a table of texts; without columns where the log has them in another form."""
    rows = []
    for text in raw.to_list():
        try:
            row = json.loads(text)
        except (TypeError, ValueError):
            continue
        if isinstance(row, dict):
            rows.append({name: None if v is None else str(v) for name, v in row.items()})
    return pl.DataFrame(rows, infer_schema_length=None) if rows else pl.DataFrame()


def _other_name(contract: Contract, column: str, columns: Sequence[str]) -> str:
    """The column that is likely meant by one that the rows do not have."""
    taken = {f.column or name for name, f in contract.fields.items()}
    taken |= {*contract.key, *contract.event_time.columns}
    free = [name for name in columns if name not in taken]
    near = difflib.get_close_matches(column, free, n=1, cutoff=0.0 if len(free) == 1 else 0.5)
    if not near:
        return ""
    if column in contract.key:
        return f"write `key: [{', '.join(near[0] if k == column else k for k in contract.key)}]`"
    return f"write `column: {near[0]}`" + ("" if column == contract.event_time.column else " in it")

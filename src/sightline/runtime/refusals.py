"""Runs of which most rows or frames are refused: said as it happens, and at the end.

One bad row among many is what quarantine is for. When it is most of them, the contract and the
source do not fit, and somebody has to know at once which line to change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import polars as pl

from sightline.errors import LogError, RefusedError, SourceError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import Accounts
from sightline.records.refusal import RefusalReason
from sightline.records.signals import ORIGIN, ROW
from sightline.runtime.plan import Plan
from sightline.runtime.run_directory import RunDirectory
from sightline.sense import Contract
from sightline.sense.yaml_form import line_of

_ENOUGH = 50
"""Rows or frames from which on a share is one, while the run goes on."""
_MOST = 0.5
"""Share of them that are refused from which on it is said."""
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
        change: file and line to look at; ``""`` where there is none.
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


def refusal_problem(
    run: RunDirectory, plan: Plan, accounts: Accounts, *, limits: Limits = DEFAULT_LIMITS
) -> SourceError | RefusedError | None:
    """What whoever started a run must hear of its rows at the end: there were none, or most of
    them were refused.
    """
    received, refused = accounts.received, sum(accounts.quarantined.values())
    if not received:
        return SourceError(
            expected="rows or frames",
            got="none",
            where=f"the sources of {plan.pipeline.pipeline}",
            action="see that the files are the right ones and have rows",
        )
    if refused <= _MOST * received:
        return None
    found = main_refusal(run, plan, refused=refused, received=received, limits=limits)
    kind = SourceError if refused == received else RefusedError
    return kind(
        expected="rows or frames that the contract takes",
        got=f"{refused:,} of {received:,} refused" if found is None else found.words(),
        where=f"the sources of {plan.pipeline.pipeline}",
        action=f"change the contract or the source; `sightline quarantine {run.path}` shows the "
        "rows, and feeds them in again",
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
    first = rows.filter(pl.col("reason") == reason).row(0, named=True)
    place = first[ORIGIN] if first[ROW] < 0 else f"{first[ORIGIN]}, row {first[ROW]}"
    field = f"{first['field']}: " if first["field"] else ""
    cause, part = _CAUSES.get(reason, ("", ""))
    contract = plan.contracts.get(first["source"])
    change = "" if contract is None else _change(plan, first["source"], contract, part, first)
    return Refusals(
        refused=refused,
        received=received,
        reason=reason,
        first=f"{place}: {field}{first['detail']}",
        cause=cause,
        change=change,
    )


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
        at_time = column == contract.event_time.column
        dotted = f"fields.{names[0]}" if names else "event_time" if at_time else "key"
    try:
        line = line_of(file.read_text(encoding="utf-8"), dotted)
    except (OSError, ValueError):
        return ""
    return f"{file}, {'' if line is None else f'line {line}, '}{dotted}"

"""What a table that nobody described holds: its time, keys, fields, rate and lateness.

A pure function of the table. What it finds becomes a contract that refuses none of its rows but
those without a time (``sightline init``); every guess is one that the user sees and can change.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
import polars as pl

from sightline.errors import UsageError
from sightline.records.signals import NS_PER_S, ORIGIN, ROW
from sightline.records.windows import IntArray
from sightline.sense.contract import TimeFormat
from sightline.sense.field_values import with_clock
from sightline.sense.written_numbers import Decimal, WrittenNumbers, read_numbers, says_missing
from sightline.sense.written_times import WrittenTimes, read_times

_TIME_NAME = re.compile(
    r"(^|[^a-z])(time|timestamp|date|datetime|ts|t|utc|epoch|zeit|when)($|[^a-z])"
)
_RECEIPT_NAME = re.compile(r"receiv|receipt|ingest|arriv|reception")
_KEY_NAME = re.compile(
    r"(^|[^a-z])(id|key|name|sat|satellite|spacecraft|device|unit|sensor|channel|parameter|param|"
    r"tag|machine|station|terminal|node|asset|host|serial|tank|pump|line|well|meter|probe|vehicle)"
    r"($|[^a-z])"
)
_SEQUENCE_NAME = re.compile(
    r"^(seq|seq_?(no|num|nr)|sequence|sequence_?(no|number)|packet_?(seq|counter))$"
)
_CLOCK = r"^\d{1,2}:\d\d(:\d\d([.,]\d{1,9})?)?( ?[AaPp]\.?[Mm]\.?)?$"
"""A time of day; of a table without dates it is none of the event."""
_DAY_NS = 86_400 * NS_PER_S
_UNIT_IN_NAME = re.compile(r"^(?P<name>.*?)\s*[\[(](?P<unit>[^\[\]()]{1,32})[\])]$")
_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "v": "V", "mv": "mV", "kv": "kV", "a": "A", "ma": "mA", "w": "W", "kw": "kW", "wh": "Wh",
        "c": "degC", "degc": "degC", "celsius": "degC", "k": "K", "db": "dB", "dbm": "dBm",
        "hz": "Hz", "khz": "kHz", "mhz": "MHz", "rpm": "rpm", "pct": "%", "percent": "%", "s": "s",
        "ms": "ms", "m": "m", "mm": "mm", "km": "km", "pa": "Pa", "hpa": "hPa", "kpa": "kPa",
        "bar": "bar", "mbar": "mbar", "deg": "deg", "rad": "rad", "nt": "nT", "g": "g", "kg": "kg",
        "n": "N", "nm": "Nm", "lps": "L/s", "ppm": "ppm",
    }
)  # fmt: skip
"""What the last part of a name says of the unit: ``bus_voltage_v``."""
_LEAST_READ = 0.9
"""Share of the values of a column that must be numbers, or times, for it to be one of them."""
_MOST_KEYS = 50_000
_MOST_REPEATED = 0.05
"""Share of rows that may repeat the time of their key; beyond it another column belongs to it."""
_KEY_COLUMNS = 2
_EITHER = "commas that may mean either of two things"
_MOST_MISSING_TEXTS = 20
_BEGINNING = 0.15
"""Share of the time of a table from which is learnt how its values usually behave."""
_LEAST_BEGINNING = 20
"""Values of a field in the beginning; of fewer nothing is said."""
_ON_TIME = 0.999
"""Share of the rows that are to be on time; the rest revises what was decided."""

FieldType = Literal["number", "boolean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedField:
    """A column that becomes a field.

    Attributes:
        name: of the field, fit for a contract.
        column: of the table.
        type: what its values are.
        unit: as its name says; "1" where it does not.
        decimal: the decimal sign of its numbers.
        missing: texts among its values that say that there is none, beside empty cells.
        has_gaps: whether some rows have no value.
        missing_share: share of the rows of the beginning without a value.
        longest_equal_s: the longest time for which the value of a key did not change in the
            beginning; inf where there is too little of it to tell.
    """

    name: str
    column: str
    type: FieldType
    unit: str
    decimal: Decimal
    missing: tuple[str, ...]
    has_gaps: bool
    missing_share: float = 0.0
    longest_equal_s: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedTable:
    """What a table holds.

    Attributes:
        rows: how many.
        time: the column of event times; None: it has none, and rows are in order.
        clock: the column of the time of day, where ``time`` has only dates.
        time_format: how they are written.
        time_words: the same for a person.
        unread_times: rows whose time cannot be read.
        first_ns, last_ns: of the times that can be believed, UTC ns; 0 without times.
        key: the columns that tell series apart; none: the table is one series.
        keys: how many there are.
        sequence: the column with the source's own counter.
        fields: what is measured.
        unused: columns that become no field, and why.
        period_s: median time between two rows of a key; NaN where no key has two.
        out_of_order_s: how late all but one in a thousand of the rows are, beside newer ones of
            their key.
        late_s: how late the latest of them is.
        gap_s: the longest time without a row that is usual: all but one in a hundred are shorter.
        repeated: rows that have the time and key of another.
    """

    rows: int
    time: str | None
    clock: str | None
    time_format: TimeFormat
    time_words: str
    unread_times: int
    first_ns: int
    last_ns: int
    key: tuple[str, ...]
    keys: int
    sequence: str | None
    fields: tuple[DescribedField, ...]
    unused: tuple[tuple[str, str], ...]
    period_s: float
    out_of_order_s: float
    late_s: float
    gap_s: float
    repeated: int


def describe_table(
    table: pl.DataFrame,
    *,
    where: str,
    time: str | None = None,
    key: Sequence[str] | None = None,
    time_format: TimeFormat | None = None,
) -> DescribedTable:
    """Find out what ``table`` holds.

    Args:
        table: the source's own columns, text or typed, in the order of their rows.
        where: names it in errors.
        time: the column of event times, or ``DATE+CLOCK`` where they stand in two; None: the table
            tells.
        key: the columns that tell series apart; None: the table tells.
        time_format: how the times are written; None: the column tells.

    Raises:
        UsageError: no rows, no column of numbers, times that may mean two things, or a column that
            is not there.

    >>> table = pl.DataFrame({"time": ["2026-01-01T00:00:00Z", "2026-01-01T00:00:10Z"],
    ...                       "sat": ["a", "a"], "bus_v": ["28.1", "28.2"]})
    >>> found = describe_table(table, where="t.csv")
    >>> found.time, found.key, found.fields[0].unit, found.period_s
    ('time', ('sat',), 'V', 10.0)
    """
    table = table.drop([name for name in (ORIGIN, ROW) if name in table.columns])
    clock: str | None = None
    if time is not None and time not in table.columns and "+" in time:
        time, _, clock = time.partition("+")
    for named in (*(name for name in (time, clock) if name is not None), *(key or ())):
        if named not in table.columns:
            raise UsageError(
                expected=f"a column of the table: {', '.join(table.columns)}",
                got=named,
                where=where,
                action="give one of them",
            )
    if not table.height:
        raise UsageError(
            expected="a table with rows", got="none", where=where, action="give another file"
        )
    at, clock, times = _find_time(table, time, clock, time_format, where=where)
    time_ns = np.zeros(table.height, np.int64) if times is None else _filled(times)
    is_timed = (
        np.ones(table.height, np.bool_) if times is None else times.ns.is_not_null().to_numpy()
    )
    rest = [name for name in table.columns if name not in (at, clock)]
    key = (
        tuple(key)
        if key is not None
        else _find_key(table, rest, time_ns, is_timed, has_time=at is not None)
    )
    sequence = next((n for n in rest if n not in key and _is_sequence(table[n])), None)
    fields, unused = _find_fields(table, [n for n in rest if n not in key and n != sequence])
    if not fields:
        raise UsageError(
            expected="a column of numbers beside the time and the key",
            got="; ".join(f"{name}: {why}" for name, why in unused) or "no other column",
            where=where,
            action="give the columns that tell series apart with --key, and see whether the file's "
            "values are numbers",
        )
    series = _numbered(table, key)
    pace = _pace(time_ns[is_timed], series[is_timed])
    if at is not None and is_timed.any():
        until_ns = time_ns[is_timed].min() + _BEGINNING * np.ptp(time_ns[is_timed])
        begins = is_timed & (time_ns <= until_ns)
        fields = tuple(_with_habits(f, table, time_ns, series, begins) for f in fields)
    return DescribedTable(
        rows=table.height,
        time=at,
        clock=clock,
        time_format="iso8601" if times is None else times.time_format,
        time_words="rows in order" if times is None else times.form,
        unread_times=int((~is_timed).sum()),
        first_ns=int(time_ns[is_timed].min(initial=0 if at is None else 2**62))
        if is_timed.any()
        else 0,
        last_ns=int(time_ns[is_timed].max(initial=0)),
        key=key,
        keys=int(series.max(initial=-1)) + 1,
        sequence=sequence,
        fields=fields,
        unused=unused,
        period_s=pace.period_s if at is not None else math.nan,
        out_of_order_s=pace.out_of_order_s,
        late_s=pace.late_s,
        gap_s=pace.gap_s,
        repeated=_repeated(time_ns[is_timed], series[is_timed]) if at is not None else 0,
    )


# --- time -----------------------------------------------------------------------------------------


def _find_time(
    table: pl.DataFrame,
    time: str | None,
    clock: str | None,
    time_format: TimeFormat | None,
    *,
    where: str,
) -> tuple[str | None, str | None, WrittenTimes | None]:
    """The column of times or dates, the one of times of day beside dates, and what both say."""
    if time is not None:
        written = table[time] if clock is None else with_clock(table[time], table[clock])
        return time, clock, _unambiguous(read_times(written, time_format=time_format), time, where)
    best: tuple[tuple[int, float], str, WrittenTimes] | None = None
    for name in table.columns:
        plain = name.lower()
        is_named = _TIME_NAME.search(plain) is not None and _RECEIPT_NAME.search(plain) is None
        is_typed = table[name].dtype in (pl.Date,) or isinstance(table[name].dtype, pl.Datetime)
        if table[name].dtype == pl.String:
            sample = table[name].drop_nulls().head(200)
            looks = float(sample.str.contains(r"\d\d").sum()) / max(len(sample), 1)
            if not is_named and (looks < _LEAST_READ or _is_plain_number(table[name])):
                continue
        elif not (is_typed or (is_named and table[name].dtype.is_numeric())):
            continue
        times = read_times(table[name], time_format=time_format)
        if times.ambiguous is not None and is_named:
            _unambiguous(times, name, where)
        has = len(times.ns) - int(times.missing.sum())
        read = (len(times.ns) - times.ns.null_count()) / max(has, 1)
        rank = (2 * is_named + is_typed, read)
        if read >= _LEAST_READ / 2 and (best is None or rank > best[0]):
            best = (rank, name, times)
    if best is None:
        return None, None, None
    _, date, times = best
    clock = _clock_beside(table, date, times)
    if clock is None:
        return date, None, times
    return _find_time(table, date, clock, time_format, where=where)


def _clock_beside(table: pl.DataFrame, date: str, times: WrittenTimes) -> str | None:
    """The column of times of day, where ``date`` holds only midnights."""
    if (times.ns.drop_nulls() % _DAY_NS != 0).any():
        return None
    return next((name for name in table.columns if name != date and _is_clock(table[name])), None)


def _is_clock(column: pl.Series) -> bool:
    if column.dtype == pl.String:
        text = column.drop_nulls().str.strip_chars()
        return float(text.str.contains(_CLOCK).sum()) >= _LEAST_READ * max(len(text), 1)
    return column.dtype == pl.Time


def _is_plain_number(column: pl.Series) -> bool:
    """Whether nearly all that it holds are numbers: without a name that says so it is no time."""
    numbers = column.head(1000).cast(pl.Float64, strict=False)
    return numbers.null_count() < (1 - _LEAST_READ) * max(len(numbers), 1)


def _unambiguous(times: WrittenTimes, name: str, where: str) -> WrittenTimes:
    if times.ambiguous is None:
        return times
    example, one, other, options = times.ambiguous
    raise UsageError(
        expected=f"times of one meaning in {name}",
        got=f"{example!r}, which may be {one} or {other}",
        where=where,
        action=f"give {' or '.join(f'--time-format {option}' for option in options)}",
    )


def _filled(times: WrittenTimes) -> IntArray:
    filled: IntArray = times.ns.fill_null(0).to_numpy().astype(np.int64)
    return filled


# --- key ------------------------------------------------------------------------------------------


def _find_key(
    table: pl.DataFrame,
    names: Sequence[str],
    time_ns: IntArray,
    is_timed: np.ndarray[tuple[int], np.dtype[np.bool_]],
    *,
    has_time: bool,
) -> tuple[str, ...]:
    """The fewest columns beside which times rarely repeat; those with a telling name come first."""
    candidates = [name for name in names if _may_be_key(table[name], has_time=has_time)]
    candidates.sort(key=lambda n: (_KEY_NAME.search(n.lower()) is None, table[n].n_unique()))
    named = [name for name in candidates if _KEY_NAME.search(name.lower())]
    if not has_time:
        return tuple(named[:1])
    rows = max(int(is_timed.sum()), 1)

    def repeats(key: tuple[str, ...]) -> float:
        return _repeated(time_ns[is_timed], _numbered(table, key)[is_timed]) / rows

    bare = repeats(())
    if bare <= _MOST_REPEATED:
        return tuple(named[:1])
    found, fewest = tuple(named[:1]), repeats(tuple(named[:1]))
    for size in range(1, _KEY_COLUMNS + 1):
        for key in itertools.combinations(candidates, size):
            share = repeats(key)
            if share <= _MOST_REPEATED:
                return key
            if share < fewest:
                found, fewest = key, share
    return found if fewest < bare / 2 else tuple(named[:1])


def _may_be_key(column: pl.Series, *, has_time: bool) -> bool:
    dtype = column.dtype
    is_text = dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum)
    if not (is_text or dtype.is_integer()) or column.null_count() or not len(column):
        return False
    distinct = column.n_unique()
    is_named = _KEY_NAME.search(str(column.name).lower()) is not None
    if distinct > min(_MOST_KEYS, max(len(column) // 2, 1)):
        return False
    if is_text:
        text = column.cast(pl.String)
        is_number = not is_named and _is_plain_number(text)  # a state or a counter, and no name
        return not (says_missing(text).any() or is_number)
    return is_named and (has_time or distinct < len(column))


def _numbered(table: pl.DataFrame, key: Sequence[str]) -> IntArray:
    """int64[n]: the number of each row's key, from 0."""
    if not key:
        return np.zeros(table.height, np.int64)
    parts = [pl.col(name).cast(pl.String).fill_null("") for name in key]
    dense = table.select(pl.struct(parts).rank("dense")).to_series()
    numbered: IntArray = dense.to_numpy().astype(np.int64) - 1
    return numbered


def _repeated(time_ns: IntArray, series: IntArray) -> int:
    if not len(time_ns):
        return 0
    order = np.lexsort((time_ns, series))
    same = (np.diff(time_ns[order]) == 0) & (np.diff(series[order]) == 0)
    return int(same.sum())


# --- fields ---------------------------------------------------------------------------------------


def _is_sequence(column: pl.Series) -> bool:
    if _SEQUENCE_NAME.match(str(column.name).lower().replace(" ", "_")) is None:
        return False
    whole = column.cast(pl.Int64, strict=False)
    lowest = whole.min()
    return whole.null_count() == 0 and isinstance(lowest, int) and lowest >= 0


def _find_fields(
    table: pl.DataFrame, names: Iterable[str]
) -> tuple[tuple[DescribedField, ...], tuple[tuple[str, str], ...]]:
    found: dict[str, DescribedField | str] = {}
    taken: set[str] = set()

    def look(column: str, decimal: Decimal | None = None) -> None:
        found[column] = field = _field(table[column], taken, decimal)
        if isinstance(field, DescribedField):
            taken.add(field.name)

    for column in names:
        look(column)
    doubtful = [c for c, why in found.items() if isinstance(why, str) and why.startswith(_EITHER)]
    if doubtful and _has_only_decimal_commas(table, found.values()):
        for column in doubtful:
            look(column, ",")
    fields = tuple(field for field in found.values() if isinstance(field, DescribedField))
    return fields, tuple((column, why) for column, why in found.items() if isinstance(why, str))


def _has_only_decimal_commas(table: pl.DataFrame, found: Iterable[DescribedField | str]) -> bool:
    """Whether the other columns say what a comma is: one file is written in one way."""
    fields = [f for f in found if isinstance(f, DescribedField) and f.type == "number"]
    texts = [f for f in fields if table[f.column].dtype == pl.String]
    has_points = any(
        f.decimal == "." and table[f.column].str.contains(".", literal=True).any() for f in texts
    )
    return not has_points and any(f.decimal == "," for f in texts)


def _field(column: pl.Series, taken: set[str], decimal: Decimal | None) -> DescribedField | str:
    """The field that a column makes, or why it makes none."""
    dtype = column.dtype
    if isinstance(dtype, pl.Categorical | pl.Enum):
        column, dtype = column.cast(pl.String), pl.String()
    plain, unit = _name_and_unit(str(column.name))
    name = _field_name(plain, taken)
    if dtype == pl.Boolean:
        return DescribedField(
            name=name, column=str(column.name), type="boolean", unit="1", decimal=".", missing=(),
            has_gaps=column.null_count() > 0,
        )  # fmt: skip
    if dtype.is_numeric() and not isinstance(dtype, pl.Decimal):
        if column.null_count() == len(column):
            return "no value in any row"
        return DescribedField(
            name=name, column=str(column.name), type="number", unit=unit, decimal=".", missing=(),
            has_gaps=column.null_count() > 0,
        )  # fmt: skip
    if dtype != pl.String:
        return f"values of the type {dtype}"
    if column.null_count() == len(column) or says_missing(column).all():
        return "no value in any row"
    return _text_field(column, name, unit, decimal)


def _text_field(
    column: pl.Series, name: str, unit: str, sign: Decimal | None
) -> DescribedField | str:
    numbers = read_numbers(column, decimal=sign)
    has = ~numbers.missing
    example = f"for example {_first(column, has)!r}"
    read = float((has & ~numbers.unread).sum()) / float(has.sum())
    missing = _missing_texts(column, numbers)
    decimal = _decimal(column.filter(pl.Series(has & ~numbers.unread)).str.strip_chars())
    is_truth = column.str.strip_chars().str.to_lowercase().is_in(["true", "false"])
    is_boolean = bool((is_truth | pl.Series(numbers.missing)).all())
    problem = None
    if numbers.is_ambiguous:
        problem = f'{_EITHER}, {example}: `decimal: ","` if they are decimal signs'
    elif read < _LEAST_READ:
        problem = f"text, {example}"
    elif missing is None:
        problem = f"more than {_MOST_MISSING_TEXTS} different texts among its numbers"
    elif decimal is None and not is_boolean:
        problem = f"numbers with units or marks in them, {example}"
    return problem or DescribedField(
        name=name,
        column=str(column.name),
        type="boolean" if is_boolean else "number",
        unit="1" if is_boolean else unit,
        decimal="." if is_boolean or decimal is None else decimal,
        missing=missing or (),
        has_gaps=bool((numbers.missing | numbers.unread).any()),
    )


def _decimal(numbers: pl.Series) -> Decimal | None:
    """The sign with which a contract reads all of these texts; None: with neither."""
    if numbers.cast(pl.Float64, strict=False).null_count() == 0:
        return "."
    is_pointed = numbers.str.contains(".", literal=True).any()
    commas = numbers.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    return None if is_pointed or commas.null_count() else ","


def _missing_texts(column: pl.Series, numbers: WrittenNumbers) -> tuple[str, ...] | None:
    """Texts that stand for no value, in the order of the alphabet; None: too many to name."""
    is_text = pl.Series(numbers.missing | numbers.unread)
    found = column.filter(is_text).drop_nulls().unique()
    texts = sorted(text for text in found.to_list() if text)
    return tuple(texts) if len(texts) <= _MOST_MISSING_TEXTS else None


def _first(column: pl.Series, has: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> str:
    return str(column.filter(pl.Series(has))[0])[:40]


def _name_and_unit(column: str) -> tuple[str, str]:
    """What a column's name says without its unit, and the unit.

    >>> _name_and_unit("Bus Voltage [V]"), _name_and_unit("panel_temp_degc"), _name_and_unit("mode")
    (('Bus Voltage', 'V'), ('panel_temp_degc', 'degC'), ('mode', '1'))
    """
    bracket = _UNIT_IN_NAME.match(column)
    if bracket is not None and bracket["name"].strip():
        return bracket["name"], bracket["unit"].strip() or "1"
    parts = re.split(r"[_\s.]+", column)
    return column, _UNITS.get(parts[-1].lower(), "1") if len(parts) > 1 else "1"


def _field_name(plain: str, taken: set[str]) -> str:
    """A name that a contract takes, unlike those that are ``taken``.

    >>> _field_name("Ölstand (links)", set()), _field_name("1st", {"f_1st"})
    ('lstand_links', 'f_1st_2')
    """
    name = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_") or "field"
    name = (name if name[0].isalpha() else f"f_{name}")[:56]
    if name not in taken:
        return name
    return next(f"{name}_{n}" for n in itertools.count(2) if f"{name}_{n}" not in taken)


def _with_habits(
    field: DescribedField,
    table: pl.DataFrame,
    time_ns: IntArray,
    series: IntArray,
    begins: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> DescribedField:
    """The field, with how its values behave in the rows where ``begins`` is set."""
    if field.type != "number":
        return field
    text = table[field.column].cast(pl.String).str.strip_chars().str.replace(",", ".", literal=True)
    rows = pl.DataFrame(
        {"key": series, "at": time_ns, "value": text.cast(pl.Float64, strict=False)}
    ).filter(pl.Series(begins))
    values = rows.drop_nulls().sort("key", "at")
    missing_share = 1 - values.height / max(rows.height, 1)
    if values.height < _LEAST_BEGINNING:
        return replace(field, missing_share=missing_share)
    run = pl.struct("key", "value").rle_id()
    lasts = values.group_by(run).agg((pl.col("at").max() - pl.col("at").min()).alias("ns"))
    longest = lasts["ns"].to_numpy().max()
    return replace(field, missing_share=missing_share, longest_equal_s=float(longest) / NS_PER_S)


# --- pace -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pace:
    period_s: float
    out_of_order_s: float
    late_s: float
    gap_s: float


def _pace(time_ns: IntArray, series: IntArray) -> _Pace:
    """Time between rows of a key, and how late rows come beside newer ones of their key."""
    order = np.lexsort((time_ns, series))
    steps = np.diff(time_ns[order])[np.diff(series[order]) == 0] if len(order) else time_ns
    steps = steps[steps > 0]
    arrival = np.argsort(series, kind="stable")  # the order of the rows, key by key
    late_ns = np.zeros(len(time_ns), np.int64)
    begins = np.flatnonzero(np.diff(series[arrival], prepend=-1))
    for begin, end in itertools.pairwise([*begins.tolist(), len(arrival)]):
        one = time_ns[arrival[begin:end]]
        late_ns[begin:end] = np.maximum.accumulate(one) - one
    late_s = late_ns / NS_PER_S
    return _Pace(
        period_s=float(np.median(steps)) / NS_PER_S if len(steps) else math.nan,
        gap_s=float(np.quantile(steps, 0.99)) / NS_PER_S if len(steps) else math.nan,
        out_of_order_s=float(np.quantile(late_s, _ON_TIME)) if len(late_s) else 0.0,
        late_s=float(late_s.max(initial=0.0)),
    )

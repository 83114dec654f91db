"""``sightline init``: a pipeline from a table, a camera or pictures of one's own."""

from __future__ import annotations

import json
import math
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import polars as pl
import typer

from sightline.cli.console import Terminal, utc, working
from sightline.cli.init_camera import (
    DESK,
    LIVE,
    VIDEOS,
    draw_zone,
    look,
    said_of_camera,
    site_lines,
)
from sightline.cli.init_made_up import APPLICATIONS, write_application
from sightline.cli.init_model import SeenModel, look_at_model
from sightline.cli.init_pictures import files_of, is_of_pictures, write_parts
from sightline.cli.sources import rows_of
from sightline.errors import SourceError, UsageError
from sightline.evidence.series_file import ReadingOptions
from sightline.limits import DEFAULT_LIMITS
from sightline.records.signals import NS_PER_S, ROW
from sightline.runtime import load_plan
from sightline.sense.admission import Admitter
from sightline.sense.contract import Contract, load_contract
from sightline.sense.describing import DescribedField, DescribedTable, describe_table
from sightline.sense.files import TABLES, read_table, tables_of, without_suffix
from sightline.sense.opening import scheme_of
from sightline.sense.refused_rows import no_rejections

_FILE = "file"
"""Column that says of which file of a folder a row is."""
_TOLD = (ROW, "reason", "detail")
_MOST_ROWS = 20_000_000
"""Of a table that is looked at as a whole; of a longer one give a part."""
_MOST_PIPED_BYTES = 64 << 20
"""Of rows on standard input: what comes after them is not looked at."""
_NICE_S = (
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200,
    21600, 43200, 86400,
)  # fmt: skip
_MOST_TICKS = 1_000
"""Of a recording: so many ticks are quick, and more are not needed to look at what is over."""
_LEAST_WINDOWS = 256
"""Of a series of which a memory is worth having."""
_LEAST_LEARNT, _MOST_LEARNT, _LEARNT_SHARE = 96, 750, 0.15
_WIDTHS = (16, 32, 64, 128)
_WIDTHS_LEARNT = 3
"""A stretch is compared with others only when so many of its length were learnt."""


def init(
    location: Annotated[
        str,
        typer.Argument(
            metavar="FILE|CAMERA|gateway|site",
            help="A table (.csv, .tsv, .txt, .jsonl, each also .gz, or .parquet), a folder of "
            "them, - for rows on standard input, a video, an address rtsp://…, a folder of "
            "pictures of parts; or gateway or site: an application with made-up input.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="DIR", help="Folder for the files; made if needed."),
    ],
    name: Annotated[
        str | None, typer.Option(help="Of the pipeline; otherwise the name of the file.")
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of times, if it is not found; DATE+CLOCK where they stand in two.",
        ),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Column that tells series apart, if it is not found."),
    ] = None,
    time_format: Annotated[
        str | None, typer.Option(metavar="FORM", help="How times are written, if it is not clear.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="Of a camera: the detector, FILE.onnx; without, what moves. Of pictures of parts: "
            "the folder of an inspector.",
        ),
    ] = None,
    rate_hz: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=10_000,
            help="The pictures of a folder are frames of a camera, so many a second.",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,…", help="Names of all classes of --model in its order, if it has none."
        ),
    ] = None,
) -> None:
    """Write a pipeline from a table, a video, a camera or pictures of your own, to run at once.

    Then type the command that it prints. Every guess stands in the files with a comment.
    """
    console = Terminal()
    if location in APPLICATIONS:
        if Path(location).exists():
            raise UsageError(
                expected=f"the application {location!r}, or a file of that name: both are there",
                got=location,
                where="FILE|CAMERA|gateway|site",
                action=f"write ./{location} for the file, or go to another folder",
            )
        for line in write_application(location, out):
            console.print(line, markup=False)
        return
    scheme = scheme_of(location)
    is_live = scheme in LIVE
    if not is_live and scheme not in ("file", "stdin"):
        raise UsageError(
            expected="a file, or the address of a camera",
            got=location,
            where="FILE|CAMERA",
            action="write some minutes of its rows into a file and give that one; `sightline live` "
            "then takes the rows as they come",
        )
    title = _name(
        name or ("camera" if is_live else "rows" if location == "-" else Path(location).name)
    )
    if is_live or location.lower().endswith(VIDEOS) or rate_hz is not None:
        if model is not None and model.is_dir():
            raise UsageError(
                expected="a detector, FILE.onnx",
                got=f"the folder {model.name}",
                where="--model",
                action="sightline inspect looks at each picture of a video with an inspector",
            )
        names = [name.strip() for name in (classes or "").split(",") if name.strip()]
        seen = None if model is None else look_at_model(model, names)
        lines = _from_camera(location, out, title, is_live=is_live, model=seen, rate_hz=rate_hz)
    elif is_of_pictures(Path(location)):
        _check_vacant(*files_of(out, title))
        lines = write_parts(Path(location), out, title, model=model)
    else:
        ReadingOptions(time_format=time_format)  # refuses what is none
        with tempfile.TemporaryDirectory(prefix="sightline-init-") as folder:
            file = Path(location)
            if location == "-":
                rows = _piped(sys.stdin.buffer)
                is_json = rows.lstrip().startswith(b"{")
                file = Path(folder) / ("rows.jsonl" if is_json else "rows.csv")
                file.write_bytes(rows)
            lines = _from_table(
                file, out, title, told=Path(location), time=time, key=key, form=time_format
            )
    for line in lines:
        console.print(line, markup=False)


def _piped(stream: BinaryIO) -> bytes:
    """Whole lines of standard input, until it ends or there are enough."""
    rows = stream.read(_MOST_PIPED_BYTES + 1)
    if len(rows) <= _MOST_PIPED_BYTES:
        return rows
    return rows[: rows.rfind(b"\n", 0, _MOST_PIPED_BYTES) + 1]


def _from_table(
    file: Path,
    out: Path,
    title: str,
    *,
    told: Path,
    time: str | None,
    key: list[str] | None,
    form: str | None,
) -> Iterator[str]:
    contract_file, pipeline_file = out / f"{title}.contract.yaml", out / f"{title}.yaml"
    _check_vacant(contract_file, pipeline_file)
    with working(f"reading {told.name}", total=rows_of(file)) as note:
        table, unread = _read(file, note)
        found = describe_table(table, where=str(told), time=time, key=key, time_format=form)
    out.mkdir(parents=True, exist_ok=True)
    lines = _contract(found, title, told, is_folder=file.is_dir())
    contract_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    pipeline_file.write_text("\n".join(_pipeline(found, title)) + "\n", encoding="utf-8")
    load_plan(pipeline_file)
    refused = pl.concat([unread, _refused(load_contract(contract_file), table, file)])
    rows = len(table) + len(unread)
    return _said(found, refused, rows, contract_file, pipeline_file, title, told)


def _from_camera(
    location: str,
    out: Path,
    title: str,
    *,
    is_live: bool,
    model: SeenModel | None,
    rate_hz: float | None,
) -> Iterator[str]:
    pipeline_file, picture = out / f"{title}.yaml", out / f"{title}.png"
    _check_vacant(pipeline_file, picture)
    # An address may hold a password: it belongs into no file and no message.
    shown = "CAMERA" if is_live else location
    seen = look(location, is_live=is_live, shown=shown, rate_hz=rate_hz)
    out.mkdir(parents=True, exist_ok=True)
    words = _one_line("on the network" if is_live else Path(location).name)
    lines = site_lines(seen, title, words, model=model, folder=out)
    pipeline_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    draw_zone(seen, picture)
    load_plan(pipeline_file)
    return said_of_camera(seen, model, pipeline_file, picture, title, shown)


def _check_vacant(*files: Path) -> None:
    for path in files:
        if path.exists():
            raise UsageError(
                expected="a folder without files of these names",
                got=str(path),
                where="--out",
                action="choose another folder, or another --name",
            )


# --- reading --------------------------------------------------------------------------------------


def _read(path: Path, note: Callable[[int], None]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The table, or those of a folder, and what could not be read: row, reason and detail.

    Those of a folder have a column that says of which file a row is.
    """
    if path.is_dir():
        files = tables_of(path, limits=DEFAULT_LIMITS)
    elif path.is_file():
        files = ((path.name, path),) if path.name.lower().endswith(TABLES) else ()
    else:
        got = "no plain file" if path.exists() else "nothing"
        raise SourceError(expected="a file", got=got, where=str(path), action="check the path")
    if not files:
        raise UsageError(
            expected="a table .csv, .tsv, .txt, .jsonl or .parquet, or a folder with some",
            got=path.name,
            where="FILE",
            action="convert it, or rename it if that is what it is",
        )
    frames, unread, rows = [], [no_rejections().select(_TOLD)], 0
    for origin, file in files:
        for chunk in read_table(file, origin=origin, limits=DEFAULT_LIMITS):
            unread.append(chunk.rejected.select(_TOLD))
            frame = chunk.frame
            if path.is_dir() and _FILE not in frame.columns:
                frame = frame.with_columns(pl.lit(without_suffix(origin)).alias(_FILE))
            if frame.height:
                frames.append(frame)
            rows += frame.height
            note(rows)
            if rows > _MOST_ROWS:
                raise SourceError(
                    expected=f"at most {_MOST_ROWS:,} rows",
                    got="more",
                    where=str(path),
                    action="give a part of it: what is written fits the whole",
                )
    bad = pl.concat(unread)
    if not frames:
        raise SourceError(
            expected="a table with rows",
            got=f"none: {bad['detail'][0]}" if bad.height else "none",
            where=str(path),
            action="see whether it is what its name says, or give another file",
        )
    try:
        return pl.concat(frames, how="diagonal"), bad
    except pl.exceptions.PolarsError as error:
        raise SourceError(
            expected="files of which a column is of one type in all",
            got=str(error).splitlines()[0],
            where=str(path),
            action="give one of the files, or a folder with those that belong together",
        ) from error


def _refused(contract: Contract, table: pl.DataFrame, path: Path) -> pl.DataFrame:
    """The rows that the contract refuses: row, reason and detail of each."""
    if contract.origin_column is not None and contract.origin_column not in table.columns:
        table = table.with_columns(pl.lit(path.stem).alias(contract.origin_column))
    return Admitter(contract).admit(table).refused.select(_TOLD)


def _name(text: str) -> str:
    """A name that a pipeline takes.

    >>> _name("Housekeeping 2026.csv.gz"), _name("7.csv")
    ('housekeeping_2026', 't_7')
    """
    stem = text.lower().removesuffix(".gz").rpartition(".")
    plain = re.sub(r"[^a-z0-9]+", "_", stem[0] or stem[2]).strip("_") or "mine"
    return (plain if plain[0].isalpha() else f"t_{plain}")[:48]


# --- what is written ------------------------------------------------------------------------------


def _contract(found: DescribedTable, title: str, file: Path, *, is_folder: bool) -> Iterator[str]:
    yield f"# What a row of {_one_line(file.name)} is, by the file itself. Change what is not so."
    yield f"contract: {title}"
    if found.key:
        yield f"key: {_list(found.key)}  # tells {found.keys:,} series apart"
        if is_folder and _FILE in found.key:
            yield f"origin_column: {_FILE}  # its name tells whose rows a file has"
    elif is_folder:
        yield "key: [series]  # no column tells series apart, and no two files have the same times:"
        yield f"constants: {{series: {title}}}  # all files are one series"
    else:
        yield "key: [file]  # no column tells series apart: each file is one"
        yield "origin_column: file"
    yield from _event_time(found)
    if found.sequence is not None:
        yield "sequence:"
        yield f"  column: {_text(found.sequence)}  # the newest of two rows of one time wins"
    yield "fields:"
    for field in found.fields:
        yield from _field(field)
    for column, why in found.unused:
        if is_folder and column == _FILE:
            continue
        yield f"  # {_one_line(column)}: not used; {_one_line(why)}"
    yield "timing:"
    yield (
        f"  out_of_order_s: {_number(_nice(found.out_of_order_s))}"
        f"  # rows come up to {_number(found.late_s)} s after newer ones of their key"
    )
    if found.late_s > found.out_of_order_s:
        yield (
            f"  revision_allowance_s: {_number(_nice(found.late_s))}"
            "  # and these revise what was decided"
        )
    yield f"  max_backlog_s: {_number(max(86400.0, 2 * _nice(found.late_s)))}"
    if math.isfinite(found.period_s):
        yield f"expected_rate_hz: {_number(1 / found.period_s)}"
        yield "silence:"
        yield f"  timeout_s: {_number(_timeout_s(found))}  # then a key is silent"


def _event_time(found: DescribedTable) -> Iterator[str]:
    yield "event_time:"
    if found.time is None:
        yield "  # no column of times was found: one row a second. If there is one: --time COLUMN"
        yield '  assumed: {start: "2026-01-01T00:00:00Z", period_s: 1}'
        return
    yield f"  column: {_text(found.time)}"
    if found.clock is not None:
        yield f"  clock: {_text(found.clock)}  # the time of day"
    if found.time_format != "iso8601":
        yield f"  format: {_text(found.time_format)}"
    if found.unread_times:
        yield f"  # {found.unread_times:,} rows have no time that can be read: they are refused"


def _field(field: DescribedField) -> Iterator[str]:
    parts = [f"type: {field.type}"]
    if field.type == "number":
        parts.append(f"unit: {_text(field.unit)}")
    if field.column != field.name:
        parts.append(f"column: {_text(field.column)}")
    if field.decimal != ".":
        parts.append(f"decimal: {_text(field.decimal)}")
    if field.missing:
        parts.append(f"missing: {_list(field.missing)}")
    if field.has_gaps:
        parts.append("required: false")
    note = "  # unit unknown" if field.type == "number" and field.unit == "1" else ""
    yield f"  {field.name}: {{{', '.join(parts)}}}{note}"


_MOST_EQUAL = 60
"""Rows for which a value may stand still in the beginning and yet be watched for standing still."""
_MOST_MISSING = 0.2
"""Share of rows without a value in the beginning beyond which that is how it is."""
_STOPPED_ROWS, _STOPPED_TIMES = 20, 5
"""A value has stopped when it stands still for so many rows, and so many times as long as ever."""
_LEAST_STOPS = 5
"""Of such windows in the table for it to be worth a look."""


_NOVELTY = """\
  # the first {learnt} windows of each series are taken as normal, and are not judged
  unlike:
    use: novelty
    input: samples
    measures: {measures}
    learn_windows: {learnt}
    widths: {widths}  # lengths of the stretches that are compared, in windows
  # told when 3 of 5 windows are far from all that was normal
  unusual:
    use: alarm
    input: unlike
    measure: "*"
    unit: "1"
    raise_above: 8
    clear_below: 2
    m: 3
    n: 5
    code: UNLIKE_PAST
    severity: warning"""
_DEVIATION = """\
  # a short series: each window beside the median of those before it
  unlike:
    use: robust_deviation
    input: samples
    measures: {measures}
  unusual:
    use: alarm
    input: unlike
    measure: "*"
    unit: "1"
    raise_above: 10
    clear_below: 5
    code: UNUSUAL_VALUE
    severity: warning"""


def _pipeline(found: DescribedTable, title: str) -> Iterator[str]:
    width_s = _nice(found.period_s if math.isfinite(found.period_s) else 1.0)
    span_s = (found.last_ns - found.first_ns) / NS_PER_S
    tick_s = min(max(width_s, _nice(span_s / _MOST_TICKS)), 86400)
    windows = span_s / width_s if found.time is not None else found.rows / max(found.keys, 1)
    yield "# Finds what is unlike the past of each series, and tells who fell silent."
    yield f"pipeline: {title}"
    yield f"tick_s: {_number(tick_s)}  # how often it looks; the shorter, the sooner it tells"
    yield "sources:"
    yield f"  {title}: {{contract: {title}.contract.yaml}}"
    yield "stages:"
    yield "  # one window for each sample, with what it holds"
    yield "  samples:"
    yield "    use: windows"
    yield f"    input: {title}"
    yield f"    width_s: {_number(width_s)}"
    yield "    statistics: [count, mean]"
    measures = [f"{field.name}.mean" for field in found.fields if field.type == "number"]
    if measures:
        learnt = int(min(_MOST_LEARNT, max(_LEARNT_SHARE * windows, _LEAST_LEARNT)))
        widths = [width for width in _WIDTHS if _WIDTHS_LEARNT * width <= learnt]
        judge = _NOVELTY if windows >= _LEAST_WINDOWS else _DEVIATION
        yield judge.format(
            measures=json.dumps(measures, ensure_ascii=False), learnt=learnt, widths=widths
        )
    yield from _watched(found, title)
    if math.isfinite(found.period_s):
        yield "  # when each key was heard at all, and who is not heard any more"
        yield f"  heard: {{use: presence, input: {title}, width_s: {_number(width_s)}}}"
        yield "  silent: {use: silence, input: heard, code: NO_DATA, severity: critical}"
    yield from DESK


def _watched(found: DescribedTable, title: str) -> Iterator[str]:
    """Sensors that stop: the value stands still, or there is none, for a whole window."""
    if not math.isfinite(found.period_s):
        return
    numbers = [f for f in found.fields if f.type == "number"]
    moving = [f for f in numbers if f.longest_equal_s <= _MOST_EQUAL * found.period_s]
    filled = [f for f in numbers if f.missing_share <= _MOST_MISSING]
    longest_s = max((f.longest_equal_s for f in moving), default=0.0)
    width_s = _nice(max(_STOPPED_ROWS * found.period_s, _STOPPED_TIMES * longest_s))
    if width_s * _LEAST_STOPS * NS_PER_S > found.last_ns - found.first_ns:
        return
    for fields, name, statistic, above, below, unit, code, words in (
        (moving, "stuck", "stuck_s", 0.8 * width_s, 0.5 * width_s, "s", "STUCK_VALUE",
         "a value that does not change, where in the beginning it did at least each "
         f"{_number(longest_s)} s"),
        (filled, "empty", "nan_share", 0.9, 0.5, "1", "NO_VALUE",
         "rows that come without this value, nine of ten in a window"),
    ):  # fmt: skip
        if not fields:
            continue
        yield f"  # {words}"
        yield f"  {name}_windows:"
        yield "    use: windows"
        yield f"    input: {title}"
        yield f"    width_s: {_number(width_s)}"
        yield f"    fields: {_list([f.name for f in fields])}"
        yield f"    statistics: [{statistic}]"
        yield f"  {name}:"
        yield "    use: alarm"
        yield f"    input: {name}_windows"
        yield f'    measure: "*.{statistic}"'
        yield f"    unit: {_text(unit)}"
        yield f"    raise_above: {_number(above)}"
        yield f"    clear_below: {_number(below)}"
        yield f"    code: {code}"
        yield "    severity: warning"


def _timeout_s(found: DescribedTable) -> float:
    return _nice(max(10 * found.period_s, 3 * found.gap_s))


def _nice(seconds: float) -> float:
    """The smallest round number of seconds that is not below ``seconds``.

    >>> _nice(0.9), _nice(61.0), _nice(0.0), _nice(200_000.0)
    (1, 120, 0.0, 259200)
    """
    if seconds <= 0:
        return 0.0
    nice = next((n for n in _NICE_S if n >= seconds * (1 - 1e-9)), None)
    return nice if nice is not None else math.ceil(seconds / 86400) * 86400


def _number(value: float) -> str:
    return f"{value:.6g}"


def _text(text: str) -> str:
    """As YAML, on one line: plain where nothing in it could mean something else.

    >>> _text("bus_v"), _text("no"), _text("a: b")
    ('bus_v', '"no"', '"a: b"')
    """
    is_word = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text) and text.lower() not in _YAML_WORDS
    return text if is_word else json.dumps(text, ensure_ascii=False)


_YAML_WORDS = frozenset(["y", "n", "yes", "no", "true", "false", "on", "off", "null", "nan"])


def _list(texts: tuple[str, ...] | list[str]) -> str:
    return f"[{', '.join(_text(text) for text in texts)}]"


def _one_line(text: str) -> str:
    return " ".join(text.split())


# --- what is said ---------------------------------------------------------------------------------


def _said(
    found: DescribedTable,
    refused: pl.DataFrame,
    rows: int,
    contract_file: Path,
    pipeline_file: Path,
    title: str,
    file: Path,
) -> Iterator[str]:
    by = ", ".join(found.key) or ("folder" if file.is_dir() else "file")
    yield f"rows      {found.rows:,}, {len(found.fields)} fields, {found.keys:,} series by {by}"
    if found.time is None:
        yield "time      no column of times was found: one row a second is assumed (--time COLUMN)"
    else:
        span = f"{utc(found.first_ns)} to {utc(found.last_ns)}"
        columns = " and ".join(name for name in (found.time, found.clock) if name is not None)
        yield f"time      {columns}, {found.time_words}: {span}"
    if math.isfinite(found.period_s):
        late = f"at most {_number(found.late_s)} s late"
        yield f"rate      a row each {_number(found.period_s)} s of a key, {late}"
    if found.repeated:
        yield f"repeated  {found.repeated:,} rows have the time and key of another: the last wins"
    for column, why in found.unused:
        if file.is_dir() and column == _FILE:
            continue
        yield f"unused    {_one_line(column)}: {_one_line(why)}"
    if refused.height:
        yield f"refused   {refused.height:,} of {rows:,} rows would be refused:"
        for reason, count in refused["reason"].value_counts(sort=True).iter_rows():
            row, detail = refused.filter(pl.col("reason") == reason).select(ROW, "detail").row(0)
            yield f"          {reason} {count:,}, first in row {row}: {_one_line(detail)}"
    else:
        yield "refused   no row"
    yield ""
    yield f"wrote     {contract_file}"
    yield f"wrote     {pipeline_file}"
    source = shlex.quote(f"{title}={file}")
    yield f"next      sightline run {shlex.quote(str(pipeline_file))} --source {source} --out RUN"

"""``sightline detect``: the anomaly detector alone, on anybody's file."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, cast

import polars as pl
import typer

from sightline.cli.console import Terminal, print_json, working
from sightline.cli.output_files import check_outputs
from sightline.errors import UsageError, writing
from sightline.evidence.series_detection import (
    DetectedSeries,
    detect_series,
    draw_detections,
    write_detections,
)
from sightline.evidence.series_events import (
    MAX_ALERTS,
    SeriesAlert,
    explain_events,
    series_alert_lines,
    write_series_alerts,
)
from sightline.evidence.series_file import ReadingOptions, SeriesFile, read_series
from sightline.evidence.telemetry_drawing import check_picture_path
from sightline.perceive.normal import EventRule, NormalSettings
from sightline.records.signals import NS_PER_S
from sightline.sense.field_values import parse_times
from sightline.sense.written_numbers import Decimal
from sightline.sense.written_times import TIME_FORMS

_SHOWN_EVENTS = 20
_LEARNS_BELOW = NormalSettings().learns_below or 0.0
_SHOWN_KEYS = 10
_SHOWN_SERIES = 50


def detect(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .csv, .tsv, .txt, .parquet or .npz file.")
    ],
    value: Annotated[str, typer.Option(metavar="COL", help="Column of values.")],
    time: Annotated[
        str | None,
        typer.Option(
            metavar="COL",
            help="Column of times, or DATE+CLOCK for two columns. Default: rows are evenly spaced.",
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="COL", help="Column that tells series apart.")
    ] = None,
    train: Annotated[
        str | None,
        typer.Option(
            metavar="N_OR_TIME",
            help="Rows to learn from, or a time to learn until. Default: 15 %, at most 750 rows.",
        ),
    ] = None,
    time_format: Annotated[
        str | None,
        typer.Option(
            metavar="FORM",
            help=f"How times are written: {', '.join(TIME_FORMS)}, or a pattern such as "
            "'%d.%m.%Y %H:%M:%S'. Default: the column tells.",
        ),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE",
            help="Zone of times that name none, for example Europe/Berlin. Default: UTC",
        ),
    ] = None,
    decimal: Annotated[
        str | None,
        typer.Option(metavar="SIGN", help='Decimal sign: "." or ",". Default: the column tells.'),
    ] = None,
    header_line: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Line of the header, blank lines not counted. Default: found by COL."
        ),
    ] = None,
    missing: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help="A text or number that stands for no value; may be given again."
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0.1, help="Score from which rows are an event.")
    ] = EventRule().threshold,
    least_share: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Events with less than this share of the greatest score of their series are "
            "marked as weaker.",
        ),
    ] = EventRule().least_share,
    strong_only: Annotated[
        bool, typer.Option("--strong-only", help="Leave weaker events out, and say how many.")
    ] = False,
    learns_below: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="From this score on nothing is learnt as normal until the episode is over. inf: "
            "what is over counts as normal, anomalies too; 0: only the beginning does.",
        ),
    ] = _LEARNS_BELOW,
    learns_after: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="ROWS",
            help="What stays unusual for so many rows without a break is learnt as normal.",
        ),
    ] = NormalSettings().lasting_rows,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="OUT.csv", help="Scores of all rows.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="OUT.png", help="Draw values, scores and events.")
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(
            metavar="all|N|TIME",
            help=f"Explain events: all (the {MAX_ALERTS} strongest), the Nth strongest, or the one "
            "at a time.",
        ),
    ] = None,
    explain_to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a .json and a .png for each explained event."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """Find what is unlike the past of each series, without labels.

    The beginning is taken as normal and not scored. A score of 1 is one deviation beyond what is
    usual, at every scale of time at once.
    """
    rows, until_ns = _train(train)
    if until_ns is not None and time is None:
        raise UsageError(
            expected="--time, to learn until a time",
            got="none",
            where="--train",
            action="give a number of rows, or --time",
        )
    check_outputs({"-o": out, "--plot": plot}, inputs=[path])
    if plot is not None:
        check_picture_path(plot)
    options = ReadingOptions(
        time_format=time_format,
        zone=zone,
        decimal=cast(Decimal | None, decimal),
        header_line=header_line,
        missing=tuple(missing or ()),
    )
    with working(f"reading {path.name}", is_quiet=as_json):
        read = read_series(path, time=time, value=value, key=key, options=options)
    rule = EventRule(threshold=threshold, least_share=least_share)
    settings = NormalSettings(
        learns_below=learns_below if math.isfinite(learns_below) else None,
        lasting_rows=learns_after,
    )
    found = []
    with working(
        "detect", is_quiet=as_json, total=sum(len(one.values) for one in read.series)
    ) as note:
        for series in read.series:
            found.append(
                detect_series(
                    series,
                    train=rows,
                    train_until_ns=until_ns,
                    settings=settings,
                    rule=rule,
                    strong_only=strong_only,
                )
            )
            note(sum(len(one.series.values) for one in found))
    notes = _notes(read, found)
    if any(len(one.events) for one in found):
        notes.append(_what_was_learnt(settings))
    alerts: list[SeriesAlert] = []
    if explain is not None or explain_to is not None:
        rank, at_ns = _which(explain or "all", has_times=time is not None)
        alerts = explain_events(found, rule=rule, settings=settings, rank=rank, at_ns=at_ns)
        events = sum(len(one.events) for one in found)
        if rank is None and at_ns is None and events > len(alerts):
            notes.append(f"{events - len(alerts)} weaker events were not explained")
    if out is not None:
        with writing(out):
            write_detections(out, found)
    if plot is not None and found:
        left_out = draw_detections(plot, found, title=f"{path.name}, {value}")
        if left_out:
            notes.append(f"{left_out} series are not in the picture")
    written = [] if explain_to is None else write_series_alerts(explain_to, alerts, value=value)
    if as_json:
        plain = {
            "rows": read.rows,
            "unread": [asdict(one) for one in read.unread],
            "series": [f.as_mapping() for f in found],
            "notes": notes,
            "learning": {
                "learns_below": settings.learns_below,
                "quiet_rows": settings.quiet_rows,
                "learns_after_rows": settings.lasting_rows,
            },
        }
        if explain is not None or explain_to is not None:
            plain["explained"] = [alert.as_mapping() for alert in alerts]
            plain["written"] = [str(file) for file in written]
        print_json(plain)
        return
    _print(found, notes)
    _print_alerts(found, alerts, written, value)


def _train(text: str | None) -> tuple[int | None, int | None]:
    if text is None:
        return None, None
    if text.isdigit():
        return int(text), None
    until = parse_times(pl.Series([text]), "iso8601").ns[0]
    if until is None:
        raise UsageError(
            expected="a number of rows or an ISO 8601 time",
            got=text,
            where="--train",
            action="for example 1000 or 2026-01-31T00:00:00Z",
        )
    return None, int(until)


def _which(text: str, *, has_times: bool) -> tuple[int | None, int | None]:
    """Rank and time of the events to explain; neither for all."""
    if text == "all":
        return None, None
    if text.isdigit():
        return int(text), None
    at = parse_times(pl.Series([text]), "iso8601").ns[0]
    if at is None or not has_times:
        raise UsageError(
            expected="all, a number from 1, or with --time an ISO 8601 time",
            got=text,
            where="--explain",
            action="for example 1 or 2026-01-31T12:00:00Z",
        )
    return None, int(at)


def _notes(read: SeriesFile, found: list[DetectedSeries]) -> list[str]:
    notes = []
    notes += [str(one) for one in read.unread]
    notes += read.notes
    unknown = [f.series.key or "the series" for f in found if not f.widths]
    if unknown:
        more = f" and {len(unknown) - _SHOWN_KEYS:,} more" if len(unknown) > _SHOWN_KEYS else ""
        notes.append(
            f"too little to learn from, {len(unknown):,} series not scored: "
            f"{', '.join(unknown[:_SHOWN_KEYS])}{more}"
        )
    all_learnt = sum(bool(f.widths) and f.learnt_rows == len(f.score) for f in found)
    if all_learnt:
        notes.append(f"{all_learnt} series not scored: all their rows were learnt from (--train)")
    without = sum(f.without_value for f in found)
    if without:
        notes.append(
            f"{without} rows without a value were left out: no window to learn from was whole"
        )
    left_out = sum(f.left_out for f in found)
    if left_out:
        notes.append(
            f"{left_out} weaker events were left out: give no --strong-only, or another "
            "--least-share"
        )
    uneven = sum(f.uneven_steps for f in found)
    if uneven:
        notes.append(f"{uneven} gaps in time: windows count samples, not seconds")
    return notes


def _what_was_learnt(settings: NormalSettings) -> str:
    """Which rows of events were learnt as normal: whether a repetition is told hangs on it."""
    below = settings.learns_below
    if below is None:
        return "what was over was learnt as normal, events too (--learns-below)"
    if below == 0:
        return "nothing was learnt as normal but the beginning (--learns-below)"
    return (
        f"from a score of {below:g} until it was below {settings.usual_below:g} for "
        f"{settings.quiet_rows} rows nothing was learnt as normal, unless it lasted for "
        f"{settings.lasting_rows} rows (--learns-below, --learns-after)"
    )


def _print(found: list[DetectedSeries], notes: list[str]) -> None:
    console = Terminal()
    shown = 0
    # Of many series those are told that have something to tell.
    told = found if len(found) <= _SHOWN_SERIES else [one for one in found if len(one.events)]
    told = told[:_SHOWN_SERIES]
    for one in told:
        name = one.series.key or "series"
        console.print(
            f"{name}: {len(one.score)} rows, learnt from {one.learnt_rows}, "
            f"windows of {', '.join(map(str, one.widths)) or 'none'}; {_counted(one)}",
            markup=False,
        )
        room = max(_SHOWN_EVENTS - shown, 0)
        rows = zip(one.events, one.peaks(), one.greatest_scores(), one.is_weaker, strict=True)
        for (first, last), peak, greatest, is_weaker in list(rows)[:room]:
            shown += 1
            console.print(
                f"  {_place(one, first)} to {_place(one, last)}  score {greatest:.3g}"
                f"  peak {_place(one, peak)}{'  weaker' if is_weaker else ''}",
                markup=False,
            )
    events = sum(len(one.events) for one in found)
    if len(told) < len(found):
        console.print(
            f"{len(found):,} series in all, {sum(len(one.events) > 0 for one in found):,} with "
            "events: see -o or --json",
            markup=False,
        )
    if events > shown:
        console.print(f"and {events - shown} more events: see -o or --json", markup=False)
    for note in notes:
        console.print(f"note: {note}", markup=False)


def _print_alerts(
    found: list[DetectedSeries], alerts: list[SeriesAlert], written: list[Path], value: str
) -> None:
    console = Terminal()
    events = sum(len(one.events) for one in found)
    for alert in alerts:
        console.print()
        for line in series_alert_lines(alert, value=value, of=events):
            console.print(line, markup=False)
    if written:
        console.print()
    for path in written:
        console.print(f"written: {path}", markup=False)


def _counted(one: DetectedSeries) -> str:
    weaker = int(one.is_weaker.sum())
    said = f"{len(one.events)} events"
    return f"{said}, {weaker} of them weaker beside the strongest" if weaker else said


def _place(one: DetectedSeries, at: int) -> str:
    if one.series.time_ns is None:
        return f"row {one.series.row[at]}"
    seconds = int(one.series.time_ns[at]) / NS_PER_S
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}Z"

"""Tables that once could not be read, were read wrongly, or ended in a traceback."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from benchmarks.cases.case import Case, Finished, case

_EVENT = "2024-03-03 18:40"  # where the fault lies in most of these files


def _detect(c: Case, file: str, *options: str) -> Finished:
    return c.run("sightline", "detect", file, "--time", "time", "--value", "value", *options)


def _finds_the_event(done: Finished, file: str, *, note: str = "") -> Iterator[str]:
    if done.rc or _EVENT not in done.out or "1 events" not in done.out:
        yield f"{file}: exit {done.rc}, {done.text[:120]!r}"
    elif not re.search(note, done.out):
        yield f"{file}: no note of {note!r}"


def _is_an_error(done: Finished, file: str, words: str) -> Iterator[str]:
    if done.is_defect or done.rc not in (2, 3, 5) or words not in done.text:
        yield f"{file}: exit {done.rc}, {done.text[-120:]!r}"


@case("telemetry/01-one-bad-time-cell-loses-the-file")
def one_bad_time_cell(c: Case) -> Iterator[str]:
    """As good.csv: one event, and a note that one row has no readable time."""
    yield from _finds_the_event(_detect(c, "one_na.csv"), "one_na.csv", note="1 time .*'NA'")
    yield from _finds_the_event(_detect(c, "units_row.csv"), "units_row.csv", note="1 time .*'s'")
    yield from _finds_the_event(_detect(c, "good.csv"), "good.csv")


@case("telemetry/04-numbers-it-cannot-read-vanish")
def numbers_of_people(c: Case) -> Iterator[str]:
    """Thousands commas and decimal commas are read."""
    for file in ("thousands.csv", "decimal_comma.csv"):
        yield from _finds_the_event(_detect(c, file), file)


@case("telemetry/05-type-guessed-from-10000-rows")
def types_that_show_late(c: Case) -> Iterator[str]:
    """A number with a fraction and a word, both in row 10,500."""
    c.script()
    rain = _detect(c, "rain.csv")
    if rain.rc or "1 events" not in rain.out:
        yield f"rain.csv: exit {rain.rc}, {rain.text[:120]!r}"
    historian = _detect(c, "historian.csv")
    if historian.rc or not re.search(r"1 value .*10500.*'Bad'", historian.out):
        yield f"historian.csv: exit {historian.rc}, {historian.text[:120]!r}"


@case("telemetry/06-unreadable-times-end-well")
def forms_of_times(c: Case) -> Iterator[str]:
    """Read, or an error that shows the time; what is ambiguous is read with an option."""
    for file in ("dayfirst.csv", "slash.csv", "postgres.csv", "utc.csv", "doy.csv"):
        yield from _finds_the_event(_detect(c, file), file)
    yield from _is_an_error(_detect(c, "ampm.csv"), "ampm.csv", "--time-format month-first")
    given = _detect(c, "ampm.csv", "--time-format", "month-first")
    yield from _finds_the_event(given, "ampm.csv, month-first")


@case("telemetry/07-one-time-sets-the-unit-of-all")
def one_time_of_another_unit(c: Case) -> Iterator[str]:
    """One row in ms, or inf: that row is counted, the others keep their times."""
    for file in ("one_ms.csv", "one_inf.csv"):
        yield from _finds_the_event(_detect(c, file), file, note="1 time unbelievable")


@case("telemetry/08-calendar-numbers-read-as-epoch")
def numbers_of_calendars(c: Case) -> Iterator[str]:
    """Days of spreadsheets, digits of a date, ticks of Windows; a note says how they were read."""
    for file in ("excel.csv", "yyyymmddhhmmss.csv", "filetime.csv", "yyyymmddhhmm.csv"):
        yield from _finds_the_event(_detect(c, file), file, note="times run from 2024-03-01")


@case("telemetry/09-devices-merged")
def keys_are_text(c: Case) -> Iterator[str]:
    """007 and 7, 1E5 and 100000 are two devices each."""
    for file, keys in (("zeros.csv", {"007", "7"}), ("hex.csv", {"1E5", "100000"})):
        done = _detect(c, file, "--key", "id", "--json")
        found = {} if done.rc else {s["key"]: s["rows"] for s in json.loads(done.out)["series"]}
        if found != dict.fromkeys(keys, 400):
            yield f"{file}: exit {done.rc}, series {found}"


@case("telemetry/10-output-overwrites-the-input")
def output_is_not_the_input(c: Case) -> Iterator[str]:
    """Refused, the file itself and a link to it, for scores and picture."""
    before = (c.folder / "good.csv").read_bytes()
    (c.folder / "link.png").hardlink_to(c.folder / "good.csv")
    for option, out in (("-o", "good.csv"), ("-o", "link.png"), ("--plot", "link.png")):
        yield from _is_an_error(_detect(c, "good.csv", option, out), f"{option} {out}", "input")
    if (c.folder / "good.csv").read_bytes() != before:
        yield "good.csv was changed"


@case("telemetry/13-tracebacks")
def errors_and_no_tracebacks(c: Case) -> Iterator[str]:
    """Numbers in a dictionary are read; the rest are errors, or ignored where nobody asked."""
    yield from _finds_the_event(_detect(c, "dictionary.parquet"), "dictionary.parquet")
    for file in ("list.parquet", "struct.parquet", "binary.parquet"):
        yield from _is_an_error(_detect(c, file), file, "a column of numbers")
    array = c.run("sightline", "detect", "two.npz", "--value", "value:7")
    yield from _is_an_error(array, "two.npz", "value")
    yield from _is_an_error(_detect(c, "good.csv", "--plot", "x.txt"), "--plot x.txt", ".png")
    null = c.run("sightline", "run", "p_null.yaml", "--source", "tlm=rows.csv", "--out", "o1")
    yield from _is_an_error(null, "range: [null, null]", "range")
    unused = c.run("sightline", "run", "p.yaml", "--source", "tlm=d256.parquet", "--out", "o2")
    if unused.rc or unused.is_defect:
        yield f"d256.parquet: exit {unused.rc}, {unused.text[-120:]!r}"


@case("telemetry/16-one-line-kills-detect")
def one_line_costs_one_row(c: Case) -> Iterator[str]:
    """A stray quote and a Latin-1 note cost their row; a comma at each line's end costs nothing."""
    for file in ("stray_quote.csv", "latin1_note.csv"):
        yield from _finds_the_event(_detect(c, file), file, note="1 line")
    yield from _finds_the_event(_detect(c, "trailing_comma.csv"), "trailing_comma.csv")


@case("telemetry/18-many-keys-slow")
def many_keys(c: Case) -> Iterator[str]:
    """10,000 series of 100 rows: a count, and no line for each."""
    done = c.script()
    told = (c.folder / "out.txt").read_text(encoding="utf-8")
    if done.is_defect or "10,000 series not scored" not in told:
        yield f"exit {done.rc}, {told[-120:]!r}"
    elif len(told.splitlines()) > 100:
        yield f"{len(told.splitlines())} lines on the terminal"


@case("telemetry/15-clock-excursion-of-ten-rows")
def one_clock_that_jumps(c: Case) -> Iterator[str]:
    """HOT is raised in all; the wrong stamps are refused, the right ones kept."""
    for file, wrong in (("three", 3), ("ten", 10), ("reboot1970", 30)):
        source = ("--source", f"tlm={file}.csv", "--out", f"o_{file}", "--json")
        done = c.run("sightline", "run", "p.yaml", *source)
        if done.rc or "hot raised" not in done.out:
            yield f"{file}.csv: exit {done.rc}, HOT not raised, {done.text[-120:]!r}"
            continue
        told = c.run("sightline", "quarantine", f"o_{file}").out
        if not told.startswith(f"{wrong} rows"):
            yield f"{file}.csv: {told.splitlines()[0]!r}, {wrong} are wrong"

"""``sightline pod``: how large a flaw must be to be found, from a table, a run or B-scans."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer

from sightline.cli.console import Json, Terminal, print_json
from sightline.cli.output_files import check_outputs
from sightline.cli.runs import open_run
from sightline.errors import SourceError, UsageError
from sightline.evidence.account_picture import write_text
from sightline.evidence.detection_probability import (
    Detection,
    draw_detection,
    false_calls,
    fit_hit_miss,
    fit_signal,
)
from sightline.evidence.inspection.map_files import write_png
from sightline.evidence.parts_account import hits_and_misses, known_parts
from sightline.limits import DEFAULT_LIMITS
from sightline.perceive.inspection.b_scan import scan_picture, strongest_echo
from sightline.records.windows import FloatArray
from sightline.sense.frames.b_scans import SUFFIX, read_b_scans

_MOST_BYTES = DEFAULT_LIMITS.max_control_file_bytes
_NEEDED = "size,hit (0 or 1), or size,signal with --threshold"


def pod(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="HITMISS.csv|RUN|SCANS.bins",
            help=f"Columns {_NEEDED}, size 0 is no flaw; a run whose parts were reviewed; or "
            "ultrasonic B-scans.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="POD.svg", help="Draw the curve.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Signal from which a flaw is called (â against a).")
    ] = None,
    linear: Annotated[
        bool, typer.Option("--linear", help="Fit over the size, not over its logarithm.")
    ] = False,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Folder for B-scans with their strongest echo."),
    ] = None,
    unit: Annotated[str, typer.Option(help="Of the sizes.")] = "mm",
    as_json: Json = False,
) -> None:
    """Probability of detection: a90, a90/95 and false calls (MIL-HDBK-1823A).

    Rows of size 0 are places without a flaw; what is called there are false calls. Of a run,
    painted defects are flaws (their longest extent, in px), found unless their part was accepted.
    A flaw in a part that nobody reviewed is not counted: what was missed comes from the audit.
    """
    check_outputs({"-o": out, "--pictures": pictures}, inputs=[table])
    if table.is_dir():
        size, answer, is_signal = *hits_and_misses(known_parts(open_run(table).parts())), False
        unit = "px"
    elif table.suffix == SUFFIX:
        size, answer = _read_scans(table, threshold, pictures)
        is_signal = False
    else:
        size, answer, is_signal = _read(table, threshold)
    is_flaw = size > 0
    called = answer >= threshold if is_signal and threshold is not None else answer > 0
    found: Detection
    if is_signal:
        assert threshold is not None
        found = fit_signal(size[is_flaw], answer[is_flaw], threshold=threshold, is_log=not linear)
    else:
        found = fit_hit_miss(size[is_flaw], called[is_flaw], is_log=not linear)
    calls = false_calls(int(called[~is_flaw].sum()), int((~is_flaw).sum()))
    if out is not None:
        write_text(out, draw_detection(found, size[is_flaw], called[is_flaw], unit=unit))
    plain = asdict(found) | {
        "unit": unit,
        "curve": [[round(v, 6) if math.isfinite(v) else None for v in r] for r in found.curve],
        "false_calls": None if calls.opportunities == 0 else asdict(calls),
    }
    if as_json:
        print_json(plain)
        return
    _show(plain)


def _read_scans(
    path: Path, threshold: float | None, pictures: Path | None
) -> tuple[FloatArray, FloatArray]:
    """Sizes, and 1 where the strongest echo of a scan is called.

    They are taken as hits and misses, not as signals against sizes: below the size whose echo
    leaves the grain, the strongest echo is that of the grain, and grows with no size.
    """
    if threshold is None:
        raise UsageError(
            expected="--threshold, the signal from which a flaw is called",
            got="none",
            where="sightline pod",
            action="give it; the signal of grain is about 1, for example 4",
        )
    scans = read_b_scans(path)
    echoes = [strongest_echo(scan) for scan in scans.amplitude]
    signals = np.array([echo.signal for echo in echoes])
    if pictures is not None:
        for number, (scan, echo) in enumerate(zip(scans.amplitude, echoes, strict=True)):
            picture = scan_picture(scan, echo, is_called=echo.signal >= threshold)
            write_png(pictures / f"{number:05}.png", picture)
        table = pl.DataFrame({"size": scans.size, "signal": signals})
        write_text(pictures / "signals.csv", table.write_csv())
    return scans.size, (signals >= threshold).astype(np.float64)


def _show(plain: dict[str, Any]) -> None:
    console = Terminal()
    for name in ("method", "flaws", "found", "sizes", "a50", "a90", "a90_95", "unit"):
        console.print(f"{name:12} {plain[name]}")
    if calls := plain["false_calls"]:
        console.print(
            f"false calls  {calls['calls']} of {calls['opportunities']}, 95 % "
            f"[{calls['low']:.4f}, {calls['high']:.4f}]"
        )
    for note in plain["notes"]:
        console.print(f"note: {note}")


def _read(path: Path, threshold: float | None) -> tuple[FloatArray, FloatArray, bool]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _unusable(f"at most {_MOST_BYTES} bytes", "more", path)
        table = pl.read_csv(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unusable(f"a CSV file with {_NEEDED}", str(error).splitlines()[0], path) from error
    named = {name.strip().lower(): name for name in table.columns}
    answer = "signal" if threshold is not None else "hit"
    if "size" not in named or answer not in named:
        got = ", ".join(table.columns)
        if "signal" in named and threshold is None:
            raise UsageError(
                expected="--threshold, the signal from which a flaw is called",
                got="none",
                where="sightline pod",
                action="give it, or a column hit",
            )
        raise _unusable(f"columns {_NEEDED}", got, path)
    columns = []
    for name in ("size", answer):
        numbers = table[named[name]].cast(pl.Float64, strict=False)
        values = numbers.fill_null(math.nan).to_numpy()
        wrong = ~np.isfinite(values) | (values < 0)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise _unusable(f"numbers of 0 and more in {name}", f"{table[row, named[name]]}",
                            path, row + 2)  # fmt: skip
        columns.append(values)
    if answer == "hit" and (other := ~np.isin(columns[1], (0.0, 1.0))).any():
        row = int(np.flatnonzero(other)[0])
        raise _unusable("0 or 1 in hit", f"{columns[1][row]:g}", path, row + 2)
    return columns[0], columns[1], answer == "signal"


def _unusable(expected: str, got: str, path: Path, line: int | None = None) -> SourceError:
    return SourceError(
        expected=expected,
        got=got,
        where=str(path) if line is None else f"{path}, line {line}",
        action="give one row for each flaw, and rows of size 0 for places without one",
    )

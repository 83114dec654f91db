"""``sightline batch inspect|detect``: jobs for a container, told everything by its environment."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import SecretStr

from sightline.act.batch_ledger import BatchLedger
from sightline.cli.console import Terminal, print_json
from sightline.errors import RefusedError
from sightline.evidence.batches import BatchReport, run_batch
from sightline.evidence.inspection.inspecting import look_at
from sightline.evidence.series_detection import detect_series
from sightline.evidence.series_file import ReadingOptions, read_series
from sightline.perceive.inspection.inspector_model import load_inspector
from sightline.perceive.normal import EventRule, NormalSettings
from sightline.runtime.job_settings import JobSettings, load_settings
from sightline.sense.frames.image_files import IMAGE_SUFFIXES
from sightline.sense.frames.part_pictures import read_picture
from sightline.sense.objects import open_folder

app = typer.Typer(help="Jobs over many files, for a container.", no_args_is_help=True)

_TABLES = (".csv", ".csv.gz", ".tsv", ".txt", ".parquet", ".npz")

Source = Annotated[
    str | None,
    typer.Argument(
        metavar="FOLDER|s3://…", help="Where the files are; by default SIGHTLINE_SOURCE."
    ),
]
Ledger = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Database of the job; by default SIGHTLINE_LEDGER, also …_FILE.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


class BatchSettings(JobSettings):
    """What every batch job is told."""

    source: str
    """Where the files are: a folder, or s3://BUCKET/PREFIX."""
    ledger: SecretStr
    """Address of the database for results; it may hold a password."""


class InspectSettings(BatchSettings):
    """What `sightline batch inspect` is told."""

    model: Path
    """Folder of an inspector."""
    digest: str | None = None
    """Digest that the model must have; none: any."""


class DetectSettings(BatchSettings):
    """What `sightline batch detect` is told."""

    value: str
    """Column of the values."""
    time: str | None = None
    """Column of times; none: rows are evenly spaced."""
    key: str | None = None
    """Column that tells series apart."""
    threshold: float = EventRule().threshold
    """Score from which rows are an event."""


AnyBatch = TypeVar("AnyBatch", bound=BatchSettings)


@app.callback()
def _batch() -> None:
    """Jobs over many files; each goes on where it was stopped."""


@app.command("inspect")
def batch_inspect(
    source: Source = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Folder of the inspector; by default SIGHTLINE_MODEL."),
    ] = None,
    digest: Annotated[
        str | None,
        typer.Option(
            metavar="SHA256", help="Digest that the model must have; by default SIGHTLINE_DIGEST."
        ),
    ] = None,
    ledger: Ledger = None,
    as_json: Json = False,
) -> None:
    """Look at every picture of a place: accept, review or reject, stored in a database."""
    settings = _settings(InspectSettings, source=source, model=model, digest=digest, ledger=ledger)
    inspector = load_inspector(settings.model, digest=settings.digest)

    def look(path: Path, name: str) -> Mapping[str, Any]:
        return look_at(inspector, read_picture(path), name, None)[0]

    meaning = {"model": inspector.artefact.digest}
    _run("inspect", settings, look, meaning, suffixes=tuple(IMAGE_SUFFIXES), as_json=as_json)


@app.command("detect")
def batch_detect(
    source: Source = None,
    value: Annotated[
        str | None,
        typer.Option(metavar="COL", help="Column of values; by default SIGHTLINE_VALUE."),
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option("--time", metavar="COL", help="Column of times; by default SIGHTLINE_TIME."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="COL", help="Column that tells series apart; by default SIGHTLINE_KEY."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Score from which rows are an event; by default SIGHTLINE_THRESHOLD, or 5."
        ),
    ] = None,
    ledger: Ledger = None,
    as_json: Json = False,
) -> None:
    """Find what is unlike the past in every table of a place, stored in a database."""
    settings = _settings(
        DetectSettings,
        source=source,
        value=value,
        time=time_column,
        key=key,
        threshold=threshold,
        ledger=ledger,
    )
    rule = EventRule(threshold=settings.threshold)

    def look(path: Path, _name: str) -> Mapping[str, Any]:
        read = read_series(
            path,
            time=settings.time,
            value=settings.value,
            key=settings.key,
            options=ReadingOptions(),
        )
        found = [
            detect_series(series, settings=NormalSettings(), rule=rule) for series in read.series
        ]
        return {"rows": read.rows, "series": [one.as_mapping() for one in found]}

    meaning = settings.model_dump(mode="json", exclude={"source", "ledger"})
    _run("detect", settings, look, meaning, suffixes=_TABLES, as_json=as_json)


def _settings(kind: type[AnyBatch], **given: object) -> AnyBatch:
    return load_settings(kind, given=given, environment=os.environ)


def _run(
    kind: str,
    settings: BatchSettings,
    look: Callable[[Path, str], Mapping[str, Any]],
    meaning: Mapping[str, Any],
    *,
    suffixes: tuple[str, ...],
    as_json: bool,
) -> None:
    console = Terminal(stderr=True)
    with BatchLedger.open(settings.ledger.get_secret_value()) as ledger:
        report = run_batch(
            kind,
            open_folder(settings.source),
            look,
            ledger,
            meaning=meaning,
            configuration=settings.as_recorded(),
            suffixes=suffixes,
            wall_ns=time.time_ns,
            told=lambda done, of: None if as_json else console.print(f"{done} of {of}"),
        )
    if as_json:
        print_json(asdict(report))
    else:
        _show(report)
    if report.refused > report.done:
        raise RefusedError(
            expected="files that can be read",
            got=f"{report.refused} of {report.done + report.refused} refused",
            where=f"batch {kind}",
            action="see their results in the table batch_items: each says what was expected",
        )


def _show(report: BatchReport) -> None:
    console = Terminal()
    console.print(f"job      {report.job}")
    console.print(
        f"files    {report.items:,} = done before {report.known:,} + done {report.done:,} + "
        f"refused {report.refused:,}"
    )

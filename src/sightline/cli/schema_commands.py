"""``sightline schema …``: forms for editors, and the tables of a ledger in a database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from sightline.cli.console import Terminal, print_document, print_json
from sightline.cli.pipeline_commands import contract_schema, pipeline_schema

app = typer.Typer(help="JSON Schema for editors; tables of a ledger in a database.",
                  no_args_is_help=True)  # fmt: skip
_Ledger = Annotated[str, typer.Option("--ledger", help="postgresql://HOST/DATABASE?schema=NAME.")]
_Plugins = Annotated[
    list[str] | None, typer.Option("--plugin", help="Python module with classes of your own.")
]


@app.command()
def contract() -> None:
    """Print the JSON Schema of contracts."""
    print_json(contract_schema())


@app.command()
def pipeline(plugins: _Plugins = None) -> None:
    """Print the JSON Schema of pipelines."""
    print_json(pipeline_schema(tuple(plugins or ())))


@app.command()
def check(ledger: _Ledger) -> None:
    """Tell the version of a ledger's tables; exit code 1 if there is a newer one."""
    from sightline.act.ledger_upgrade import check_schema  # noqa: PLC0415 - help waits not

    state = check_schema(ledger)
    Terminal().print(f"tables {state.found or 'none'}, newest {state.newest}")
    if not state:
        Terminal().print("bring them on: sightline schema upgrade --ledger …")
        raise typer.Exit(1)


@app.command()
def upgrade(ledger: _Ledger) -> None:
    """Bring the tables of a ledger to the newest version; all of it, or nothing."""
    from sightline.act.ledger_upgrade import upgrade_schema  # noqa: PLC0415 - help waits not

    before, after = upgrade_schema(ledger)
    Terminal().print(f"tables {before.found or 'none'} → {after.found}")


telemetry = typer.Typer(help="Telemetry in a database.", no_args_is_help=True)


@telemetry.command()
def load(
    files: Annotated[list[Path], typer.Argument(help="Parquet files of telemetry rows.")],
    ledger: _Ledger,
) -> None:
    """Add rows to the table, by COPY; each row group is a transaction."""
    from sightline.act.telemetry_table import TelemetryTable  # noqa: PLC0415 - help waits not

    with TelemetryTable.open(ledger) as table:
        count = sum(table.load(frame) for file in files for frame in _groups(file))
        table.analyze()
    Terminal().print(f"{count:,} rows")


@telemetry.command()
def throughput(
    ledger: _Ledger,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print how the database answers instead.")
    ] = False,
) -> None:
    """95th percentile of throughput by terminal and 5 minutes, of the last 24 hours, as CSV."""
    from sightline.act.telemetry_table import TelemetryTable  # noqa: PLC0415 - help waits not

    with TelemetryTable.open(ledger) as table:
        if plan:
            for line in table.plan():
                Terminal().print(line)
        else:
            print_document(table.throughput().write_csv())


@telemetry.command()
def retain(
    ledger: _Ledger,
    days: Annotated[int, typer.Option(min=1, help="Days to keep.")],
) -> None:
    """Drop the partitions of older days."""
    from sightline.act.telemetry_table import TelemetryTable  # noqa: PLC0415 - help waits not

    with TelemetryTable.open(ledger) as table:
        gone = table.retain(days=days, now=datetime.now(UTC))
    Terminal().print(f"{len(gone)} partitions dropped")


def _groups(file: Path) -> Iterator[pl.DataFrame]:
    """Row groups of a Parquet file; times without a zone are UTC."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - help waits not

    with pq.ParquetFile(file) as opened:
        for index in range(opened.num_row_groups):
            frame = pl.DataFrame(pl.from_arrow(opened.read_row_group(index)))
            zoned = [n for n in ("sample_time", "ingested_at") if n in frame.columns]
            yield frame.with_columns(pl.col(zoned).cast(pl.Datetime("us", "UTC")))

"""A scene as a recorded fleet: the files that ``sightline lab evaluate fleet`` reads."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from sightline.apps.gateway.telemetry_scene.ground import scene_packets
from sightline.apps.gateway.telemetry_scene.records import scene_records, scene_truth
from sightline.apps.gateway.telemetry_scene.scene import TelemetryScene


def write_recorded_fleet(scene: TelemetryScene, folder: Path) -> int:
    """Write ``telemetry.parquet``, ``commands.parquet`` and ``faults.csv``; the rows of telemetry.

    Telemetry (satellite, time_ns, sequence, one column for each channel) is as received: packets
    are lost, late and repeated. A row group is one satellite and day, and no more is in memory.
    Commands have no value here (null). Faults are those of single channels and of gateways;
    an outage, in which nothing arrives, is no fault of a channel.

    Args:
        scene: what to simulate.
        folder: made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    writer, rows = None, 0
    try:
        for satellite in range(scene.n_satellites):
            for day in range(scene.n_days):
                sent = scene_packets(scene, satellite=satellite, day=day).telemetry
                table = sent.drop("region", "received_ns").to_arrow()
                if writer is None:
                    writer = pq.ParquetWriter(folder / "telemetry.parquet", table.schema)
                writer.write_table(table)
                rows += sent.height
    finally:
        if writer is not None:
            writer.close()
    commands = scene_records(scene).commands.with_columns(value=pl.lit(None, pl.Float64))
    commands.select("satellite", "time_ns", "command", "value").write_parquet(
        folder / "commands.parquet"
    )
    faults = scene_truth(scene).faults.filter(pl.col("satellite") != "", pl.col("channel") != "")
    faults.select("satellite", "channel", "kind", "start_ns", "end_ns").write_csv(
        folder / "faults.csv"
    )
    return rows

"""Packets of a large constellation in one file, in the order in which they are received."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from sightline.apps.gateway.telemetry_scene import TelemetryScene, scene_packets
from sightline.apps.gateway.telemetry_scene.link import LinkConfig
from sightline.records.signals import NS_PER_S

DAY_S, HOUR_S = 86_400, 3_600
_LINK = LinkConfig(
    jitter_mean_s=4.0,
    jitter_max_s=19.0,
    loss_share=0.002,
    duplicate_share=0.002,
    late_share=0.0005,
    late_s=(21.0, 55.0),
    beyond_rows=1,
)
"""Out of order by up to what windows wait for; some later, so that there is something to revise."""
_CHUNK_S = 60
_HOURS = 23  # of a simulated satellite-day, each of which stands for a satellite
_MORE_S = 120
"""Packets go on for so long behind what is asked for: where they end, windows wait for idleness."""


def constellation_scene(
    *, satellites: int, channels: int, days: int, seed: int, period_s: float = 1.0
) -> TelemetryScene:
    """What is simulated: whole days, or one day of which each hour stands for a satellite."""
    return TelemetryScene(
        seed=seed,
        n_satellites=satellites if days else -(-satellites // _HOURS),
        duration_s=max(days, 1) * DAY_S,
        period_s=period_s,
        n_channels=channels,
        faults_per_satellite_day=4.0,
        outages_per_gateway_day=0.0,
        releases="none",
        link=_LINK,
    )


def _packets(
    scene: TelemetryScene, satellites: int, duration_s: int, days: int
) -> Iterator[pl.DataFrame]:
    """Packets of each satellite; hours of a day are cut out and laid over each other."""
    for number in range(scene.n_satellites):
        if days:
            parts = [
                scene_packets(scene, satellite=number, day=day).telemetry for day in range(days)
            ]
            yield pl.concat(parts)
            continue
        day = scene_packets(scene, satellite=number, day=0).telemetry
        for hour in range(_HOURS):
            if number * _HOURS + hour >= satellites:
                return
            shift_ns = hour * HOUR_S * NS_PER_S
            begin_ns = scene.start_ns + shift_ns
            yield day.filter(
                pl.col("time_ns") >= begin_ns,
                pl.col("time_ns") < begin_ns + (duration_s + _MORE_S) * NS_PER_S,
            ).with_columns(
                pl.col("time_ns") - shift_ns,
                pl.col("received_ns") - shift_ns,
                satellite=pl.col("satellite") + f"-{hour:02d}",
            )


def write_packets(
    path: Path, scene: TelemetryScene, *, satellites: int, duration_s: int, days: int
) -> int:
    """Write all packets in order of receipt, a minute to a row group; the rows."""
    frames = [
        f.sort("received_ns", maintain_order=True)
        for f in _packets(scene, satellites, duration_s, days)
    ]
    last_ns = max(int(frame["received_ns"][-1]) for frame in frames)
    at = [0] * len(frames)
    writer: pq.ParquetWriter | None = None
    rows = 0
    chunk_ns = (_CHUNK_S if not days else HOUR_S) * NS_PER_S
    for until_ns in range(scene.start_ns + chunk_ns, last_ns + chunk_ns + 1, chunk_ns):
        parts = []
        for i, frame in enumerate(frames):
            end = int(np.searchsorted(frame["received_ns"].to_numpy(), until_ns))
            parts.append(frame.slice(at[i], end - at[i]))
            at[i] = end
        chunk = pl.concat(parts).sort("received_ns", maintain_order=True).to_arrow()
        writer = writer or pq.ParquetWriter(path, chunk.schema, compression="zstd")
        writer.write_table(chunk)
        rows += chunk.num_rows
    assert writer is not None
    writer.close()
    return rows

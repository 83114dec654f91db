"""Makes ``telemetry_scene.png``: one simulated satellite-day with its labelled faults.

    python docs/pictures/make_telemetry_picture.py [OUT.png]

The day is the first in the fleet with a fault of each kind that one satellite can have alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from sightline.apps.gateway.telemetry_scene import (
    TelemetryScene,
    scene_block,
    scene_records,
    scene_truth,
)
from sightline.evidence.telemetry_drawing import LabelledSpan, draw_telemetry

SCENE = TelemetryScene(
    seed=0, n_satellites=400, faults_per_satellite_day=6, gateway_faults_per_day=2
)


def main(path: Path) -> None:
    """Draw it."""
    faults = scene_truth(SCENE).faults
    kinds = faults.group_by("satellite", maintain_order=True).agg(pl.col("kind").n_unique())
    name = kinds.filter(pl.col("kind") == kinds["kind"].max())["satellite"][0]
    satellite = int(name.removeprefix("sat-")) - 1
    block = scene_block(SCENE, satellite=satellite, day=0)
    spans = [
        LabelledSpan(
            channel=row["channel"],
            start_ns=row["start_ns"],
            end_ns=row["end_ns"],
            label=f"{row['kind']} {row['magnitude']:.1f} σ" if row["magnitude"] else row["kind"],
        )
        for row in faults.filter(pl.col("satellite") == name).iter_rows(named=True)
    ]
    draw_telemetry(
        path,
        time_ns=block.time_ns,
        channels={m.name: block.values[:, k] for k, m in enumerate(SCENE.channels)},
        spans=spans,
        marks_ns=scene_records(SCENE, satellites=[satellite]).commands["time_ns"].to_numpy(),
        title=f"{name}, one day at 0.1 Hz; shaded: labelled faults; ticks below: commands",
    )


if __name__ == "__main__":
    default = Path(__file__).with_name("telemetry_scene.png")
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)

"""``sightline lab evaluate …``: every comparison with the truth, under one name."""

from __future__ import annotations

from sightline.cli import (
    anomaly_benchmark_commands,
    fleet_command,
    inspection_commands,
    site_score_command,
)
from sightline.cli.tracking_commands import app

anomaly_benchmark_commands.register(app)
fleet_command.register(app)
site_score_command.register(app)
inspection_commands.register(app)

__all__ = ["app"]

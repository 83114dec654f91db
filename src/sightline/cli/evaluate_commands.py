"""``sightline lab evaluate …``: every comparison with the truth, under one name."""

from __future__ import annotations

from sightline.cli import fleet_command, inspection_commands, site_score_command
from sightline.cli.bench_command import published
from sightline.cli.main import PASSES_OPTIONS_ON
from sightline.cli.tracking_commands import app

fleet_command.register(app)
site_score_command.register(app)
inspection_commands.register(app)
for _name, _help in (
    ("nasa", "NASA SMAP or MSL, from a checkout."),
    ("nab", "Numenta's benchmark, from a checkout."),
    ("skab", "Skoltech's benchmark, from a checkout."),
    ("opssat", "ESA's OPS-SAT-AD, from a checkout."),
):
    app.command(_name, help=_help, **PASSES_OPTIONS_ON)(published)

__all__ = ["app"]

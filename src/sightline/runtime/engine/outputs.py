"""What a core says after one entry."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from sightline.records import Accounts, Decision
from sightline.records.command import ActuatorCommand
from sightline.runtime.alerting.said import AlertingSaid
from sightline.runtime.engine.guard import Request
from sightline.runtime.engine.summary import Summary


@dataclass(slots=True, kw_only=True)
class StepOutput:
    """What the shell has to log and carry out after one entry."""

    decisions: list[Decision] = field(default_factory=list)
    refused: list[tuple[str, pl.DataFrame]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    commands: list[ActuatorCommand] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    alerting: AlertingSaid | None = None
    summary: Summary | None = None
    accounts: Accounts | None = None

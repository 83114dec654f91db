"""What a core says after one entry."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from sightline.records import Accounts, Decision
from sightline.runtime.guard import ScoreRequest
from sightline.runtime.summary import Summary


@dataclass(slots=True, kw_only=True)
class StepOutput:
    """What the shell has to log and carry out after one entry."""

    decisions: list[Decision] = field(default_factory=list)
    refused: list[tuple[str, pl.DataFrame]] = field(default_factory=list)
    requests: list[ScoreRequest] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    summary: Summary | None = None
    accounts: Accounts | None = None

"""What a core puts out after one entry."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from sightline.records import Accounts, Decision
from sightline.records.command import ActuatorCommand
from sightline.records.part import PartNote
from sightline.records.windows import FloatArray, IntArray
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
    parts: list[PartNote] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    alerting: AlertingSaid | None = None
    summary: Summary | None = None
    accounts: Accounts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRows:
    """What one stage wrote in one step; for comparing runs stage by stage.

    Attributes:
        stage: name of the stage.
        subjects: name of the key of each row.
        start_ns: int64[n] window starts.
        values: float64[n, columns].
        columns: what the columns are.
    """

    stage: str
    subjects: tuple[str, ...]
    start_ns: IntArray
    values: FloatArray
    columns: tuple[str, ...]

    def digest(self) -> str:
        """16 hex digits over subjects, windows and values."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update("\n".join(self.subjects).encode())
        digest.update(np.ascontiguousarray(self.start_ns).tobytes())
        digest.update(np.ascontiguousarray(self.values).tobytes())
        return digest.hexdigest()

"""What a run of a site came to, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.records import Accounts


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteReport:
    """What a run of a site came to.

    Attributes:
        path: run directory.
        pipeline: name and digest.
        accounts: where every frame went; balanced, or the run would have raised.
        decisions: counts by ``kind transition``.
        commands: counts by ``machine level``.
        digest: over all decisions.
        wall_s: seconds, reading included.
        frames_per_s: frames of this call over ``wall_s``.
        latency_s: p50, p95, p99 and worst from capture (of a recording at full speed: from having
            the frame) until its commands are on their way.
        age_s: the same of the age of frames when they were taken to be looked at; of a recording
            at full speed always 0.
        stage_s: by stage, the same of what it took per frame.
        deadline_missed: by stage how often it took longer than its budget; under
            ``capture-to-command`` frames that took longer than the pipeline's.
        fallbacks: detections that were not answered by the detector itself, by ``stage:status``.
        undelivered: alerts left in the outbox.
        actuators: by machine: commands sent, superseded, failed, and why the last one failed.
        refused_controls: operator inputs that are none.
        recovery: what was cut from a torn log; empty for nothing.
    """

    path: Path
    pipeline: str
    accounts: Accounts
    decisions: Mapping[str, int]
    commands: Mapping[str, int]
    digest: str
    wall_s: float
    frames_per_s: float
    latency_s: Mapping[str, float]
    age_s: Mapping[str, float]
    stage_s: Mapping[str, Mapping[str, float]]
    deadline_missed: Mapping[str, int]
    fallbacks: Mapping[str, int]
    undelivered: int
    actuators: Mapping[str, Mapping[str, int | str]]
    recovery: str
    refused_controls: int = 0

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready form."""
        a = self.accounts
        return {
            "run": str(self.path),
            "pipeline": self.pipeline,
            "accounts": {
                "received": a.received,
                "decided": a.decided,
                "superseded": a.superseded,
                "dropped": dict(a.dropped),
                "quarantined": dict(a.quarantined),
                "in_flight": a.in_flight,
                "balanced": a.is_balanced,
            },
            "decisions": dict(self.decisions),
            "commands": dict(self.commands),
            "digest": self.digest,
            "wall_s": round(self.wall_s, 3),
            "frames_per_s": round(self.frames_per_s, 1),
            "latency_s": dict(self.latency_s),
            "age_s": dict(self.age_s),
            "stage_s": {stage: dict(seconds) for stage, seconds in self.stage_s.items()},
            "deadline_missed": dict(self.deadline_missed),
            "fallbacks": dict(self.fallbacks),
            "undelivered": self.undelivered,
            "actuators": {name: dict(counts) for name, counts in self.actuators.items()},
            "recovery": self.recovery,
            "refused_controls": self.refused_controls,
        }

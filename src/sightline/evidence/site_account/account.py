"""What a run of a site came to, from its log alone: frames, cameras, machines, times, replay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sightline.evidence.site_account.plain import number
from sightline.records import Accounts
from sightline.records.command import CommandLevel

Seconds = Mapping[str, float]
"""``count``, and with values ``p50``, ``p95``, ``p99`` and ``worst`` in s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraAccount:
    """One camera.

    Attributes:
        name: of the camera.
        frames: whose headers are in the log.
        refused: frames that broke their contract, by the first reason.
        lost: frames that could not be read, by reason.
        notes: changes of the stream that cost no frame, by reason.
        gone: frames that were never looked at, by cause: superseded by newer ones, or dropped.
        signs: how many frames had each sign of an unwell picture or broken contract.
        age_s: from capture to receipt.
        longest_gap_s: between the captures of two usable frames that follow each other; NaN with
            fewer than two.
        outcomes: of asking the detector, by status.
        by_fallback: frames the detector itself did not answer, and somebody else did.
        unanswered: frames that nobody answered: tracks were carried on.
    """

    name: str
    frames: int
    refused: Mapping[str, int]
    lost: Mapping[str, int]
    notes: Mapping[str, int]
    gone: Mapping[str, int]
    signs: Mapping[str, int]
    age_s: Seconds
    longest_gap_s: float
    outcomes: Mapping[str, int]
    by_fallback: int
    unanswered: int

    @property
    def asked(self) -> int:
        """Frames a detector was asked about."""
        return sum(self.outcomes.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineAccount:
    """One machine.

    Attributes:
        name: of the machine.
        level_s: event time at each level for which a command was valid.
        uncommanded_s: event time without a valid command: the machine stood still by itself.
        commands: by level, those that repeat it among them.
        changes: by level, the commands that changed to it.
        asked_by: by level and reason code, in how many of those changes it was a reason.
        held_by: by reason code, in how many of all commands above NONE it was a reason.
    """

    name: str
    level_s: Mapping[CommandLevel, float]
    uncommanded_s: float
    commands: Mapping[CommandLevel, int]
    changes: Mapping[CommandLevel, int]
    asked_by: Mapping[tuple[CommandLevel, str], int]
    held_by: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayCheck:
    """Whether a replay of the log says what the log says.

    Attributes:
        compared: decisions and commands that came out as the same bytes.
        began_after: log sequence of the checkpoint it began at; -1 for the whole log.
        difference: the first one; ``""`` for none.
    """

    compared: int
    began_after: int
    difference: str

    @property
    def verdict(self) -> str:
        """``same``, ``differs``, or ``nothing to compare``: that is no pass."""
        if self.difference:
            return "differs"
        return "same" if self.compared else "nothing to compare"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedTimes:
    """What was measured, as logged.

    Attributes:
        step_s: from having the frames that were fed together to what was said about them.
        stage_s: by stage, the same of its share.
        said_s: from capture to the stamp of the log behind what was said: for runs by the wall
            clock only, else empty. Writing to the disk and sending come after it.
        budget_s: of the pipeline, from capture to command.
        stage_budget_s: of stages that have one.
        missed: DEADLINE_MISSED by stage.
        worst_missed_s: the worst of them by stage.
    """

    step_s: Seconds
    stage_s: Mapping[str, Seconds]
    said_s: Seconds
    budget_s: float
    stage_budget_s: Mapping[str, float]
    missed: Mapping[str, int]
    worst_missed_s: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteAccount:
    """What a run of a site came to.

    Attributes:
        name: of the pipeline.
        description: of the pipeline.
        digest: of the pipeline.
        span_s: event time from the first entry to the last.
        is_finished: whether the log has its final tick.
        accounts: where every frame is; of a log that does not replay as last logged.
        cameras: in the order of the pipeline.
        machines: in the order of the pipeline.
        decisions: by (kind, reason code, transition).
        standing: decisions that were raised and not cleared, by kind; empty where the replay
            differs.
        times: measured.
        replay: the check.
        decisions_digest: over all decisions.
    """

    name: str
    description: str
    digest: str
    span_s: float
    is_finished: bool
    accounts: Accounts
    cameras: tuple[CameraAccount, ...]
    machines: tuple[MachineAccount, ...]
    decisions: Mapping[tuple[str, str, str], int]
    standing: Mapping[str, int]
    times: LoggedTimes
    replay: ReplayCheck
    decisions_digest: str

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        a = self.accounts
        return {
            "pipeline": self.name,
            "digest": self.digest,
            "span_s": self.span_s,
            "finished": self.is_finished,
            "accounts": {
                "received": a.received,
                "decided": a.decided,
                "superseded": a.superseded,
                "dropped": dict(a.dropped),
                "quarantined": dict(a.quarantined),
                "in_flight": a.in_flight,
                "balanced": a.is_balanced,
            },
            "cameras": {c.name: _camera_mapping(c) for c in self.cameras},
            "machines": {m.name: _machine_mapping(m) for m in self.machines},
            "decisions": [
                {"kind": kind, "code": code, "transition": transition, "count": count}
                for (kind, code, transition), count in self.decisions.items()
            ],
            "standing": dict(self.standing),
            "times": {
                "step_s": dict(self.times.step_s),
                "stage_s": {stage: dict(s) for stage, s in self.times.stage_s.items()},
                "capture_to_said_s": dict(self.times.said_s),
                "budget_s": self.times.budget_s,
                "stage_budget_s": dict(self.times.stage_budget_s),
                "deadline_missed": dict(self.times.missed),
                "worst_missed_s": dict(self.times.worst_missed_s),
            },
            "replay": {
                "verdict": self.replay.verdict,
                "compared": self.replay.compared,
                "began_after": self.replay.began_after,
                "difference": self.replay.difference,
            },
            "decisions_digest": self.decisions_digest,
        }


def _camera_mapping(camera: CameraAccount) -> dict[str, Any]:
    gap_s = camera.longest_gap_s
    return {
        "frames": camera.frames,
        "refused": dict(camera.refused),
        "lost": dict(camera.lost),
        "notes": dict(camera.notes),
        "gone": dict(camera.gone),
        "signs": dict(camera.signs),
        "age_s": dict(camera.age_s),
        "longest_gap_s": number(gap_s),
        "outcomes": dict(camera.outcomes),
        "by_fallback": camera.by_fallback,
        "unanswered": camera.unanswered,
        "fallback_share": camera.by_fallback / camera.asked if camera.asked else None,
    }


def _machine_mapping(machine: MachineAccount) -> dict[str, Any]:
    return {
        "level_s": {str(level): s for level, s in machine.level_s.items()},
        "uncommanded_s": machine.uncommanded_s,
        "commands": {str(level): n for level, n in machine.commands.items()},
        "changes": {str(level): n for level, n in machine.changes.items()},
        "asked_by": [
            {"level": str(level), "code": code, "count": n}
            for (level, code), n in machine.asked_by.items()
        ],
        "held_by": dict(machine.held_by),
    }


def counted(counts: Counter[Any]) -> dict[Any, int]:
    """The most frequent first, equal ones by name."""
    return dict(sorted(counts.items(), key=lambda one: (-one[1], str(one[0]))))

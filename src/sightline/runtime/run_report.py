"""What a run came to, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sightline.act.outbox import Undelivered
from sightline.errors import RefusedError, SinkError, SourceError
from sightline.records import Accounts
from sightline.runtime.engine.frame_shell import FrameTally
from sightline.runtime.engine.learning import Learning
from sightline.runtime.ledger_keeping import LedgerState


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What a run came to.

    Attributes:
        path: run directory.
        pipeline: name and digest.
        accounts: where every row went; balanced, or the run would have raised.
        decisions: counts by ``kind transition status``.
        digest: over all revisions; equal for equivalent runs.
        final_digest: over the final revisions only.
        wall_s: seconds, reading included.
        rows_per_s: rows of this call over ``wall_s``.
        frames_per_s: frames of this call over ``wall_s``.
        step_s: p50, p95, p99 and worst of the core's time per epoch.
        stage_s: the same per stage.
        latency_s: p50, p95, p99 and worst from the receipt of a commit's oldest row to the durable
            decision; from its release where the source is finite.
        command_latency_s: the same from capture to command, of live cameras; of recordings from
            having the frame.
        age_s: the same of how old frames were when they were taken.
        commands: to machines, by ``machine level``.
        deadline_missed: by stage how often it took longer than its budget, and under
            ``receipt-to-decision`` the decisions that came later than the pipeline's. Each is a
            DEADLINE_MISSED entry in the log.
        cameras: what has come of each camera in this call, and why what cannot be used cannot.
        unusable: of each recording, or of the cameras if it is all of them, that gave nothing that
            could be used: why.
        refusal: that there were no rows, or that most of them were refused, and why.
        waited: whether answers were waited for, so that none of those that took too long was lost.
        fallbacks: guarded stages that did not answer, by ``stage:status``.
        ledger: how the ledger is: one that is not current lacks what the log has.
        undelivered: by receiver what is left in the outbox; None: the ledger does not say.
        actuators: by machine ``sent``, ``superseded``, ``failed``, ``is_signed`` and
            ``last_error``.
        refused_controls: operator inputs that were none.
        recoveries: what was cut from torn logs, by partition.
        alerting: of an alert desk: alerts by ``fates``, ``messages`` by kind; None without one.
        learning: of each stage that learns: how many series it scores, still learns from, and had
            no room for; and how often it told something, on how many days of a key, and how many
            false alerts its budget allows on so many.
        at_bounds: by bound of :class:`.Limits` that was reached: decisions that became final before
            their time (``max_open_decisions``), looks at which a condition that a camera saw found
            no room and was not said (``max_standing``), pictures of alerts that found no room
            (``alert_picture_bytes``).
        left_aside: by camera and cause, boxes that were found in its pictures and are in no track:
            below the detector's ``min_score``, without area, outside the picture, or seen too
            seldom for how sure they are (``no_track``).
        advice: by camera, which setting of its detector would fit what was seen.
    """

    path: Path
    pipeline: str
    accounts: Accounts
    decisions: Mapping[str, int]
    digest: str
    final_digest: str
    wall_s: float
    rows_per_s: float
    frames_per_s: float
    step_s: Mapping[str, float]
    stage_s: Mapping[str, Mapping[str, float]]
    latency_s: Mapping[str, float]
    command_latency_s: Mapping[str, float]
    age_s: Mapping[str, float]
    commands: Mapping[str, int]
    deadline_missed: Mapping[str, int]
    fallbacks: Mapping[str, int]
    ledger: LedgerState
    undelivered: Mapping[str, Undelivered] | None
    actuators: Mapping[str, Mapping[str, Any]]
    refused_controls: int
    recoveries: Mapping[str, str]
    alerting: Mapping[str, Mapping[str, int]] | None = None
    learning: Mapping[str, Learning] = field(default_factory=dict)
    at_bounds: Mapping[str, int] = field(default_factory=dict)
    left_aside: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    advice: Mapping[str, str] = field(default_factory=dict)
    waited: bool = False
    cameras: Mapping[str, FrameTally] = field(default_factory=dict)
    unusable: Mapping[str, str] = field(default_factory=dict)
    refusal: SourceError | RefusedError | None = None

    def problem(self) -> SourceError | RefusedError | SinkError | None:
        """What the person who started the run must know: a camera that gave nothing usable, no rows
        at all, mostly refused rows, a ledger that lacks some, alerts that were not delivered.

        The run itself is complete, and so is its log.
        """
        if self.unusable:
            names = ", ".join(self.unusable)
            return SourceError(
                expected="frames that can be used",
                got="; ".join(f"none: {words}" for words in self.unusable.values()),
                where=f"camera {names}",
                action="change the contract, or the location, as it says",
            )
        if self.refusal is not None:
            return self.refusal
        again = f"mend it, then `sightline run … --out {self.path} --resume`"
        if not self.ledger.is_current:
            return SinkError(
                expected="a ledger with all that the log has",
                got=self.ledger.last_error or "one that takes too long",
                where=str(self.path),
                action=f"{again}: what it lacks is read from the log, and then alerts go out",
            )
        if self.undelivered is None or any(map(int, self.undelivered.values())):
            waits = self.undelivered or {}
            return SinkError(
                expected="every alert to be taken",
                got="; ".join(f"{name}: {left.words()}" for name, left in waits.items())
                or "a ledger that does not say",
                where=f"outbox of {self.path}",
                action=f"mend the receiver, then `sightline outbox {self.path} --alerts …` sends "
                "what waits",
            )
        return None

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "run": str(self.path),
            "pipeline": self.pipeline,
            "accounts": self.accounts.as_mapping(),
            "decisions": dict(self.decisions),
            "digest": self.digest,
            "final_digest": self.final_digest,
            "wall_s": round(self.wall_s, 3),
            "rows_per_s": round(self.rows_per_s),
            "frames_per_s": round(self.frames_per_s, 2),
            "step_s": dict(self.step_s),
            "stage_s": {stage: dict(seconds) for stage, seconds in self.stage_s.items()},
            "latency_s": dict(self.latency_s),
            "command_latency_s": dict(self.command_latency_s),
            "age_s": dict(self.age_s),
            "commands": dict(self.commands),
            "deadline_missed": dict(self.deadline_missed),
            "waited": self.waited,
            "cameras": {
                name: {
                    "usable": tally.usable,
                    "refused": dict(tally.refused),
                    "noted": dict(tally.noted),
                    "words": dict(tally.words),
                }
                for name, tally in self.cameras.items()
            },
            "unusable": dict(self.unusable),
            "refusal": None if self.refusal is None else str(self.refusal),
            "fallbacks": dict(self.fallbacks),
            "undelivered": sum(map(int, (self.undelivered or {}).values())),
            "outbox": {name: asdict(waits) for name, waits in (self.undelivered or {}).items()},
            "ledger": asdict(self.ledger),
            "refused_controls": self.refused_controls,
            "actuators": {name: dict(one) for name, one in self.actuators.items()},
            "recoveries": dict(self.recoveries),
            "at_bounds": dict(self.at_bounds),
            "left_aside": {camera: dict(causes) for camera, causes in self.left_aside.items()},
            "advice": dict(self.advice),
            "learning": {stage: one.as_mapping() for stage, one in self.learning.items()},
            **({} if self.alerting is None else {"alerting": alerting_mapping(self.alerting)}),
        }


def alerting_mapping(sums: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """The sums of an alert desk, JSON-ready, with ``raised``, which they add up to."""
    fates = dict(sums["fates"])
    return {"raised": sum(fates.values()), "fates": fates, "messages": dict(sums["messages"])}

"""Decisions, a clock and ledgers for tests of this room."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sightline.act import Ledger
from sightline.records import Accounts, Decision
from sightline.records.decision import (
    Mode,
    Reason,
    Severity,
    Status,
    Transition,
    decision_id,
    trace_id,
)
from sightline.records.signals import NS_PER_S

START_NS = 1_000 * NS_PER_S
PARTITION = "p000"


def decision(
    number: int = 0,
    *,
    subject: str = "sat-1",
    kind: str = "packet_loss",
    revision: int = 0,
    status: Status = Status.ISSUED,
    score: float = 0.25,
) -> Decision:
    """The decision on minute ``number`` of a subject."""
    start_ns = number * 60 * NS_PER_S
    end_ns = start_ns + 60 * NS_PER_S
    return Decision(
        decision_id=decision_id(
            pipeline="f00d", subject=subject, kind=kind, window_start_ns=start_ns,
            window_end_ns=end_ns,
        ),
        pipeline="f00d",
        subject=subject,
        group="north",
        kind=kind,
        transition=Transition.RAISED,
        event_ns=end_ns,
        window_start_ns=start_ns,
        window_end_ns=end_ns,
        severity=Severity.WARNING,
        score=score,
        confidence=1.0,
        revision=revision,
        status=status,
        reasons=(
            Reason(
                code="PACKET_LOSS", measure="loss_ratio", value=score, threshold=0.1, unit="1",
                version="loss@1",
            ),
        ),
        mode=Mode.PRIMARY,
        trace_id=trace_id(pipeline="f00d", subject=subject, window_start_ns=start_ns),
    )  # fmt: skip


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'ledger.sqlite'}"


def apply_all(
    ledger: Ledger,
    said: Sequence[Decision],
    *,
    partition: str = PARTITION,
    sinks: Sequence[str] = (),
    accounts: Accounts = Accounts(),
) -> int:
    """One commit that goes on where the partition's log was."""
    first = ledger.applied_through(partition) + 1
    return ledger.apply(
        partition,
        list(enumerate(said, start=first)),
        through_sequence=first + len(said),  # the commit's own entry comes last
        accounts=accounts,
        sinks=sinks,
    )


class SimulatedClock:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now_ns = START_NS
        self.slept_s: list[float] = []

    def read_ns(self) -> int:
        return self.now_ns

    def sleep_s(self, duration_s: float) -> None:
        self.slept_s.append(duration_s)
        self.now_ns += round(duration_s * NS_PER_S)

    def after_s(self, duration_s: float) -> int:
        return self.now_ns + round(duration_s * NS_PER_S)

"""Decisions: what Sightline concludes, with its reasons, in bytes that replay exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from sightline.errors import LogError
from sightline.records.plain_json import canonical_json, null_or_number, number_or_null, read_json


class Mode(StrEnum):
    """How the answer came about."""

    PRIMARY = "primary"
    """The stage itself answered in time."""
    FALLBACK = "fallback"
    """A declared fallback answered because the stage was late, broken or switched off."""
    DEGRADED = "degraded"
    """The stage answered, on less evidence than it should have had."""


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Transition(StrEnum):
    """A decision marks one change of a subject's state."""

    RAISED = "raised"
    CLEARED = "cleared"


class Status(StrEnum):
    """What a revision does to the decision it revises."""

    ISSUED = "issued"
    REVISED = "revised"
    RETRACTED = "retracted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One measured fact behind a decision.

    Attributes:
        code: stable reason code, upper snake case, for example ``PACKET_LOSS``.
        measure: name of the measured quantity, for example ``loss_ratio``.
        value: what was measured, in ``unit``. NaN when nothing could be measured.
        threshold: the number it was compared with, in ``unit``.
        unit: unit of ``value`` and ``threshold``; ``"1"`` for a ratio or score.
        version: name and digest of the stage configuration that measured it.
    """

    code: str
    measure: str
    value: float
    threshold: float
    unit: str
    version: str

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready; NaN becomes null because JSON has none."""
        return {
            "code": self.code,
            "measure": self.measure,
            "value": number_or_null(self.value),
            "threshold": number_or_null(self.threshold),
            "unit": self.unit,
            "version": self.version,
        }

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> Reason:
        """Inverse of :meth:`as_mapping`.

        Raises:
            KeyError, ValueError, TypeError: if ``plain`` is not such a mapping.
        """
        numbers = {name: null_or_number(plain[name]) for name in ("value", "threshold")}
        found = cls(**{**plain, **numbers})
        _check_types(found)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One change of one subject's state.

    The pair (``decision_id``, ``revision``) is its key. Measured quantities such as latency are
    *not* in here: they are logged beside it, so that its bytes depend on the data alone.

    Attributes:
        decision_id: 32 hex digits; see :func:`decision_id`.
        pipeline: digest of the pipeline that decided, 16 hex digits.
        subject: canonical name of what it is about, for example ``sat-007`` or
            ``sat-007/bus_voltage_v``.
        group: the wider subject it belongs to (a region); ``""`` where there is none.
        kind: what is decided, the name of the deciding stage, for example ``packet_loss``.
        transition: raised or cleared.
        event_ns: when the change happened in event time, UTC ns.
        window_start_ns: start of the window that showed it (inclusive), UTC ns.
        window_end_ns: end of that window (exclusive), UTC ns.
        severity: for the operator.
        score: the deciding measure, in the unit of the first reason.
        confidence: 0 to 1; share of the evidence that was there and agrees.
        revision: 0 for the first answer, then counting up.
        status: issued, revised or retracted.
        reasons: at least one, most important first.
        mode: primary, fallback or degraded.
        trace_id: 32 hex digits tying together what led to it; derived, so equal in equal runs.
    """

    decision_id: str
    pipeline: str
    subject: str
    group: str
    kind: str
    transition: Transition
    event_ns: int
    window_start_ns: int
    window_end_ns: int
    severity: Severity
    score: float
    confidence: float
    revision: int
    status: Status
    reasons: tuple[Reason, ...]
    mode: Mode
    trace_id: str
    # Log and ledger both store them; made once, they cost half of what the ledger costs in all.
    _canonical: bytes = field(default=b"", init=False, repr=False, compare=False)

    def as_mapping(self) -> dict[str, Any]:
        """Plain JSON-ready mapping; NaN becomes null because JSON has none."""
        # Written out: dataclasses.asdict copies deeply and took most of the time of a commit.
        return {
            "decision_id": self.decision_id,
            "pipeline": self.pipeline,
            "subject": self.subject,
            "group": self.group,
            "kind": self.kind,
            "transition": str(self.transition),
            "event_ns": self.event_ns,
            "window_start_ns": self.window_start_ns,
            "window_end_ns": self.window_end_ns,
            "severity": str(self.severity),
            "score": number_or_null(self.score),
            "confidence": number_or_null(self.confidence),
            "revision": self.revision,
            "status": str(self.status),
            "reasons": [reason.as_mapping() for reason in self.reasons],
            "mode": str(self.mode),
            "trace_id": self.trace_id,
        }

    def canonical_bytes(self) -> bytes:
        """The bytes that replay must reproduce: UTF-8 JSON, sorted keys, shortest floats."""
        if not self._canonical:
            object.__setattr__(self, "_canonical", canonical_json(self.as_mapping()))
        return self._canonical

    def content_bytes(self) -> bytes:
        """Canonical bytes without revision and status: equal content means nothing to revise."""
        plain = self.as_mapping()
        del plain["revision"], plain["status"]
        return canonical_json(plain)

    def revised(self, *, revision: int, status: Status) -> Decision:
        """The same content under another revision number."""
        return replace(self, revision=revision, status=status)

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> Decision:
        """Inverse of :meth:`as_mapping`.

        Raises:
            KeyError, ValueError, TypeError: if ``plain`` is not such a mapping.
        """
        values = dict(plain)
        values["transition"] = Transition(values["transition"])
        values["severity"] = Severity(values["severity"])
        values["status"] = Status(values["status"])
        values["mode"] = Mode(values["mode"])
        values["score"] = null_or_number(values["score"])
        values["confidence"] = null_or_number(values["confidence"])
        values["reasons"] = tuple(Reason.from_mapping(r) for r in values["reasons"])
        if not values["reasons"]:
            raise ValueError("no reasons")
        found = cls(**values)
        _check_types(found)
        return found

    @classmethod
    def from_bytes(cls, payload: bytes) -> Decision:
        """Inverse of :meth:`canonical_bytes`.

        Raises:
            LogError: if the payload is no decision.
        """
        try:
            return cls.from_mapping(read_json(payload))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LogError(
                expected="the canonical bytes of a decision",
                got=f"{len(payload)} bytes that cannot be read ({type(error).__name__}: {error})",
                where="a log entry of kind decision, or the ledger",
                action="run `sightline verify` on the run",
            ) from error


_TYPES: Mapping[str, type | tuple[type, ...]] = {"str": str, "int": int, "float": (float, int)}
_CHECKED = {
    kind: tuple((f.name, _TYPES[str(f.type)]) for f in fields(kind) if str(f.type) in _TYPES)
    for kind in (Reason, Decision)
}
"""Fields that another hand may have written as something else, with their types."""


def _check_types(found: Reason | Decision) -> None:
    """Raise TypeError where a field is not of its type; enumerations have been checked."""
    for name, wanted in _CHECKED[type(found)]:
        value = getattr(found, name)
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise TypeError(f"{name} is {type(value).__name__}")


def decision_id(
    *, pipeline: str, subject: str, kind: str, window_start_ns: int, window_end_ns: int
) -> str:
    """Deterministic id: a hash of (pipeline digest, subject, kind, window).

    >>> decision_id(pipeline="p", subject="sat-1", kind="silence", window_start_ns=0,
    ...             window_end_ns=60)[:8]
    '883c67c0'
    """
    return _hash_hex("decision", pipeline, subject, kind, window_start_ns, window_end_ns)


def trace_id(*, pipeline: str, subject: str, window_start_ns: int) -> str:
    """W3C-sized trace id (32 hex digits) shared by all decisions on one subject's window."""
    return _hash_hex("trace", pipeline, subject, window_start_ns)


def decisions_digest(decisions: Iterable[Decision]) -> str:
    """Digest over canonical bytes sorted by (event time, subject, kind, revision).

    Two runs are *equivalent* when this is equal: neither speed, nor workers, nor arrival order
    within the allowance can show in it.
    """
    digest = hashlib.sha256()
    for decision in sorted(decisions, key=decision_order):
        payload = decision.canonical_bytes()
        digest.update(len(payload).to_bytes(8, "big"))
        digest.update(payload)
    return digest.hexdigest()


def final_revisions(decisions: Iterable[Decision]) -> list[Decision]:
    """What stands at the end: the last revision of each id, retracted ones left out.

    Revision and status are normalised, so that a run that had to revise and a run that saw
    everything in order compare equal.
    """
    last: dict[str, Decision] = {}
    for decision in decisions:
        known = last.get(decision.decision_id)
        if known is None or decision.revision > known.revision:
            last[decision.decision_id] = decision
    standing = (d for d in last.values() if d.status is not Status.RETRACTED)
    return sorted(
        (d.revised(revision=0, status=Status.ISSUED) for d in standing), key=decision_order
    )


def still_raised(final: Iterable[Decision]) -> list[Decision]:
    """Of each subject and kind the newest decision, where that raised something.

    Args:
        final: decisions in the order of :func:`decision_order`, as :func:`final_revisions` gives
            them.
    """
    newest = {(d.subject, d.kind): d for d in final}
    return sorted(
        (d for d in newest.values() if d.transition is Transition.RAISED), key=decision_order
    )


def decision_order(decision: Decision) -> tuple[int, str, str, int, str]:
    """What decisions are sorted by: event time, subject, kind, revision; the id decides ties."""
    return (
        decision.event_ns,
        decision.subject,
        decision.kind,
        decision.revision,
        decision.decision_id,
    )


def _hash_hex(*parts: str | int) -> str:
    # JSON keeps the boundaries between parts, which plain concatenation would lose.
    return hashlib.blake2b(canonical_json(list(parts)), digest_size=16).hexdigest()

"""The alert desk of a run, read from its log: active alarms, what is hidden, where alerts are."""

from __future__ import annotations

from typing import Any

from sightline.decide.alerting import AlertingState
from sightline.decide.alerting.alert import Fate
from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries, read_newest_checkpoint
from sightline.recorder.walk import is_logged_checkpoint
from sightline.records import Entry
from sightline.records.entry import CORE_INPUTS
from sightline.runtime.engine.fan_in import FanInCore
from sightline.runtime.engine.hosting import FAN_IN
from sightline.runtime.engine.stepping import restore_logged, step_logged
from sightline.runtime.run_directory import RunDirectory


class DeskReading:
    """The desk of a run, read from its log entry by entry, from the newest checkpoint on.

    Args:
        run: with an alert desk.
        limits: bounds for reading the log.

    Attributes:
        after: log sequence of the checkpoint it begins after; -1 for the whole log.

    Raises:
        UsageError: the run has no alert desk.
        LogError: the log is damaged.
    """

    def __init__(self, run: RunDirectory, *, limits: Limits = DEFAULT_LIMITS) -> None:
        if run.plan.pipeline.alerting is None:
            raise UsageError(
                expected="a run with an alert desk",
                got=f"{run.plan.pipeline.pipeline}, whose pipeline has no `alerting`",
                where=str(run.path),
                action="add the section and run again; docs/alerting.md has an example",
            )
        self._core = FanInCore(run.plan, partitions=run.plan.pipeline.partitions, limits=limits)
        storage = run.storage
        checkpoint = read_newest_checkpoint(
            storage,
            FAN_IN,
            is_logged=lambda sequence, chain_hash, digest: is_logged_checkpoint(
                storage, FAN_IN, sequence, chain_hash, digest, limits=limits
            ),
            limits=limits,
        )
        if checkpoint is not None:
            restore_logged(self._core, checkpoint, partition=FAN_IN)
        self.after = -1 if checkpoint is None else checkpoint.sequence

    def take(self, entry: Entry) -> None:
        """Go on with the next entry of the fan-in's log that its core reads."""
        step_logged(self._core, entry, partition=FAN_IN)

    def account(self) -> dict[str, Any]:
        """The present state of the desk, JSON-ready: see :func:`desk_account`."""
        desk = self._core.desk
        assert desk is not None
        state = desk.state
        return {
            "at_ns": state.through_ns,
            "is_finished": self._core.is_finished,
            "standing": _standing(state),
            "hidden": [
                {
                    "subject": hiding.mask.subject,
                    "kind": hiding.mask.kind,
                    "state": str(hiding.state),
                    "from_ns": hiding.mask.from_ns,
                    "until_ns": hiding.mask.until_ns,
                    "is_now": state.through_ns is not None
                    and hiding.mask.from_ns <= state.through_ns < hiding.mask.until_ns,
                    "reason": hiding.reason,
                    "operator": hiding.operator,
                }
                for hiding in state.hidings
            ],
            "storm": {
                "is_storm": state.storm.is_storm,
                "last_digest_ns": state.storm.digest_ns,
                "in_next_digest": len(state.digest),
            },
            "waiting_controls": desk.waiting_controls,
            "messages": state.messages,
            "message_counts": desk.message_counts,
            "raised": state.raised,
            "fates": {str(fate): count for fate, count in sorted(state.counts.items()) if count},
            "untracked": state.untracked,
            "unplaced": state.unplaced,
        }


def desk_account(run: RunDirectory, *, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """The desk after the last committed epoch, JSON-ready.

    ``standing`` has a row for each alarm point that is not normal: ``subject``, ``code``, ``kind``
    (the stage), ``severity``, ``state`` (of ISA-18.2), ``is_active``, ``since_ns``, ``count`` of
    alerts since then, ``answered_by`` and ``answered_ns`` of who acknowledged it, ``fate`` of the
    newest and the ``message_id`` that told of it. ``hidden`` has
    the masks and shelves, ``fates`` the alerts raised so far by where they are.

    Raises:
        UsageError: the run has no alert desk.
        LogError: the log is damaged.
    """
    reading = DeskReading(run, limits=limits)
    for entry in read_entries(
        run.storage, FAN_IN, after=reading.after, kinds=CORE_INPUTS, limits=limits
    ):
        reading.take(entry)
    return reading.account()


def _standing(state: AlertingState) -> list[dict[str, Any]]:
    rows = []
    for (subject, code), point in sorted(state.points.items()):
        rows.append(
            {
                "subject": subject,
                "code": code,
                "kind": point.alert.kind,
                "severity": str(point.alert.severity),
                "state": str(point.state),
                "is_active": point.is_active,
                "since_ns": point.since_ns,
                "count": point.count,
                "answered_by": point.answered_by,
                "answered_ns": point.answered_ns,
                "alert_id": point.alert.alert_id,
                "fate": str(point.fate),
                "message_id": _told_in(state, point.alert.alert_id),
            }
        )
    return rows


def _told_in(state: AlertingState, alert_id: str) -> str:
    """The message that tells of an alert, perhaps by way of the one it is counted on."""
    placed = state.placed.get(alert_id)
    if placed is None or placed.fate in (Fate.WAITING, Fate.MASKED, Fate.SHELVED):
        return ""
    first = state.placed.get(placed.held_by)
    if placed.fate is Fate.SUPPRESSED and first is not None:
        return first.held_by
    return placed.held_by

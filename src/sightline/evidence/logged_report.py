"""The report of a run of rows, put together again from its log."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from sightline.act import LatencyRecorder
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries
from sightline.records import Accounts, EntryKind
from sightline.records.decision import decisions_digest, final_revisions
from sightline.runtime import RunDirectory
from sightline.runtime.alerting.account import last_said
from sightline.runtime.run_report import alerting_mapping


def logged_report(run: RunDirectory, *, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """What :func:`.write_report` wants, as far as the log has it.

    The latency from receipt to ledger is not in the log: ``latency_s`` is empty.

    Raises:
        UsageError: a run of cameras.
        LogError: the log is damaged.
    """
    name = run.plan.pipeline.pipeline
    step_s = LatencyRecorder()
    missed: Counter[str] = Counter()
    for partition in run.partitions:
        for entry in read_entries(
            run.storage,
            partition,
            kinds={EntryKind.MEASUREMENT, EntryKind.DEADLINE_MISSED},
            skip_pruned=True,
            limits=limits,
        ):
            if entry.kind is EntryKind.DEADLINE_MISSED:
                missed[entry.name] += 1
            else:
                step_s.record_all(json.loads(entry.payload)["step_s"])
    accounts = Accounts.total(run.accounts(limits=limits).values())
    decisions = run.decisions(limits=limits)
    has_desk = run.plan.pipeline.alerting is not None
    said = last_said(run, limits=limits)
    sums = {
        "fates": dict(said.fates) if said else {},
        "messages": dict(said.message_counts) if said else {},
    }
    return {
        "pipeline": f"{name} {run.plan.digest}",
        "accounts": {
            "received": accounts.received,
            "decided": accounts.decided,
            "superseded": accounts.superseded,
            "dropped": dict(accounts.dropped),
            "quarantined": dict(accounts.quarantined),
            "in_flight": accounts.in_flight,
            "balanced": accounts.is_balanced,
        },
        "decisions": dict(
            sorted(Counter(f"{d.kind} {d.transition} {d.status}" for d in decisions).items())
        ),
        "latency_s": {},
        "step_s": step_s.summary(),
        "deadline_missed": dict(sorted(missed.items())),
        "digest": decisions_digest(decisions),
        "final_digest": decisions_digest(final_revisions(decisions)),
        **({"alerting": alerting_mapping(sums)} if has_desk else {}),
    }

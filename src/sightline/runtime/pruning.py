"""Pruning a run: old payloads go, what is needed to resume, to verify and to answer stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import prune_log, read_newest_checkpoint
from sightline.recorder.retention import Pruned
from sightline.recorder.walk import is_logged_checkpoint
from sightline.runtime.ledger_keeping import check_positions
from sightline.runtime.run_directory import RunDirectory
from sightline.runtime.run_lock import run_lock


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunedRun:
    """What pruning did.

    Attributes:
        pruned: by partition.
        kept: why nothing of a partition could go, by partition.
    """

    pruned: Mapping[str, Pruned]
    kept: Mapping[str, str]


def prune_run(
    run: RunDirectory,
    *,
    keep_bytes: int | None,
    keep_after_ns: int | None,
    limits: Limits = DEFAULT_LIMITS,
) -> PrunedRun:
    """Remove payloads that neither a resume nor the ledger needs any more.

    Of each partition's log only what lies before its newest checkpoint goes, and only if the
    ledger has applied it: so the run can still be resumed, and every decision is still known.
    What was pruned cannot be replayed or explained any more; a replay begins at a checkpoint.

    Args:
        run: the run; nobody may be writing to it.
        keep_bytes: prune while the log of a partition is larger; None: no bound.
        keep_after_ns: prune what is older, UTC ns; None: no bound.
        limits: bounds.

    Raises:
        UsageError: somebody writes to the run.
        LogError: a log is damaged; there is no ledger, or it follows other logs.
        StorageError: the disk refused.
    """
    pruned: dict[str, Pruned] = {}
    kept: dict[str, str] = {}
    storage = run.storage
    with run_lock(run.path), run.ledger(limits=limits) as ledger:
        check_positions(run, ledger, limits=limits)
        for name in run.partitions:
            checkpoint = read_newest_checkpoint(
                storage,
                name,
                is_logged=lambda sequence, chain_hash, digest, name=name: (  # type: ignore[misc]
                    is_logged_checkpoint(storage, name, sequence, chain_hash, digest, limits=limits)
                ),
                limits=limits,
            )
            if checkpoint is None:
                kept[name] = "no checkpoint to resume from without the log"
            elif ledger.applied_through(name) < checkpoint.sequence:
                kept[name] = "the ledger is behind the newest checkpoint: resume the run first"
            else:
                pruned[name] = prune_log(
                    storage,
                    name,
                    keep_bytes=keep_bytes,
                    keep_after_ns=keep_after_ns,
                    keep_after=checkpoint.sequence,
                    limits=limits,
                )
    return PrunedRun(pruned=pruned, kept=kept)

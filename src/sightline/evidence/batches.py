"""Batch jobs: every file of a place looked at once, however often the job is stopped."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.act.batch_ledger import BatchLedger
from sightline.errors import SourceError, StorageError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.runtime.kpis.form import digest_of
from sightline.sense.objects import ObjectFolder

DONE, REFUSED = "done", "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """What a run of a batch job came to.

    Attributes:
        job: its digest.
        items: files at the place that it takes.
        known: of them, done before.
        done: in this run.
        refused: in this run, with a reason in the ledger.
    """

    job: str
    items: int
    known: int
    done: int
    refused: int


def run_batch(
    kind: str,
    folder: ObjectFolder,
    look: Callable[[Path, str], Mapping[str, Any]],
    ledger: BatchLedger,
    *,
    meaning: Mapping[str, Any],
    configuration: Mapping[str, Any],
    suffixes: tuple[str, ...],
    wall_ns: Callable[[], int],
    told: Callable[[int, int], None] = lambda done, of: None,
    limits: Limits = DEFAULT_LIMITS,
) -> BatchReport:
    """Look at every file that was not looked at yet, and store what came of each.

    Args:
        kind: of the job.
        folder: the place.
        look: what is made of one file, given its path and name; SourceError, UsageError: refused.
        ledger: where results are.
        meaning: all that a result depends on; its digest names the job.
        configuration: as it may be recorded, without secrets.
        suffixes: of the files that it takes.
        wall_ns: the clock.
        told: how many of how many are done.
        limits: ``max_objects``, ``max_file_bytes_in_memory``.

    Raises:
        SourceError: nothing that the job takes, too much, or the place cannot be read.
        SinkError: the database. What was stored stays.
    """
    job = digest_of([kind, folder.location, dict(meaning)])
    found = []
    for one in folder.listing():
        if one.name.lower().endswith(suffixes):
            found.append(one)
        if len(found) > limits.max_objects:
            raise SourceError(
                expected=f"at most {limits.max_objects:,} files",
                got="more",
                where=folder.location,
                action="give a folder below it",
            )
    if not found:
        raise SourceError(
            expected=f"files that end in {', '.join(suffixes)}",
            got="none",
            where=folder.location,
            action="check the address",
        )
    ledger.begin(job, kind=kind, configuration=configuration)
    known = ledger.known(job)
    left = [one for one in found if known.get(one.name) != one.identity]
    refused = 0
    for number, one in enumerate(left, start=1):
        try:
            with _on_disk(folder, one.name) as path:
                status, result = DONE, look(path, one.name)
        except (SourceError, UsageError) as error:
            refused += 1
            status, result = REFUSED, {"expected": error.expected, "got": error.got}
        ledger.finish(
            job, name=one.name, identity=one.identity, status=status, result=result, at_ns=wall_ns()
        )
        told(number, len(left))
    return BatchReport(
        job=job,
        items=len(found),
        known=len(found) - len(left),
        done=len(left) - refused,
        refused=refused,
    )


class _on_disk:  # noqa: N801 - a context, used like a function
    """A file's path; of an object storage that of a copy, which goes when it was looked at."""

    def __init__(self, folder: ObjectFolder, name: str) -> None:
        self._folder, self._name = folder, name
        self._copied: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Path:
        opened = self._folder.open(self._name)
        if isinstance(opened, Path):
            return opened
        self._copied = tempfile.TemporaryDirectory(prefix="sightline-batch-")
        path = Path(self._copied.name) / Path(self._name).name
        try:
            with path.open("wb") as file:
                shutil.copyfileobj(opened, file)
        except OSError as error:
            raise StorageError(
                expected="room for a copy of one file",
                got=error.strerror or type(error).__name__,
                where=tempfile.gettempdir(),
                action="make room, or mount a larger folder there",
            ) from error
        return path

    def __exit__(self, *_: object) -> None:
        if self._copied is not None:
            self._copied.cleanup()

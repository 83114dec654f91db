"""Whether a run directory is whole: everything in it held against everything else in it.

What is checked proves integrity. Who can rewrite all files can rewrite all hashes: keep a head, or
the root, elsewhere to rule that out (``sightline verify RUN --head PARTITION=HASH``).

What may change without being found, because nothing reads it as the truth: ``run.lock``, what is
left in ``controls/`` and ``spill/`` (inputs and rows that wait, and are in no log yet), an emptied
``ledger.sqlite-wal`` and ``-shm``, and the absence of a checkpoint that no pruned log needs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from sightline.act import Ledger
from sightline.act.ledger_database import file_digest, settled_digest
from sightline.errors import LogError, SightlineError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import verify_log
from sightline.recorder.chain import ChainHead, root_of
from sightline.recorder.checkpoint import checkpoint_files, read_checkpoint
from sightline.recorder.retention import first_kept
from sightline.recorder.segment_format import list_segments, log_folder, segment_path
from sightline.recorder.storage import TEMPORARY_SUFFIX
from sightline.recorder.walk import ChainVerdict, chain_hash_at, is_logged_checkpoint
from sightline.records import Accounts
from sightline.runtime.engine.heads import newest_heads
from sightline.runtime.engine.hosting import FAN_IN
from sightline.runtime.ledger_keeping import said_since
from sightline.runtime.run_directory import RunDirectory
from sightline.runtime.run_lock import run_lock

_SHOWN = 3
"""Rows of a kind that are named; of further ones the number is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunVerdict:
    """What is wrong with a run directory; true when nothing is.

    Attributes:
        logs: what was found in the log of each partition.
        root: over the ends of all logs and what the run was given, 64 hex digits.
        is_closed: whether the last writer ended as it should.
        accounts: of all rows and frames; None where the logs cannot tell.
        problems: what does not hold, for people, in the order found; each begins with where.
        torn: the same for what a killed process leaves behind and the next opening cuts.
    """

    logs: Mapping[str, ChainVerdict]
    root: str
    is_closed: bool
    accounts: Accounts | None
    problems: Sequence[str]
    torn: Sequence[str]

    def __bool__(self) -> bool:
        return not self.problems and not self.torn

    def check(self, where: str) -> None:
        """Raise LogError for the first problem. The torn end of a killed run is no problem."""
        if self.problems:
            more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
            raise LogError(
                expected="a run directory that is whole",
                got=f"{self.problems[0]}{more}",
                where=where,
                action="see `sightline verify RUN`; restore what was changed from a copy",
            )


def check_heads(run: RunDirectory, *, limits: Limits = DEFAULT_LIMITS) -> None:
    """Raise LogError unless the logs hold what ``run.json`` and the fan-in know of them.

    Reads little: enough to go on with a run.
    """
    for name, head, _ in _known_heads(run, limits):
        if chain_hash_at(run.storage, name, head.sequence, limits=limits) != head.hash:
            raise LogError(
                expected=f"entry {head.sequence} with chain hash {head.hash[:16]}…, which was "
                "committed",
                got="a log without it: it was cut, or another one was put in its place",
                where=str(run.path / log_folder(name)),
                action="restore the log from a copy, or start a new run",
            )


@contextmanager
def ledger_changing(run: RunDirectory) -> Iterator[None]:
    """Change the ledger of a closed run, and note its new digest in the run.

    A ledger that did not match its digest before is left so: the mismatch is not covered up.
    """
    noted = run.state.ledger_digest
    is_known = bool(noted) and file_digest(run.ledger_path) == noted
    try:
        yield
    finally:
        # While another process writes to the run it is not closed, and notes the digest itself.
        with suppress(UsageError):
            if is_known:
                with run_lock(run.path):
                    digest = settled_digest(run.ledger_url)
                    if digest != noted:
                        run.in_state(replace(run.state, ledger_digest=digest))


def verify_run(
    run: RunDirectory,
    *,
    wanted: Mapping[str, Collection[str]] | None = None,
    on_progress: Callable[[str, int], None] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> RunVerdict:
    """Check every file of a run against the others.

    Args:
        run: the run, opened with ``has_logs=False``, so that what is missing is told here.
        wanted: by partition, hashes that were noted elsewhere; its chain must have passed them.
        on_progress: called with partition and log sequence now and then.
        limits: bounds.

    Raises:
        StorageError: the disk could not be read.
    """
    problems: list[str] = []
    torn: list[str] = []
    known, heads_problem = _heads_or_problem(run, limits)
    asked = {name: {*(wanted or {}).get(name, ())} for name in run.partitions}
    for name, head, _ in known:
        asked.setdefault(name, set()).add(head.hash)
    positions, ledger_problems = _ledger_positions(run, limits)
    for name, (_, chain_hash) in positions.items():
        asked.setdefault(name, set()).add(chain_hash)
    logs = {
        name: verify_log(
            run.storage,
            name,
            genesis=run.origin.genesis(name),
            wanted=asked[name],
            on_progress=on_progress,
            limits=limits,
        )
        for name in run.partitions
    }
    for name, verdict in logs.items():
        if verdict.is_torn and not run.state.is_closed:
            torn.append(f"{name}: {verdict.problem}")
        elif verdict.problem:
            problems.append(f"{name}: {verdict.problem}")
    problems += heads_problem
    problems += _missing_logs(run, logs)
    problems += _heads_not_in(logs, known)
    for name, hashes in (wanted or {}).items():
        problems += [
            f"{name}: this log never had the head {h[:16]}{'…' if len(h) > 16 else ''}"
            for h in sorted({*hashes})
            if name in logs and h not in logs[name].found
        ]
    problems += [
        f"{name}: opening {verdict.epoch} has written to it, run.json knows of {run.state.epoch}"
        for name, verdict in logs.items()
        if verdict.epoch > run.state.epoch
    ]
    problems += _foreign_names(run)
    are_logs_sound = not problems
    accounts = None
    if are_logs_sound:
        try:
            for name in run.partitions:
                problems += _wrong_checkpoints(run, name, limits)
            accounts = Accounts.total(run.accounts(limits=limits).values())
            if not accounts.is_balanced:
                problems.append(f"conservation does not hold: {accounts.equation()}")
            problems += ledger_problems or list(_ledger_differs(run, logs, positions, limits))
        except SightlineError as error:
            problems.append(str(error))
    return RunVerdict(
        logs=logs,
        root=root_of(run.manifest_digest, {name: verdict.head for name, verdict in logs.items()}),
        is_closed=run.state.is_closed,
        accounts=accounts,
        problems=tuple(dict.fromkeys(problems)),
        torn=tuple(torn),
    )


# --- logs -----------------------------------------------------------------------------------------


def _known_heads(run: RunDirectory, limits: Limits) -> list[tuple[str, ChainHead, str]]:
    """Heads that the logs must contain, each with who knows of it."""
    known = [(name, head, "run.json") for name, head in run.state.heads.items()]
    if FAN_IN in run.partitions:
        found = newest_heads(run.storage, FAN_IN, run.manifest_digest, limits=limits)
        known += [(name, head, "the fan-in") for name, head in found.items()]
    return known


def _heads_or_problem(
    run: RunDirectory, limits: Limits
) -> tuple[list[tuple[str, ChainHead, str]], list[str]]:
    try:
        return _known_heads(run, limits), []
    except LogError as error:
        return [(name, head, "run.json") for name, head in run.state.heads.items()], [str(error)]


def _heads_not_in(
    logs: Mapping[str, ChainVerdict], known: Sequence[tuple[str, ChainHead, str]]
) -> Iterator[str]:
    for name, head, who in known:
        verdict = logs.get(name)
        if verdict is None:
            yield f"{name}: {who} knows of this log, the pipeline does not"
        elif (not verdict.problem or verdict.is_torn) and verdict.found.get(
            head.hash
        ) != head.sequence:
            yield (
                f"{name}: {who} knows of entry {head.sequence} with hash {head.hash[:16]}…, the "
                f"log ends at {verdict.head.sequence} without it: it was cut, or put back to an "
                "older copy"
            )


def _missing_logs(run: RunDirectory, logs: Mapping[str, ChainVerdict]) -> Iterator[str]:
    """A log is missing, or has gone on, where the run was closed or the others have begun."""
    has_begun = any(verdict.entries > 2 for verdict in logs.values())
    for name, verdict in logs.items():
        if run.state.is_closed and name not in run.state.heads:
            yield f"{name}: run.json knows of no such log"
        elif run.state.is_closed and verdict and verdict.head != run.state.heads[name]:
            yield (
                f"{name}: run.json says that the log ends at entry "
                f"{run.state.heads[name].sequence}, it ends at {verdict.head.sequence}"
            )
        elif has_begun and not verdict.entries and not verdict.problem:
            yield f"{name}: there is no log, though those of other partitions have begun"


def _foreign_names(run: RunDirectory) -> Iterator[str]:
    storage = run.storage
    for folder in ("log", "checkpoints"):
        try:
            names = storage.listdir(folder)
        except SightlineError as error:
            yield str(error)
            continue
        for name in names:
            if name not in run.partitions:
                yield f"{folder}/{name}: of no partition of this run"
    for name in run.partitions:
        with suppress(SightlineError):  # a log that cannot be listed is told of by its own check
            read = [segment_path(name, i) for i in list_segments(run.storage, name)]
            read += [path for _, path in checkpoint_files(run.storage, name)]
            for folder in (log_folder(name), f"checkpoints/{name}"):
                yield from (
                    f"{folder}/{file}: nothing reads it: it is no part of this run; move it away"
                    for file in run.storage.listdir(folder)
                    if f"{folder}/{file}" not in read and not file.endswith(TEMPORARY_SUFFIX)
                )


def _wrong_checkpoints(run: RunDirectory, name: str, limits: Limits) -> Iterator[str]:
    for sequence, path in checkpoint_files(run.storage, name):
        found = read_checkpoint(run.storage, name, sequence, limits=limits)
        if found is None:
            yield f"{path}: damaged; delete it: the state is rebuilt from the log"
        elif not is_logged_checkpoint(
            run.storage, name, sequence, found.chain_hash, found.digest, limits=limits
        ):
            yield f"{path}: the log tells of no such checkpoint; delete it"


# --- the ledger -----------------------------------------------------------------------------------


def _ledger_positions(
    run: RunDirectory, limits: Limits
) -> tuple[dict[str, tuple[int, str]], list[str]]:
    """How far the ledger says it is, and what is wrong with it as a whole."""
    path = run.path / "ledger.sqlite"
    if run.has_ledger_file and not path.exists() and not path.is_symlink():
        is_begun = run.state.is_closed or any(
            run.storage.listdir(f"log/{n}") for n in run.partitions
        )
        return {}, ["ledger.sqlite: missing; resume the run: it is rebuilt from the log"] * is_begun
    problems: list[str] = []
    if run.state.ledger_digest and file_digest(path) != run.state.ledger_digest:
        problems.append(
            "ledger.sqlite: changed since the run was closed; move it away and resume the run: "
            "it is rebuilt from the log"
        )
    try:
        with Ledger.open(run.ledger_url, create=False, limits=limits) as ledger:
            claimed, positions = ledger.claimed_by(), ledger.positions()
    except SightlineError as error:
        return {}, [*problems, f"ledger.sqlite: {error}"]
    if claimed is None or claimed[0] != run.run_id:
        problems.append("ledger.sqlite: of another run")
    elif claimed[1] > run.state.epoch or (
        run.state.is_closed and claimed != (run.run_id, run.state.epoch, True)
    ):
        problems.append(
            f"ledger.sqlite: opening {claimed[1]} of the run wrote it last, run.json says "
            f"{run.state.epoch}"
        )
    elif claimed[1:] == (run.state.epoch, True) and not run.state.is_closed:
        problems.append(
            "run.json: an older one, or the run was killed as it ended; resume it to close it"
        )
    return positions, problems


def _ledger_differs(
    run: RunDirectory,
    logs: Mapping[str, ChainVerdict],
    positions: Mapping[str, tuple[int, str]],
    limits: Limits,
) -> Iterator[str]:
    """What the ledger says and the logs do not, or the other way round."""
    for name, (sequence, chain_hash) in positions.items():
        if name not in logs or logs[name].found.get(chain_hash) != sequence:
            yield f"ledger.sqlite: it has applied entry {sequence} of {name}, which is not there"
            return
        if run.state.is_closed and sequence != logs[name].head.sequence:
            yield f"ledger.sqlite: it follows {name} to entry {sequence} and no further"
    if run.state.is_closed and positions.keys() != logs.keys():
        yield "ledger.sqlite: it does not follow every log"
    from_log = _rows_of_the_logs(run, positions, limits)
    with Ledger.open(run.ledger_url, create=False, limits=limits) as ledger:
        stored = ledger.derived_rows()
    kept_from = {name: first_kept(run.storage, name, limits=limits) for name in positions}
    for table, rows in stored.items():
        expected = from_log[table]
        wrong = [
            key
            for key, row in rows.items()
            # what was pruned is in the ledger alone
            if expected.get(key) != row
            and int(str(row["log_sequence"])) >= kept_from.get(str(row["partition"]), 0)
        ]
        wrong += [key for key in expected if key not in rows]
        if wrong:
            names = ", ".join("/".join(map(str, key))[:40] for key in wrong[:_SHOWN])
            more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
            yield f"ledger.sqlite: table {table} is not what the log says: {names}{more}"


def _rows_of_the_logs(
    run: RunDirectory, positions: Mapping[str, tuple[int, str]], limits: Limits
) -> dict[str, dict[tuple[object, ...], Mapping[str, object]]]:
    """What a ledger holds that was made from the logs just now."""
    with Ledger.open("sqlite://", limits=limits) as fresh:
        for name, (sequence, chain_hash) in positions.items():
            decisions, told, parts = said_since(
                run, name, after=-1, until=sequence, skip_pruned=True, limits=limits
            )
            fresh.apply(
                name,
                decisions,
                through_sequence=sequence,
                chain_hash=chain_hash,
                accounts=Accounts(),
                told=told,
                parts=parts,
            )
        return fresh.derived_rows()

"""The run directory: everything needed to verify, replay, explain and resume a run.

    RUN/run.json       pipeline, contracts, sources with their fingerprints; who writes; where the
                       logs ended; format version
    RUN/log/           one log per partition; the only truth
    RUN/checkpoints/   state of the partitions at some log position; can be deleted
    RUN/commands.session  number of the last session in which commands were signed
    RUN/ledger.sqlite  decisions and outbox; derived, can be rebuilt from the log
    RUN/controls/      operator inputs that wait; each is in the logs once it took effect
    RUN/spill/         rows of live sources that wait
    RUN/run.lock       process id of the writer, for people

Everything is for its owner alone (0700, 0600). A run directory may come from somebody else: see
:mod:`.verification` for what is checked, and ``docs/log-format.md`` for the bytes.

Upgrade rule: a run directory of another format version is refused by name. Replay it with the
version of Sightline that made it, or feed its sources in again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from sightline.act import Ledger
from sightline.act.ledger_database import recorded_address
from sightline.errors import ContractError, LogError, PipelineError, UsageError, writing
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import DirectoryStorage, Storage, read_entries
from sightline.recorder.chain import EMPTY_CHAIN, ChainHead, LogOrigin, root_of
from sightline.recorder.recovery import another_run, first_entry, is_genesis
from sightline.recorder.retention import first_kept
from sightline.recorder.segment_format import log_folder
from sightline.recorder.storage import TEMPORARY_SUFFIX
from sightline.recorder.walk import log_head
from sightline.records import Accounts, Decision, EntryKind
from sightline.records.part import PartNote, note_of
from sightline.records.plain_json import plain_json, read_json
from sightline.records.signals import QUARANTINE_SCHEMA
from sightline.registry import check_trusted
from sightline.runtime.engine.batches import decode_frame
from sightline.runtime.engine.hosting import FAN_IN, partition_name
from sightline.runtime.engine.stepping import heeded
from sightline.runtime.plan import Plan
from sightline.runtime.planner import plan_as_mapping, plan_from_mapping
from sightline.runtime.run_lock import LOCK_NAME

RUN_FORMAT_VERSION = 3
"""2: no run id, no epoch, no heads."""
MANIFEST = "run.json"
COMMAND_SESSION = "commands.session"
"""Number of the last session in which commands were signed."""
_UNFINISHED = f"{MANIFEST}{TEMPORARY_SUFFIX}"  # of a run that was killed before it had begun
_NOT_GIVEN = frozenset({"state", "sha256"})
_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """Who writes to a run, and where its logs ended when that was last known.

    Attributes:
        epoch: number of the newest opening for writing, from 1.
        is_closed: whether that opening ended as it should. Then the heads are the ends of the
            logs; otherwise the logs contain them, and went on.
        heads: by partition, those that had a log.
        ledger_digest: SHA-256 of the ledger's file when the run was closed; ``""`` where that
            was not to be had, or the run is not closed.
    """

    epoch: int = 0
    is_closed: bool = False
    heads: Mapping[str, ChainHead] = field(default_factory=dict)
    ledger_digest: str = ""

    def as_mapping(self, manifest_digest: str) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "closed": self.is_closed,
            "heads": {n: [h.sequence, h.hash] for n, h in sorted(self.heads.items())},
            "root": root_of(manifest_digest, self.heads),
            "ledger": self.ledger_digest,
        }

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> RunState:
        return cls(
            epoch=int(plain["epoch"]),
            is_closed=bool(plain["closed"]),
            heads={str(n): ChainHead(int(s), str(h)) for n, (s, h) in plain["heads"].items()},
            ledger_digest=str(plain["ledger"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDirectory:
    """An opened run.

    Attributes:
        path: its folder.
        plan: the pipeline it ran.
        sources: by name: ``fingerprint``, a list of origin, bytes and sha256 per stream.
        controls: operator inputs of the start.
        run_id: 32 hex digits; no two runs have the same.
        state: who writes to it, and where its logs ended.
        given: what ``run.json`` says of the above, except for the state.
        ledger_given: address of the ledger with its password; ``""``: as ``run.json`` says.
    """

    path: Path
    plan: Plan
    sources: Mapping[str, Mapping[str, Any]]
    controls: Sequence[Mapping[str, Any]] = ()
    run_id: str = ""
    state: RunState = RunState()
    given: Mapping[str, Any] = field(default_factory=dict)
    ledger_given: str = field(default="", repr=False)

    @property
    def manifest_digest(self) -> str:
        """SHA-256 of what the run was given, in hex; every log begins with it."""
        return hashlib.sha256(plain_json(dict(self.given))).hexdigest()

    @property
    def origin(self) -> LogOrigin:
        """Where the logs of this opening come from."""
        return LogOrigin(
            run_id=self.run_id, manifest_digest=self.manifest_digest, epoch=self.state.epoch
        )

    @property
    def storage(self) -> Storage:
        return DirectoryStorage(self.path)

    @property
    def ledger_url(self) -> str:
        """Address of the ledger: a database that was named, or the file in the run directory."""
        return self.ledger_given or self.given.get("ledger") or f"sqlite:///{self.ledger_path}"

    @property
    def has_ledger_file(self) -> bool:
        """Whether the ledger is the file in the run directory."""
        return not (self.ledger_given or self.given.get("ledger"))

    @property
    def ledger_path(self) -> Path:
        return self.path / "ledger.sqlite"

    @property
    def partitions(self) -> list[str]:
        """Names of the partitions that have a log, the fan-in last."""
        names = [partition_name(p) for p in range(self.plan.pipeline.partitions)]
        return [*names, FAN_IN] if self.plan.has_fan_in else names

    @classmethod
    def create(
        cls,
        path: Path,
        plan: Plan,
        sources: Mapping[str, Mapping[str, Any]],
        *,
        run_id: str,
        controls: Sequence[Mapping[str, Any]] = (),
        ledger: str = "",
    ) -> RunDirectory:
        """Begin a run in an empty or absent folder: its first opening for writing.

        Args:
            path: its folder.
            plan: the checked pipeline.
            sources: by name: ``fingerprint``.
            run_id: 32 hex digits.
            controls: operator inputs of the start.
            ledger: address of a database; ``""``: a file in the folder. ``run.json`` has it
                without its password.

        Raises:
            UsageError: if the folder already holds something.
        """
        cls.check_vacant(path)
        given = {
            "format": RUN_FORMAT_VERSION,
            "run_id": run_id,
            "digest": plan.digest,
            "plan": plan_as_mapping(plan),
            "sources": {name: dict(source) for name, source in sources.items()},
            "controls": [dict(control) for control in controls],
            **({"ledger": recorded_address(ledger)} if ledger else {}),
        }
        run = cls(
            path=path,
            plan=plan,
            sources=sources,
            controls=controls,
            run_id=run_id,
            given=json.loads(json.dumps(given)),  # as it will be read
            ledger_given=ledger,
        )
        return run.in_state(RunState(epoch=1))

    def in_state(self, state: RunState) -> RunDirectory:
        """The run after ``run.json`` was brought to ``state``; durable on return.

        Raises:
            StorageError: the disk refused; the old one is whole.
        """
        storage = DirectoryStorage(self.path)
        file = storage.create(_UNFINISHED)
        try:
            file.write(_manifest_text(self.given, state.as_mapping(self.manifest_digest)))
            storage.sync(file)
        finally:
            file.close()
        storage.replace(_UNFINISHED, MANIFEST)
        return replace(self, state=state)

    @staticmethod
    def check_vacant(path: Path) -> None:
        """Return if a run can begin at ``path``.

        Raises:
            UsageError: it is no folder, or one with contents.
            StorageError: the disk does not let it be looked at.
        """
        with writing(path):
            there = [p.name for p in path.iterdir()] if path.is_dir() else []
            is_other = path.exists() and not path.is_dir()
        if is_other or not {_UNFINISHED, LOCK_NAME}.issuperset(there):
            raise UsageError(
                expected="an absent or empty folder",
                got=f"{path}, which is none" if is_other else f"{path} with contents",
                where="--out",
                action="choose another folder, or go on with this run with --resume",
            )

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        plugins: Sequence[Path | str] = (),
        has_logs: bool = True,
        limits: Limits = DEFAULT_LIMITS,
    ) -> RunDirectory:
        """Open an existing run.

        Args:
            path: its folder.
            plugins: folders with the modules that its pipeline names, or names of such modules.
                A run directory may come from anybody: of what it names nothing is imported that
                is neither here nor imported already.
            has_logs: check that the logs begin as ``run.json`` demands, and that none is missing
                that it knows of. Off where a fuller check follows.
            limits: bounds.

        Raises:
            LogError: it is no run directory, damaged, changed, or of another format version.
        """
        if not (path / MANIFEST).exists():
            raise LogError(
                expected=f"a run directory with {MANIFEST}",
                got="a folder without it" if path.is_dir() else "no such folder",
                where=str(path),
                action="give the folder that was passed as --out",
            )
        try:
            text = _manifest_bytes(path, limits)
            plain = read_json(text)
            version = plain["format"]
        except (OSError, ValueError, KeyError, TypeError, LogError) as error:
            raise LogError(
                expected=f"a run directory with {MANIFEST}",
                got=" ".join(f"{type(error).__name__}: {error}".split())[:_SHOWN_CHARS],
                where=str(path),
                action="give the folder that was passed as --out",
            ) from error
        if version != RUN_FORMAT_VERSION:
            raise LogError(
                expected=f"run format {RUN_FORMAT_VERSION}",
                got=str(version),
                where=str(path / MANIFEST),
                action="replay it with the version of Sightline that made it, or run it again",
            )
        given = {name: value for name, value in plain.items() if name not in _NOT_GIVEN}
        if text != _manifest_text(given, plain.get("state")):
            raise LogError(
                expected="what Sightline wrote",
                got="bytes that do not match their digest",
                where=str(path / MANIFEST),
                action="restore it from a copy: it was changed",
            )
        try:
            check_trusted(plain["plan"]["pipeline"]["plugins"], plugins, where=str(path / MANIFEST))
            run = cls(
                path=path,
                plan=plan_from_mapping(plain["plan"], where=str(path / MANIFEST)),
                sources=plain["sources"],
                controls=plain["controls"],
                run_id=str(plain["run_id"]),
                state=RunState.from_mapping(plain["state"]),
                given=given,
            )
        except (
            ArithmeticError, AttributeError, KeyError, TypeError, ValueError,
            PipelineError, ContractError,
        ) as error:  # fmt: skip
            raise LogError(
                expected="the pipeline and contracts of the run",
                got=" ".join(str(error).split())[:200],
                where=str(path / MANIFEST),
                action="give the folders of its plugins (--plugins, SIGHTLINE_PLUGINS) if you "
                "trust them, or open it with the version of Sightline that made it",
            ) from error
        if has_logs:
            run.check_begun()
        return run

    def check_begun(self) -> None:
        """Raise LogError unless the logs begin as they must, and those that are known are there.

        This reads the head of each log, and of a run that was closed its end: enough to tell that
        a log belongs to another run, is missing or was cut. ``sightline verify`` looks at every
        byte.
        """
        for name in self.partitions:
            first = first_entry(self.storage, name, limits=DEFAULT_LIMITS)
            if first is None and self.state.heads.get(name, EMPTY_CHAIN).sequence >= 0:
                raise LogError(
                    expected=f"a log of {self.state.heads[name].sequence + 1} entries or more",
                    got="none",
                    where=str(self.path / log_folder(name)),
                    action="restore it from a copy",
                )
            if first is not None and not is_genesis(first, self.origin.genesis(name)):
                raise another_run(str(self.path / log_folder(name)))
            if self.state.is_closed:
                self._check_end(name)

    def _check_end(self, name: str) -> None:
        noted = self.state.heads.get(name, EMPTY_CHAIN)
        try:
            end = log_head(self.storage, name) or EMPTY_CHAIN
        except LogError:
            return  # damage is reported by the command that reads what is damaged
        if end.sequence < noted.sequence:
            raise LogError(
                expected=f"a log of {noted.sequence + 1} entries, as when the run was closed",
                got=f"{end.sequence + 1}: it was cut",
                where=str(self.path / log_folder(name)),
                action="restore it from a copy; `sightline verify` says what is left",
            )

    @contextmanager
    def ledger(self, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Ledger]:
        """The ledger of the run, opened.

        Raises:
            LogError: there is no ledger, it is damaged, or it is that of another run.
            SinkError: its database does not answer.
        """
        with Ledger.open(self.ledger_url, create=False, limits=limits) as ledger:
            claimed = ledger.claimed_by()
            if claimed is None or claimed[0] != self.run_id:
                raise LogError(
                    expected=f"the ledger of run {self.run_id[:8]}…",
                    got="that of no run" if claimed is None else f"that of {claimed[0][:8]}…",
                    where=recorded_address(self.ledger_url),
                    action="move it away and resume the run: it is rebuilt from the log",
                )
            yield ledger

    def heads(self, *, limits: Limits = DEFAULT_LIMITS) -> dict[str, ChainHead]:
        """Where the logs end, by partition; those that have none are left out."""
        found = {name: log_head(self.storage, name, limits=limits) for name in self.partitions}
        return {name: head for name, head in found.items() if head is not None}

    def decisions(self, *, limits: Limits = DEFAULT_LIMITS) -> list[Decision]:
        """Every revision of every decision: from the logs, or of a pruned run from the ledger."""
        if any(first_kept(self.storage, name, limits=limits) for name in self.partitions):
            with self.ledger(limits=limits) as ledger:
                return ledger.decisions()
        return [
            Decision.from_bytes(entry.payload)
            for name in self.partitions
            for entry in read_entries(self.storage, name, kinds={EntryKind.DECISION}, limits=limits)
        ]

    def parts(self, *, limits: Limits = DEFAULT_LIMITS) -> list[PartNote]:
        """Every record of a part and every review, as decisions are read."""
        if any(first_kept(self.storage, name, limits=limits) for name in self.partitions):
            with self.ledger(limits=limits) as ledger:
                return ledger.parts()
        return [
            note_of(entry.payload)
            for name in self.partitions
            for entry in read_entries(self.storage, name, kinds={EntryKind.PART}, limits=limits)
        ]

    def accounts(self, *, limits: Limits = DEFAULT_LIMITS) -> dict[str, Accounts]:
        """Accounts of each key partition as last logged."""
        found: dict[str, Accounts] = {}
        for name in self.partitions:
            if name == FAN_IN:
                continue
            found[name] = Accounts()
            for entry in read_entries(
                self.storage,
                name,
                kinds={EntryKind.MEASUREMENT},
                skip_pruned=True,
                limits=limits,
            ):
                found[name] = heeded(
                    lambda e=entry: Accounts.from_mapping(json.loads(e.payload)["accounts"]),  # type: ignore[misc]
                    where=f"partition {name}, log sequence {entry.sequence}",
                )
        return found

    def quarantine(self, *, limits: Limits = DEFAULT_LIMITS) -> pl.DataFrame:
        """Every refused row: the quarantine layout with a ``source`` column in front."""
        frames = [
            heeded(
                lambda e=entry: decode_frame(e.payload).select(  # type: ignore[misc]
                    pl.lit(e.name).alias("source"),
                    *(pl.col(n).cast(dtype) for n, dtype in QUARANTINE_SCHEMA.items()),
                ),
                where=f"partition {name}, log sequence {entry.sequence}",
            )
            for name in self.partitions
            for entry in read_entries(
                self.storage, name, kinds={EntryKind.QUARANTINE}, skip_pruned=True, limits=limits
            )
        ]
        empty = pl.DataFrame(schema={"source": pl.String, **QUARANTINE_SCHEMA})
        return pl.concat([empty, *frames])


def _manifest_bytes(path: Path, limits: Limits) -> bytes:
    storage = DirectoryStorage(path)
    size = storage.size(MANIFEST)
    if size > limits.max_manifest_bytes:
        raise ValueError(f"{size} bytes, at most {limits.max_manifest_bytes}")
    with storage.open_read(MANIFEST) as file:
        return file.read(limits.max_manifest_bytes)


def _manifest_text(given: Mapping[str, Any], state: object) -> bytes:
    """The bytes of ``run.json``; the last member is the digest of the others."""
    plain = {**given, "state": state}
    digest = hashlib.sha256(json.dumps(plain, indent=1).encode()).hexdigest()
    return json.dumps({**plain, "sha256": digest}, indent=1).encode()  # the order of stages is kept

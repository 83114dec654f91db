"""The run directory: everything needed to verify, replay, explain and resume a run.

    RUN/run.json       pipeline, contracts, sources with their fingerprints; format version
    RUN/log/           one log per partition; the only truth
    RUN/checkpoints/   state of the partitions at some log position; can be deleted
    RUN/commands.session  number of the last session in which commands were signed
    RUN/ledger.sqlite  decisions and outbox; derived, can be rebuilt from the log

Upgrade rule: a run directory of another format version is refused by name. Replay it with the
version of Sightline that made it, or feed its sources in again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sightline.act import Ledger
from sightline.errors import ContractError, LogError, PipelineError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import DirectoryStorage, Storage, read_entries
from sightline.recorder.retention import first_kept
from sightline.records import Accounts, Decision, EntryKind
from sightline.records.signals import QUARANTINE_SCHEMA
from sightline.runtime.engine.batches import decode_frame
from sightline.runtime.engine.hosting import FAN_IN, partition_name
from sightline.runtime.plan import Plan, plan_as_mapping, plan_from_mapping
from sightline.runtime.run_lock import LOCK_NAME
from sightline.sense.yaml_form import read_json

RUN_FORMAT_VERSION = 2
MANIFEST = "run.json"
COMMAND_SESSION = "commands.session"
"""Number of the last session in which commands were signed."""
_UNFINISHED = f"{MANIFEST}.tmp"  # of a run that was killed before it had begun


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDirectory:
    """An opened run.

    Attributes:
        path: its folder.
        plan: the pipeline it ran.
        sources: by name: ``fingerprint``, a list of origin, bytes and sha256 per stream.
        controls: operator inputs of the start.
    """

    path: Path
    plan: Plan
    sources: Mapping[str, Mapping[str, Any]]
    controls: Sequence[Mapping[str, Any]] = ()

    @property
    def storage(self) -> Storage:
        return DirectoryStorage(self.path)

    @property
    def ledger_url(self) -> str:
        return f"sqlite:///{self.ledger_path}"

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
        controls: Sequence[Mapping[str, Any]] = (),
    ) -> RunDirectory:
        """Begin a run in an empty or absent folder.

        Raises:
            UsageError: if the folder already holds something.
        """
        cls.check_vacant(path)
        run = cls(path=path, plan=plan, sources=sources, controls=controls)
        text = json.dumps(run.manifest(), indent=1)  # the order of stages is kept
        storage = DirectoryStorage(path)
        file = storage.create(_UNFINISHED)
        try:
            file.write(text.encode())
            storage.sync(file)
        finally:
            file.close()
        storage.replace(_UNFINISHED, MANIFEST)
        return run

    @staticmethod
    def check_vacant(path: Path) -> None:
        """Raise UsageError unless a run can begin at ``path``."""
        if path.exists() and any(p.name not in (_UNFINISHED, LOCK_NAME) for p in path.iterdir()):
            raise UsageError(
                expected="an absent or empty folder",
                got=f"{path} with contents",
                where="--out",
                action="choose another folder, or go on with this run with --resume",
            )

    @classmethod
    def open(cls, path: Path, *, plugins: Sequence[Path] | None = None) -> RunDirectory:
        """Open an existing run.

        Args:
            path: its folder.
            plugins: folders with the modules that its pipeline names. A run directory that
                somebody sent brings no code of its own.

        Raises:
            LogError: if it is none, damaged, or of another format version.
        """
        for folder in plugins or ():
            if str(folder.resolve()) not in sys.path:
                sys.path.append(str(folder.resolve()))
        try:
            limits = Limits(max_document_bytes=DEFAULT_LIMITS.max_manifest_bytes)
            plain = read_json(
                path / MANIFEST, where=str(path), kind_of_error=LogError, limits=limits
            )
            version = plain["format"]
        except (LogError, KeyError, TypeError) as error:
            raise LogError(
                expected=f"a run directory with {MANIFEST}",
                got=error.got if isinstance(error, LogError) else "another document",
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
        try:
            return cls(
                path=path,
                plan=plan_from_mapping(plain["plan"], where=str(path / MANIFEST)),
                sources=plain["sources"],
                controls=plain.get("controls", ()),
            )
        except (KeyError, TypeError, ValueError, PipelineError, ContractError) as error:
            raise LogError(
                expected="the pipeline and contracts of the run",
                got=" ".join(str(error).split())[:200],
                where=str(path / MANIFEST),
                action="if it names plugins, give their folder: --plugins, or PYTHONPATH; else "
                "open it with the version of Sightline that made it",
            ) from error

    def manifest(self) -> dict[str, Any]:
        """What ``run.json`` holds."""
        return {
            "format": RUN_FORMAT_VERSION,
            "digest": self.plan.digest,
            "plan": plan_as_mapping(self.plan),
            "sources": {name: dict(source) for name, source in self.sources.items()},
            "controls": [dict(control) for control in self.controls],
        }

    def decisions(self, *, limits: Limits = DEFAULT_LIMITS) -> list[Decision]:
        """Every revision of every decision: from the logs, or of a pruned run from the ledger."""
        if any(first_kept(self.storage, name, limits=limits) for name in self.partitions):
            with Ledger.open(self.ledger_url, create=False, limits=limits) as ledger:
                return ledger.decisions()
        return [
            Decision.from_bytes(entry.payload)
            for name in self.partitions
            for entry in read_entries(self.storage, name, kinds={EntryKind.DECISION}, limits=limits)
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
                found[name] = Accounts(**json.loads(entry.payload)["accounts"])
        return found

    def quarantine(self, *, limits: Limits = DEFAULT_LIMITS) -> pl.DataFrame:
        """Every refused row: the quarantine layout with a ``source`` column in front."""
        frames = [
            decode_frame(entry.payload).select(
                pl.lit(entry.name).alias("source"), pl.col(list(QUARANTINE_SCHEMA))
            )
            for name in self.partitions
            for entry in read_entries(
                self.storage, name, kinds={EntryKind.QUARANTINE}, skip_pruned=True, limits=limits
            )
        ]
        empty = pl.DataFrame(schema={"source": pl.String, **QUARANTINE_SCHEMA})
        return pl.concat([empty, *frames])

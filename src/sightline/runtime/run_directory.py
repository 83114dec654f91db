"""The run directory: everything needed to verify, replay, explain and resume a run.

    RUN/run.json       pipeline, contracts, sources with their fingerprints; format version
    RUN/log/           one log per partition; the only truth
    RUN/checkpoints/   state of the partitions at some log position; can be deleted
    RUN/ledger.sqlite  decisions and outbox; derived, can be rebuilt from the log

Upgrade rule: a run directory of another format version is refused by name. Replay it with the
version of Sightline that made it, or feed its sources in again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.act import Ledger
from sightline.errors import ContractError, LogError, PipelineError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import DirectoryStorage, Storage, read_entries
from sightline.recorder.retention import first_kept
from sightline.records import Accounts, Decision, EntryKind
from sightline.runtime.frames.site_plan import SitePlan, make_site_plan
from sightline.runtime.hosting import FAN_IN, partition_name
from sightline.runtime.pipeline import parse_pipeline
from sightline.runtime.plan import Plan
from sightline.runtime.planner import make_plan
from sightline.runtime.run_lock import LOCK_NAME
from sightline.sense import Contract

RUN_FORMAT_VERSION = 1
MANIFEST = "run.json"
_UNFINISHED = f"{MANIFEST}.tmp"  # of a run that was killed before it had begun


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDirectory:
    """An opened run.

    Attributes:
        path: its folder.
        planned: the pipeline it ran, of rows or of a site's cameras.
        sources: by name: ``fingerprint``, a list of origin, bytes and sha256 per stream.
        controls: operator inputs of the start.
    """

    path: Path
    planned: Plan | SitePlan
    sources: Mapping[str, Mapping[str, Any]]
    controls: Sequence[Mapping[str, Any]] = ()

    @property
    def plan(self) -> Plan:
        """The pipeline of a run of rows.

        Raises:
            UsageError: it is a run of cameras.
        """
        if not isinstance(self.planned, Plan):
            raise UsageError(
                expected="a run of telemetry",
                got=f"a run of the cameras of {self.planned.pipeline.pipeline}",
                where=str(self.path),
                action="use replay, verify, render, explain or report for it",
            )
        return self.planned

    @property
    def site(self) -> SitePlan:
        """The pipeline of a run of cameras.

        Raises:
            UsageError: it is a run of rows.
        """
        if not isinstance(self.planned, SitePlan):
            raise UsageError(
                expected="a run of cameras",
                got=f"a run of telemetry, {self.planned.pipeline.pipeline}",
                where=str(self.path),
                action="give the folder of a site's run",
            )
        return self.planned

    @property
    def is_site(self) -> bool:
        """Whether it is a run of cameras."""
        return isinstance(self.planned, SitePlan)

    @property
    def storage(self) -> Storage:
        return DirectoryStorage(self.path)

    @property
    def ledger_url(self) -> str:
        return f"sqlite:///{self.path / 'ledger.sqlite'}"

    @property
    def partitions(self) -> list[str]:
        """Names of the partitions that have a log, the fan-in last."""
        names = [partition_name(p) for p in range(self.planned.pipeline.partitions)]
        return [*names, FAN_IN] if self.planned.has_fan_in else names

    @classmethod
    def create(
        cls,
        path: Path,
        plan: Plan | SitePlan,
        sources: Mapping[str, Mapping[str, Any]],
        *,
        controls: Sequence[Mapping[str, Any]] = (),
    ) -> RunDirectory:
        """Begin a run in an empty or absent folder.

        Raises:
            UsageError: if the folder already holds something.
        """
        cls.check_vacant(path)
        run = cls(path=path, planned=plan, sources=sources, controls=controls)
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
    def open(cls, path: Path) -> RunDirectory:
        """Open an existing run.

        Raises:
            LogError: if it is none, damaged, or of another format version.
        """
        try:
            plain = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
            version = plain["format"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LogError(
                expected=f"a run directory with {MANIFEST}",
                got=f"{type(error).__name__}: {error}",
                where=str(path),
                action="give the folder that was passed as --out",
            ) from error
        if version != RUN_FORMAT_VERSION:
            raise LogError(
                expected=f"run format {RUN_FORMAT_VERSION}",
                got=str(version),
                where=str(path / MANIFEST),
                action="open it with the version of Sightline that made it",
            )
        try:
            return cls(
                path=path,
                planned=plan_from_mapping(plain["plan"], where=str(path / MANIFEST)),
                sources=plain["sources"],
                controls=plain.get("controls", ()),
            )
        except (KeyError, TypeError, ValueError, PipelineError, ContractError) as error:
            raise LogError(
                expected="the pipeline and contracts of the run",
                got=" ".join(str(error).split())[:200],
                where=str(path / MANIFEST),
                action="open it with the version of Sightline that made it",
            ) from error

    def manifest(self) -> dict[str, Any]:
        """What ``run.json`` holds."""
        return {
            "format": RUN_FORMAT_VERSION,
            "digest": self.planned.digest,
            "plan": plan_as_mapping(self.planned),
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


def plan_as_mapping(plan: Plan | SitePlan) -> dict[str, Any]:
    """JSON-ready form of a plan; :func:`plan_from_mapping` makes the same plan again."""
    if isinstance(plan, SitePlan):
        folder = str(plan.folder.absolute())  # where the weights of detectors lie
        return {"site": plan.pipeline.model_dump(mode="json"), "folder": folder}
    return {
        "pipeline": plan.pipeline.model_dump(mode="json"),
        "contracts": {n: c.model_dump(mode="json") for n, c in sorted(plan.contracts.items())},
    }


def plan_from_mapping(plain: Mapping[str, Any], *, where: str) -> Plan | SitePlan:
    """Inverse of :func:`plan_as_mapping`."""
    if "site" in plain:
        return make_site_plan(plain["site"], where=where, folder=Path(plain["folder"]))
    pipeline = parse_pipeline(plain["pipeline"], where=where)
    contracts = {n: Contract.model_validate(c) for n, c in plain["contracts"].items()}
    return make_plan(pipeline, contracts, where=where)

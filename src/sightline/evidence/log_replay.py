"""A run of cameras, replayed entry by entry; what its core says must be what the log says."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator

from sightline.errors import LogError, UsageError
from sightline.evidence.site_subjects import COMMAND_KIND, SitePlan
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries
from sightline.records import Decision, Entry, EntryKind
from sightline.records.command import ActuatorCommand
from sightline.records.entry import CORE_INPUTS
from sightline.runtime import RunDirectory
from sightline.runtime.engine.core import PartitionCore
from sightline.runtime.engine.headers import FrameHeader
from sightline.runtime.engine.outputs import StepOutput
from sightline.runtime.engine.replay import first_checkpoint, fresh_core
from sightline.runtime.engine.stepping import restore_logged, step_logged
from sightline.runtime.stages.zones import CameraView

SAID = frozenset({EntryKind.COMMAND, EntryKind.DECISION, EntryKind.STAGE_DIGEST})
"""What is compared, byte by byte."""


class ReplayDiffers(LogError):
    """A replay said something else than the log; the message gives the first difference."""


class LogReplay:
    """Steps a core through the log of the partition that has the cameras.

    Args:
        run: of a pipeline with cameras.
        observe: sees each camera's view after a frame.
        limits: bounds for reading the log.

    Attributes:
        site: what the pipeline knows of its cameras.
        partition: whose log it is.
        core: brought to where the log begins: of a pruned one to its oldest checkpoint.
        began_after: log sequence of that checkpoint; -1 of a whole log.
        commands: by machine, the last command said so far.
        standing: decisions that were raised and not cleared yet, by (kind, subject); without
            those about the level of a machine.
        compared: decisions and commands that came out the same so far.

    Raises:
        UsageError: it is a run without cameras.
        LogError: the log is damaged.
    """

    def __init__(
        self,
        run: RunDirectory,
        *,
        observe: Callable[[FrameHeader, CameraView], None] | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        check_has_cameras(run)
        self.site = SitePlan(run.plan)
        self.partition = run.partitions[0]
        self._run = run
        self._limits = limits
        self._said: deque[tuple[EntryKind, bytes]] = deque()

        def see(header: FrameHeader, values: object) -> None:
            view = self.site.view(header.camera, values)  # type: ignore[arg-type]
            if observe is not None and view is not None:
                observe(header, view)

        core = fresh_core(run, self.partition, observe_item=see, limits=limits)
        assert isinstance(core, PartitionCore)
        self.core = core
        self.began_after = -1
        self.commands: dict[str, ActuatorCommand] = {}
        self.standing: dict[tuple[str, str], Decision] = {}
        self.compared = 0
        checkpoint = first_checkpoint(run, self.partition, limits=limits)
        if checkpoint is None:
            return
        self.began_after = checkpoint.sequence
        restore_logged(self.core, checkpoint, partition=self.partition)
        meta = checkpoint.state.meta
        for name in self.site.machines:
            plain = meta[f"item.{name}"]["interlock"]["last_command"]
            if plain is not None:
                self.commands[name] = ActuatorCommand.from_mapping(plain)
        for one in meta["items"]["standing"]:
            decision = Decision.from_mapping(one["decision"])
            self.standing[decision.kind, decision.subject] = decision

    def entries(self, *also: EntryKind) -> Iterator[Entry]:
        """What the core reads and said, and entries of further kinds, in the order of the log."""
        return read_entries(
            self._run.storage,
            self.partition,
            after=self.began_after,
            kinds={*CORE_INPUTS, *SAID, *also},
            limits=self._limits,
        )

    def step(self, entry: Entry) -> StepOutput:
        """Give the core what it reads.

        Raises:
            ReplayDiffers: it had said something that the log does not have.
            LogError: the log refers to rows in files.
        """
        self.check_all_said(entry.sequence)
        if entry.kind is EntryKind.INPUT_REFERENCE:
            raise needs_files(self.partition)
        output = step_logged(self.core, entry, partition=self.partition)
        if output.digests:
            digests = {"epoch": self.core.epoch, "stages": output.digests}
            text = json.dumps(digests, sort_keys=True, separators=(",", ":"))
            self._said.append((EntryKind.STAGE_DIGEST, text.encode()))
        for command in output.commands:
            self.commands[command.machine] = command
            self._said.append((EntryKind.COMMAND, command.canonical_bytes()))
        for decision in output.decisions:
            self._heed(decision)
            self._said.append((EntryKind.DECISION, decision.canonical_bytes()))
        return output

    def compare(self, entry: Entry) -> None:
        """Hold what the log says against what the core has said.

        Raises:
            ReplayDiffers: they are not the same bytes.
        """
        kind, payload = self._said.popleft() if self._said else (entry.kind, b"nothing")
        if kind is not entry.kind or payload != entry.payload:
            raise self._differs(entry.sequence, entry.payload.decode(errors="replace"), payload)
        self.compared += kind is not EntryKind.STAGE_DIGEST

    def check_all_said(self, sequence: int) -> None:
        """At an input, and at the end of the log, nothing may be left that was not logged.

        Raises:
            ReplayDiffers: something is.
        """
        if self._said:
            raise self._differs(sequence, "nothing", self._said[0][1])

    def _heed(self, decision: Decision) -> None:
        if decision.kind.startswith(COMMAND_KIND):
            return  # a level is left by another one, not cleared
        key = (decision.kind, decision.subject)
        if decision.transition == "raised":
            self.standing[key] = decision
        else:
            self.standing.pop(key, None)

    def _differs(self, sequence: int, logged: str, replayed: bytes) -> ReplayDiffers:
        return ReplayDiffers(
            expected=f"what the log says was decided: {logged[:200]}",
            got=replayed.decode(errors="replace")[:200],
            where=f"{self._run.path}, log sequence {sequence}",
            action="run `sightline replay` on the run, with the version that made it",
        )


def check_has_cameras(run: RunDirectory) -> None:
    """Raise UsageError for a run without cameras."""
    if not run.plan.cameras:
        raise UsageError(
            expected="a run with cameras",
            got=f"{run.plan.pipeline.pipeline}, which has none",
            where=str(run.path),
            action="give the folder of a run with cameras",
        )


def needs_files(partition: str) -> LogError:
    """The error of a log that refers to rows in files."""
    return LogError(
        expected="the rows in the log",
        got="references to the files of the source",
        where=f"partition {partition}",
        action="record the source as payload to have it tried",
    )

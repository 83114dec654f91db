"""A site's run, replayed entry by entry; what its core says must be what the log says."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator

from sightline.errors import LogError
from sightline.evidence.site_subjects import COMMAND_KIND
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries
from sightline.records import Decision, Entry, EntryKind
from sightline.records.command import ActuatorCommand
from sightline.records.entry import CORE_INPUTS
from sightline.runtime import RunDirectory
from sightline.runtime.engine.headers import FrameHeader
from sightline.runtime.engine.outputs import StepOutput
from sightline.runtime.engine.replay import first_checkpoint
from sightline.runtime.frames.frame_core import FrameCore
from sightline.runtime.frames.frame_host import SITE_PARTITION
from sightline.runtime.stages.zones import CameraView

SAID = frozenset({EntryKind.COMMAND, EntryKind.DECISION, EntryKind.STAGE_DIGEST})
"""What is compared, byte by byte."""


class ReplayDiffers(LogError):
    """A replay said something else than the log; the message gives the first difference."""


class SiteReplay:
    """Steps a core through the log of a run.

    Args:
        run: of a site.
        observe: sees each camera's view after a frame.
        limits: bounds for reading the log.

    Attributes:
        core: brought to where the log begins: of a pruned one to its oldest checkpoint.
        began_after: log sequence of that checkpoint; -1 of a whole log.
        commands: by machine, the last command said so far.
        standing: decisions that were raised and not cleared yet, by (kind, subject); without
            those about the level of a machine.
        compared: decisions and commands that came out the same so far.

    Raises:
        UsageError: it is a run of rows.
        LogError: the log is damaged.
    """

    def __init__(
        self,
        run: RunDirectory,
        *,
        observe: Callable[[FrameHeader, CameraView], None] | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._run = run
        self._limits = limits
        self._said: deque[tuple[EntryKind, bytes]] = deque()
        self.core = FrameCore(run.site, observe=observe)
        self.began_after = -1
        self.commands: dict[str, ActuatorCommand] = {}
        self.standing: dict[tuple[str, str], Decision] = {}
        self.compared = 0
        checkpoint = first_checkpoint(run, SITE_PARTITION, limits=limits)
        if checkpoint is None:
            return
        self.began_after = checkpoint.sequence
        self.core.restore(checkpoint.state)
        meta = checkpoint.state.meta
        for name in run.site.machines:
            plain = meta[f"machine.{name}"]["interlock"]["last_command"]
            if plain is not None:
                self.commands[name] = ActuatorCommand.from_mapping(plain)
        for one in meta["core"]["standing"]:
            decision = Decision.from_mapping(one["decision"])
            self.standing[decision.kind, decision.subject] = decision

    def entries(self, *also: EntryKind) -> Iterator[Entry]:
        """What the core reads and said, and entries of further kinds, in the order of the log."""
        return read_entries(
            self._run.storage,
            SITE_PARTITION,
            after=self.began_after,
            kinds={*CORE_INPUTS, *SAID, *also},
            limits=self._limits,
        )

    def step(self, entry: Entry) -> StepOutput:
        """Give the core what it reads.

        Raises:
            ReplayDiffers: it had said something that the log does not have.
        """
        self.check_all_said(entry.sequence)
        output = self.core.step(entry)
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

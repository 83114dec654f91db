"""Keeping the ledger: a thread that brings it to where the logs are, whatever becomes of it.

The ledger is derived, so nothing that decides or commands waits for it. One that is locked, full,
read-only, deleted or damaged is tried again until the run ends; the run goes on without it and says
so. What could not be stored meanwhile is in the log, and is read from there.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sightline.act import Ledger
from sightline.act.ledger_database import LedgerDamaged, recorded_address
from sightline.act.notices import Notice, Told
from sightline.decide import Mask, unmasked
from sightline.errors import LogError, SightlineError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries
from sightline.recorder.chain import EMPTY_CHAIN, ChainHead
from sightline.recorder.retention import first_kept
from sightline.recorder.walk import chain_hash_at, walk_groups
from sightline.records import Accounts, Decision, EntryKind
from sightline.records.part import PartNote, note_of
from sightline.runtime.alerting.said import AlertingSaid
from sightline.runtime.engine.logged_core import Committed
from sightline.runtime.run_directory import RunDirectory

_FIRST_WAIT_S = 0.25
_MOST_WAIT_S = 5.0
_JOURNALS = ("-wal", "-shm")
_DAMAGED = ".damaged"
"""What the files of a damaged ledger are called after they were put aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerState:
    """How the ledger is doing; true while nothing is known to be wrong.

    Attributes:
        is_current: everything that was handed over is stored.
        failures: attempts that failed in this run.
        last_error: why the last of them did; ``""`` while all is well.
        put_aside: where the files of a ledger that was damaged during the run are; ``""``: none.
    """

    is_current: bool
    failures: int
    last_error: str
    put_aside: str

    def __bool__(self) -> bool:
        return not self.last_error


class LedgerKeeper:
    """Applies commits to the ledger of a run, on a thread of its own.

    It begins by reading what the ledger lacks from the logs. From then on it takes commits from
    memory, and from the logs again where too many wait or the ledger is another one.

    Args:
        run: the run.
        sinks: names of the receivers of alerts.
        puts_back: whether alerts that were given up before the run go back in line at first.
        on_stored: told that there may be alerts to send.
        on_trouble: told in one sentence when the ledger fails, and when it is well again.
        limits: ``ledger_waiting``, ``ledger_group``, ``outbox_rows``.
    """

    def __init__(
        self,
        run: RunDirectory,
        sinks: Sequence[str],
        *,
        puts_back: bool = False,
        on_stored: Callable[[], None] = lambda: None,
        on_trouble: Callable[[str], None] = lambda text: None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._run = run
        has_desk = run.plan.pipeline.alerting is not None
        # With an alert desk its messages are sent, and no decision by itself.
        self._sinks = () if has_desk else tuple(sinks)
        self._notice_sinks = tuple(sinks)
        self._shelves = [
            Mask.from_mapping(control)
            for control in run.controls
            if control.get("control") == "shelve" and not has_desk
        ]
        self._puts_back = puts_back
        self._on_stored = on_stored
        self._on_trouble = on_trouble
        self._limits = limits
        self._changed = threading.Condition()
        self._waiting: deque[Committed] = deque()
        self._weight = 0
        self._is_behind = True  # the log may hold more than was handed over
        self._is_storing = False
        self._is_closing = False
        self._failures = 0
        self._last_error = ""
        self._put_aside = ""
        self._steps = 0  # transactions so far, by which somebody who waits sees that it goes on
        self._ledger: Ledger | None = None
        self._thread = threading.Thread(target=self._work, name="ledger", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(self._limits.ledger_finish_s)

    # --- the caller's side ------------------------------------------------------------------------

    def hand(self, committed: Iterable[Committed], *, may_wait: bool) -> None:
        """Take commits that are durable in the log.

        Args:
            committed: in their order.
            may_wait: hold the caller up while too many wait for a ledger that is well. Where the
                caller must go on, the log is read again later.
        """
        with self._changed:
            if may_wait:
                self._changed.wait_for(
                    lambda: self._weight < self._limits.ledger_waiting or bool(self._last_error)
                )
            for one in committed:
                self._waiting.append(one)
                self._weight += _weight(one)
            if self._weight > self._limits.ledger_waiting:
                self._waiting.clear()
                self._weight, self._is_behind = 0, True
            self._changed.notify_all()

    def finish(self) -> LedgerState:
        """Wait for everything to be stored, for ``limits.ledger_finish_s`` after the last step."""
        with self._changed:
            steps = -1
            while steps != self._steps and not self._is_current:
                steps = self._steps
                self._changed.wait_for(
                    lambda: self._is_current or self._steps != steps,  # noqa: B023
                    self._limits.ledger_finish_s,
                )
            return self._state()

    @property
    def state(self) -> LedgerState:
        """How the ledger is doing now."""
        with self._changed:
            return self._state()

    def alerting_sums(self) -> dict[str, dict[str, int]] | None:
        """Alerts by where they are and messages by kind; None without a desk, or not known now."""
        if self._run.plan.pipeline.alerting is None or not self.state.is_current:
            return None
        with Ledger.open(self._run.ledger_url, create=False, limits=self._limits) as ledger:
            return {
                "fates": dict(ledger.alerts_by_fate()),
                "messages": dict(ledger.notices_by_kind()),
            }

    @property
    def _is_current(self) -> bool:
        return not (self._waiting or self._is_behind or self._is_storing)

    def _state(self) -> LedgerState:
        return LedgerState(
            is_current=self._is_current,
            failures=self._failures,
            last_error=self._last_error,
            put_aside=self._put_aside,
        )

    # --- the thread -------------------------------------------------------------------------------

    def _work(self) -> None:
        wait_s = 0.0
        while True:
            with self._changed:
                if wait_s:
                    self._changed.wait_for(lambda: self._is_closing, wait_s)
                self._changed.wait_for(lambda: self._is_closing or not self._is_current)
                if self._is_closing and (self._last_error or self._is_current):
                    break
                self._is_storing = True
            try:
                self._store()
            except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on without
                wait_s = min(max(2 * wait_s, _FIRST_WAIT_S), _MOST_WAIT_S)
                self._after_failure(error)
            else:
                wait_s = 0.0
                self._after_success()
        self._let_go()

    def _store(self) -> None:
        """Bring the ledger one step further."""
        if self._ledger is not None and not self._ledger.is_in_place():
            self._let_go()
            self._remove_leftovers()
            self._on_trouble(
                "ledger: somebody has deleted or replaced it; it is made again from the log, and "
                "alerts whose delivery only it knew go out again"
            )
        if self._ledger is None:
            ledger = Ledger.open(self._run.ledger_url, limits=self._limits)
            try:
                ledger.claim(self._run.run_id, epoch=self._run.state.epoch)
            except BaseException:
                ledger.close()
                raise
            self._ledger = ledger
            with self._changed:
                self._is_behind = True
        if self._puts_back:
            self._ledger.outbox.retry_failed()
            self._puts_back = False
        with self._changed:
            is_behind, self._is_behind = self._is_behind, False
            one = None if is_behind or not self._waiting else self._waiting[0]
        if is_behind:
            try:
                self._read_logs(self._ledger)
            except BaseException:
                with self._changed:
                    self._is_behind = True
                raise
        elif one is not None:
            self._apply(self._ledger, one)
            with self._changed:
                # At its bound the queue may have been emptied meanwhile.
                if self._waiting and self._waiting[0] is one:
                    self._waiting.popleft()
                    self._weight -= _weight(one)

    def _read_logs(self, ledger: Ledger) -> None:
        """Apply what the logs have and the ledger lacks, in groups that fit the outbox."""
        positions = check_positions(self._run, ledger, limits=self._limits)
        for name in self._run.partitions:
            after = positions.get(name, EMPTY_CHAIN).sequence
            for committed in self._unapplied(name, after):
                self._apply(ledger, committed)
                self._on_stored()

    def _unapplied(self, name: str, after: int) -> Iterator[Committed]:
        """Commits of a partition's log after an entry, joined up to ``limits.ledger_group``."""
        found: list[tuple[int, Decision]] = []
        said: list[tuple[int, AlertingSaid]] = []
        parts: list[tuple[int, PartNote]] = []
        accounts: Accounts | None = None
        through = applied = ChainHead(after, "")
        for reader, group in walk_groups(
            self._run.storage, name, from_sequence=after + 1, limits=self._limits
        ):
            for stored in group.entries:
                kind = stored.linked.kind
                if stored.sequence <= after or kind not in _READ:
                    continue
                if stored.offset < 0:
                    raise LogError(
                        expected=f"entry {stored.sequence} of {name}, which the ledger lacks",
                        got="a pruned segment",
                        where=str(self._run.path),
                        action="restore the ledger from a copy: pruned decisions are only there",
                    )
                payload = reader.payload(stored)
                if kind is EntryKind.DECISION:
                    found.append((stored.sequence, Decision.from_bytes(payload)))
                elif kind is EntryKind.ALERTING:
                    said.append((stored.sequence, AlertingSaid.from_bytes(payload)))
                elif kind is EntryKind.PART:
                    parts.append((stored.sequence, note_of(payload)))
                else:
                    accounts = Accounts.from_mapping(json.loads(payload)["accounts"])
            through = group.commit.head
            if len(found) + len(said) + len(parts) >= self._limits.ledger_group:
                yield self._joined(
                    name, found=found, said=said, parts=parts, through=through, accounts=accounts
                )
                found, said, parts, applied = [], [], [], through
        if through.sequence > applied.sequence:
            yield self._joined(
                name, found=found, said=said, parts=parts, through=through, accounts=accounts
            )

    def _joined(
        self,
        name: str,
        *,
        found: list[tuple[int, Decision]],
        said: list[tuple[int, AlertingSaid]],
        parts: list[tuple[int, PartNote]],
        through: ChainHead,
        accounts: Accounts | None,
    ) -> Committed:
        if accounts is None:  # none were logged since: those of before stand
            accounts = self._run.accounts(limits=self._limits).get(name, Accounts())
        return Committed(
            name=name,
            decisions=tuple(found),
            summaries=(),
            through_sequence=through.sequence,
            chain_hash=through.hash,
            accounts=accounts,
            alerting=tuple(said),
            parts=tuple(parts),
        )

    def _apply(self, ledger: Ledger, one: Committed) -> None:
        ledger.apply(
            one.name,
            one.decisions,
            through_sequence=one.through_sequence,
            chain_hash=one.chain_hash,
            accounts=one.accounts,
            sinks=self._sinks,
            shelved=self._shelved(decision for _, decision in one.decisions),
            told=_told(one.alerting),
            notice_sinks=self._notice_sinks,
            parts=one.parts,
        )
        with self._changed:
            self._steps += 1
            self._changed.notify_all()

    def _shelved(self, decisions: Iterable[Decision]) -> set[str]:
        """Ids of the decisions that an operator wants to be decided but not to hear of."""
        return {d.decision_id for d in decisions if not unmasked([d], self._shelves)}

    def _after_success(self) -> None:
        with self._changed:
            was, self._last_error = self._last_error, ""
            self._is_storing = False
            self._changed.notify_all()
        if was:
            self._on_trouble("ledger: it is well again; what it lacks is read from the log")
        self._on_stored()

    def _after_failure(self, error: Exception) -> None:
        if isinstance(error, LedgerDamaged):
            self._replace_damaged()
        self._let_go()
        is_ours = isinstance(error, SightlineError)
        words = str(error) if is_ours else f"{type(error).__name__}: {error}"
        with self._changed:
            is_news = not self._last_error
            self._failures += 1
            self._last_error = words
            self._is_storing = False
            self._changed.notify_all()
        if is_news:
            self._on_trouble(
                f"ledger: {words}. The run goes on without it and tries again; alerts are in the "
                "log and wait"
            )

    def _replace_damaged(self) -> None:
        """Put a damaged SQLite file aside, once in a run, so that the log gives a sound one.

        Alerts whose delivery only the damaged one knew of go out again, with the same key.
        """
        path = self._run.ledger_path
        aside = Path(f"{path}{_DAMAGED}")
        storage, limits = self._run.storage, self._limits
        is_whole = not any(first_kept(storage, n, limits=limits) for n in self._run.partitions)
        if self._put_aside or aside.exists() or not (is_whole and path.exists()):
            return
        self._let_go()
        for suffix in ("", *_JOURNALS):
            part = Path(f"{path}{suffix}")
            if part.exists():
                part.rename(f"{aside}{suffix}")
        self._put_aside = str(aside)

    def _remove_leftovers(self) -> None:
        """SQLite would take the journal of a deleted file for that of the next one."""
        if not self._run.ledger_path.exists():
            for suffix in _JOURNALS:
                Path(f"{self._run.ledger_path}{suffix}").unlink(missing_ok=True)

    def _let_go(self) -> None:
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None


_READ = frozenset({EntryKind.DECISION, EntryKind.PART, EntryKind.ALERTING, EntryKind.MEASUREMENT})


def _weight(one: Committed) -> int:
    """What a commit counts for where too many wait."""
    return 1 + len(one.decisions) + len(one.alerting) + len(one.parts)


def check_positions(run: RunDirectory, ledger: Ledger, *, limits: Limits) -> dict[str, ChainHead]:
    """How far each log was applied, once it is known that these are the logs.

    A ledger that is ahead of its log, or of another log, would pass over what is decided next.

    Raises:
        LogError: it is.
    """
    found: dict[str, ChainHead] = {}
    for name, (sequence, chain_hash) in ledger.positions().items():
        known = None
        if name in run.partitions and sequence >= 0:
            known = chain_hash_at(run.storage, name, sequence, limits=limits)
        if known is None or known != chain_hash:
            raise LogError(
                expected=f"a ledger that follows log {name}",
                got=f"one that has applied an entry {sequence} which that log does not have: "
                "the ledger or the log is another one, or was cut",
                where=recorded_address(run.ledger_url),
                action="restore the log if it was cut; else move the ledger away and resume the "
                "run: the ledger is rebuilt from the log, and its alerts are sent again under the "
                "same keys",
            )
        found[name] = ChainHead(sequence, chain_hash)
    return found


def said_since(
    run: RunDirectory,
    name: str,
    *,
    after: int,
    until: int,
    skip_pruned: bool = False,
    limits: Limits,
) -> tuple[list[tuple[int, Decision]], list[tuple[int, Told]], list[tuple[int, PartNote]]]:
    """Decisions, what an alert desk said, and parts, from the log: (log sequence, what) of each.

    Args:
        run: the run.
        name: of the partition.
        after: only entries with a higher sequence.
        until: only entries up to this sequence.
        skip_pruned: leave out what was pruned, instead of raising.
        limits: bounds.

    Raises:
        LogError: the log is damaged, or holds what is no decision.
    """
    found: list[tuple[int, Decision]] = []
    said: list[tuple[int, AlertingSaid]] = []
    parts: list[tuple[int, PartNote]] = []
    for entry in read_entries(
        run.storage,
        name,
        after=after,
        until=until,
        kinds={EntryKind.DECISION, EntryKind.ALERTING, EntryKind.PART},
        skip_pruned=skip_pruned,
        limits=limits,
    ):
        if entry.kind is EntryKind.DECISION:
            found.append((entry.sequence, Decision.from_bytes(entry.payload)))
        elif entry.kind is EntryKind.PART:
            parts.append((entry.sequence, note_of(entry.payload)))
        else:
            said.append((entry.sequence, AlertingSaid.from_bytes(entry.payload)))
    return found, _told(said), parts


def _told(said: Sequence[tuple[int, AlertingSaid]]) -> list[tuple[int, Told]]:
    """What a desk said, as the ledger takes it."""
    return [
        (
            sequence,
            Told(
                notices=tuple(Notice.from_mapping(message) for message in one.messages),
                dispositions=one.dispositions,
            ),
        )
        for sequence, one in said
    ]

"""Stages that learn from every window they see, in an engine whose windows may be revised.

What such a stage has learnt depends on all the windows before, and windows may change until they
are settled. So its state is held twice. The *settled* state has followed the settled windows alone.
The *live* state goes on from there through the windows that may still change: it follows new ones,
and where an old one changed, the key begins again at its settled state. So a score is a function of
the key's windows, in their order, and not of when they came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from sightline.errors import LogError
from sightline.limits import Limits
from sightline.perceive.window_series import WindowSeries, ranges
from sightline.records.readings import Arrays
from sightline.records.windows import FloatArray, IntArray
from sightline.runtime.engine.stream import Names
from sightline.runtime.stage import Stage, Step

BoolArray = npt.NDArray[np.bool_]

SETTLE_ROWS = 32
"""Settled windows of a key that are followed together: a bank is faster in longer pieces. The
series keeps at least as many behind the settled ones."""

TAKE_AS_NORMAL = "take_as_normal"
"""Operator input: what a subject, KEY or KEY/FIELD, shows from now on is normal."""

_NAMED = 3
"""Waiting series that are named; of further ones the number is."""
_NEVER = -1
_WINDOW_BITS = 42
_WINDOW_MASK = (1 << _WINDOW_BITS) - 1


class Bank(Protocol):
    """Many series side by side, each a function of its own samples; changed in place."""

    @property
    def is_known(self) -> BoolArray:
        """bool[n]: the series that are scored."""

    def follow(self, series: IntArray, lengths: IntArray, values: FloatArray, /) -> FloatArray:
        """Scores of the next samples of ``series``, one series after the other."""

    def take_over(self, other: Self, series: IntArray) -> None:
        """Let these series be what they are in ``other``."""

    def snapshot(self) -> Mapping[str, npt.NDArray[np.generic]]:
        """Arrays that :meth:`restore` takes back."""

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Inverse of :meth:`snapshot`."""


AnyBank = TypeVar("AnyBank", bound=Bank)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """How far a stage knows its series.

    Attributes:
        known: series that are scored.
        learning: series that are still learnt from.
        without_room: series beyond the limit, never scored.
        waiting: series that have changed for so long that nothing more is learnt of them until
            somebody says ``take_as_normal``, or they are as before.
        named: some of these, as subjects of that input.
        tellings: of a stage that decides, how often it told something.
        judged_days: of all its keys together, on which it could.
        borne: false alerts that its budget allows on so many days.
    """

    known: int = 0
    learning: int = 0
    without_room: int = 0
    waiting: int = 0
    named: Sequence[str] = ()
    tellings: int = 0
    judged_days: float = 0.0
    borne: float = 0.0

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready; what waits only where some do, tellings only of a stage that decides."""
        found: dict[str, Any] = {
            "known": self.known, "learning": self.learning, "without_room": self.without_room
        }  # fmt: skip
        if self.waiting:
            found |= {"waiting": self.waiting, "named": list(self.named)}
        if self.borne:
            found |= {
                "tellings": self.tellings,
                "judged_days": round(self.judged_days, 3),
                "borne": round(self.borne, 4),
            }
        return found

    def __add__(self, other: Learning) -> Learning:
        """Of two partitions together."""
        return Learning(
            known=self.known + other.known,
            learning=self.learning + other.learning,
            without_room=self.without_room + other.without_room,
            waiting=self.waiting + other.waiting,
            named=(*self.named, *other.named)[:_NAMED],
            tellings=self.tellings + other.tellings,
            judged_days=self.judged_days + other.judged_days,
            borne=self.borne + other.borne,
        )


@dataclass(slots=True)
class _Followed(Generic[AnyBank]):
    """A bank, and the last window of each key that it has followed (-1: none)."""

    bank: AnyBank
    through: IntArray


class LearningStage(Generic[AnyBank]):
    """State of one such stage in one partition.

    Args:
        step: of the plan; each measure of a key is a series.
        begin: makes an empty bank.
        grow: adds one series for each name to a bank.
        limits: ``max_learnt_series``, ``learning_samples``.
        most_gap: windows without data that count as missing samples between two with data.
        waits: tells of a bank which of its series are not learnt from until somebody accepts them.
        accept: accepts some of a bank; which of them waited. Both belong to ``take_as_normal``.
    """

    def __init__(
        self,
        step: Step,
        *,
        begin: Callable[[], AnyBank],
        grow: Callable[[AnyBank, Sequence[str]], None],
        limits: Limits,
        most_gap: int,
        waits: Callable[[AnyBank], BoolArray] | None = None,
        accept: Callable[[AnyBank, IntArray], BoolArray] | None = None,
    ) -> None:
        self._step = step
        self._grow = grow
        self._waits = waits
        self._accept = accept
        self._measures = len(step.reads)
        self._max_keys = limits.max_learnt_series // self._measures
        self._samples = limits.learning_samples
        self._most_gap = most_gap
        self._keys = 0
        self._settled = _Followed(begin(), np.empty(0, np.int64))
        self._live = _Followed(begin(), np.empty(0, np.int64))

    # --- scores -----------------------------------------------------------------------------------

    def score(self, series: WindowSeries, targets: IntArray, names: Names) -> None:
        """Write the scores of the windows ``targets`` into ``series``.

        Args:
            series: of the chain; read from the last settled window on.
            targets: int64[t], of each key all rows from the first that changed to its last.
            names: of the keys, by id.
        """
        self._resize(names)
        key, first = _first_of_keys(series, targets)
        has_room = key < self._keys
        if not has_room.all():
            key, first = key[has_room], first[has_room]
        if not len(key):
            return
        live = self._live
        is_again = (series.code[first] & _WINDOW_MASK) <= live.through[key]
        if is_again.any():
            self._reset(key[is_again])
        lo = np.searchsorted(series.code, _code(key, live.through[key] + 1))
        hi = np.searchsorted(series.code, _code(key + 1, np.zeros_like(key)))
        self._follow(live, series, key, lo, hi, is_written=True)

    def settle(self, series: WindowSeries, settled_ns: IntArray) -> None:
        """Follow what cannot change any more; to be called before ``series`` lets go of it.

        Args:
            series: of the chain.
            settled_ns: int64[keys], windows that end at or before this are settled.
        """
        n = min(self._keys, len(settled_ns))
        if not n or not len(series):
            return
        key = np.arange(n, dtype=np.int64)
        after = (settled_ns[:n] - series.width_ns) // series.slide_ns + 1  # first open window
        lo = np.searchsorted(series.code, _code(key, self._settled.through[:n] + 1))
        hi = np.searchsorted(series.code, _code(key, np.clip(after, 0, _WINDOW_MASK)))
        is_due = hi - lo >= SETTLE_ROWS
        if is_due.any():
            self._follow(
                self._settled, series, key[is_due], lo[is_due], hi[is_due], is_written=False
            )

    def _follow(
        self,
        followed: _Followed[AnyBank],
        series: WindowSeries,
        key: IntArray,
        lo: IntArray,
        hi: IntArray,
        *,
        is_written: bool,
    ) -> None:
        """Let a bank go over the rows ``[lo, hi)`` of each of ``key``; both ascending."""
        some = hi > lo
        key, lo, hi = key[some], lo[some], hi[some]
        # Keys are independent. Those whose gaps could fill much memory take turns.
        most = (hi - lo) * (1 + self._most_gap) * self._measures
        turn = (np.cumsum(most) - most) // self._samples
        for part in np.split(np.arange(len(key)), np.flatnonzero(np.diff(turn)) + 1):
            if len(part):
                self._follow_some(
                    followed, series, key[part], lo[part], hi[part], is_written=is_written
                )

    def _follow_some(
        self,
        followed: _Followed[AnyBank],
        series: WindowSeries,
        key: IntArray,
        lo: IntArray,
        hi: IntArray,
        *,
        is_written: bool,
    ) -> None:
        """As :meth:`_follow`, of keys that each have rows."""
        rows = ranges(lo, hi)
        window = series.code[rows] & _WINDOW_MASK
        length = hi - lo
        at_first = np.cumsum(length) - length
        before = np.empty_like(window)
        before[1:] = window[:-1]
        before[at_first] = followed.through[key]
        # Windows without data are missing samples, no more of them than make all others forgotten.
        gap = np.minimum(window - before - 1, self._most_gap)
        gap[at_first[followed.through[key] == _NEVER]] = 0
        place = np.arange(len(rows)) + np.cumsum(gap)
        total = len(rows) + int(gap.sum())
        values = np.full((total, self._measures), np.nan)
        values[place] = series.table(rows, [m.column for m in self._step.reads])
        end = place[at_first + length - 1] + 1
        begin = np.concatenate([[0], end[:-1]])
        # Of each key one measure after the other.
        at = ranges(np.repeat(begin, self._measures), np.repeat(end, self._measures))
        lengths = np.repeat(end - begin, self._measures)
        measure = np.tile(np.arange(self._measures), len(key))
        column = np.repeat(measure, lengths)
        number = np.repeat(key * self._measures, self._measures) + measure
        scores = followed.bank.follow(number, lengths, values[at, column])
        followed.through[key] = window[at_first + length - 1]
        if is_written:
            values[at, column] = scores
            for i, added in enumerate(self._step.adds):
                series.column(added.column)[rows] = values[place, i]

    def _reset(self, key: IntArray) -> None:
        """Let keys begin again at their settled state."""
        number = (key[:, None] * self._measures + np.arange(self._measures)).ravel()
        self._live.bank.take_over(self._settled.bank, number)
        self._live.through[key] = self._settled.through[key]

    # --- operator inputs --------------------------------------------------------------------------

    def take_control(self, control: Mapping[str, Any], names: Names) -> None:
        """Accept the series of a subject that wait for it; one that is not known is passed over.

        What the settled state does not wait with is left in the live one, too: the next late row
        would take it back.
        """
        assert self._accept is not None
        key, columns = subject_of(str(control["subject"]), names, self._step)
        if key is None or key >= self._keys:
            return
        series = key * self._measures + np.array(columns, np.int64)
        taken = self._accept(self._settled.bank, series)
        if taken.any():
            self._accept(self._live.bank, series[taken])

    # --- keys -------------------------------------------------------------------------------------

    def _resize(self, names: Names) -> None:
        wanted = min(len(names), self._max_keys)
        if wanted <= self._keys:
            return
        new = [names[i] for i in range(self._keys, wanted)]
        series = [f"{name}/{m.column}" for name in new for m in self._step.reads]
        for followed in (self._settled, self._live):
            self._grow(followed.bank, series)
            followed.through = np.concatenate([followed.through, np.full(len(new), _NEVER)])
        self._keys = wanted

    def learning(self, names: Names) -> Learning:
        """How far the series of all keys are known."""
        known = int(self._live.bank.is_known.sum())
        waits = np.empty(0, np.int64)
        if self._waits is not None:
            waits = np.flatnonzero(self._waits(self._settled.bank))
        return Learning(
            known=known,
            learning=self._keys * self._measures - known,
            without_room=max(len(names) - self._max_keys, 0) * self._measures,
            waiting=len(waits),
            named=[self._subject(int(one), names) for one in waits[:_NAMED]],
        )

    def _subject(self, series: int, names: Names) -> str:
        measure = self._step.reads[series % self._measures]
        return f"{names[series // self._measures]}/{measure.field or measure.column}"

    # --- checkpoint -------------------------------------------------------------------------------

    def snapshot(self) -> Mapping[str, npt.NDArray[np.generic]]:
        """The settled state: the rest follows from the windows that are not settled."""
        bank = {f"bank.{name}": array for name, array in self._settled.bank.snapshot().items()}
        return {"through": self._settled.through.copy(), **bank}

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Inverse of :meth:`snapshot`: what is not settled is followed with the next window.

        Raises:
            LogError, UsageError: state of another version or of other settings.
        """
        bank = {n.removeprefix("bank."): a for n, a in arrays.items() if n.startswith("bank.")}
        through = arrays["through"].astype(np.int64)
        self._keys = len(through)
        for followed in (self._settled, self._live):
            followed.bank.restore(bank)
            followed.through = through.copy()


def check_subject(control: Mapping[str, Any]) -> str | None:
    """Why a ``take_as_normal`` cannot be taken; None if it can."""
    subject = control.get("subject")
    if not isinstance(subject, str) or not subject:
        return "subject: a key, or KEY/FIELD"
    return None


def subject_of(subject: str, names: Names, step: Step) -> tuple[int | None, list[int]]:
    """The key that a subject names, None for none, and which of the measures that a stage reads.

    Args:
        subject: KEY, for all measures, or KEY/FIELD.
        names: of the keys, by id.
        step: of the plan.
    """
    identity = names.find(subject)
    if identity is not None:
        return identity, list(range(len(step.reads)))
    key, _, field = subject.rpartition("/")
    columns = [i for i, m in enumerate(step.reads) if (m.field or m.column) == field]
    return (names.find(key) if columns else None), columns


def _code(key: IntArray, window: IntArray) -> IntArray:
    return (key.astype(np.int64) << _WINDOW_BITS) | window


def _first_of_keys(series: WindowSeries, targets: IntArray) -> tuple[IntArray, IntArray]:
    """The keys among ``targets``, ascending, and the first target of each."""
    key = series.code[targets] >> _WINDOW_BITS
    is_first = np.ones(len(targets), np.bool_)
    is_first[1:] = key[1:] != key[:-1]
    return key[is_first], targets[is_first]


# --- stages with a memory of their own ------------------------------------------------------------


class FollowingState:
    """State of a stage that has ``begin`` and ``follow``, as of the settled windows and the newest.

    What such a stage knows hangs on all the windows before, and windows may change until they are
    settled. The state of the settled windows is kept apart; when a window changes, its key goes on
    from there through those that are still open.

    Args:
        step: of the plan.
        max_keys: keys that are followed. Later keys get no value.
    """

    def __init__(self, step: Step, *, max_keys: int) -> None:
        self._step = step
        self._stage: Stage = step.stage
        self._max_keys = max_keys
        self._keys = 0
        self._settled = self._begun(0)
        self._live = self._begun(0)
        self._settled_through = np.empty(0, np.int64)
        self._live_through = np.empty(0, np.int64)

    def _begun(self, keys: int) -> dict[str, npt.NDArray[Any]]:
        begun = self._stage.begin(keys, len(self._step.reads))
        return {name: np.array(array) for name, array in begun.items()}

    def score(self, series: WindowSeries, targets: IntArray, names: Names) -> None:
        """Write what the stage adds for the windows ``targets``; see LearningStage.score."""
        self._resize(len(names))
        key, first = _first_of_keys(series, targets)
        has_room = key < self._keys
        key, first = key[has_room], first[has_room]
        if not len(key):
            return
        is_again = (series.code[first] & _WINDOW_MASK) <= self._live_through[key]
        again = key[is_again]
        for name, array in self._live.items():
            array[again] = self._settled[name][again]
        self._live_through[again] = self._settled_through[again]
        lo = np.searchsorted(series.code, _code(key, self._live_through[key] + 1))
        hi = np.searchsorted(series.code, _code(key + 1, np.zeros_like(key)))
        self._follow(self._live, self._live_through, series, key, lo, hi, is_written=True)

    def settle(self, series: WindowSeries, settled_ns: IntArray) -> None:
        """Follow what cannot change any more; to be called before ``series`` lets go of it."""
        n = min(self._keys, len(settled_ns))
        if not n or not len(series):
            return
        key = np.arange(n, dtype=np.int64)
        after = (settled_ns[:n] - series.width_ns) // series.slide_ns + 1
        lo = np.searchsorted(series.code, _code(key, self._settled_through[:n] + 1))
        hi = np.searchsorted(series.code, _code(key, np.clip(after, 0, _WINDOW_MASK)))
        some = hi > lo
        self._follow(
            self._settled, self._settled_through, series, key[some], lo[some], hi[some],
            is_written=False,
        )  # fmt: skip

    def _follow(  # noqa: PLR0917 - one loop, called from two places
        self,
        state: dict[str, npt.NDArray[Any]],
        through: IntArray,
        series: WindowSeries,
        key: IntArray,
        lo: IntArray,
        hi: IntArray,
        *,
        is_written: bool,
    ) -> None:
        """Let the stage go over the rows ``[lo, hi)`` of each of ``key``, window by window."""
        reads = [m.column for m in self._step.reads]
        for place in range(int((hi - lo).max(initial=0))):
            is_there = lo + place < hi
            at, keys = lo[is_there] + place, key[is_there]
            part = {name: array[keys] for name, array in state.items()}
            found = self._stage.follow(part, series.table(at, reads))
            for name, array in part.items():
                state[name][keys] = array
            through[keys] = series.code[at] & _WINDOW_MASK
            if is_written:
                for column, added in enumerate(self._step.adds):
                    series.column(added.column)[at] = found[:, column]

    def _resize(self, names: int) -> None:
        wanted = min(names, self._max_keys)
        new = wanted - self._keys
        if new <= 0:
            return
        for state in (self._settled, self._live):
            for name, array in self._begun(new).items():
                state[name] = np.concatenate([state[name], array])
        never = np.full(new, _NEVER, np.int64)
        self._settled_through = np.concatenate([self._settled_through, never])
        self._live_through = np.concatenate([self._live_through, never])
        self._keys = wanted

    def learning(self, names: Names) -> Learning:
        """Every key that has room is known from its first window on."""
        return Learning(known=self._keys, without_room=max(len(names) - self._max_keys, 0))

    def snapshot(self) -> Mapping[str, npt.NDArray[np.generic]]:
        """The settled state: the rest follows from the windows that are not settled."""
        version = np.array([self._stage.version], np.int64)
        parts = {f"state.{name}": array.copy() for name, array in self._settled.items()}
        return {"version": version, "through": self._settled_through.copy(), **parts}

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Inverse of :meth:`snapshot`.

        Raises:
            LogError: state of another version of the stage.
        """
        found = {n.removeprefix("state."): a for n, a in arrays.items() if n.startswith("state.")}
        if int(arrays["version"][0]) != self._stage.version or set(found) != set(self._settled):
            raise LogError(
                expected=f"state of {self._stage.use}, version {self._stage.version}",
                got=f"version {int(arrays['version'][0])} with {', '.join(sorted(found))}",
                where=f"checkpoint, stage {self._step.name}",
                action="delete the checkpoints: the state is rebuilt from the log",
            )
        through = arrays["through"].astype(np.int64)
        self._keys = len(through)
        self._settled = {name: array.copy() for name, array in found.items()}
        self._live = {name: array.copy() for name, array in found.items()}
        self._settled_through, self._live_through = through, through.copy()


def following_state(step: Step, limits: Limits) -> FollowingState | None:
    """The state of a stage that has ``begin`` and ``follow``; None of another."""
    stage: Stage = step.stage
    begun: Arrays = stage.begin(0, len(step.reads))
    if not begun:
        return None
    return FollowingState(step, max_keys=limits.max_learnt_series // max(len(step.reads), 1))

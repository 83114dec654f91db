"""Links: when did a subject stop talking though it was expected to, and what got lost?

Silence is a statement about event time: "nothing between *a* and *b*, though the subject was
expected to talk for longer than the time-out". It is therefore a function of the times at which
data exists, and a backlog that fills a gap takes the statement back.

Packet loss is counted by the source's own sequence counter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sightline.records.windows import FloatArray, IntArray

EVERYONE = "*"
_NEVER_DUE_NS = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPlan:
    """When a subject is expected to talk.

    Attributes:
        start_ns: int64[c], start of each contact, ascending, UTC ns.
        end_ns: int64[c], end of each contact; contacts do not overlap.
    """

    start_ns: IntArray
    end_ns: IntArray

    @classmethod
    def of(cls, contacts: Sequence[tuple[int, int]]) -> ContactPlan:
        """Merge overlapping or unsorted ``(start_ns, end_ns)`` intervals into a plan."""
        merged: list[list[int]] = []
        for start, end in sorted(c for c in contacts if c[1] > c[0]):
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        array = np.array(merged, np.int64).reshape(-1, 2)
        return cls(start_ns=array[:, 0], end_ns=array[:, 1])

    def deadline_ns(self, last_ns: IntArray, timeout_ns: int) -> IntArray:
        """int64[n]: when ``timeout_ns`` of expected contact have passed since ``last_ns``.

        2^63-1 where the plan ends before that.

        >>> plan = ContactPlan.of([(0, 100), (200, 300)])
        >>> plan.deadline_ns(np.array([50, 90]), 30).tolist()
        [80, 220]
        """
        length = self.end_ns - self.start_ns
        before = np.concatenate([[0], np.cumsum(length)])
        # Contact time elapsed at `last_ns`: whole contacts before it, and part of the current one.
        index = np.searchsorted(self.start_ns, last_ns, side="right") - 1
        safe = np.maximum(index, 0)
        elapsed = np.where(
            index < 0, 0, before[safe] + np.minimum(last_ns - self.start_ns[safe], length[safe])
        )
        due = elapsed + timeout_ns
        contact = np.searchsorted(before[1:], due, side="left")
        inside = contact < len(length)
        at = np.where(inside, contact, 0)
        found: IntArray = np.where(inside, self.start_ns[at] + due - before[at], _NEVER_DUE_NS)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceEpisodes:
    """Intervals of silence, sorted by (subject, time).

    Attributes:
        row: int64[e], index of the presence row whose last datum precedes the silence.
        last_ns: int64[e], the last datum before it.
        raised_ns: int64[e], when the time-out had passed.
        cleared_ns: int64[e], the next datum; -1 while the silence lasts.
    """

    row: IntArray
    last_ns: IntArray
    raised_ns: IntArray
    cleared_ns: IntArray

    def __len__(self) -> int:
        return len(self.row)


def silence_episodes(
    *,
    subject: npt.NDArray[np.integer],
    first_ns: IntArray,
    last_ns: IntArray,
    now_ns: int,
    timeout_ns: int,
    plans: Mapping[int, ContactPlan] | None = None,
    default_plan: ContactPlan | None = None,
) -> SilenceEpisodes:
    """Gaps longer than the time-out between presence rows, and at their end.

    Args:
        subject: ids[n], ascending.
        first_ns: int64[n], first datum of each presence row, ascending within a subject.
        last_ns: int64[n], last datum of each presence row. No gap inside a row may exceed the
            time-out: presence windows must not be wider than it.
        now_ns: time up to which all punctual data has arrived.
        timeout_ns: expected contact time without data that makes a silence, > 0.
        plans: contact plan by subject id; a subject without one uses ``default_plan``.
        default_plan: None: always expected.

    >>> e = silence_episodes(subject=np.array([0, 0]), first_ns=np.array([0, 100]),
    ...                      last_ns=np.array([10, 110]), now_ns=130, timeout_ns=30)
    >>> e.raised_ns.tolist(), e.cleared_ns.tolist()
    ([40], [100])
    """
    n = len(subject)
    if default_plan is None:
        deadline = last_ns + timeout_ns
    else:
        deadline = default_plan.deadline_ns(last_ns, timeout_ns)
    for identity, plan in (plans or {}).items():
        lo, hi = np.searchsorted(subject, [identity, identity + 1])
        deadline[lo:hi] = plan.deadline_ns(last_ns[lo:hi], timeout_ns)
    follows = np.zeros(n, np.bool_)
    follows[:-1] = subject[1:] == subject[:-1]
    following = np.full(n, -1, np.int64)
    following[:-1] = np.where(follows[:-1], first_ns[1:], -1)
    silent = np.where(follows, following > deadline, deadline <= now_ns)
    row = np.flatnonzero(silent)
    return SilenceEpisodes(
        row=row, last_ns=last_ns[row], raised_ns=deadline[row], cleared_ns=following[row]
    )


def loss_ratio(
    *, sequence_max: FloatArray, previous_sequence_max: FloatArray, received: FloatArray
) -> FloatArray:
    """float64[n]: share of the packets sent in a window that did not arrive, 0 to 1.

    The counter says how many were sent: its advance since the window before. NaN where that
    cannot be known: no window before, no counter, or a counter that did not advance (a restart;
    the next window counts again).

    Args:
        sequence_max: float64[n], highest counter in the window.
        previous_sequence_max: float64[n], highest counter in the key's window before; NaN if none.
        received: float64[n], distinct counters received in the window.

    >>> loss_ratio(sequence_max=np.array([20.0]), previous_sequence_max=np.array([10.0]),
    ...            received=np.array([8.0])).round(6).tolist()
    [0.2]
    """
    sent = sequence_max - previous_sequence_max
    known = np.isfinite(sent) & (sent > 0)
    ratio = np.full(len(sent), np.nan)
    # A late packet of the window before can make more distinct counters than the advance shows.
    ratio[known] = np.clip(1.0 - received[known] / sent[known], 0.0, 1.0)
    return ratio

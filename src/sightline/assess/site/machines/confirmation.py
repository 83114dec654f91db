"""Whether a course or a path is sure enough to stop for: at once, or after a moment of looking.

These risks rest on velocities, and those of a tracker are noisy: at a probability of one half
every frame of every passer-by is one more chance to err. An error lasts a few frames, a conflict
stays. So a risk is said when it is sure enough, or has lasted:

- at once, when it is likely that the machine must stop now at the speed it has. That it may speed
  up beforehand asks for a stop earlier, and this allowance pays for looking again: while it is not
  used up, the decision can wait. Not so of a machine that set off a short while ago: it is
  speeding up, a tracker sees that late, and so it needs the allowance itself, and some more;
- when it is likely with that allowance, and was in all frames of the last 0.2 s;
- when it will be likely within AHEAD_S, and was to be in all frames of the last 0.3 s. This begins
  before the latest moment to stop, so it costs nothing;
- when a person is about to walk into the stopping path, and was in two frames, or in one that no
  other has followed since: without pictures the time runs all the same.

Of somebody who was not seen again meanwhile the two that last must last twice as long: who is only
carried on keeps the speed that they were thought to have, so an error lasts as a conflict does. Not
for ever, though: who is hidden for longer than a detector misses people by chance may well come on.

TOO_CLOSE rests on positions alone and never waits. A machine at its top speed, and one that is not
said to speed up, has no allowance: for it the first rule is that of the whole stopping way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sightline.records.detections import BoolArray
from sightline.records.holding import NOT_SO_NS, all_so_since
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

AHEAD_S = 0.8
"""Time before the latest moment to stop from which a course is looked at."""
TRACKER_LAG_S = 0.8
"""By how much a tracker is late in seeing a machine speed up, with pictures lost on the way."""
_STEADY_AFTER_S = 1.2  # at one speed, until a tracker has settled
_NOW, _AHEAD, _WALKS_IN, _SIGHTED = 0, 1, 2, 3
_HELD_S = (0.2, 0.3, 0.06)
_UNSEEN_COUNTS = np.array([0.5, 0.5, 1.0])  # of that time, without a further sighting
# Shares of the rule's probability p; the first of what p lacks to 1.
_SURE, _LIKELY, _LIKELY_AHEAD = 0.4, 0.8, 1.0


def is_steady(
    driven_s: FloatArray | None, speed_m_s: FloatArray, *, acceleration_m_s2: float
) -> BoolArray:
    """bool[n]: whether machines have driven for longer than it takes to reach their speed.

    Args:
        driven_s: float64[n], since they last stood, from ``follow_headings``; None: not known,
            which is not steady.
        speed_m_s: float64[n].
        acceleration_m_s2: with which they may speed up; one that sets off more gently is steady
            too early, but then its tracker is hardly late.

    >>> is_steady(np.array([1.0, 5.0]), np.array([4.0, 4.0]), acceleration_m_s2=2.0).tolist()
    [False, True]
    """
    if driven_s is None:
        return np.zeros(len(speed_m_s), np.bool_)
    gains_s = speed_m_s / acceleration_m_s2 if acceleration_m_s2 > 0 else 0.0
    found: BoolArray = driven_s >= gains_s + _STEADY_AFTER_S
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Likelihoods:
    """Probabilities of n pairs, float64[n] each.

    Attributes:
        course: of a conflict, both going on, that asks for a stop now.
        steady_course: the same of a machine that does not speed up; as ``course`` of one that is
            about to.
        course_ahead: the same as ``course``, AHEAD_S later.
        path: of being in the stopping path.
        steady_path: the same of a machine that does not speed up; as ``path`` of one that is
            about to.
        path_ahead: of being in it after walking on for a moment.
    """

    course: FloatArray
    steady_course: FloatArray
    course_ahead: FloatArray
    path: FloatArray
    steady_path: FloatArray
    path_ahead: FloatArray

    def are_likely(self, probability: float) -> tuple[FloatArray, FloatArray]:
        """float64[n, 3] each: what must last (now, ahead, walking in), and what of it is likely.

        Args:
            probability: of the rule.
        """
        lasting = np.stack(
            [np.maximum(self.course, self.path), self.course_ahead, self.path_ahead], axis=1
        )
        return lasting, probability * np.array([_LIKELY, _LIKELY_AHEAD, 1.0])

    def decisive_course(
        self, held_s: FloatArray, *, probability: float
    ) -> tuple[FloatArray, FloatArray]:
        """What decides about a course: its probability and what is needed, float64[n] each.

        Args:
            held_s: float64[n, 3], from ``SuspectedPairs.held_s``.
            probability: of the rule.
        """
        sure = 1 - (1 - probability) * (1 - _SURE)
        lasting, needed = self.are_likely(probability)
        now, ahead = lasting[:, _NOW], lasting[:, _AHEAD]
        by = [
            self.steady_course >= sure,
            (held_s[:, _NOW] >= _HELD_S[_NOW]) & (now >= needed[_NOW]),
            (held_s[:, _AHEAD] >= _HELD_S[_AHEAD]) & (ahead >= needed[_AHEAD]),
        ]
        value: FloatArray = np.select(by, [self.steady_course, now, ahead], self.steady_course)
        limit: FloatArray = np.select(by, [sure, needed[_NOW], needed[_AHEAD]], sure)
        return value, limit

    def decisive_path(self, held_s: FloatArray) -> FloatArray:
        """float64[n]: the probability of being in the path that decides, against the rule's."""
        has_lasted = held_s[:, _WALKS_IN] >= _HELD_S[_WALKS_IN]
        found: FloatArray = np.where(
            has_lasted, np.maximum(self.path_ahead, self.steady_path), self.steady_path
        )
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SuspectedPairs:
    """k pairs of which something is likely, sorted by (person, machine).

    Attributes:
        person_id: int64[k].
        machine_id: int64[k].
        since_ns: int64[k, 3], event time since when it has been likely in every frame: now, ahead,
            walking in; UTC ns, -1 where it is not.
        sighted_ns: int64[k], event time of the decision on the newest frame in which the person
            was seen; -1 for none since the pair is suspected.
        looked_ns: event time of the newest frame's decision.
    """

    person_id: IntArray
    machine_id: IntArray
    since_ns: IntArray
    sighted_ns: IntArray
    looked_ns: int

    @classmethod
    def start(cls) -> SuspectedPairs:
        """Before the first frame."""
        none = np.empty(0, np.int64)
        return cls(
            person_id=none,
            machine_id=none,
            since_ns=np.empty((0, 3), np.int64),
            sighted_ns=none,
            looked_ns=0,
        )

    def after(
        self,
        person_id: IntArray,
        machine_id: IntArray,
        likely: Likelihoods,
        is_seen: BoolArray,
        *,
        probability: float,
        event_ns: int,
    ) -> SuspectedPairs:
        """After a frame with these n pairs; no others are remembered, so there are never more.

        Args:
            person_id, machine_id: int64[n], each pair once.
            likely: of them.
            is_seen: bool[n], whether the person was seen in it, not only carried on.
            probability: of the rule.
            event_ns: time of the decision.
        """
        lasting, needed = likely.are_likely(probability)
        known = self._known(person_id, machine_id)
        since = all_so_since(known[:, :_SIGHTED], lasting >= needed, event_ns)
        sighted = np.where(is_seen, event_ns, known[:, _SIGHTED])
        kept = np.flatnonzero((since != NOT_SO_NS).any(axis=1))
        kept = kept[np.lexsort((machine_id[kept], person_id[kept]))]
        return SuspectedPairs(
            person_id=person_id[kept],
            machine_id=machine_id[kept],
            since_ns=since[kept],
            sighted_ns=sighted[kept],
            looked_ns=event_ns,
        )

    def held_s(self, person_id: IntArray, machine_id: IntArray, *, event_ns: int) -> FloatArray:
        """float64[n, 3]: for how long it has been likely; -1 where it is not.

        Up to the newest frame, half of it while the person was not seen again since it is likely;
        of walking in, up to now.
        """
        known = self._known(person_id, machine_id)
        since, sighted = known[:, :_SIGHTED], known[:, _SIGHTED]
        until = np.array([self.looked_ns, self.looked_ns, event_ns])
        counts = np.where(sighted[:, None] > since, 1.0, _UNSEEN_COUNTS)
        held: FloatArray = np.where(since == NOT_SO_NS, -1.0, counts * (until - since) / NS_PER_S)
        return held

    def _known(self, person_id: IntArray, machine_id: IntArray) -> IntArray:
        """int64[n, 4]: ``since_ns`` and ``sighted_ns`` of these pairs."""
        known = len(self.person_id)
        if known == 0:  # which is nearly always so
            return np.full((len(person_id), 4), NOT_SO_NS, np.int64)
        persons = np.concatenate([self.person_id, person_id])
        machines = np.concatenate([self.machine_id, machine_id])
        pairs = np.stack([persons, machines], axis=1)
        number = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
        of_number = np.full((len(pairs), 4), NOT_SO_NS, np.int64)
        of_number[number[:known]] = np.column_stack([self.since_ns, self.sighted_ns])
        found: IntArray = of_number[number[known:]]
        return found

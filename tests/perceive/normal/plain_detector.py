"""The specification of a detector: one series, one sample after the other, in NumPy. Slow.

What :mod:`sightline.perceive.normal.bank` computes of many series has to have the same bits. Only
the features are taken from the package: they have a specification of their own, in
:func:`plain_features`.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from sightline.perceive.deviation import MAD_TO_SIGMA
from sightline.perceive.normal.attribution import combined
from sightline.perceive.normal.features import bounded, window_features
from sightline.perceive.normal.settings import LEAST_SPREAD


def plain_features(values, widths):
    """float64[n, w, 6] of float64[n]: each window for itself.

    Mean, standard deviation (of the samples, not of a population), greatest, least, mean absolute
    difference of neighbours (each belongs to the later one), and rise: mean of the second half less
    mean of the first. NaN where the window would begin before the first sample, or has fewer than
    half of its samples; a difference or a rise that has no sample on one side is NaN alone.
    """
    found = np.full((len(values), len(widths), 6), np.nan)
    steps = np.full(len(values), np.nan)
    steps[1:] = np.abs(np.diff(values))
    for row in range(len(found)):
        for place, width in enumerate(widths):
            end = row + 1
            window = values[max(end - width, 0) : end]
            known = window[np.isfinite(window)]
            if end < width or 2 * len(known) < width:
                continue
            halves = [
                part[np.isfinite(part)] for part in (window[: width // 2], window[width // 2 :])
            ]
            step = steps[end - width : end]
            step = step[np.isfinite(step)]
            found[row, place] = (
                known.mean(),
                known.std(),
                known.max(),
                known.min(),
                step.mean() if len(step) else np.nan,
                halves[1].mean() - halves[0].mean() if all(map(len, halves)) else np.nan,
            )
    return found


def squares(vectors, one):
    """float64[n], squared distances of vectors from one, summed axis by axis as the kernels do."""
    found = np.zeros(len(vectors))
    for axis in range(vectors.shape[1]):
        found += (vectors[:, axis] - one[axis]) ** 2
    return found


def k_centre(vectors, size):
    """Rows that cover all others, each next one farthest from those before; the radius.

    Begins with the row nearest to the mean. Rows equal to a centre are never another.
    """
    mean = vectors.sum(axis=0) / len(vectors)
    chosen = [int(np.argmin(squares(vectors, mean)))]
    square = squares(vectors, vectors[chosen[0]])
    while len(chosen) < size and square.max() > 0.0:
        chosen.append(int(np.argmax(square)))
        square = np.minimum(square, squares(vectors, vectors[chosen[-1]]))
    return chosen, float(np.sqrt(square.max()))


class PlainMemory:
    """At most ``size`` vectors that stand for all that were normal.

    Attributes:
        vectors: list of float64[d].
        used: when each was last the nearest to something normal, in vectors seen.
        seen: normal vectors taken in so far.
        spacing: a vector nearer than this to one that is remembered adds nothing new.
    """

    def __init__(self, vectors, *, size, forgets=False, spacing=0.0):
        known = vectors[np.isfinite(vectors).all(axis=1)]
        rows, radius = k_centre(known, size)
        self.size, self.forgets = size, forgets
        self.vectors = [known[row] for row in rows]
        self.used = [0] * len(rows)
        for place, vector in enumerate(known):
            self.used[self.nearest(vector)[1]] = place + 1
        self.seen = len(known)
        self.spacing = max(radius, spacing)

    def nearest(self, query):
        """Distance to the nearest vector and its place, the first of equally near ones."""
        if not np.isfinite(query).all():
            return np.nan, -1
        square = squares(np.array(self.vectors), query)
        return float(np.sqrt(square.min())), int(np.argmin(square))

    def take_in(self, vector):
        """One that is normal; if it is not finite, it is passed over."""
        if not np.isfinite(vector).all():
            return
        self.seen += 1
        gap, near = self.nearest(vector)
        if gap <= self.spacing:
            self.used[near] = self.seen
            return
        if self.forgets and len(self.vectors) == self.size:
            place = int(np.argmin(self.used))
            self.vectors[place], self.used[place] = vector, self.seen
            return
        self.vectors.append(vector)
        self.used.append(self.seen)
        while len(self.vectors) > self.size:
            self._merge()

    def _merge(self):
        every = np.array(self.vectors)
        if self.spacing > 0:
            self.spacing *= 2
        else:
            gaps = [squares(every[:i], every[i]).min() for i in range(1, len(every))]
            self.spacing = float(np.sqrt(min(gaps)))
        old, used, self.vectors, self.used = self.vectors, self.used, [], []
        for vector, when in zip(old, used, strict=True):
            gap, near = self.nearest(vector) if self.vectors else (np.inf, -1)
            if gap <= self.spacing:
                self.used[near] = max(self.used[near], when)
            else:
                self.vectors.append(vector)
                self.used.append(when)


class PlainUsual:
    """Mean and variance of the distances so far, those far out pulled in (winsorised)."""

    def __init__(self, distance, *, clip, least, least_weight):
        self.clip, self.least, self.least_weight = clip, least, least_weight
        self.middle = float(np.median(distance))
        spread = MAD_TO_SIGMA * float(np.median(np.abs(distance - self.middle))) + least
        pulled = np.clip(distance, self.middle - 2 * clip * spread, self.middle + 2 * clip * spread)
        self.count, self.mean, self.variance = (
            len(pulled),
            float(pulled.mean()),
            float(pulled.var()),
        )

    def deviations(self, distance):
        """How many deviations a distance is beyond the mean."""
        return (distance - self.mean) / (math.sqrt(self.variance) + self.least)

    def learn(self, distance):
        """It counts at most as the mean and ``clip`` deviations; NaN is passed over."""
        if not np.isfinite(distance):
            return
        value = min(distance, self.mean + self.clip * (math.sqrt(self.variance) + self.least))
        self.count += 1
        weight = max(1.0 / self.count, self.least_weight)
        gap = value - self.mean
        self.mean += weight * gap
        self.variance += weight * (gap * (value - self.mean) - self.variance)


def left_out(vectors, exclude):
    """float64[m]: distances of vectors to the nearest that is not of their own time, where known.

    Rows nearer in time than ``exclude`` are passed over; rows with a NaN are near to nothing.
    """
    found = []
    place = np.arange(len(vectors))
    for row, vector in enumerate(vectors):
        square = squares(vectors, vector)
        square[(np.abs(place - row) < exclude) | np.isnan(square)] = np.inf
        if square.min() < np.inf:
            found.append(np.sqrt(square.min()))
    return np.array(found)


@dataclass
class PlainWidth:
    """What is known of windows of one width."""

    width: int
    step: int
    spread: np.ndarray
    memory: PlainMemory
    usual: PlainUsual
    waiting: deque  # of [look, distance, score of all widths], those that are to be learnt
    stands: float = np.nan  # deviations at the last look


class PlainDetector:
    """A detector of one series; it changes in place.

    Raises:
        ValueError: nothing can be known from the learning samples.
    """

    def __init__(self, values, settings):
        self.settings = settings
        self.learnt = len(values)
        self.values = bounded(values)
        known = self.values[np.isfinite(self.values)]
        if len(known) < settings.least_learning:
            raise ValueError("too few samples")
        least = max(
            settings.least_share_of_range * float(np.ptp(known)),
            settings.least_share_of_size * float(np.abs(known).max()),
            LEAST_SPREAD,
        )
        features = window_features(self.values, widths=settings.widths)
        every = [
            self._learnt(features[:, place], width, least)
            for place, width in enumerate(settings.widths)
        ]
        self.widths = [one for one in every if one is not None]
        if not self.widths:
            raise ValueError("no two windows of one width that are apart")

    def _learnt(self, features, width, least):
        settings, step = self.settings, self.settings.step(width)
        # On a grid that ends with the stretch; the one of later looks begins where it ends.
        looks = features[::-1][::step][::-1]
        is_known = np.isfinite(looks).all(axis=1)
        apart = max(width, round(settings.apart_share * len(features)))
        if is_known.sum() * step < apart + width:
            return None
        spread = np.maximum(looks[is_known].std(axis=0), least)
        scaled = looks / spread
        distance = left_out(scaled, -(-apart // step))
        if not len(distance):
            return None
        usual = PlainUsual(
            distance,
            clip=settings.clip,
            least=settings.least_distance,
            least_weight=settings.least_weight * step,
        )
        memory = PlainMemory(
            scaled,
            size=settings.memory_size,
            forgets=settings.forgets,
            spacing=settings.spacing_share * usual.middle,
        )
        nothing = [np.full(6, np.nan), np.nan, np.nan]  # all of the stretch is learnt already
        waiting = deque([nothing] * settings.waits(width))
        return PlainWidth(width, step, spread, memory, usual, waiting)

    def follow(self, values):
        """float64[n], scores; float64[n, w], deviations of the widths that could be learnt."""
        begin = len(self.values)
        self.values = np.concatenate([self.values, bounded(values)])
        widths = tuple(one.width for one in self.widths)
        before = self.values[max(begin - widths[-1] - 1, 0) : begin]
        features = window_features(self.values[begin:], widths=widths, before=before)
        by_width = np.empty((len(values), len(widths)))
        score = np.empty(len(values))
        for row in range(len(values)):
            looked = []
            for place, one in enumerate(self.widths):
                if (begin + row - self.learnt) % one.step == 0:
                    looked.append(self._look(one, features[row, place] / one.spread))
            # Between two looks the last one stands.
            by_width[row] = [one.stands for one in self.widths]
            score[row] = combined(by_width[row : row + 1])[0]
            for look in looked:
                look[2] = score[row]
        return score, by_width

    def _look(self, one, scaled):
        distance, _ = one.memory.nearest(scaled)
        one.stands = one.usual.deviations(distance)
        look = [scaled, distance, np.nan]
        one.waiting.append(look)
        waited, waited_distance, waited_score = one.waiting.popleft()
        below = self.settings.learns_below
        if below is None or (below > 0 and not waited_score >= below):
            one.memory.take_in(waited)
            one.usual.learn(waited_distance)
        return look

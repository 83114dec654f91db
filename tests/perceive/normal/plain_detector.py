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
from sightline.perceive.normal.beginning import SampleScale
from sightline.perceive.normal.features import bounded, window_features


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

    def __init__(self, distance, *, clip, held_clip, least, least_weight):
        self.clip, self.held_clip = clip, held_clip
        self.least, self.least_weight = least, least_weight
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

    def learn(self, distance, *, is_held=False):
        """It counts at most as the mean and ``clip`` deviations; NaN is passed over."""
        clip = self.held_clip if is_held else self.clip
        if not np.isfinite(distance):
            return
        value = min(distance, self.mean + clip * (math.sqrt(self.variance) + self.least))
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


LOOKS = 2048
"""Of one width at most, while learning."""


class PlainRun:
    """How many samples in a row were equal, and from how many on that is unusual."""

    def __init__(self, values, lasting_rows):
        self.lasting_rows = lasting_rows
        self.last, self.length, self.longest = np.nan, 0, 0
        for value in values:
            self.take_in(value)
        self.unusual = max(2 * self.longest, 8) if self.longest <= 32 else np.inf

    def take_in(self, value):
        if not np.isfinite(value):
            return 0.0
        self.length = self.length + 1 if value == self.last else 1
        self.last = value
        self.longest = max(self.longest, self.length)
        return self.length

    def score(self, value):
        length = self.take_in(value)
        if self.unusual <= length <= self.lasting_rows:
            return 4.0 * length / self.unusual
        return 0.0


@dataclass
class PlainLook:
    """What was seen at one look, and waits to be learnt."""

    row: int
    scaled: np.ndarray
    distance: float
    is_held: bool = False


@dataclass
class PlainWidth:
    """What is known of windows of one width."""

    width: int
    step: int
    spread: np.ndarray
    memory: PlainMemory
    usual: PlainUsual
    waiting: deque  # of PlainLook, those that are to be learnt
    stands: float = np.nan  # deviations at the last look
    unusual_looks: int = 0
    usual_looks: int = 0  # in a row


class PlainDetector:
    """A detector of one series; it changes in place.

    Raises:
        ValueError: nothing can be known from the learning samples.
    """

    def __init__(self, values, settings):
        self.settings = settings
        self.learnt = len(values)
        values = bounded(values)
        known = values[np.isfinite(values)]
        if len(known) < settings.least_learning:
            raise ValueError("too few samples")
        share = settings.least_share_of_range
        self.scale = SampleScale.of(known, least_share_of_range=share)
        self.values = self.scale.bounded(values)
        features = window_features(self.values, widths=settings.widths)
        every = [
            self._learnt(features[:, place], width) for place, width in enumerate(settings.widths)
        ]
        self.widths = [one for one in every if one is not None]
        if not self.widths:
            raise ValueError("no two windows of one width that are apart")
        self.run = PlainRun(self.values, settings.lasting_rows)
        self.is_episode, self.quiet = False, 0

    def _learnt(self, features, width):
        settings, step = self.settings, self.settings.step(width)
        grid = 1
        steps = [settings.step(one) for one in settings.widths]
        while len(features) > grid * LOOKS and all(one % (2 * grid) == 0 for one in steps):
            grid *= 2
        # The first later look comes one step after the last of these, were the grid as coarse.
        looks = features[len(features) % grid :: grid]
        is_known = np.isfinite(looks).all(axis=1)
        apart = max(width, round(settings.apart_share * len(features)))
        if is_known.sum() * grid < apart + width:
            return None
        rounding = self.scale.rounding(width)
        least = np.maximum(rounding, self.scale.least)
        spread = np.maximum(looks[is_known].std(axis=0), least)
        scaled = looks / spread
        distance = left_out(scaled, -(-apart // grid))
        if not len(distance):
            return None
        made = 0.0
        for one, by in zip(settings.rounding_share * rounding, spread, strict=True):
            made += (one / by) ** 2
        usual = PlainUsual(
            distance,
            clip=settings.clip,
            held_clip=settings.held_clip,
            least=max(settings.least_distance, math.sqrt(made)),
            least_weight=settings.least_weight * step,
        )
        usual.count = max(len(distance) * grid // step, 1)
        memory = PlainMemory(
            scaled,
            size=settings.memory_size,
            forgets=settings.forgets,
            spacing=settings.spacing_share * usual.middle,
        )
        nothing = [PlainLook(-1, np.full(6, np.nan), np.nan)]  # the stretch is learnt already
        waiting = deque(nothing * settings.waits(width))
        return PlainWidth(width, step, spread, memory, usual, waiting)

    def follow(self, values):
        """float64[n], scores; float64[n, w], deviations of the widths that could be learnt."""
        begin = len(self.values)
        self.values = np.concatenate([self.values, self.scale.bounded(bounded(values))])
        widths = tuple(one.width for one in self.widths)
        before = self.values[max(begin - widths[-1] - 1, 0) : begin]
        features = window_features(self.values[begin:], widths=widths, before=before)
        by_width = np.empty((len(values), len(widths)))
        score = np.empty(len(values))
        for row in range(len(values)):
            time = begin + row - self.learnt
            for place, one in enumerate(self.widths):
                if time % one.step == 0:
                    self._look(one, time, features[row, place] / one.spread)
            # Between two looks the last one stands.
            by_width[row] = [one.stands for one in self.widths]
            score[row] = combined(by_width[row : row + 1], of=len(self.settings.widths))[0]
            stuck = self.run.score(self.values[begin + row])
            score[row] = max(score[row], stuck)  # NaN if that is
            self._hold(time, score[row])
        return score, by_width

    def _look(self, one, time, scaled):
        settings = self.settings
        distance, _ = one.memory.nearest(scaled)
        one.stands = one.usual.deviations(distance)
        if one.stands < settings.usual_below:
            one.usual_looks += 1
            if one.usual_looks >= 4:
                one.unusual_looks = 0
        elif one.stands >= settings.usual_below:
            one.usual_looks = 0
            one.unusual_looks += 1
        one.waiting.append(PlainLook(time, scaled, distance))
        waited = one.waiting.popleft()
        if settings.learns_below == 0:
            return
        is_lasting = one.unusual_looks * one.step >= settings.lasting_rows
        is_learnt = is_lasting or not waited.is_held
        if is_learnt:
            one.memory.take_in(waited.scaled)
        one.usual.learn(waited.distance, is_held=not is_learnt)

    def _hold(self, time, score):
        settings = self.settings
        if not settings.learns_below:
            return
        since = time
        if score >= settings.learns_below:
            self.quiet = 0
            if not self.is_episode:
                since = time - max(settings.step(width) for width in settings.widths) + 1
            self.is_episode = True
        elif score < settings.usual_below:
            self.quiet += 1
            if self.quiet >= settings.quiet_rows:
                self.is_episode = False
        elif score >= settings.usual_below:
            self.quiet = 0
        if self.is_episode:
            for one in self.widths:
                for look in one.waiting:
                    if look.row >= max(since, 0):
                        look.is_held = True

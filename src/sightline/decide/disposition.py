"""Where a part goes: accept, rework, scrap or review, by what it costs to be wrong.

Where odds are given, the score of a picture becomes the probability of a defect,
``logit p = offset + slope * score``, and the part goes where the expected cost is least::

    accept   sum over pictures of p * miss_cost
    scrap    (1 - p of the part) * false_reject_cost
    rework   rework_cost
    review   review_cost

so the threshold between two of them is where their costs are equal: between accept and scrap at
p = false_reject_cost / (false_reject_cost + miss_cost) (Elkan, The foundations of cost-sensitive
learning, IJCAI 2001). Without odds the thresholds of the inspector decide.

What is missing or doubtful never makes a part better than review: nothing is accepted unseen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise

from sightline.records.decision import Mode, Reason
from sightline.records.part import Box, Disposition, PartPicture

REJECTED = "REJECTED"
DOUBTFUL = "DOUBTFUL"
EXPECTED_COST = "EXPECTED_COST"
ACCEPTED = "ACCEPTED"
PICTURE_NOT_SEEN = "PICTURE_NOT_SEEN"
PROCESS_OUT_OF_RANGE = "PROCESS_OUT_OF_RANGE"
SENSOR_MISSING = "SENSOR_MISSING"
OVER_TAKT = "OVER_TAKT"

DEGRADES = frozenset({SENSOR_MISSING, "ENCODER_SILENT"})
"""Marks of a part that was judged on less evidence: the margin is added to its scores."""
AMBIGUOUS = frozenset({"TWO_PARTS_IN_PICTURE"})
"""Marks of which nobody can say that the part at hand is meant: a person looks."""

_ORDER = (Disposition.ACCEPT, Disposition.REVIEW, Disposition.REWORK, Disposition.SCRAP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What it costs, in one unit of money.

    Attributes:
        miss: a defect that is accepted.
        false_reject: a good part that is scrapped.
        review: a person who looks.
        rework: to rework a part; None: it cannot be reworked.
    """

    miss: float
    false_reject: float
    review: float
    rework: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Odds:
    """From score to probability of a defect: ``logit p = offset + slope * score``.

    >>> round(Odds(offset=-4.0, slope=2.0).probability(2.0), 3)
    0.5
    """

    offset: float
    slope: float

    def probability(self, score: float) -> float:
        """0 to 1."""
        x = min(max(self.offset + self.slope * score, -700.0), 700.0)
        return 1.0 / (1.0 + math.exp(-x))

    def score(self, probability: float) -> float:
        """Inverse of :meth:`probability`."""
        return (math.log(probability / (1 - probability)) - self.offset) / self.slope


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What applies to some parts, stations and zones; the first rule that fits counts.

    Attributes:
        part_number: pattern as in file names; "*": every part.
        station: the same.
        zone_px: the middle of the most striking area must lie in it; None: anywhere.
        costs: of being wrong here.
        odds: of a defect here, by score; None: the inspector's thresholds decide.
    """

    part_number: str
    station: str
    zone_px: Box | None
    costs: Costs
    odds: Odds | None

    def fits(self, part_number: str, picture: PartPicture) -> bool:
        """Whether it is about this picture of a part."""
        if not fnmatchcase(part_number, self.part_number):
            return False
        if not fnmatchcase(picture.station, self.station):
            return False
        if self.zone_px is None:
            return True
        x1, y1, x2, y2 = picture.box_px
        left, top, right, bottom = self.zone_px
        return left <= (x1 + x2) / 2 < right and top <= (y1 + y2) / 2 < bottom


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessCheck:
    """What a process sensor must say of a part.

    Attributes:
        name: of the sensor.
        value: NaN: nothing was known in time.
        low, high: both allowed.
        unit: of all three.
        then: where a part goes that is outside.
        missing: where one goes of which nothing is known: accept leaves it to the pictures, with
            the stricter threshold.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str
    then: Disposition
    missing: Disposition = Disposition.ACCEPT


@dataclass(frozen=True, slots=True, kw_only=True)
class Disposed:
    """Where a part goes, and why.

    Attributes:
        disposition: where.
        mode: fallback where something that must be there is not, degraded on less evidence or
            later than promised.
        reasons: the one that decided first.
        probability: of a defect; NaN without odds.
        costs: expected, by disposition; empty without odds.
    """

    disposition: Disposition
    mode: Mode
    reasons: tuple[Reason, ...]
    probability: float
    costs: Mapping[str, float]


def dispose(
    part_number: str,
    pictures: Sequence[PartPicture],
    *,
    process: Sequence[ProcessCheck],
    marks: Mapping[str, float],
    rules: Sequence[Rule],
    margin: float,
    reject_as: Disposition,
    fallback: Disposition,
    version: str,
    waited_s: float = 0.0,
    takt_s: float = math.inf,
) -> Disposed:
    """Decide on a part.

    Args:
        part_number: of the part; ``""`` where nobody said.
        pictures: that there are, in the order of the stations.
        process: what its sensors say.
        marks: codes of what was wrong with how it was followed, each with a measured value.
        rules: the last one fits everything.
        margin: added to each score where evidence is missing, in deviations.
        reject_as: where the inspector's threshold sends a part: rework or scrap.
        fallback: where a part goes of which something is missing: never accept.
        version: of the stage, for the reasons.
        waited_s: since its last picture was received.
        takt_s: longer than this is ``OVER_TAKT``: it goes where it would have gone, and says so.
    """
    is_degraded = bool(DEGRADES & marks.keys()) or any(math.isnan(one.value) for one in process)
    added = margin if is_degraded else 0.0
    seen = [p for p in pictures if not p.code and not math.isnan(p.score)]
    ruled = [(p, next(rule for rule in rules if rule.fits(part_number, p))) for p in seen]
    probability, costs = _expected([one for one in ruled if one[1].odds is not None], added)
    found = [
        *(_by_threshold(p, added, reject_as) for p, rule in ruled if rule.odds is None),
        _by_cost(costs),
        *(_by_process(one) for one in process),
        *(_by_code(p, fallback) for p in pictures),
        *(_by_mark(code, value, fallback) for code, value in sorted(marks.items())),
        _by_takt(waited_s, takt_s),
    ]
    said = [one for one in found if one is not None]
    disposition = max((one.where for one in said), key=_ORDER.index, default=Disposition.ACCEPT)
    if AMBIGUOUS & marks.keys():
        disposition = Disposition.REVIEW
    if disposition is Disposition.ACCEPT:
        said.append(_accepted(seen, added))
    # The one that decided first, the others as they were found.
    said.sort(key=lambda one: (one.where is not disposition, -_ORDER.index(one.where)))
    unseen = any(p.code for p in pictures) or bool(marks.keys() - DEGRADES - AMBIGUOUS)
    is_less = is_degraded or waited_s > takt_s
    return Disposed(
        disposition=disposition,
        mode=Mode.FALLBACK if unseen else Mode.DEGRADED if is_less else Mode.PRIMARY,
        reasons=tuple(one.reason(version) for one in said),
        probability=probability,
        costs=costs,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Because:
    """Where one fact sends a part; the rest as in a reason."""

    where: Disposition
    code: str
    measure: str
    value: float
    threshold: float
    unit: str = "1"

    def reason(self, version: str) -> Reason:
        return Reason(
            code=self.code, measure=self.measure, value=self.value, threshold=self.threshold,
            unit=self.unit, version=version,
        )  # fmt: skip


def _by_threshold(picture: PartPicture, added: float, reject_as: Disposition) -> _Because | None:
    """What the inspector's own thresholds say of a picture."""
    score = picture.score + added
    if score < picture.review_from:
        return None
    is_rejected = score >= picture.reject_from
    return _Because(
        where=reject_as if is_rejected else Disposition.REVIEW,
        code=REJECTED if is_rejected else DOUBTFUL,
        measure=f"{picture.station}.score",
        value=picture.score,
        threshold=(picture.reject_from if is_rejected else picture.review_from) - added,
    )


def _by_cost(costs: Mapping[str, float]) -> _Because | None:
    """The cheapest place by the odds, where accepting costs more than that."""
    cheapest = min(_ORDER, key=lambda one: costs.get(one, math.inf))
    if cheapest is Disposition.ACCEPT:
        return None
    # The threshold is what accepting would have to cost less than.
    return _Because(
        where=cheapest,
        code=EXPECTED_COST,
        measure="cost of accepting",
        value=costs[Disposition.ACCEPT],
        threshold=costs[cheapest],
    )


def _by_process(check: ProcessCheck) -> _Because | None:
    """What a sensor says, or that it says nothing."""
    is_missing, is_low = math.isnan(check.value), check.value < check.low
    if not (is_missing or is_low or check.value > check.high):
        return None
    return _Because(
        where=check.missing if is_missing else check.then,
        code=SENSOR_MISSING if is_missing else PROCESS_OUT_OF_RANGE,
        measure=check.name,
        value=check.value,
        threshold=check.low if is_low else check.high,
        unit=check.unit,
    )


def _by_code(picture: PartPicture, fallback: Disposition) -> _Because | None:
    """That nobody could look at a picture."""
    if not picture.code:
        return None
    measure = f"{picture.station}: {picture.code}"
    return _Because(
        where=fallback, code=PICTURE_NOT_SEEN, measure=measure, value=0.0, threshold=1.0
    )


def _by_mark(code: str, value: float, fallback: Disposition) -> _Because:
    """What was wrong with how a part was followed."""
    where = Disposition.ACCEPT if code in DEGRADES else fallback
    where = Disposition.REVIEW if code in AMBIGUOUS else where
    return _Because(where=where, code=code, measure=code.lower(), value=value, threshold=math.nan)


def _by_takt(waited_s: float, takt_s: float) -> _Because | None:
    """That it was decided later than was promised; this changes nothing about where it goes."""
    if waited_s <= takt_s:
        return None
    return _Because(
        where=Disposition.ACCEPT, code=OVER_TAKT, measure="wait after the last picture",
        value=waited_s, threshold=takt_s, unit="s",
    )  # fmt: skip


def _accepted(seen: Sequence[PartPicture], added: float) -> _Because:
    """Nothing speaks against it: the score that came closest to a review."""
    highest = max(seen, key=lambda p: p.score - p.reject_from, default=None)
    return _Because(
        where=Disposition.ACCEPT,
        code=ACCEPTED,
        measure="score",
        value=math.nan if highest is None else highest.score,
        threshold=math.nan if highest is None else highest.review_from - added,
    )


def _expected(
    priced: Sequence[tuple[PartPicture, Rule]], added: float
) -> tuple[float, dict[str, float]]:
    """Probability of a defect, and expected cost by disposition; NaN and none without odds."""
    if not priced:
        return math.nan, {}
    good, missed = 1.0, 0.0
    for picture, rule in priced:
        assert rule.odds is not None
        p = rule.odds.probability(picture.score + added)
        good *= 1 - p
        missed += p * rule.costs.miss
    own = [rule.costs for _, rule in priced]
    costs = {
        str(Disposition.ACCEPT): missed,
        str(Disposition.REVIEW): max(c.review for c in own),
        str(Disposition.SCRAP): good * max(c.false_reject for c in own),
    }
    reworks = [c.rework for c in own]
    if None not in reworks:
        costs[str(Disposition.REWORK)] = max(c for c in reworks if c is not None)
    return 1 - good, costs


def cost_thresholds(costs: Costs) -> list[tuple[float, Disposition]]:
    """From which probability of a defect each disposition is the cheapest: (from, disposition).

    The lower hull of the lines of :func:`dispose`, for one picture.

    >>> cost_thresholds(Costs(miss=100, false_reject=5, review=1))
    [(0.0, <Disposition.ACCEPT: 'accept'>), (0.01, <Disposition.REVIEW: 'review'>), \
(0.8, <Disposition.SCRAP: 'scrap'>)]
    """
    lines = {
        Disposition.ACCEPT: (0.0, costs.miss),
        Disposition.REVIEW: (costs.review, 0.0),
        Disposition.SCRAP: (costs.false_reject, -costs.false_reject),
    }
    if costs.rework is not None:
        lines[Disposition.REWORK] = (costs.rework, 0.0)
    crossings = {0.0, 1.0}
    named = list(lines.values())
    for i, (a, b) in enumerate(named):
        for c, d in named[i + 1 :]:
            if b != d and 0 < (at := (c - a) / (b - d)) < 1:
                crossings.add(at)
    found: list[tuple[float, Disposition]] = []
    for low, high in pairwise(sorted(crossings)):
        middle = (low + high) / 2
        best = min(_ORDER, key=lambda one: _at(lines, one, middle))
        if not found or found[-1][1] is not best:
            found.append((low, best))
    return found


def _at(lines: Mapping[Disposition, tuple[float, float]], one: Disposition, p: float) -> float:
    if one not in lines:
        return math.inf
    intercept, slope = lines[one]
    return intercept + slope * p


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectRun:
    """Whether too many of the newest parts were rejected.

    Attributes:
        most: so many rejects in the newest ``of`` hold the line.
        of: parts.
        recent: whether each of the newest was rejected, the newest last.

    >>> run = RejectRun(most=2, of=3)
    >>> run.after(True).after(False).after(True).is_too_many
    True
    """

    most: int
    of: int
    recent: tuple[bool, ...] = ()

    def after(self, is_rejected: bool) -> RejectRun:
        """One part later."""
        return RejectRun(most=self.most, of=self.of, recent=(*self.recent, is_rejected)[-self.of :])

    @property
    def rejects(self) -> int:
        """Among the newest."""
        return sum(self.recent)

    @property
    def is_too_many(self) -> bool:
        """Whether the line is to be held."""
        return self.rejects >= self.most

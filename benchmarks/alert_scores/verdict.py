"""SHIP, NO_SHIP or INCONCLUSIVE: from bounds, never from the figures themselves.

A requirement is *met* when its bound on the bad side keeps to the limit, *broken* when the bound
on the good side does not, and *open* in between: too little was seen to say. No exposure, no
event, or NaN is open too. One broken requirement is NO_SHIP; SHIP takes all of them met; the rest
is INCONCLUSIVE.

Each bound holds with 95 %. That SHIP is right of all r requirements at once then holds with at
least 1 - 0.05 (and not 1 - 0.05 r): if any one is in truth violated, that one alone is met by
chance in at most 5 % (intersection-union test: R. L. Berger, Technometrics 24, 1982). NO_SHIP has
no such luck and may be wrong by chance in up to 5 % for each requirement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sightline.errors import UsageError
from sightline.evidence.bounds import (
    CONFIDENCE,
    binomial_lower,
    binomial_upper,
    poisson_lower,
    poisson_upper,
)


class Ruling(StrEnum):
    """What may be done."""

    SHIP = "SHIP"
    NO_SHIP = "NO_SHIP"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One limit, and what is known against it.

    Attributes:
        name: for people.
        limit: the number not to be exceeded, or to be reached.
        is_at_most: whether ``limit`` is the most (a rate of false alerts) or the least (recall).
        lower, upper: one-sided bounds of the true number; NaN where nothing is known.
    """

    name: str
    limit: float
    is_at_most: bool
    lower: float
    upper: float

    @property
    def ruling(self) -> Ruling:
        """SHIP for met, NO_SHIP for broken, INCONCLUSIVE for open."""
        if not all(map(math.isfinite, (self.limit, self.lower, self.upper))):
            return Ruling.INCONCLUSIVE
        is_met = self.upper <= self.limit if self.is_at_most else self.lower >= self.limit
        is_broken = self.lower > self.limit if self.is_at_most else self.upper < self.limit
        if is_met:
            return Ruling.SHIP
        return Ruling.NO_SHIP if is_broken else Ruling.INCONCLUSIVE

    @classmethod
    def rate_at_most(
        cls,
        name: str,
        limit: float,
        *,
        events: int,
        exposure: float,
        confidence: float = CONFIDENCE,
    ) -> Requirement:
        """Events per unit of exposure; without exposure nothing is known.

        >>> Requirement.rate_at_most("false alerts", 1e-3, events=4, exposure=10_000).ruling
        <Ruling.SHIP: 'SHIP'>
        """
        known = math.isfinite(exposure) and exposure > 0
        return cls(
            name=name,
            limit=limit,
            is_at_most=True,
            lower=poisson_lower(events, exposure, confidence=confidence) if known else math.nan,
            upper=poisson_upper(events, exposure, confidence=confidence) if known else math.nan,
        )

    @classmethod
    def share_at_least(
        cls, name: str, limit: float, *, hits: int, trials: int, confidence: float = CONFIDENCE
    ) -> Requirement:
        """Hits among trials; without trials nothing is known.

        >>> Requirement.share_at_least("recall", 0.9, hits=10, trials=10).ruling
        <Ruling.INCONCLUSIVE: 'INCONCLUSIVE'>
        """
        return cls(
            name=name,
            limit=limit,
            is_at_most=False,
            lower=binomial_lower(hits, trials, confidence=confidence) if trials else math.nan,
            upper=binomial_upper(hits, trials, confidence=confidence) if trials else math.nan,
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """A ruling with its requirements, each of which can be looked at."""

    requirements: tuple[Requirement, ...]

    @property
    def ruling(self) -> Ruling:
        """Of all requirements together; INCONCLUSIVE without any."""
        rulings = {requirement.ruling for requirement in self.requirements}
        if Ruling.NO_SHIP in rulings:
            return Ruling.NO_SHIP
        return Ruling.SHIP if rulings == {Ruling.SHIP} else Ruling.INCONCLUSIVE

    def __bool__(self) -> bool:
        """Whether it is SHIP."""
        return self.ruling is Ruling.SHIP

    def as_mapping(self) -> dict[str, object]:
        """JSON-ready; what is unknown is null."""
        return {
            "ruling": str(self.ruling),
            "requirements": [
                {
                    "name": r.name,
                    "limit": _number(r.limit),
                    "is_at_most": r.is_at_most,
                    "lower": _number(r.lower),
                    "upper": _number(r.upper),
                    "ruling": str(r.ruling),
                }
                for r in self.requirements
            ],
        }


def rule(requirements: Sequence[Requirement]) -> Verdict:
    """The verdict over ``requirements``.

    Raises:
        UsageError: two of the same name.

    >>> rule([]).ruling
    <Ruling.INCONCLUSIVE: 'INCONCLUSIVE'>
    """
    names = [requirement.name for requirement in requirements]
    if len(set(names)) < len(names):
        raise UsageError(
            expected="requirements of different names",
            got=", ".join(names),
            where="verdict",
            action="name each by what it limits",
        )
    return Verdict(tuple(requirements))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None

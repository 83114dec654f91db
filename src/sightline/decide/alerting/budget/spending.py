"""Spending a budget of false alerts over time: what was not used may be used later, up to a bound.

An account of expected false alerts. It fills at the target rate, up to ``carry_days`` of it, and
each test takes its tail probability α out, whether it alerts or not. A channel that is silent or
masked tests nothing; what it saves the others may spend.

*Guarantee.* If each α is fixed before its test and the test of a normal block alerts with at most
that probability given the past, then over any span of T days

    expected false alerts ≤ per_day · (carry_days + T),

whatever the dependence between channels and blocks and however the demands adapt to what was
seen: false alerts minus spent α is a supermartingale, and no more is spent than was there. It is
the error rate per family (PFER) of alpha-spending, kept without end.

*Why not LORD++ or SAFFRON* (A. Javanmard and A. Montanari, Ann. Statist. 46, 2018; A. Ramdas et
al., Online control of the false discovery rate with decaying memory, NIPS 2017, and SAFFRON, ICML
2018). They control another thing: the share of false ones among all alerts. A promise per
satellite-day is no share: with many true alerts they allow as many false ones again (each alert
earns new budget), and on a quiet satellite their levels decay towards 0 until the first alert is
out of reach ("alpha-death"), just where we watch longest. Their proofs also want independent
p-values, which telemetry blocks are not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline.errors import UsageError
from sightline.records.windows import FloatArray

FORMAT = 1
_NS_PER_DAY = 86_400_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendingRule:
    """How an account fills.

    Attributes:
        per_day: expected false alerts a day, above 0.
        carry_days: days of the rate that may lie unused, above 0; a block or more.

    Raises:
        UsageError: a number out of its range.
    """

    per_day: float
    carry_days: float = 1.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) and v > 0 for v in (self.per_day, self.carry_days)):
            raise UsageError(
                expected="a rate and a carry above 0",
                got=f"{self}",
                where="spending rule",
                action="a carry of one day lets a quiet day be made up for on the next",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendingState:
    """An account.

    Attributes:
        available: expected false alerts that may be spent. A new account is empty.
        through_ns: event time up to which it was filled, UTC ns; None before the first step.
        spent: in all, to be shown beside the alerts that were.
    """

    available: float = 0.0
    through_ns: int | None = None
    spent: float = 0.0

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "format": FORMAT,
            "available": self.available,
            "through_ns": self.through_ns,
            "spent": self.spent,
        }

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> SpendingState:
        """Inverse of :meth:`as_mapping`.

        Raises:
            UsageError: if ``plain`` is no such mapping, or of another format.
        """
        try:
            if plain["format"] != FORMAT:
                raise ValueError(f"format {plain['format']}")
            through_ns = plain["through_ns"]
            return cls(
                available=float(plain["available"]),
                through_ns=None if through_ns is None else int(through_ns),
                spent=float(plain["spent"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                expected=f"a spending state of format {FORMAT}",
                got=f"{type(error).__name__}: {error}",
                where="spending state, from_mapping",
                action="start from a new state: it is empty",
            ) from error


def spend(
    rule: SpendingRule, state: SpendingState, *, now_ns: int, wanted: FloatArray
) -> tuple[SpendingState, FloatArray]:
    """Fill the account up to ``now_ns`` and take from it for the tests of one step.

    Args:
        rule: how it fills.
        state: the account.
        now_ns: event time of the step, UTC ns; an earlier one than before fills nothing.
        wanted: float64[n], tail probabilities asked for, 0 to 1; see :func:`.allocate`.

    Returns:
        The account after it, and float64[n], the tail probabilities to test with: as wanted, or
        all scaled down alike where the account does not reach.

    Raises:
        UsageError: a wish that is no probability.

    >>> rule, hour = SpendingRule(per_day=0.24, carry_days=0.5), 3_600_000_000_000
    >>> state, _ = spend(rule, SpendingState(), now_ns=0, wanted=np.array([]))
    >>> state, granted = spend(rule, state, now_ns=hour, wanted=np.array([0.01, 0.03]))
    >>> granted.round(6).tolist(), round(state.available, 9)
    ([0.0025, 0.0075], 0.0)
    """
    if len(wanted) and not (np.min(wanted) >= 0 and np.max(wanted) <= 1):
        raise UsageError(
            expected="probabilities from 0 to 1",
            got=f"{np.min(wanted)} to {np.max(wanted)}",
            where="alert budget, spend",
            action="ask for tail probabilities",
        )
    before_ns = now_ns if state.through_ns is None else state.through_ns
    through_ns = max(now_ns, before_ns)
    elapsed_days = (through_ns - before_ns) / _NS_PER_DAY
    most = rule.per_day * rule.carry_days
    available = min(most, state.available + rule.per_day * elapsed_days)
    asked = math.fsum(wanted)
    share = 1.0 if asked <= available else available / asked
    granted = np.asarray(wanted, np.float64) * share
    taken = min(available, math.fsum(granted))
    after = SpendingState(
        available=available - taken, through_ns=through_ns, spent=state.spent + taken
    )
    return after, granted

"""The least change that ends an alert: found by trying, never assumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline.evidence.words import number

GRID = 7
HALVINGS = 8
"""Points of a line that are tried between its ends, and how often the step is halved in which it
flips: with both ends at most ``GRID + HALVINGS + 2`` trials, to 1/2048 of the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeastChange:
    """What a search along one line found.

    Attributes:
        strength: from 0, nothing changed, to 1, the end of the line: the least at which no alert
            was raised; NaN if there is none.
        alerted_at: the greatest strength below it that was tried and still alerted.
        is_monotone: whether every strength tried below it alerted, and none above it.
        tried: strength and whether it alerted, ascending.
        verdict: ``found``; ``not reproduced``: not even the original alerted; ``none``: the end
            of the line still alerts.
    """

    strength: float
    alerted_at: float
    is_monotone: bool
    tried: tuple[tuple[float, bool], ...]
    verdict: str

    @property
    def is_found(self) -> bool:
        """Whether there is such a change."""
        return self.verdict == "found"


def least_change(
    alerts: Callable[[float], bool], *, grid: int = GRID, halvings: int = HALVINGS
) -> LeastChange:
    """Search a line for the least strength that does not alert.

    Both ends are tried, then a grid, then the step of the grid in which it flips first is halved:
    at most ``grid + halvings + 2`` trials. On a line that flips more than once the answer is that
    of its first flip on the grid, and ``is_monotone`` is False.

    >>> found = least_change(lambda strength: strength < 0.3)
    >>> found.verdict, 0.3 <= found.strength < 0.301, found.is_monotone
    ('found', True, True)
    >>> least_change(lambda strength: True).verdict
    'none'
    """
    tried: dict[float, bool] = {}

    def ask(strength: float) -> bool:
        if strength not in tried:
            tried[strength] = alerts(strength)
        return tried[strength]

    if not ask(0.0):
        return _outcome(tried, np.nan, "not reproduced")
    if not ask(1.0):
        between = [k / (grid + 1) for k in range(1, grid + 1)]
        quiet = [s for s in (*between, 1.0) if not ask(s)]
        high = quiet[0]
        low = high - 1 / (grid + 1)
        for _ in range(halvings):
            middle = (low + high) / 2
            if ask(middle):
                low = middle
            else:
                high = middle
        return _outcome(tried, high, "found")
    return _outcome(tried, np.nan, "none")


def _outcome(tried: Mapping[float, bool], strength: float, verdict: str) -> LeastChange:
    below = [s for s, alerted in tried.items() if alerted and s < strength]
    above = [alerted for s, alerted in tried.items() if s >= strength]
    return LeastChange(
        strength=strength,
        alerted_at=max(below, default=np.nan),
        is_monotone=not any(above) and all(a for s, a in tried.items() if s < strength),
        tried=tuple(sorted(tried.items())),
        verdict=verdict,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterfactual:
    """What would have had to be otherwise for an alert not to be raised.

    Attributes:
        family: the line that was searched: ``level``, ``normal``, ``at most``, ``at least`` or
            ``band``.
        change: what was found on it; None where it was not searched, and ``note`` says why.
        low, high: what the values would have had to stay within, in ``unit``; NaN: no such bound.
        was_low, was_high: least and greatest of the values that were looked at.
        start_ns, end_ns: of the values that are changed by it, UTC ns; None without times.
        first_row, last_row: the same as rows, of a series in a file; -1 otherwise.
        changed: values that are changed.
        unit: of the values; ``""`` where nobody said.
        reached: the greatest score, or the deciding measure, after the change; NaN if unknown.
        note: what else a person has to know.
    """

    family: str
    change: LeastChange | None
    low: float = np.nan
    high: float = np.nan
    was_low: float = np.nan
    was_high: float = np.nan
    start_ns: int | None = None
    end_ns: int | None = None
    first_row: int = -1
    last_row: int = -1
    changed: int = 0
    unit: str = ""
    reached: float = np.nan
    note: str = ""

    @property
    def is_found(self) -> bool:
        """Whether there is such a change, verified at both ends."""
        return self.change is not None and self.change.is_found

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready; NaN as None."""
        change = self.change
        return {
            "family": self.family,
            "verdict": "not searched" if change is None else change.verdict,
            "low": number(self.low),
            "high": number(self.high),
            "was_low": number(self.was_low),
            "was_high": number(self.was_high),
            "unit": self.unit,
            "start_ns": self.start_ns,
            "end_ns": self.end_ns,
            "first_row": self.first_row,
            "last_row": self.last_row,
            "changed": self.changed,
            "reached": number(self.reached),
            "strength": None if change is None else number(change.strength),
            "alerted_at_strength": None if change is None else number(change.alerted_at),
            "monotone": None if change is None else change.is_monotone,
            "tried": [] if change is None else [list(one) for one in change.tried],
            "note": self.note,
        }

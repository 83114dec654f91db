"""Conditions that must hold for a while before they count, several at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from sightline.records.windows import IntArray

_NOT_PENDING_NS = -1

BoolArray = npt.NDArray[np.bool_]


class Persistence:
    """Raises a condition that has held for ``hold_ns`` and clears it when it has been gone as long.

    What could not be measured leaves a condition, and the time since which it changes, as it was.

    Args:
        hold_ns: int64[n], capture time; 0 follows at once.

    >>> persistence = Persistence(np.array([10]))
    >>> [bool(persistence.update(np.array([True]), np.array([True]), at)[0]) for at in (5, 9, 15)]
    [False, False, True]
    """

    def __init__(self, hold_ns: IntArray) -> None:
        self._hold_ns = np.asarray(hold_ns, np.int64)
        self._is_raised = np.zeros(len(self._hold_ns), np.bool_)
        self._since_ns = np.full(len(self._hold_ns), _NOT_PENDING_NS, np.int64)

    def update(self, holds: BoolArray, is_measured: BoolArray, at_ns: int) -> BoolArray:
        """Take the conditions at ``at_ns``.

        Args:
            holds: bool[n], whether each condition holds; meaningless where not measured.
            is_measured: bool[n].
            at_ns: capture time, UTC ns, at least 0 and not falling.

        Returns:
            bool[n], which conditions stand now.
        """
        differs = is_measured & (holds != self._is_raised)
        begins = differs & (self._since_ns == _NOT_PENDING_NS)
        self._since_ns[begins] = at_ns
        self._since_ns[is_measured & ~differs] = _NOT_PENDING_NS
        flips = differs & (at_ns - self._since_ns >= self._hold_ns)
        self._is_raised = self._is_raised ^ flips
        self._since_ns[flips] = _NOT_PENDING_NS
        return self._is_raised

    def clear(self) -> None:
        """Nothing stands any more."""
        self._is_raised = np.zeros_like(self._is_raised)
        self._since_ns[:] = _NOT_PENDING_NS

    def snapshot(self) -> dict[str, npt.NDArray[np.generic]]:
        """State as arrays."""
        return {"is_raised": self._is_raised.copy(), "since_ns": self._since_ns.copy()}

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Inverse of :meth:`snapshot`."""
        self._is_raised = arrays["is_raised"].astype(np.bool_)
        self._since_ns = arrays["since_ns"].astype(np.int64)

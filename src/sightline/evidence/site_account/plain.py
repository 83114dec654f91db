"""Numbers as JSON has them."""

from __future__ import annotations

import math


def number(value: float) -> float | None:
    """NaN and infinity become null.

    >>> number(1.5), number(float("nan"))
    (1.5, None)
    """
    return value if math.isfinite(value) else None

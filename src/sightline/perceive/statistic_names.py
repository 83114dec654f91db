"""Names of the statistics of a window: what a file may ask for, without what computes it."""

from __future__ import annotations

import re

PLAIN_STATISTICS = (
    "count",
    "mean",
    "min",
    "max",
    "std",
    "first",
    "last",
    "median",
    "nan_share",
    "stuck_s",
    "rate_max",
)
"""Statistics besides the quantiles ``p00`` to ``p99`` and the shares ``below_T``."""

QUANTILE = re.compile(r"p(\d\d)")
BELOW = re.compile(r"below_(-?\d+(?:\.\d+)?)")


def is_statistic(name: str) -> bool:
    """Whether :func:`.segment_statistics` knows ``name``.

    >>> is_statistic("p95"), is_statistic("below_-7.5"), is_statistic("mode")
    (True, True, False)
    """
    is_parametric = any(kind.fullmatch(name) for kind in (QUANTILE, BELOW))
    return name in PLAIN_STATISTICS or is_parametric

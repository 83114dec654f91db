"""From how much each healthy day exceeded all before it to the level that is passed rarely enough.

What was greatest among some days is passed by the next day once in a while, by some share. How
often, and by how much, is what a level has to know, and it holds whatever the statistic is. The
logarithm of the excess is taken to be exponential (a Pareto tail), and learnt from what is not
rare, so that faults among the days, which lie far out and are few, hardly move it.
"""

from __future__ import annotations

import numpy as np

from sightline.records.windows import FloatArray

_CENSORED_ABOVE = 0.97
"""Excesses beyond this quantile count as being there: faults may be among them."""
_USUAL_SHARE, _USUAL_EXCESS = 0.3, 0.35
"""What is taken for usual as long as nothing was seen, as if it had been seen ``_LENT`` times."""
_LENT = 12.0
_LENT_CHANNEL = 6.0
_LEAST, _MOST = 0.35, 2.6
"""Bounds of the logarithm of a level over the greatest: of squares, 1.4 to 13.5."""


def margins(excess: FloatArray, share: float) -> FloatArray:
    """Logarithms of levels over the greatest that was seen, for one test on many channels.

    Args:
        excess: float64[c, n], of each channel the logarithm of a day's greatest statistic over the
            greatest of all days before; NaN where nothing was known. Satellites and days in any
            order.
        share: of days of a channel on which its level may be passed, above 0 and below 1.

    Returns:
        float64[c]. Channels lean on all together, and these on what is usual, the more the less was
        seen.

    >>> rng = np.random.default_rng(0)
    >>> seen = rng.exponential(0.1, (5, 400)) - 0.1
    >>> seen[0] += rng.exponential(0.5, 400)
    >>> found = margins(seen, 1e-4)
    >>> bool(found[0] > 2 * found[1:].max())
    True
    """
    known = np.isfinite(excess)
    over = known & (excess > 0)
    most = np.quantile(excess[known], _CENSORED_ABOVE) if known.any() else 0.0
    most = max(float(most), _USUAL_EXCESS)
    size = np.where(over, np.minimum(excess, most), 0.0)
    inside = (over & (excess <= most)).sum(axis=1)
    days, count, total = known.sum(axis=1), over.sum(axis=1), size.sum(axis=1)
    all_share = (count.sum() + _LENT * _USUAL_SHARE) / (days.sum() + _LENT)
    all_size = (total.sum() + _LENT * _USUAL_EXCESS) / (inside.sum() + _LENT)
    often = (count + _LENT_CHANNEL * all_share) / (days + _LENT_CHANNEL)
    mean = (total + _LENT_CHANNEL * all_size) / (inside + _LENT_CHANNEL)
    found: FloatArray = np.clip(mean * np.log(np.maximum(often / share, 1.0)), _LEAST, _MOST)
    return found

"""Packet loss of a link from the source's own sequence counter."""

from __future__ import annotations

import numpy as np

from sightline.records.windows import FloatArray


def loss_ratio(
    *, sequence_max: FloatArray, previous_sequence_max: FloatArray, received: FloatArray
) -> FloatArray:
    """float64[n]: share of the packets sent in a window that did not arrive, 0 to 1.

    The counter says how many were sent: its advance since the window before. NaN where that
    cannot be known: no window before, no counter, or a counter that did not advance (a restart;
    the next window counts again).

    Args:
        sequence_max: float64[n], highest counter in the window.
        previous_sequence_max: float64[n], highest counter in the key's window before; NaN if none.
        received: float64[n], distinct counters received in the window.

    >>> loss_ratio(sequence_max=np.array([20.0]), previous_sequence_max=np.array([10.0]),
    ...            received=np.array([8.0])).round(6).tolist()
    [0.2]
    """
    sent = sequence_max - previous_sequence_max
    known = np.isfinite(sent) & (sent > 0)
    ratio = np.full(len(sent), np.nan)
    # A late packet of the window before can make more distinct counters than the advance shows.
    ratio[known] = np.clip(1.0 - received[known] / sent[known], 0.0, 1.0)
    return ratio

"""The rows of a simulated gateway in another order of arrival."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

NS_PER_S = 1_000_000_000


def shuffle_arrival(
    frame: pl.DataFrame, *, within_s: float, rng: np.random.Generator
) -> pl.DataFrame:
    """The same rows in another order of arrival, with a receipt time to match.

    Each row arrives a random 0 to ``within_s`` after its event time (and 50 ms for processing).
    So when a row arrives, no row of the frame, of whatever key, that arrived before it is newer
    by more than ``within_s``: a watermark held back by that much finds no row late. Delays that
    the rows had before are forgotten.
    """
    # Rounded down, so that the bound holds to the nanosecond.
    bound_ns = math.floor(within_s * NS_PER_S)
    delay_ns = rng.integers(0, bound_ns, frame.height, endpoint=True)
    received_ns = frame["time_ns"].to_numpy() + delay_ns + NS_PER_S // 20
    return frame.with_columns(received_ns=received_ns).sort("received_ns", maintain_order=True)

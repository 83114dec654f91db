"""Rows for the window tests: small, and full of what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from sightline.perceive.canonical_order import CanonicalOrder, canonical_order
from sightline.records.windows import FloatArray, IdArray, IntArray

AWKWARD = [np.nan, 0.0, -0.0, np.inf, -np.inf, 1e-300, 0.1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    key: IdArray
    time_ns: IntArray
    sequence: IntArray
    payload: tuple[FloatArray, ...]

    def __len__(self) -> int:
        return len(self.key)

    def take(self, index: IntArray) -> Rows:
        return Rows(
            key=self.key[index],
            time_ns=self.time_ns[index],
            sequence=self.sequence[index],
            payload=tuple(column[index] for column in self.payload),
        )

    def order(self) -> CanonicalOrder:
        return canonical_order(
            key=self.key, time_ns=self.time_ns, sequence=self.sequence, payload=self.payload
        )


def rows_of(*rows: tuple[int, int, int, float]) -> Rows:
    """Rows given as (key, time_ns, sequence, value)."""
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    return Rows(
        key=np.array(columns[0], np.uint32),
        time_ns=np.array(columns[1], np.int64),
        sequence=np.array(columns[2], np.int64),
        payload=(np.array(columns[3], np.float64),),
    )


@st.composite
def many_rows(draw: st.DrawFn, *, finite: bool = False) -> Rows:
    """Rows with many duplicates; from a seed, so that they can be long without slow drawing."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.sampled_from([0, 1, 2, 17, 300, 1500]))
    keys = draw(st.sampled_from([1, 3, 40]))
    ids = np.arange(keys) if draw(st.booleans()) else rng.integers(0, 1_000_000, keys)
    span = draw(st.sampled_from([1, 50, 5000]))
    time_ns = rng.integers(0, span, n)
    if draw(st.booleans()):
        time_ns.sort()
    values = rng.integers(-5, 5, (2, n)) * 0.1 + rng.choice([0.0, 1e6], (2, n))
    awkward = [np.nan, -0.0, 0.0] if finite else AWKWARD
    values = np.where(rng.random((2, n)) < 0.3, rng.choice(awkward, (2, n)), values)
    return Rows(
        key=ids[rng.integers(0, keys, n)].astype(np.uint32),
        time_ns=time_ns,
        sequence=rng.integers(-1, draw(st.sampled_from([1, 5000])), n),
        payload=(values[0], values[1]),
    )

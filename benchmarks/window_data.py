"""Telemetry for the window benchmark: 1 Hz from many keys, interleaved, with duplicates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sightline.limits import DEFAULT_LIMITS
from sightline.perceive.row_store import Rows
from sightline.records.signals import NS_PER_S

START_S = 1_767_225_600  # 2026-01-01T00:00Z, the start of a window
WIDTH_NS = 300 * NS_PER_S
OUT_OF_ORDER_NS = 10 * NS_PER_S
_MOST_DELAY_S = 5
_DUPLICATE_SHARE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """What to generate; the same values always give the same rows.

    Attributes:
        keys: sensors, each sending once per second.
        seconds: length of the data.
        seed: of the random generator.
    """

    keys: int
    seconds: int
    seed: int = 1

    @property
    def rows(self) -> int:
        """Rows with duplicates."""
        return self.keys * self.seconds + self.duplicates

    @property
    def duplicates(self) -> int:
        """Samples sent again with a higher sequence, up to 5 s later; the first of them lose."""
        return round(self.keys * self.seconds * _DUPLICATE_SHARE)

    def generate(self) -> pa.Table:
        """Rows in order of arrival; within a second the keys come in random order."""
        rng = np.random.default_rng(self.seed)
        n = self.keys * self.seconds
        second = np.repeat(np.arange(self.seconds), self.keys)
        key = np.tile(np.arange(self.keys, dtype=np.int32), self.seconds)
        key = rng.permuted(key.reshape(self.seconds, self.keys), axis=1).ravel()
        again = rng.choice(n, self.duplicates, replace=False)
        delay_s = rng.integers(1, _MOST_DELAY_S + 1, self.duplicates)
        arrival = np.concatenate([second, second[again] + delay_s])
        order = np.argsort(arrival, kind="stable")
        source = np.concatenate([np.arange(n), again])[order]
        is_again = (order >= n).astype(np.int64)
        return pa.table(
            {
                "key": key[source],
                "time_ns": (START_S + second[source]) * NS_PER_S,
                "sequence": 2 * second[source] + is_again,
                "value": rng.normal(20.0, 4.0, self.rows),
            }
        )

    def write(self, path: Path) -> None:
        """Write the rows as zstd Parquet in the row groups that sources read at a time."""
        pq.write_table(
            self.generate(), path, compression="zstd", row_group_size=DEFAULT_LIMITS.chunk_rows
        )


def read_batches(path: Path) -> Iterator[Rows]:
    """The rows of a file, one row group at a time, on one thread."""
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            table = file.read_row_group(number, use_threads=False)
            yield batch_of(table)


def batch_of(table: pa.Table) -> Rows:
    """Arrow columns as the rows that windows keep; nothing is copied."""
    key, time_ns, sequence, value = (column.to_numpy() for column in table.columns)
    return Rows(
        key=key.view(np.uint32),
        group=np.broadcast_to(np.uint32(0), len(key)),
        time_ns=time_ns,
        sequence=sequence,
        values={"value": value},
    )

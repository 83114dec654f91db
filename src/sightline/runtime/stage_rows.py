"""What a stage wrote in one step: for comparing runs, and for the fan-in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from sightline.records.windows import FloatArray, IntArray
from sightline.runtime.chain import ChainState
from sightline.runtime.summary import PresenceSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRows:
    """What one stage wrote in one step; for comparing runs stage by stage.

    Attributes:
        stage: name of the stage.
        subjects: name of the key of each row.
        start_ns: int64[n] window starts.
        values: float64[n, columns].
        columns: what the columns are.
    """

    stage: str
    subjects: tuple[str, ...]
    start_ns: IntArray
    values: FloatArray
    columns: tuple[str, ...]

    def digest(self) -> str:
        """16 hex digits over subjects, windows and values."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update("\n".join(self.subjects).encode())
        digest.update(np.ascontiguousarray(self.start_ns).tobytes())
        digest.update(np.ascontiguousarray(self.values).tobytes())
        return digest.hexdigest()


def stage_rows(
    stage: str, chain: ChainState, rows: IntArray, columns: tuple[str, ...]
) -> StageRows:
    """The values of ``columns`` at ``rows`` of a chain, sorted by subject, then window.

    Names, not dictionary ids, give the order: ids depend on arrival.
    """
    series, names = chain.series, chain.stream.keys
    key = (series.code[rows] >> 42).tolist()
    present = list(dict.fromkeys(key))
    by_name = sorted(present, key=names.__getitem__)
    if present != by_name or not _is_ascending(rows):
        rank = {k: i for i, k in enumerate(by_name)}
        order = np.lexsort((series.code[rows], np.array([rank[k] for k in key], np.int64)))
        rows = rows[order]
        key = (series.code[rows] >> 42).tolist()
    return StageRows(
        stage=stage,
        subjects=tuple(names[k] for k in key),
        start_ns=series.start_ns(rows),
        values=series.table(rows, columns),
        columns=columns,
    )


def _is_ascending(rows: IntArray) -> bool:
    return bool((rows[1:] > rows[:-1]).all())


def presence_summary(chain: ChainState, rows: IntArray) -> PresenceSummary:
    """First and last datum per group and slot among the presence rows that changed."""
    series = chain.series
    group = series.column("group")[rows].astype(np.int64)
    window = series.window[rows]
    order = np.lexsort((window, group))
    group, window = group[order], window[order]
    first = series.column("first_offset_ns")[rows][order]
    last = series.column("last_offset_ns")[rows][order]
    is_start = np.ones(len(order), np.bool_)
    is_start[1:] = (group[1:] != group[:-1]) | (window[1:] != window[:-1])
    start = np.flatnonzero(is_start)
    return PresenceSummary(
        chain=chain.chain.name,
        groups=tuple(chain.stream.groups[g] for g in group[start].tolist()),
        window=tuple(window[start].tolist()),
        first_offset_ns=tuple(int(v) for v in np.minimum.reduceat(first, start).tolist()),
        last_offset_ns=tuple(int(v) for v in np.maximum.reduceat(last, start).tolist()),
    )

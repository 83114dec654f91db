"""One source in one partition: admission, names, clock, and the rows that are still open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from sightline.limits import Limits
from sightline.perceive.row_store import Rows, RowStore
from sightline.recorder.checkpoint import StateParts
from sightline.records.refusal import RefusalReason
from sightline.records.signals import GROUP, KEY, SEQUENCE, TIME_NS
from sightline.records.windows import FloatArray, IdArray, IntArray
from sightline.sense import Contract, refuse
from sightline.sense.admission import Admitter, Share
from sightline.sense.event_time import StreamClock, TimeBounds
from sightline.sense.field_values import rows_where

BoolArray = npt.NDArray[np.bool_]

_UNKNOWN = int(np.iinfo(np.uint32).max)
_FEW_NAMES = 256  # rows up to which looking up every row is faster than finding the distinct ones


class Names:
    """A dictionary of names: strings at the edges, dense ids 0, 1, 2, … inside."""

    def __init__(self, names: list[str] | None = None) -> None:
        self._names: list[str] = list(names or [])
        self._ids: dict[str, int] = {name: i for i, name in enumerate(self._names)}

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, identity: int) -> str:
        return self._names[identity]

    def find(self, name: str) -> int | None:
        """The id of ``name``; None where it is not known."""
        return self._ids.get(name)

    def all(self) -> list[str]:
        """Every name, by id."""
        return list(self._names)

    def since(self, identity: int) -> list[str]:
        """Names from this id on."""
        return self._names[identity:]

    def encode(self, column: pl.Series, *, most: int) -> IdArray:
        """uint32[n] ids of the names in ``column``; 2^32-1 for names beyond the limit ``most``."""
        if len(column) <= _FEW_NAMES:
            return self._encode_few(column.to_list(), most)
        encoded = column.to_arrow().dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        ids = self._encode_few(encoded.dictionary.to_pylist(), most)
        found: IdArray = ids[encoded.indices.to_numpy(zero_copy_only=False)]
        return found

    def _encode_few(self, names: list[str], most: int) -> IdArray:
        """As :meth:`encode`; new names get their ids in the order given."""
        known = self._ids
        for name in dict.fromkeys(names):
            if name not in known and len(self._names) < most:
                known[name] = len(self._names)
                self._names.append(name)
        return np.array([known.get(name, _UNKNOWN) for name in names], np.uint32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fed:
    """What became of one batch.

    Attributes:
        received: rows in the batch.
        refused: rows that went to quarantine, in the quarantine layout.
        dropped: rows given up for lack of room.
        rows: rows that were kept.
        signals: the same with their texts, as they were admitted.
    """

    received: int
    refused: pl.DataFrame
    dropped: int
    rows: Rows | None
    signals: pl.DataFrame


class StreamState:
    """State of one source in one partition."""

    def __init__(self, contract: Contract, *, pane_ns: int, idle_ns: int, limits: Limits) -> None:
        self.contract = contract
        self.limits = limits
        self._admitter = Admitter(contract, limits=limits)
        self.keys = Names()
        self.groups = Names()
        self.clock = StreamClock(
            TimeBounds(
                out_of_order_ns=contract.out_of_order_ns,
                revision_allowance_ns=contract.revision_allowance_ns,
                max_backlog_ns=contract.max_backlog_ns,
                idle_ns=idle_ns,
            )
        )
        self.store = RowStore(pane_ns, by_sequence=duplicates_by_sequence(contract))
        # Watermark group of each key: a function of the key's own name, never of arrival.
        self._clock_groups = Names()
        self.clock_group: IdArray = np.empty(0, np.uint32)
        self._clock_parts = _clock_parts(contract)
        self.fields = tuple(n for n, f in contract.fields.items() if f.type != "text")

    def feed(self, share: Share) -> Fed:
        """Admit raw rows and keep what is punctual enough."""
        admission = share.admission(self._admitter)
        refused = [admission.refused]
        signals = admission.signals
        key = self.keys.encode(signals.get_column(KEY), most=self.limits.max_keys)
        self._resize()
        time_ns: IntArray = signals.get_column(TIME_NS).to_numpy()
        at_hand = _RowsAtHand(admission.kept, share)
        unknown = key == _UNKNOWN
        if unknown.any():
            detail = f"at most {self.limits.max_keys} keys per partition"
            refused.append(
                refuse(
                    at_hand.raw_where(unknown),
                    reason=RefusalReason.KEY_LIMIT,
                    field=KEY,
                    detail=detail,
                    limits=self.limits,
                )
            )
            signals, key, time_ns = rows_where(signals, ~unknown), key[~unknown], time_ns[~unknown]
            at_hand.keep(~unknown)
        clock_group = self.clock_group[key]
        punctual = self.clock.punctual(clock_group, time_ns)
        if punctual is not None:
            too_old = self.clock.is_beyond_backlog(time_ns)
            for mask, reason, detail in (
                (~punctual & ~too_old, RefusalReason.LATE_BEYOND_ALLOWANCE, self._late_detail()),
                (too_old, RefusalReason.LATE_BEYOND_BACKLOG, self._backlog_detail()),
            ):
                if mask.any():
                    refused.append(
                        refuse(
                            at_hand.raw_where(mask),
                            reason=reason,
                            field=TIME_NS,
                            detail=detail,
                            limits=self.limits,
                        )
                    )
            signals = rows_where(signals, punctual)
            key, time_ns, clock_group = key[punctual], time_ns[punctual], clock_group[punctual]
        room = max(self.limits.max_open_rows - len(self.store), 0)
        dropped = max(signals.height - room, 0)
        if dropped:
            signals, key = signals.head(room), key[:room]
            time_ns, clock_group = time_ns[:room], clock_group[:room]
        self.clock.observe(clock_group, time_ns)
        rows = Rows(
            key=key,
            group=self._groups(signals.get_column(GROUP)),
            time_ns=time_ns,
            sequence=signals.get_column(SEQUENCE).to_numpy(),
            values={name: _floats(signals.get_column(name)) for name in self.fields},
        )
        self.store.append(rows)
        return Fed(
            received=share.height,
            refused=pl.concat(refused) if len(refused) > 1 else refused[0],
            dropped=dropped,
            rows=rows if len(rows) else None,
            signals=signals,
        )

    def _groups(self, names: pl.Series) -> IdArray:
        """uint32[n] ids; a contract without groups has one, of no name."""
        if self.contract.group is not None or not len(names):
            return self.groups.encode(names, most=self.limits.max_keys)
        one = self.groups.encode(names.head(1), most=self.limits.max_keys)
        return np.full(len(names), one[0], np.uint32)

    def key_complete_ns(self) -> IntArray:
        """int64[keys]: windows ending at or before this may close."""
        return self.clock.complete_ns[self.clock_group]

    def key_settled_ns(self) -> IntArray:
        """int64[keys]: windows ending at or before this cannot be revised any more."""
        return self.clock.settled_ns[self.clock_group]

    def _resize(self) -> None:
        known = len(self.clock_group)
        if known == len(self.keys):
            return
        names = self.keys.since(known)
        if self._clock_parts is not None:
            parts = [name.split("/") for name in names]
            names = ["/".join(p[i] for i in self._clock_parts) for p in parts]
        ids = self._clock_groups.encode(pl.Series(names, dtype=pl.String), most=_UNKNOWN)
        self.clock_group = np.concatenate([self.clock_group, ids])
        self.clock.resize(len(self._clock_groups))

    def _late_detail(self) -> str:
        allowance_s = self.clock.bounds.revision_allowance_ns / 1e9
        return f"within {allowance_s:g} s of the group's own watermark"

    def _backlog_detail(self) -> str:
        return f"at most {self.clock.bounds.max_backlog_ns / 1e9:g} s old"

    # --- checkpoint -----------------------------------------------------------------------------

    def snapshot(self, prefix: str, into: StateParts) -> None:
        """Put this state into ``into`` under names that start with ``prefix``."""
        rows, superseded = self.store.snapshot()
        into.meta[prefix] = {
            "keys": self.keys.all(),
            "groups": self.groups.all(),
            "clock_groups": self._clock_groups.all(),
            "tick_ns": self.clock.tick_ns,
            "is_final": self.clock.is_final,
            "superseded": superseded,
        }
        into.arrays[f"{prefix}.newest_ns"] = self.clock.newest_ns
        into.arrays[f"{prefix}.heard_ns"] = self.clock.heard_ns
        into.arrays[f"{prefix}.clock_group"] = self.clock_group
        if rows is not None:
            into.arrays[f"{prefix}.rows.key"] = rows.key
            into.arrays[f"{prefix}.rows.group"] = rows.group
            into.arrays[f"{prefix}.rows.time_ns"] = rows.time_ns
            into.arrays[f"{prefix}.rows.sequence"] = rows.sequence
            for name, column in rows.values.items():
                into.arrays[f"{prefix}.rows.values.{name}"] = column

    def restore(self, prefix: str, parts: StateParts) -> None:
        """Inverse of :meth:`snapshot`."""
        meta: Mapping[str, object] = parts.meta[prefix]
        self.keys = Names(list(meta["keys"]))  # type: ignore[call-overload]
        self.groups = Names(list(meta["groups"]))  # type: ignore[call-overload]
        self._clock_groups = Names(list(meta["clock_groups"]))  # type: ignore[call-overload]
        self.clock.tick_ns = int(meta["tick_ns"])  # type: ignore[call-overload]
        self.clock.is_final = bool(meta["is_final"])
        arrays = parts.arrays
        self.clock.newest_ns = arrays[f"{prefix}.newest_ns"]
        self.clock.heard_ns = arrays[f"{prefix}.heard_ns"]
        self.clock_group = arrays[f"{prefix}.clock_group"]
        rows = None
        if f"{prefix}.rows.key" in arrays:
            rows = Rows(
                key=arrays[f"{prefix}.rows.key"],
                group=arrays[f"{prefix}.rows.group"],
                time_ns=arrays[f"{prefix}.rows.time_ns"],
                sequence=arrays[f"{prefix}.rows.sequence"],
                values={name: arrays[f"{prefix}.rows.values.{name}"] for name in self.fields},
            )
        self.store.restore(rows, int(meta["superseded"]))  # type: ignore[call-overload]


def duplicates_by_sequence(contract: Contract) -> bool:
    """Whether rows of one key and time are duplicates only if their sequence is equal too."""
    return contract.sequence is not None and contract.sequence.column in contract.duplicate_columns


def _clock_parts(contract: Contract) -> tuple[int, ...] | None:
    """Positions of the key's parts that make the watermark group; None for the whole key."""
    if contract.timing.watermark_by is None:
        return None
    parts = tuple(contract.key.index(column) for column in contract.timing.watermark_by)
    return None if parts == tuple(range(len(contract.key))) else parts


class _RowsAtHand:
    """Which rows of a share are still at hand, so that they can be quarantined as given.

    Worked out only when one of them is refused.
    """

    def __init__(self, kept: BoolArray | None, share: Share) -> None:
        self._share = share
        self._kept = kept

    def raw_where(self, mask: BoolArray) -> pl.DataFrame:
        """The raw rows of those at hand where ``mask`` is true."""
        return rows_where(self._share.rows, self._in_share(mask))

    def keep(self, mask: BoolArray) -> None:
        """Go on with those at hand where ``mask`` is true."""
        self._kept = self._in_share(mask)

    def _in_share(self, mask: BoolArray) -> BoolArray:
        if self._kept is None:
            return mask
        found = np.zeros(len(self._kept), np.bool_)
        found[np.flatnonzero(self._kept)[mask]] = True
        return found


def _floats(column: pl.Series) -> FloatArray:
    values: npt.NDArray[np.float64] = column.to_numpy()
    return values

"""The files of the KPI job: what is in them, and their rows a bounded part at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from sightline.errors import SourceError
from sightline.limits import Limits
from sightline.records.signals import KEY, NS_PER_S, SEQUENCE, TIME_NS
from sightline.runtime.kpis.form import KpiSet
from sightline.runtime.kpis.plan import Input, Task, check_append_only, rewritten
from sightline.sense.admission import Admitter, event_time_ns, find_columns, plain_name
from sightline.sense.field_values import parse_times
from sightline.sense.files import read_parquet, without_suffix
from sightline.sense.objects import ObjectFolder, StoredObject

_SHOWN_CHARS = 200


class KpiFiles:
    """Append-only Parquet files of one folder.

    Args:
        kpis: what is read of them.
        folder: where they are.
        grid_ns: width of the slots in which their rows are counted.
        limits: ``max_objects``, and bounds of chunks.
    """

    def __init__(self, kpis: KpiSet, folder: ObjectFolder, *, grid_ns: int, limits: Limits) -> None:
        self._kpis, self._folder, self._grid_ns = kpis, folder, grid_ns
        self._limits = limits
        self.location = folder.location

    def look(
        self,
        known: Mapping[str, Input],
        *,
        digests_again: bool = False,
        on_progress: Callable[[str], None] = lambda _: None,
    ) -> tuple[list[Input], list[Input], list[str]]:
        """All files, of them those that were not known, and names of those that are gone.

        Args:
            known: files of earlier runs; one of the same size and identity is not read again.
            digests_again: read every file, and see that it is the one of before.
            on_progress: told which file is read.

        Raises:
            SourceError: there are none or too many, or one was rewritten, is damaged, or lacks what
                the contract needs; the others of these are ``beside``.
        """
        found = self._listed()
        sizes = {name: (one.size, one.identity) for name, one in found.items()}
        gone = check_append_only(known, sizes, where=self.location)
        inputs, fresh, faults = [], [], []
        for name, one in found.items():
            before = known.get(name)
            if before is not None and before.identity == one.identity and not digests_again:
                inputs.append(before)
                continue
            on_progress(f"looks at {name}")
            sha256 = self._folder.sha256(name)
            if before is not None:
                if before.sha256 != sha256:
                    raise rewritten([name], self.location)
                inputs.append(before)
                continue
            try:
                fresh.append(self._counted(one, sha256))
            except SourceError as error:
                faults.append(error)
        if faults:
            faults[0].beside = tuple(faults[1:])
            raise faults[0]
        return [*inputs, *fresh], fresh, gone

    def _listed(self) -> dict[str, StoredObject]:
        found: dict[str, StoredObject] = {}
        for one in self._folder.listing():
            if one.name.endswith(".parquet"):
                found[one.name] = one
            if len(found) > self._limits.max_objects:
                raise SourceError(
                    expected=f"at most {self._limits.max_objects:,} files",
                    got="more",
                    where=self.location,
                    action="give a folder below it",
                )
        if not found:
            raise SourceError(
                expected="files that end in .parquet",
                got="none",
                where=self.location,
                action="check the address",
            )
        return found

    def _counted(self, one: StoredObject, sha256: str) -> Input:
        """A new file: it has what the contract needs, and has rows in these slots."""
        where = f"{self.location}/{one.name}"
        contract = self._kpis.contract
        names = self._columns(one.name)
        renaming = self._renaming(names)
        made = [] if contract.origin_column is None else [contract.origin_column]
        problem = find_columns(contract, [*(renaming.get(n, n) for n in names), *made]).problem
        if problem is not None:
            column, expected, got = problem
            raise SourceError(
                expected=expected,
                got=got,
                where=where,
                action="if it is there under another name, write that under `renamed` in the file "
                f"of metrics ({column}: [NAME]); if files may lack it, `required: false` in the "
                "contract",
            )
        column = self._time_column(names)
        counts: dict[int, int] = {}
        without = 0
        for frame in self._frames(one.name, columns=[column] if column else names):
            at_ns = event_time_ns(contract, frame)
            without += at_ns.null_count()
            slots, rows = np.unique(
                at_ns.drop_nulls().to_numpy() // self._grid_ns, return_counts=True
            )
            for slot, count in zip(slots.tolist(), rows.tolist(), strict=True):
                counts[slot] = counts.get(slot, 0) + count
        total = without + sum(counts.values())
        if without > self._kpis.form.gates.refused_share_most * total:
            raise SourceError(
                expected=f"times of the form {contract.event_time.format} in {column}",
                got=f"{without:,} of {total:,} rows without one",
                where=where,
                action="mend event_time in the contract, or the file: nothing was published",
            )
        ordered = sorted(counts)
        return Input(
            name=one.name,
            size=one.size,
            identity=one.identity,
            sha256=sha256,
            without_time=without,
            grid_ns=self._grid_ns,
            slots=np.array(ordered, np.int64),
            rows=np.array([counts[slot] for slot in ordered], np.int64),
        )

    def signals(
        self, step: Sequence[Task], *, part: int = 0, parts: int = 1
    ) -> tuple[pl.DataFrame, int, pl.DataFrame]:
        """Admitted rows of the windows of a step, rows read, and refused ones by reason.

        Args:
            step: neighbouring windows.
            part, parts: of which share of the subjects.
        """
        lo_ns = min(t.window * t.metric.width_ns for t in step)
        hi_ns = max((t.window + 1) * t.metric.width_ns for t in step)
        admitter = Admitter(self._kpis.contract, limits=self._limits)
        kept, refused, rows = [], [], 0
        for name in sorted({name for task in step for name in task.sources}):
            for frame in self._frames(name, between_ns=(lo_ns, hi_ns)):
                admission = admitter.admit(frame)
                rows += frame.height
                refused.append(admission.refused.group_by("reason").len())
                wanted = (pl.col(TIME_NS) >= lo_ns) & (pl.col(TIME_NS) < hi_ns)
                if parts > 1:
                    wanted &= pl.col(KEY).hash(seed=0) % parts == part
                columns = (KEY, TIME_NS, SEQUENCE, *self._kpis.contract.fields)
                kept.append(admission.signals.filter(wanted).select(columns))
        counted = pl.concat(refused).group_by("reason").agg(pl.col("len").sum())
        return pl.concat(kept), rows, counted.sort("reason")

    def _frames(
        self,
        name: str,
        *,
        columns: Sequence[str] | None = None,
        between_ns: tuple[int, int] | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Raw rows of a file, with the contract's names; row groups wholly outside are not read."""
        names = self._columns(name)
        old = {o for olds in self._kpis.form.renamed.values() for o in olds}
        known = {*self._kpis.contract.columns, *old}
        column = self._time_column(names)

        def is_wanted(group: Any) -> bool:
            span = None if between_ns is None else self._span_ns(group, column)
            return (
                span is None
                or between_ns is None
                or (span[0] < between_ns[1] and span[1] >= between_ns[0])
            )

        for chunk in read_parquet(
            self._folder.open(name),
            origin=name,
            limits=self._limits,
            columns=columns or [n for n in names if plain_name(n) in known],
            is_wanted=is_wanted,
        ):
            if chunk.rejected.height:
                raise SourceError(
                    expected="a sound Parquet file",
                    got=str(chunk.rejected["detail"][0]),
                    where=f"{self.location}/{name}",
                    action="write it again, as it was; what is published stays",
                )
            yield self._told(chunk.frame.rename(self._renaming(chunk.frame.columns)), name)

    def _told(self, frame: pl.DataFrame, name: str) -> pl.DataFrame:
        """The rows, with a column that says of which series they are if the contract wants one."""
        column = self._kpis.contract.origin_column
        if column is None:
            return frame
        return frame.with_columns(pl.lit(without_suffix(name)).alias(column))

    def _columns(self, name: str) -> list[str]:
        try:
            with pq.ParquetFile(self._folder.open(name)) as file:
                return [str(column) for column in file.schema_arrow.names]
        except (OSError, ValueError) as error:  # pyarrow's own errors are among these
            raise SourceError(
                expected="a Parquet file",
                got=" ".join(str(error).split())[:_SHOWN_CHARS],
                where=f"{self.location}/{name}",
                action="take it away, or write it again",
            ) from error

    def _renaming(self, names: Sequence[str]) -> dict[str, str]:
        """Column of a file to the contract's name, where the file has an older one."""
        return {
            old: new
            for new, olds in self._kpis.form.renamed.items()
            for old in olds
            if old in names and new not in names
        }

    def _time_column(self, names: Sequence[str]) -> str:
        """Its name in a file; ``""`` where no single column has the time of a row."""
        form = self._kpis.contract.event_time
        if form.clock is not None:
            return ""
        renaming = self._renaming(names)
        return next((n for n in names if renaming.get(n, n) == form.column), "")

    def _span_ns(self, group: Any, column: str) -> tuple[int, int] | None:
        """First and last time of a row group by its statistics; None: it does not say."""
        for i in range(group.num_columns):
            found = group.column(i)
            if found.path_in_schema != column or not found.is_stats_set:
                continue
            if not found.statistics.has_min_max:
                continue
            ends = pl.Series([found.statistics.min, found.statistics.max], strict=False)
            if ends.dtype == pl.String:  # text sorts by its letters
                return None
            ns = parse_times(ends, self._kpis.contract.event_time.format).ns
            # The statistics may be of a coarser unit than the values.
            return None if ns.null_count() else (int(ns[0]) - NS_PER_S, int(ns[1]) + NS_PER_S)
        return None

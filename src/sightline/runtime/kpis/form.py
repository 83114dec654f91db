"""``METRICS.yaml``: which KPIs there are, and what each of them means, with a digest.

The digest of a metric covers all that can change a value of it: where the time and the key of a
row are, the fields that it reads, how rows are told apart, the statistic, the width. A digest that
changed under the same version number is refused, so that one version always means one thing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import polars as pl
from pydantic import Field, model_validator

from sightline.errors import PipelineError, UsageError
from sightline.perceive.statistic_names import PLAIN_STATISTICS, is_statistic
from sightline.perceive.window_expression import WindowExpression, window_expression
from sightline.records.signals import NS_PER_S
from sightline.runtime.settings import Form, Grid, Name
from sightline.sense.contract import Contract, Instant, load_contract, utc_ns
from sightline.sense.yaml_form import parse_form, read_yaml


class Smooth(Form):
    """A metric made of another one's last windows: their mean, newer ones counting more."""

    of: Name
    """The metric that is smoothed, of the same width."""
    half_life_windows: Annotated[float, Field(gt=0, le=10_000)]
    """A window so much older counts half."""
    warm_up_windows: Annotated[int, Field(ge=1, le=10_000)]
    """Windows before its own that it looks at; the manifest says how many were there."""


class MetricForm(Form):
    """One KPI: exactly one of ``statistic``, ``sql`` and ``smooth``."""

    version: Annotated[int, Field(ge=1)]
    """Part of the key of each value. A metric that comes to mean something else gets another."""
    unit: str
    """Unit of its values; "1" where it has none."""
    field: Name | None = None
    """The field of the contract that ``statistic`` is of."""
    statistic: str | None = None
    """count, mean, median, p95, below_5 and so on, as in the stage `windows`."""
    sql: str | None = None
    """One number per window of numeric fields of the contract; docs/expressions.md."""
    smooth: Smooth | None = None
    """What it is made of, if of another metric."""
    width_s: Grid | None = None
    """Width of its windows, in seconds; null: that of the file."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(one is not None for one in (self.statistic, self.sql, self.smooth)) != 1:
            raise ValueError("exactly one of `statistic`, `sql` and `smooth`")
        if (self.statistic is None) != (self.field is None):
            raise ValueError("`field` with `statistic`, and only with it")
        if self.statistic is not None and not is_statistic(self.statistic):
            raise ValueError(f"a `statistic` of {', '.join(PLAIN_STATISTICS)}, pNN or below_T")
        return self


class Calibration(Form):
    """A correction of one field over a range of event time: ``gain * value + offset``."""

    field: str
    """The field of the contract."""
    start: Instant
    """First time it holds for, inclusive."""
    end: Instant
    """End, exclusive."""
    gain: float = 1.0
    """Factor of the value."""
    offset: float = 0.0
    """Added after the factor, in the field's unit."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if utc_ns(self.start) >= utc_ns(self.end):
            raise ValueError("`start` before `end`")
        return self


class Bounds(Form):
    """Values that a metric may have on a day that is published."""

    least: float | None = None
    """Lowest; null: any."""
    most: float | None = None
    """Highest; null: any."""
    outside_share_most: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the subjects that may be outside."""


class Gates(Form):
    """What a window must be like to be published; else it is held, and said."""

    rows_least: Annotated[int, Field(ge=0)] = 1
    """Rows of it."""
    refused_share_most: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of its rows that break the contract."""
    subjects_share_least: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Subjects, as a share of the largest number in any window published before."""
    metrics: dict[Name, Bounds] = {}
    """Values, by metric."""


class KpiForm(Form):
    """A set of KPIs of one kind of telemetry."""

    kpis: Name
    """Name of the set, part of the key of each value."""
    contract: str
    """File of the contract of the rows, from the folder of this file."""
    width_s: Grid = 86_400.0
    """Width of windows, in seconds; they are aligned to 1970-01-01T00:00Z. A day by default."""
    metrics: Annotated[dict[Name, MetricForm], Field(min_length=1)]
    """The KPIs, by name."""
    renamed: dict[str, tuple[str, ...]] = {}
    """Older names of a column, by its name in the contract: files of before had these."""
    calibration: tuple[Calibration, ...] = ()
    """Corrections. Changing them computes the windows they touch again."""
    gates: Gates = Gates()
    """What stops a bad window before it is published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A checked metric.

    Attributes:
        name, version, unit: as written.
        width_ns: of its windows.
        field, statistic: of a statistic, else ``""``.
        expression: of an expression, else None.
        smooth: of a smoothed one, else None.
        reads: fields of the contract whose values it depends on.
        definition: hex digest of all that can change a value.
    """

    name: str
    version: int
    unit: str
    width_ns: int
    field: str
    statistic: str
    expression: WindowExpression | None
    smooth: Smooth | None
    reads: tuple[str, ...]
    definition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KpiSet:
    """A checked set.

    Attributes:
        form: as written.
        contract: of the rows, with the fields that are read alone.
        metrics: those of rows first, then smoothed ones.
    """

    form: KpiForm
    contract: Contract
    metrics: tuple[Metric, ...]

    @property
    def name(self) -> str:
        """Of the set."""
        return self.form.kpis

    def calibrated(self, metric: Metric, window: int) -> str:
        """Digest of the corrections that touch a window of a metric; ``""``: none does."""
        lo, hi = window * metric.width_ns, (window + 1) * metric.width_ns
        held = [
            one.model_dump(mode="json")
            for one in self.form.calibration
            if one.field in metric.reads and utc_ns(one.start) < hi and utc_ns(one.end) > lo
        ]
        return digest_of(held) if held else ""


def digest_of(plain: Any) -> str:
    """32 hex digits of a plain value.

    >>> len(digest_of({"a": 1}))
    32
    """
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def load_kpis(path: Path) -> KpiSet:
    """Read a file of metrics and its contract, and check that they fit together.

    Raises:
        PipelineError, ContractError: naming the file and field at fault.
    """
    form = parse_form(
        read_yaml(path, kind_of_error=PipelineError),
        KpiForm,
        where=str(path),
        kind_of_error=PipelineError,
    )
    return make_kpis(form, load_contract(path.parent / form.contract), where=str(path))


def make_kpis(form: KpiForm, contract: Contract, *, where: str = "<python>") -> KpiSet:
    """Check that metrics and contract fit together.

    Raises:
        PipelineError: a field, metric or expression that is not there or does not fit.
    """
    numeric = [name for name, one in contract.fields.items() if one.is_numeric]
    plain = {n: m for n, m in form.metrics.items() if m.smooth is None}
    made: dict[str, Metric] = {}
    for name, one in [*plain.items(), *((n, m) for n, m in form.metrics.items() if m.smooth)]:
        at = f"{where}, metrics.{name}"
        made[name] = _metric(name, one, form=form, contract=contract, made=made, where=at)
    for named, what in ((form.gates.metrics, "gates.metrics"), (form.renamed, "renamed")):
        known = list(made) if what == "gates.metrics" else list(contract.columns)
        for name in named:
            if name not in known:
                raise _not_there(name, known, where=f"{where}, {what}")
    for number, correction in enumerate(form.calibration):
        if correction.field not in numeric:
            raise _not_there(correction.field, numeric, where=f"{where}, calibration {number + 1}")
    reads = {field for metric in made.values() for field in metric.reads}
    fields = {name: one for name, one in contract.fields.items() if name in reads}
    # A row is refused for what is read of it: a fault of another field is no fault of these KPIs.
    kept = fields or {name: one for name, one in contract.fields.items() if name in numeric[:1]}
    narrow = contract.model_copy(update={"fields": kept, "extra_columns": "ignore"})
    return KpiSet(form=form, contract=narrow, metrics=tuple(made.values()))


def _metric(
    name: str,
    one: MetricForm,
    *,
    form: KpiForm,
    contract: Contract,
    made: Mapping[str, Metric],
    where: str,
) -> Metric:
    numeric = [field for field, kind in contract.fields.items() if kind.is_numeric]
    width_ns = round((one.width_s or form.width_s) * NS_PER_S)
    expression = None
    base: Metric | None = None
    if one.field is not None:
        if one.field not in numeric:
            raise _not_there(one.field, numeric, where=where)
        reads: tuple[str, ...] = (one.field,)
    elif one.sql is not None:
        try:
            expression = window_expression(one.sql, numeric)
        except UsageError as error:
            raise PipelineError(
                expected=error.expected,
                got=error.got,
                where=f"{where}.sql, {error.where}",
                action=error.action,
            ) from error
        reads = expression.columns
    else:
        assert one.smooth is not None  # the form has exactly one of the three
        base = made.get(one.smooth.of)
        if base is None or base.smooth is not None:
            known = [n for n, m in made.items() if m.smooth is None]
            raise _not_there(one.smooth.of, known, where=f"{where}.smooth.of")
        if one.width_s is not None and width_ns != base.width_ns:
            raise PipelineError(
                expected=f"the width of {base.name}, {base.width_ns / NS_PER_S:g} s",
                got=f"{one.width_s:g} s",
                where=where,
                action="leave width_s out",
            )
        width_ns, reads = base.width_ns, base.reads
    rows = {
        "key": contract.key,
        **({} if contract.origin_column is None else {"origin_column": contract.origin_column}),
        **({"constants": dict(contract.constants)} if contract.constants else {}),
        "event_time": contract.event_time.model_dump(mode="json"),
        "sequence": contract.sequence and contract.sequence.model_dump(mode="json"),
        "duplicates": contract.duplicate_columns,
        "known_keys": contract.known_keys,
        "fields": {f: contract.fields[f].model_dump(mode="json") for f in reads},
    }
    meaning = one.model_dump(mode="json", exclude={"version", "width_s"})
    definition = digest_of([rows, meaning, width_ns, base.definition if base else ""])
    return Metric(
        name=name,
        version=one.version,
        unit=one.unit,
        width_ns=width_ns,
        field=one.field or "",
        statistic=one.statistic or "",
        expression=expression,
        smooth=one.smooth,
        reads=reads,
        definition=definition,
    )


def _not_there(name: str, known: list[str], *, where: str) -> PipelineError:
    return PipelineError(
        expected=f"one of {', '.join(known) or '(none)'}",
        got=name,
        where=where,
        action="mend the name",
    )


VALUE_SCHEMA = pl.Schema(
    {
        "metric": pl.String,
        "metric_version": pl.Int64,
        "subject": pl.String,
        "window": pl.Int64,
        "value": pl.Float64,
        "rows": pl.Int64,
    }
)
"""Values of KPIs: ``window`` is its number, ``value`` null where nothing was measured."""

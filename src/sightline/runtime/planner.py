"""Checking a pipeline description: ports, units, scopes, names, fallbacks.

Everything that can be wrong with a pipeline is found here, before the first record is read.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import polars as pl

from sightline.errors import PipelineError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.perceive.windows import PLAIN_STATISTICS, is_statistic
from sightline.records.signals import NS_PER_S
from sightline.runtime.alert_budget import with_budgets, with_forms
from sightline.runtime.alerting.checks import check_alerting
from sightline.runtime.learning_stage import SETTLE_ROWS
from sightline.runtime.pipeline import (
    AlarmForm,
    CalibrationForm,
    NoveltyForm,
    PacketLossForm,
    Pipeline,
    PresenceForm,
    ScorerForm,
    SilenceForm,
    StageForm,
    WindowsForm,
    deciding_form,
    digest,
    load_pipeline,
)
from sightline.runtime.plan import Chain, Measure, Plan, PlausibilityCheck, Step
from sightline.runtime.plan_checks import (
    check_budgets,
    check_guard,
    check_inhibitions,
    check_learning,
    check_thresholds,
)
from sightline.sense import Contract, load_contract

PORTS: Mapping[str, tuple[str, str]] = {
    "windows": ("signals", "windows"),
    "presence": ("signals", "presence"),
    "robust_deviation": ("windows", "windows"),
    "level_deviation": ("windows", "windows"),
    "novelty": ("windows", "windows"),
    "calibration": ("windows", "windows"),
    "packet_loss": ("windows", "windows"),
    "alarm": ("windows", "decisions"),
    "silence": ("presence", "decisions"),
}
"""Input and output type of each kind of stage."""

ROW_COLUMNS: Mapping[str, str] = {
    "rows": "1",
    "group": "1",
    "first_offset_ns": "ns",
    "last_offset_ns": "ns",
    "sequence_min": "1",
    "sequence_max": "1",
    "sequence_distinct": "1",
}
"""Columns every window has, with their units. Offsets count from the window's start."""

_STATISTIC_UNITS = {"count": "1", "nan_share": "1", "stuck_s": "s"}


def load_plan(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Plan:
    """Read a pipeline file and its contracts, and check that they fit together.

    Raises:
        PipelineError, ContractError: naming the file and field at fault.
    """
    pipeline = load_pipeline(path)
    contracts = {
        name: load_contract(path.parent / form.contract) for name, form in pipeline.sources.items()
    }
    return make_plan(pipeline, contracts, where=str(path), limits=limits)


def make_plan(
    pipeline: Pipeline,
    contracts: Mapping[str, Contract],
    *,
    where: str = "<python>",
    limits: Limits = DEFAULT_LIMITS,
) -> Plan:
    """Check that ``pipeline`` and ``contracts`` (by source) fit together.

    Raises:
        PipelineError: naming the stage and field at fault.
    """
    return _Planner(pipeline, contracts, where, limits).plan()


@dataclass(slots=True)
class _Planner:
    pipeline: Pipeline
    contracts: Mapping[str, Contract]
    where: str
    limits: Limits
    measures: dict[str, tuple[Measure, ...]] = field(default_factory=dict)

    def plan(self) -> Plan:
        p = self.pipeline
        if p.partitions > self.limits.max_partitions:
            self.fail("", f"at most {self.limits.max_partitions} partitions", str(p.partitions))
        for source in p.sources:
            if source in p.stages:
                self.fail(source, "names used once", f"{source!r} is a source and a stage")
        for source, contract in self.contracts.items():
            self._check_contract(source, contract)
        for name, form in p.stages.items():
            self._check_ports(name, form)
        chains = tuple(
            self._chain(name, form)
            for name, form in p.stages.items()
            if isinstance(form, WindowsForm | PresenceForm)
        )
        group_silences = tuple(
            self._group_silence(n, f)
            for n, f in p.stages.items()
            if isinstance(f, SilenceForm) and f.scope != "key"
        )
        chains = tuple(with_budgets(chain, self.fail) for chain in chains)
        p = with_forms(p, chains)
        check_inhibitions(p, self.fail)
        check_budgets(p, self.fail)
        check_alerting(p, self.contracts, self.fail)
        inhibits = any(getattr(f, "inhibited_by", ()) for f in p.stages.values())
        return Plan(
            pipeline=p,
            contracts=self.contracts,
            digest=digest(
                [p.deciding_mapping(), {n: c.digest for n, c in sorted(self.contracts.items())}]
            ),
            chains=chains,
            group_silences=group_silences,
            has_fan_in=bool(group_silences) or inhibits or p.alerting is not None,
            origin=self.where,
        )

    def _check_contract(self, source: str, contract: Contract) -> None:
        """What the engine asks of a source beyond what its contract asks of itself."""
        if not set(contract.watermark_columns) <= set(contract.key):
            self.fail(
                source,
                "timing.watermark_by among the key columns (a key must not change its clock)",
                ", ".join(contract.watermark_columns),
            )
        time = contract.event_time.column
        natural = {*contract.key, *([time] if time else [])}
        sequence = {contract.sequence.column} if contract.sequence else set()
        if set(contract.duplicate_columns) - sequence != natural:
            self.fail(
                source,
                "duplicate_key: the key, the event time and perhaps the sequence, nothing more",
                ", ".join(contract.duplicate_columns),
            )

    # --- ports and scopes ---------------------------------------------------------------------

    def _check_ports(self, name: str, form: StageForm) -> None:
        wanted = PORTS[form.use][0]
        if form.input in self.pipeline.sources:
            given = "signals"
        elif form.input in self.pipeline.stages:
            given = PORTS[self.pipeline.stages[form.input].use][1]
        else:
            names = [*self.pipeline.sources, *self.pipeline.stages]
            self.fail(name, "input: the name of a source or stage", form.input, near=names)
        if given != wanted:
            self.fail(name, f"input of type {wanted} for `{form.use}`", f"{form.input}: {given}")
        if form.scope != "key" and not isinstance(form, SilenceForm):
            self.fail(name, f"scope: key for `{form.use}`", f"scope: {form.scope}")
        seen = {name}
        at = form.input
        while at in self.pipeline.stages:
            if at in seen:
                self.fail(name, "stages in a line", f"a circle through {at!r}")
            seen.add(at)
            at = self.pipeline.stages[at].input

    # --- chains -------------------------------------------------------------------------------

    def _chain(self, name: str, form: WindowsForm | PresenceForm) -> Chain:
        contract = self.contracts[form.input]
        width_ns = round(form.width_s * NS_PER_S)
        slide_ns = width_ns
        numeric = {n: f for n, f in contract.fields.items() if f.type != "text"}
        fields: tuple[str, ...] = ()
        statistics: tuple[str, ...] = ()
        plausibility: tuple[PlausibilityCheck, ...] = ()
        measures = [Measure(column=c, field="", unit=u) for c, u in ROW_COLUMNS.items()]
        if isinstance(form, WindowsForm):
            if form.slide_s is not None:
                slide_ns = round(form.slide_s * NS_PER_S)
                if slide_ns > width_ns or width_ns % slide_ns:
                    self.fail(name, "width_s a multiple of slide_s", f"{form.slide_s:g}")
            fields = tuple(numeric) if form.fields is None else form.fields
            for column in fields:
                if column not in numeric:
                    self.fail(name, "fields: numeric fields of the contract", column, list(numeric))
            statistics = form.statistics
            for statistic in statistics:
                self._check_statistic(name, statistic)
            plausibility = self._plausibility(name, fields, contract, width_ns)
            for column in fields:
                unit = numeric[column].unit or "1"
                wanted = [f"{column}.{s}" for s in statistics]
                wanted += [c.column for c in plausibility if c.field == column]
                measures += [
                    Measure(
                        column=full,
                        field=column,
                        unit=_unit_of(full.removeprefix(f"{column}."), unit),
                    )
                    for full in dict.fromkeys(wanted)
                ]
            for key, expression in form.expressions.items():
                self._check_expression(name, key, expression.sql, list(numeric))
                measures.append(Measure(column=key, field="", unit=expression.unit))
        # The group is a dictionary id, which depends on arrival: nothing may be decided on it.
        self.measures[name] = tuple(m for m in measures if m.column != "group")
        steps: list[Step] = []
        columns = [m.column for m in measures]
        lookback = 1
        for step_name, step_form in self._downstream(name):
            step = self._step(step_name, step_form, contract, width_ns)
            steps.append(step)
            columns += [m.column for m in step.adds]
            if isinstance(step_form, ScorerForm):
                lookback = max(lookback, step_form.history)
            if isinstance(step_form, NoveltyForm | CalibrationForm):
                lookback = max(lookback, SETTLE_ROWS)
            if isinstance(step_form, AlarmForm):
                lookback = max(lookback, step_form.n)
        return Chain(
            name=name,
            form=form,
            version=self._version(name, form),
            source=form.input,
            width_ns=width_ns,
            slide_ns=slide_ns,
            fields=fields,
            statistics=statistics,
            steps=tuple(steps),
            columns=tuple(columns),
            lookback=lookback + 1,
            plausibility=plausibility,
        )

    def _plausibility(
        self, name: str, fields: tuple[str, ...], contract: Contract, width_ns: int
    ) -> tuple[PlausibilityCheck, ...]:
        """The plausibility of the contract as checks of each window."""
        found: list[PlausibilityCheck] = []
        for field_name in fields:
            form = contract.fields[field_name]
            rule = form.plausibility
            if rule is None:
                continue
            if rule.stuck_for_s is not None and rule.stuck_for_s * NS_PER_S > width_ns:
                self.fail(
                    name,
                    f"width_s of at least plausibility.stuck_for_s of {field_name} "
                    f"({rule.stuck_for_s:g} s), or a shorter time in the contract",
                    f"{width_ns / NS_PER_S:g}",
                )
            for statistic, above, code in (
                ("stuck_s", rule.stuck_for_s, "IMPLAUSIBLE_STUCK"),
                ("rate_max", rule.max_rate_per_s, "IMPLAUSIBLE_RATE"),
                ("nan_share", rule.max_nan_share, "IMPLAUSIBLE_NAN_SHARE"),
            ):
                if above is not None:
                    found.append(
                        PlausibilityCheck(
                            field=field_name,
                            column=f"{field_name}.{statistic}",
                            above=above,
                            unit=_unit_of(statistic, form.unit or "1"),
                            code=code,
                            version=f"{contract.contract}@{contract.digest[:8]}",
                        )
                    )
        return tuple(found)

    def _downstream(self, root: str) -> list[tuple[str, StageForm]]:
        """Stages that hang on ``root``, each after its own input."""
        found: list[tuple[str, StageForm]] = []
        reached = {root}
        waiting = dict(self.pipeline.stages)
        progress = True
        while progress:
            progress = False
            for name, form in list(waiting.items()):
                if form.input in reached and form.scope == "key":
                    reached.add(name)
                    found.append((name, form))
                    del waiting[name]
                    progress = True
        return found

    def _step(self, name: str, form: StageForm, contract: Contract, width_ns: int) -> Step:
        reads: tuple[Measure, ...] = ()
        adds: tuple[Measure, ...] = ()
        if isinstance(form, ScorerForm):
            reads = tuple(self._measure(name, form.input, m) for m in form.measures)
            adds = tuple(
                Measure(column=f"{name}.{m.field or m.column}", field=m.field, unit="1")
                for m in reads
            )
            if form.min_history > form.history:
                self.fail(name, "min_history at most history", str(form.min_history))
            for measure in form.floor:
                if measure not in form.measures:
                    self.fail(name, "floor: for measures of the stage", measure, form.measures)
            check_guard(name, form, self.pipeline, self.fail)
        elif isinstance(form, NoveltyForm | CalibrationForm):
            reads = self._measures_like(name, form.input, form.measures)
            adds = tuple(
                Measure(column=f"{name}.{m.field or m.column}", field=m.field, unit="1")
                for m in reads
            )
            check_learning(name, form, adds, self.fail)
        elif isinstance(form, PacketLossForm):
            if contract.sequence is None:
                self.fail(name, "a contract with a sequence column", f"{contract.contract}: none")
            adds = (Measure(column=f"{name}.loss_ratio", field="", unit="1"),)
        elif isinstance(form, AlarmForm):
            reads = self._alarm_measures(name, form)
            adds = tuple(
                Measure(column=f"{name}.state:{m.column}", field=m.field, unit="1") for m in reads
            )
        elif isinstance(form, SilenceForm):
            self._check_timeout(name, form, contract, width_ns)
        self.measures[name] = adds
        return Step(name=name, form=form, version=self._version(name, form), reads=reads, adds=adds)

    def _group_silence(self, name: str, form: SilenceForm) -> Step:
        presence = self.pipeline.stages[form.input]
        assert isinstance(presence, PresenceForm)  # the ports fit
        contract = self.contracts[presence.input]
        self._check_timeout(name, form, contract, round(presence.width_s * NS_PER_S))
        return Step(name=name, form=form, version=self._version(name, form), reads=(), adds=())

    def _check_timeout(
        self, name: str, form: SilenceForm, contract: Contract, width_ns: int
    ) -> None:
        timeout_s = form.timeout_s
        if timeout_s is None:
            if contract.silence is None:
                self.fail(name, "timeout_s, here or in the contract's silence", "none")
            timeout_s = contract.silence.timeout_s
        if timeout_s * NS_PER_S < width_ns:
            self.fail(
                name,
                f"timeout_s of at least the presence width ({width_ns / 1e9:g} s)",
                f"{timeout_s:g}",
            )

    def _alarm_measures(self, name: str, form: AlarmForm) -> tuple[Measure, ...]:
        if form.false_alerts_per_day is None:  # else its threshold is worked out at the end
            check_thresholds(name, form, self.fail)
        reads = self._measures_like(name, form.input, (form.measure,))
        for measure in reads:
            if measure.unit != form.unit:
                self.fail(name, f"unit: {measure.unit} (of {measure.column})", form.unit)
        if len({m.field for m in reads}) < len(reads):  # their decisions would share a subject
            self.fail(name, "one measure of each field, and one without", form.measure)
        return reads

    def _measures_like(
        self, name: str, stage: str, patterns: tuple[str, ...]
    ) -> tuple[Measure, ...]:
        """Measures of ``stage`` by name, or by ``*`` and how their name ends; each once."""
        found: dict[str, Measure] = {}
        for pattern in patterns:
            if pattern.startswith("*"):
                like = [m for m in self._offered(stage) if m.column.endswith(pattern[1:])]
                if not like:
                    self.fail(
                        name,
                        f"measure: some column ending in {pattern[1:]}",
                        "none",
                        [m.column for m in self._offered(stage)],
                    )
            else:
                like = [self._measure(name, stage, pattern)]
            found.update({m.column: m for m in like})
        return tuple(found.values())

    def _offered(self, stage: str) -> tuple[Measure, ...]:
        return self.measures.get(stage, ())

    def _measure(self, name: str, stage: str, column: str) -> Measure:
        offered = {m.column: m for m in self._offered(stage)}
        # A measure of a scorer may be named without the stage: `snr_db` for `deviation.snr_db`.
        found = offered.get(column) or offered.get(f"{stage}.{column}")
        if found is None:
            self.fail(name, f"a measure of stage {stage!r}", column, list(offered))
        return found

    def _check_statistic(self, name: str, statistic: str) -> None:
        if not is_statistic(statistic):
            self.fail(name, "statistics: known ones, or pNN", statistic, PLAIN_STATISTICS)

    def _check_expression(self, name: str, key: str, sql: str, fields: list[str]) -> None:
        try:
            roots = pl.sql_expr(sql).meta.root_names()
        except (pl.exceptions.PolarsError, TypeError) as error:
            self.fail(name, f"expressions.{key}.sql: a SQL expression", f"{sql} ({error})")
        for root in roots:
            if root not in fields:
                self.fail(name, f"expressions.{key}.sql: numeric fields", root, fields)

    def _version(self, name: str, form: StageForm) -> str:
        return f"{name}@{digest(deciding_form(form))[:8]}"

    def fail(self, stage: str, expected: str, got: str, near: Sequence[str] = ()) -> NoReturn:
        close = difflib.get_close_matches(got, near, n=1)
        action = f"did you mean {close[0]!r}?" if close else "mend the pipeline description"
        if near and not close:
            action = f"choose one of {', '.join(near)}"
        kind = "sources" if stage in self.pipeline.sources else "stages"
        where = f"{self.where}, {kind}.{stage}" if stage else self.where
        raise PipelineError(expected=expected, got=got, where=where, action=action)


def _unit_of(statistic: str, unit: str) -> str:
    if statistic == "rate_max":
        return f"{unit}/s"
    if statistic.startswith("below_"):
        return "1"
    return _STATISTIC_UNITS.get(statistic, unit)

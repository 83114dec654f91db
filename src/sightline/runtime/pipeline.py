"""Pipeline descriptions: typed YAML, or the same classes from Python.

This module is the *form*; whether the parts fit together is checked in :mod:`.plan`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field

from sightline.errors import PipelineError
from sightline.records.decision import Severity
from sightline.runtime.alerting.form import AlertingForm, with_subjects

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Scope = Literal["key", "group", "global"]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Inbox(_Form):
    """The only queue of a live source; finite ones are pulled and need none."""

    policy: Literal["block", "latest", "spill"] = "block"
    max_rows: Annotated[int, Field(ge=1)] = 500_000


class SourceForm(_Form):
    """One input of the pipeline."""

    contract: str
    """Path of the contract, relative to the pipeline file."""
    record: Literal["payload", "reference"] = "payload"
    """Log the rows themselves, or (durable sources only) a reference with their digest."""
    inbox: Inbox = Inbox()


class _Stage(_Form):
    budget_s: Annotated[float, Field(gt=0, le=3600)] | None = None
    """The stage's share of ``latency_budget_s``, per tick. More is logged DEADLINE_MISSED."""


class Expression(_Form):
    """A user aggregate: a SQL expression over the fields of a window's rows."""

    sql: str
    unit: str


class Breaker(_Form):
    """Circuit breaker of a guarded stage; counts in requests and ticks, so that it replays."""

    open_after: Annotated[int, Field(ge=1)] = 3
    """Failures in a row that open it."""
    retry_after_ticks: Annotated[int, Field(ge=1)] = 30
    """Ticks until one trial request is let through (half-open)."""
    close_after: Annotated[int, Field(ge=1)] = 2
    """Successful trials in a row that close it again (hysteresis)."""


class Guard(_Form):
    """A stage that may be late or break runs outside the core, with a deadline and a fallback."""

    budget_s: Annotated[float, Field(gt=0, le=3600)]
    fallback: str | None = None
    """Scorer that answers instead; required, its absence is a PipelineError."""
    run_on: Literal["thread", "process"] = "thread"
    """A thread for what can only be slow; a process for what can hang or crash."""
    breaker: Breaker = Breaker()


class WindowsForm(_Stage):
    """Rows of one key in windows of event time."""

    use: Literal["windows"]
    input: Name
    scope: Scope = "key"
    width_s: Annotated[float, Field(gt=0)]
    slide_s: Annotated[float, Field(gt=0)] | None = None
    fields: tuple[str, ...] | None = None
    statistics: tuple[str, ...] = ("count", "mean")
    expressions: dict[Name, Expression] = {}


class PresenceForm(_Stage):
    """When data exists at all; closed by the tick, so that silence is seen without data."""

    use: Literal["presence"]
    input: Name
    scope: Scope = "key"
    width_s: Annotated[float, Field(gt=0)]


class ScorerForm(_Stage):
    """How unusual a measure is against the windows before it."""

    use: Literal["robust_deviation", "level_deviation"]
    input: Name
    scope: Scope = "key"
    measures: Annotated[tuple[str, ...], Field(min_length=1)]
    history: Annotated[int, Field(ge=2, le=4096)] = 60
    min_history: Annotated[int, Field(ge=2)] = 20
    floor: dict[str, Annotated[float, Field(gt=0)]] = {}
    """Smallest spread that counts, by measure, in its unit; 1e-9 where not given."""
    guarded: Guard | None = None


class NoveltyForm(_Stage):
    """How unlike its own past a measure is, against a bounded memory of normal that it learns."""

    use: Literal["novelty"]
    input: Name
    scope: Scope = "key"
    measures: Annotated[tuple[str, ...], Field(min_length=1)]
    """``snr_db.mean``; ``*.mean`` for every field that has it."""
    learn_windows: Annotated[int, Field(ge=34, le=10_000)] = 750
    """Windows at the beginning of each key that are learnt from and not scored."""
    spread_windows: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Up to so many more, by the hash of the key, so that not all end learning at one tick."""
    widths: tuple[int, ...] = (16, 32, 64, 128)
    """Of the stretches that are compared, in windows: ascending powers of two."""
    memory_size: Annotated[int, Field(ge=1, le=4096)] = 64
    """Stretches of each width that stand for all that was normal."""
    delay_windows: Annotated[int, Field(ge=1, le=1 << 16)] = 1
    """Windows until one may count as normal, and no fewer than the width."""
    learns_below: Annotated[float, Field(ge=0)] | None = None
    """Only what scored less is learnt; null: whatever lasts becomes normal, 0: nothing does."""


class CalibrationForm(_Stage):
    """How rare a score is among the normal blocks of its own series: 3 is once in 1,000 blocks."""

    use: Literal["calibration"]
    input: Name
    scope: Scope = "key"
    measures: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    block_windows: Annotated[int, Field(ge=1, le=1 << 20)] = 3600
    """Windows of a block. Its greatest score is what is learnt; a budget is one of blocks."""
    least_blocks: Annotated[int, Field(ge=10, le=4096)] = 20
    """Until so many are learnt nothing is known, and nothing is raised."""
    kept_blocks: Annotated[int, Field(ge=10, le=4096)] = 200
    """The newest count, so that a slow drift of healthy scores is followed."""
    suspicious_rarity: Annotated[float, Field(ge=1, le=6)] = 2.0
    """A block as rare as this is never learnt: what is anomalous must not become normal."""


class PacketLossForm(_Stage):
    """Share of a window's packets that did not arrive, from the sequence counter."""

    use: Literal["packet_loss"]
    input: Name
    scope: Scope = "key"


class _Deciding(_Stage):
    severity: Severity = Severity.WARNING
    code: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
    inhibited_by: tuple[Name, ...] = ()
    inhibit_hold_s: Annotated[float, Field(ge=0)] | None = None


class AlarmForm(_Deciding):
    """Threshold, m-of-n persistence and hysteresis on one measure."""

    use: Literal["alarm"]
    input: Name
    scope: Scope = "key"
    measure: str
    """``snr_db.mean``; ``*.stuck_s`` for every field that has it."""
    unit: str
    raise_above: float | None = None
    clear_below: float | None = None
    raise_below: float | None = None
    clear_above: float | None = None
    false_alerts_per_day: Annotated[float, Field(gt=0)] | None = None
    """Expected false alerts of one key in a day, all measures of this stage together: instead of
    ``raise_above``, where the input is a ``calibration``."""
    m: Annotated[int, Field(ge=1, le=64)] = 1
    n: Annotated[int, Field(ge=1, le=64)] = 1


class SilenceForm(_Deciding):
    """No data for longer than the time-out although contact was expected."""

    use: Literal["silence"]
    input: Name
    scope: Scope = "key"
    timeout_s: Annotated[float, Field(gt=0)] | None = None
    """Default: the contract's."""


StageForm = Annotated[
    WindowsForm
    | PresenceForm
    | ScorerForm
    | NoveltyForm
    | CalibrationForm
    | PacketLossForm
    | AlarmForm
    | SilenceForm,
    Field(discriminator="use"),
]


class Pipeline(_Form):
    """A whole pipeline.

    >>> p = Pipeline.model_validate({
    ...     "pipeline": "demo", "sources": {"t": {"contract": "t.yaml"}},
    ...     "stages": {"health": {"use": "windows", "input": "t", "width_s": 60}}})
    >>> p.stages["health"].use
    'windows'
    """

    pipeline: Name
    version: str = "1"
    description: str = ""
    partitions: Annotated[int, Field(ge=1)] = 1
    tick_s: Annotated[float, Field(gt=0)] = 10.0
    idle_s: Annotated[float, Field(gt=0)] = 60.0
    latency_budget_s: Annotated[float, Field(gt=0)] = 60.0
    sources: dict[Name, SourceForm]
    stages: dict[Name, StageForm]
    alerting: AlertingForm | None = None
    """What an operator is told; null: every decision by itself."""

    def deciding_mapping(self) -> dict[str, Any]:
        """What can change a decision: partitions, inboxes, recording and budgets cannot."""
        plain = self.model_dump(mode="json", exclude={"partitions", "description", "sources"})
        plain["stages"] = {name: deciding_form(form) for name, form in self.stages.items()}
        plain["sources"] = sorted(self.sources)
        if self.alerting is None:
            del plain["alerting"]
        return plain


def deciding_form(form: StageForm) -> dict[str, Any]:
    """What of a stage can change a decision, JSON-ready: its share of the time cannot.

    A budget of false alerts that is not given is left out, as it was before there were any: the
    ids of decisions hang on this.
    """
    plain = form.model_dump(mode="json", exclude={"budget_s"})
    if plain.get("false_alerts_per_day", 0) is None:
        del plain["false_alerts_per_day"]
    return plain


def stage_budgets_s(pipeline: Pipeline) -> dict[str, float]:
    """Budgets of the stages that have one; of a guarded stage, that of its guard."""
    found: dict[str, float] = {}
    for name, form in pipeline.stages.items():
        guarded = form.guarded if isinstance(form, ScorerForm) else None
        if form.budget_s is not None:
            found[name] = form.budget_s
        elif guarded is not None:
            found[name] = guarded.budget_s
    return found


def load_pipeline(path: Path) -> Pipeline:
    """Read a pipeline description.

    Raises:
        PipelineError: naming the file and the field.
    """
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PipelineError(
            expected="a readable YAML file",
            got=" ".join(str(error).split()),
            where=str(path),
            action="check the path and the YAML syntax",
        ) from error
    form = parse_pipeline(plain, where=str(path))
    return form.model_copy(update={"alerting": with_subjects(form.alerting, path.parent)})


def parse_pipeline(plain: object, *, where: str) -> Pipeline:
    """Validate a mapping as a pipeline; ``where`` names it in errors."""
    try:
        return Pipeline.model_validate(plain)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        found = str(first.get("input"))
        raise PipelineError(
            expected=first["msg"],
            got=found if len(found) < 80 else found[:77] + "…",
            where=f"{where}, {field}",
            action=f"mend this field ({error.error_count()} problems in all)",
        ) from error


def digest(plain: object) -> str:
    """16 hex digits over canonical JSON."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

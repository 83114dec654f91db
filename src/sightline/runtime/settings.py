"""What parts of a pipeline can be told: the forms that a stage or a detector builds its own on."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sightline.records.decision import Severity

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Scope = Literal["key", "group", "global"]


MOST_S = 1e8
"""Longest duration of any setting, three years: nanoseconds of it and of a date fit 64 bits."""
LEAST_GRID_S = 1e-3
"""Least width of a window or tick: numbers of narrower ones would not fit beside a key's."""
Grid = Annotated[float, Field(ge=LEAST_GRID_S, le=MOST_S)]
"""Width of a window or tick, in seconds."""


class Form(BaseModel):
    """A part of a pipeline file: what is not known is an error, and nothing changes it.

    Every number is finite, and every duration (a name that ends in ``_s``) at most ``MOST_S``.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    @model_validator(mode="after")
    def _durations_fit(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name.endswith("_s") and isinstance(value, int | float) and abs(value) > MOST_S:
                raise ValueError(f"`{name}` of at most {MOST_S:g} seconds")
        return self


class StageSettings(Form):
    """What every stage can be told."""

    use: str
    """Which stage it is; `sightline stages` lists them."""
    budget_s: Annotated[float, Field(gt=0, le=3600)] | None = None
    """The stage's share of ``latency_budget_s``, per tick. More is logged DEADLINE_MISSED."""


class SeriesSettings(StageSettings):
    """What every stage on windows can be told."""

    input: Name
    """The source or stage whose rows or windows it reads."""
    scope: Scope = "key"
    """What its decisions are about: each key, each group, or all together."""


class DecidingSettings(SeriesSettings):
    """What every series stage that decides can be told."""

    severity: Severity = Severity.WARNING
    """How serious its decisions are for an operator."""
    code: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
    """Reason code of its decisions, upper snake case."""
    inhibited_by: tuple[Name, ...] = ()
    """Stages with wider decisions: while one of them stands, a decision of this stage is not
    published."""
    inhibit_hold_s: Annotated[float, Field(ge=0)] | None = None
    """How long a decision waits for the decisions of ``inhibited_by``, in seconds of event time."""


class Breaker(Form):
    """Circuit breaker of a guarded stage; counts in requests and ticks, so that it replays."""

    open_after: Annotated[int, Field(ge=1)] = 3
    """Failures in a row that open it."""
    retry_after_ticks: Annotated[int, Field(ge=1)] = 30
    """Ticks until one trial request is let through (half-open)."""
    close_after: Annotated[int, Field(ge=1)] = 2
    """Successful trials in a row that close it again (hysteresis)."""


class GuardSettings(Form):
    """A stage that may be late or break runs outside the core, with a deadline and a fallback."""

    budget_s: Annotated[float, Field(gt=0, le=3600)]
    """Time for one answer, in seconds; beyond it the fallback answers."""
    fallback: str | None = None
    """Who answers instead; required, its absence is a PipelineError."""
    run_on: Literal["thread", "process"] = "thread"
    """A thread for what can only be slow; a process for what can hang or crash."""
    breaker: Breaker = Breaker()
    """When it is not asked any more for a while."""


class ItemSettings(StageSettings):
    """What every stage on items can be told."""

    input: Name | tuple[Name, ...]
    """The cameras or stages it reads; one name, or a list."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names under ``input``."""
        return (self.input,) if isinstance(self.input, str) else self.input


class DetectorSettings(Form):
    """What every detector can be told."""

    use: str
    """Which detector it is; `sightline stages` lists them."""
    budget_s: Annotated[float, Field(gt=0, le=60)] = 0.1
    """Time for one answer, in seconds; beyond it the fallback answers."""
    # Not part of the identity: answers are the same bytes with and without, so a run may go on, and
    # its detectors may be run again, in the other way.
    isolated: Annotated[bool, Field(exclude=True)] = False
    """Run it in a process of its own: if it hangs or crashes, the run goes on."""

"""Checks of single stages of a pipeline description, and of what they ask of each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NoReturn, Protocol

from sightline.errors import UsageError
from sightline.runtime.calibration_stage import calibration_settings
from sightline.runtime.novelty_stage import novelty_settings
from sightline.runtime.pipeline import (
    AlarmForm,
    CalibrationForm,
    NoveltyForm,
    Pipeline,
    ScorerForm,
    SilenceForm,
    stage_budgets_s,
)
from sightline.runtime.plan import Measure


class Fail(Protocol):
    """Raises a PipelineError that names the stage."""

    def __call__(
        self, stage: str, expected: str, got: str, near: Sequence[str] = ()
    ) -> NoReturn: ...


def check_inhibitions(pipeline: Pipeline, fail: Fail) -> None:
    """Whoever inhibits decides, is not inhibited itself, and is waited for within the budget."""
    stages = pipeline.stages
    for name, form in stages.items():
        if not isinstance(form, AlarmForm | SilenceForm) or not form.inhibited_by:
            continue
        for wider in form.inhibited_by:
            other = stages.get(wider)
            if not isinstance(other, AlarmForm | SilenceForm):
                fail(name, "inhibited_by: stages that decide", wider, near=list(stages))
            if other.inhibited_by:
                fail(name, "inhibition one level deep", f"{wider!r} is itself inhibited")
        if form.scope != "key":
            fail(name, "inhibition of scope key", f"scope: {form.scope}")
        if form.inhibit_hold_s is None:
            fail(name, "inhibit_hold_s beside inhibited_by", "none")
        if form.inhibit_hold_s > pipeline.latency_budget_s:
            fail(
                name,
                f"inhibit_hold_s within latency_budget_s ({pipeline.latency_budget_s:g})",
                f"{form.inhibit_hold_s:g}",
            )


def check_budgets(pipeline: Pipeline, fail: Fail) -> None:
    """The stages run one after the other, so their shares must fit the whole together."""
    budgets_s = stage_budgets_s(pipeline)
    whole_s = pipeline.latency_budget_s
    if sum(budgets_s.values()) > whole_s:
        fail(
            max(budgets_s, key=lambda name: budgets_s[name]),
            f"stage budgets of at most latency_budget_s ({whole_s:g} s) together",
            f"{sum(budgets_s.values()):g} s",
        )


def check_guard(name: str, form: ScorerForm, pipeline: Pipeline, fail: Fail) -> None:
    """A guarded stage has a fallback of the same type, and a deadline within the budget."""
    if form.guarded is None:
        return
    fallback = form.guarded.fallback
    if fallback is None:
        fail(name, "guarded.fallback: who answers by the deadline", "none")
    if fallback not in ("level_deviation", "robust_deviation") or fallback == form.use:
        fail(
            name,
            "guarded.fallback: another scorer of the same type",
            fallback,
            ["level_deviation", "robust_deviation"],
        )
    if form.guarded.budget_s > pipeline.latency_budget_s:
        fail(name, "guarded.budget_s within latency_budget_s", f"{form.guarded.budget_s:g}")


def check_learning(
    name: str, form: NoveltyForm | CalibrationForm, adds: Sequence[Measure], fail: Fail
) -> None:
    """Settings that the stage can work with, and no two measures of one field."""
    columns = [m.column for m in adds]
    for column in columns:
        if columns.count(column) > 1:
            fail(name, "one measure of each field", f"several that make {column}")
    try:
        if isinstance(form, CalibrationForm):
            calibration_settings(form)
            return
        settings = novelty_settings(form)
    except UsageError as error:
        fail(name, error.expected, error.got)
    # Two stretches of the widest that do not overlap, after the first whole one.
    least = 3 * settings.widths[-1]
    if form.learn_windows < least:
        fail(
            name,
            f"learn_windows of {least} or more for stretches of {settings.widths[-1]}",
            str(form.learn_windows),
        )


def check_thresholds(name: str, form: AlarmForm, fail: Fail) -> None:
    """One raise threshold, finite, and a clear threshold on its quiet side."""
    high = form.raise_above is not None
    low = form.raise_below is not None
    if high == low:
        fail(name, "either raise_above or raise_below", "both" if high else "neither")
    clear = form.clear_below if high else form.clear_above
    other = form.clear_above if high else form.clear_below
    if other is not None:
        fail(name, "the clear threshold on the quiet side", "the other one")
    at = form.raise_above if high else form.raise_below
    assert at is not None
    if clear is not None and (clear > at if high else clear < at):
        fail(
            name,
            "a clear threshold on the quiet side of the raise threshold",
            f"{clear:g} for {at:g}",
        )
    if not math.isfinite(at):
        fail(name, "a finite threshold", str(at))
    if form.m > form.n:
        fail(name, "m at most n", f"{form.m} of {form.n}")

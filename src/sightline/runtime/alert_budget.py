"""From a stated number of false alerts to the threshold of an alarm on calibrated scores."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from sightline.decide.alerting.budget import BudgetTarget, allocate
from sightline.records.signals import NS_PER_S
from sightline.runtime.pipeline import AlarmForm, CalibrationForm, Pipeline, deciding_form, digest
from sightline.runtime.plan import Chain, Step
from sightline.runtime.plan_checks import Fail, check_thresholds

_DAY_NS = 86_400 * NS_PER_S


def with_budgets(chain: Chain, fail: Fail) -> Chain:
    """The chain with the thresholds that the budgets of its alarms come to.

    The expected false alerts of one key in a day are shared evenly by the measures of the stage
    (Bonferroni: rates add however the measures depend on each other). A measure is tested once a
    block of its calibration, so a share of ``a`` a day with ``b`` blocks a day is a rarity of
    ``-log10(a / b)``. Persistence makes it less; nothing is taken back for it.

    Raises:
        PipelineError: a budget on what is not calibrated, or one that asks for nothing.
    """
    return replace(chain, steps=tuple(_with_budget(chain, step, fail) for step in chain.steps))


def with_forms(pipeline: Pipeline, chains: Iterable[Chain]) -> Pipeline:
    """The pipeline with the forms of its chains' steps, so that a run keeps its thresholds."""
    forms = {step.name: step.form for chain in chains for step in chain.steps}
    stages = {name: forms.get(name, form) for name, form in pipeline.stages.items()}
    return pipeline if stages == pipeline.stages else pipeline.model_copy(update={"stages": stages})


def _with_budget(chain: Chain, step: Step, fail: Fail) -> Step:
    form = step.form
    if not isinstance(form, AlarmForm) or form.false_alerts_per_day is None:
        return step
    scored = next((s.form for s in chain.steps if s.name == form.input), None)
    if not isinstance(scored, CalibrationForm):
        fail(step.name, "false_alerts_per_day: on measures of a `calibration`", form.input)
    blocks_per_day = _DAY_NS / (scored.block_windows * chain.slide_ns)
    share = allocate(
        BudgetTarget(per_satellite_day=form.false_alerts_per_day),
        np.full(len(step.reads), blocks_per_day),
    )
    rarity = round(-math.log10(float(share[0])), 9)
    if form.raise_below is not None or form.raise_above not in (None, rarity):
        fail(step.name, f"either false_alerts_per_day (which is raise_above: {rarity:g})", "both")
    if rarity <= 0:
        fail(
            step.name,
            f"less than one false alert per block of each of {len(step.reads)} measures, "
            f"{blocks_per_day * len(step.reads):g} a day",
            f"{form.false_alerts_per_day:g}",
        )
    found = form.model_copy(update={"raise_above": rarity})
    check_thresholds(step.name, found, fail)
    version = f"{step.name}@{digest(deciding_form(found))[:8]}"
    return replace(step, form=found, version=version)

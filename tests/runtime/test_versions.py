"""A stage that may say something else on the same data has another version: the digest shows it."""

from functools import cache

import pytest

from sightline.runtime.pipeline import BUILT_IN_STAGES, stage_registry
from simulation.learning_runs import learning_plan
from simulation.line_world import line_plan
from simulation.site_cases import plan_of, yard
from simulation.small_world import small_plan
from simulation.trials import gateway_plan

MADE = {
    "novelty": lambda: learning_plan(calibration={}),
    "calibration": lambda: learning_plan(calibration={}),
    "packet_loss": gateway_plan,
    "expectation": gateway_plan,
    "version_change": gateway_plan,
    "inspect": line_plan,
    "parts": line_plan,
    "level_deviation": lambda: small_plan(
        stages={"odd": {"use": "level_deviation", "guarded": None}}
    ),
    **dict.fromkeys(("windows", "presence", "robust_deviation", "alarm", "silence"), small_plan),
    **dict.fromkeys(
        ("detect", "camera_health", "track", "zones", "machine"), lambda: plan_of(yard())
    ),
}
"""A pipeline with each stage that Sightline brings."""


@cache
def digest_of(use):
    return MADE[use]().digest


def test_every_stage_that_sightline_brings_is_here():
    assert set(MADE) == set(BUILT_IN_STAGES)


@pytest.mark.parametrize("use", sorted(MADE))
def test_the_version_of_a_stage_is_in_the_digest_of_its_pipeline(monkeypatch, use):
    before = digest_of(use)
    found = stage_registry().find(use, where="test")
    monkeypatch.setattr(found, "version", found.version + 1)
    assert MADE[use]().digest != before

"""Which version of which scorer is live in which stage, for the log."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sightline.runtime.pipeline import ScorerForm
from sightline.runtime.plan import Plan

SCORER_VERSIONS: Mapping[str, str] = MappingProxyType(
    {"robust_deviation": "1", "level_deviation": "1"}
)
"""Counted up whenever a scorer may answer differently to the same request."""


def live_models(plan: Plan) -> dict[str, str]:
    """Scorer and version by stage, the fallback's too; as a run logs them in MODEL entries."""
    found: dict[str, str] = {}
    for name, form in plan.pipeline.stages.items():
        if isinstance(form, ScorerForm):
            found[name] = _named(form.use)
            if form.guarded is not None and form.guarded.fallback is not None:
                found[name] += f", fallback {_named(form.guarded.fallback)}"
    return found


def _named(scorer: str) -> str:
    return f"{scorer}@{SCORER_VERSIONS[scorer]}"

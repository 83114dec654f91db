"""Run a pipeline and keep the promises: description, engine, hosting, replay, comparison."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from sightline.late_names import late_names

if TYPE_CHECKING:
    from sightline.runtime.engine.comparison import RunComparison, compare_runs
    from sightline.runtime.engine.replay import ReplayVerdict, replay_run
    from sightline.runtime.pipeline import Pipeline
    from sightline.runtime.pipeline_file import load_plan
    from sightline.runtime.plan import Plan
    from sightline.runtime.planner import make_plan
    from sightline.runtime.run import run_pipeline
    from sightline.runtime.run_directory import RunDirectory
    from sightline.runtime.run_options import Progress, RunOptions
    from sightline.runtime.run_report import RunReport

__all__ = [
    "Pipeline",
    "Plan",
    "Progress",
    "ReplayVerdict",
    "RunComparison",
    "RunDirectory",
    "RunOptions",
    "RunReport",
    "compare_runs",
    "load_plan",
    "make_plan",
    "replay_run",
    "run_pipeline",
]

_PLACES: Mapping[str, str] = MappingProxyType(
    {
        "Pipeline": "sightline.runtime.pipeline",
        "Plan": "sightline.runtime.plan",
        "Progress": "sightline.runtime.run_options",
        "ReplayVerdict": "sightline.runtime.engine.replay",
        "RunComparison": "sightline.runtime.engine.comparison",
        "RunDirectory": "sightline.runtime.run_directory",
        "RunOptions": "sightline.runtime.run_options",
        "RunReport": "sightline.runtime.run_report",
        "compare_runs": "sightline.runtime.engine.comparison",
        "load_plan": "sightline.runtime.pipeline_file",
        "make_plan": "sightline.runtime.planner",
        "replay_run": "sightline.runtime.engine.replay",
        "run_pipeline": "sightline.runtime.run",
    }
)
__getattr__ = late_names(__name__, _PLACES)

"""Run a pipeline and keep the promises: description, engine, hosting, replay, comparison."""

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

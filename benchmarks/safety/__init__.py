"""The site safety application: machines that stop for people, and the trial that shows it."""

from benchmarks.safety.scene import Person, Scene
from benchmarks.safety.scene_drawing import SceneConfig, draw_clear, draw_conflict
from benchmarks.safety.sensor import SensorModel
from benchmarks.safety.trial import Deployment, Trial, run_trial

__all__ = [
    "Deployment",
    "Person",
    "Scene",
    "SceneConfig",
    "SensorModel",
    "Trial",
    "draw_clear",
    "draw_conflict",
    "run_trial",
]

"""The site safety application: machines that stop for people, and the trial that shows it."""

from sightline.apps.site_safety.scene import Person, Scene
from sightline.apps.site_safety.scene_drawing import SceneConfig, draw_clear, draw_conflict
from sightline.apps.site_safety.sensor import SensorModel
from sightline.apps.site_safety.trial import Deployment, Trial, run_trial

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

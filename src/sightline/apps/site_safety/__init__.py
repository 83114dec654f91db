"""The site safety application: machines that stop for people."""

from sightline.apps.site_safety.scene import Scene, SceneConfig, Walk, draw_scene
from sightline.apps.site_safety.sensor import SensorModel
from sightline.apps.site_safety.trial import Tracker, Trial, run_trial
from sightline.apps.site_safety.vehicle import VehicleModel

__all__ = [
    "Scene",
    "SceneConfig",
    "SensorModel",
    "Tracker",
    "Trial",
    "VehicleModel",
    "Walk",
    "draw_scene",
    "run_trial",
]

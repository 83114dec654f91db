"""Predict: where tracks will be in the next few seconds, and how sure that is.

Everything here is a function of past positions on the ground in metres. Constant velocity is the
baseline; people are predicted by whether they walk or stand. Regions are calibrated on tracks of
another place, and hold what they say as far as the new place is like it.
"""

from sightline.perceive.predict.calibration import Regions, calibrated, learn_regions
from sightline.perceive.predict.constant_velocity import predict_constant_velocity
from sightline.perceive.predict.fitting import fit_velocity_model
from sightline.perceive.predict.velocity_model import VelocityModel
from sightline.perceive.predict.walking import WalkingModel, predict_walking

__all__ = [
    "Regions",
    "VelocityModel",
    "WalkingModel",
    "calibrated",
    "fit_velocity_model",
    "learn_regions",
    "predict_constant_velocity",
    "predict_walking",
]

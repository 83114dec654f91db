"""Predict: where tracks will be in the next few seconds, and how sure that is.

Everything here is a function of past positions on the ground in metres. Constant velocity is the
baseline; people are predicted by whether they walk or stand. Regions are calibrated on tracks of
another place, and hold what they say as far as the new place is like it.
"""

from benchmarks.prediction.calibration import Regions, calibrated, learn_regions
from benchmarks.prediction.constant_velocity import predict_constant_velocity
from benchmarks.prediction.fitting import fit_velocity_model
from benchmarks.prediction.velocity_model import VelocityModel
from benchmarks.prediction.walking import WalkingModel, predict_walking

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

"""What a score means: how rare it is among the normal blocks of its own series."""

from sightline.perceive.normal.calibration.calibration_bank import CalibrationBank
from sightline.perceive.normal.calibration.reference import calibrated
from sightline.perceive.normal.calibration.settings import CalibrationSettings

__all__ = ["CalibrationBank", "CalibrationSettings", "calibrated"]

"""Detect: say what is in a frame. One type, three ways: motion, an exported model, a table.

Everything here is a function of frames and stated settings, and can be used from a notebook
without the runtime.
"""

from sightline.perceive.detect.detector import Detector, DetectorFailed
from sightline.perceive.detect.motion import MotionDetector, MotionSettings
from sightline.perceive.detect.onnx_detector import OnnxDetector, OnnxSettings
from sightline.perceive.detect.people import CameraPersonSize, RowPersonSize
from sightline.perceive.detect.replayed import ReplayedDetector

__all__ = [
    "CameraPersonSize",
    "Detector",
    "DetectorFailed",
    "MotionDetector",
    "MotionSettings",
    "OnnxDetector",
    "OnnxSettings",
    "ReplayedDetector",
    "RowPersonSize",
]

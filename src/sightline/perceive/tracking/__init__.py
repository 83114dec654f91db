"""Tracking: detections of one stream become things with an identity, followed over time."""

from sightline.perceive.tracking.motion_plane import CameraGeometry
from sightline.perceive.tracking.settings import TrackerSettings
from sightline.perceive.tracking.tracker import Tracker

__all__ = ["CameraGeometry", "Tracker", "TrackerSettings"]

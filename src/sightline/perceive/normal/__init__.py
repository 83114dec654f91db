"""One idea of normal: features, a bounded memory of them, a distance, a calibrated score."""

from sightline.perceive.normal.memory import NormalMemory

__all__ = ["NormalMemory"]

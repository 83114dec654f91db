"""Detectors of many series side by side: the state of tens of thousands of them, in arrays."""

from sightline.perceive.normal.bank.detector_bank import DetectorBank

__all__ = ["DetectorBank"]

"""The second opinion: what a forecaster of the series did not expect."""

from sightline.perceive.normal.forecast.detector import ForecastDetector
from sightline.perceive.normal.forecast.settings import ForecastSettings

__all__ = ["ForecastDetector", "ForecastSettings"]

"""Events found in series of files, explained: ``sightline detect --explain``."""

from sightline.evidence.series_events.event_account import (
    MAX_ALERTS,
    SeriesAlert,
    explain_events,
    series_alert_lines,
)
from sightline.evidence.series_events.event_picture import write_series_alerts

__all__ = [
    "MAX_ALERTS",
    "SeriesAlert",
    "explain_events",
    "series_alert_lines",
    "write_series_alerts",
]

"""Accounts of alerts of telemetry for people: why, since when, and what would not have alerted."""

from sightline.evidence.alert_account.run_alert import RunAlert, explain_alert
from sightline.evidence.alert_account.run_picture import draw_run_alert
from sightline.evidence.alert_account.run_text import run_alert_lines
from sightline.evidence.series_events.event_account import MAX_ALERTS, SeriesAlert, explain_events
from sightline.evidence.series_events.event_picture import write_series_alerts
from sightline.evidence.series_events.event_text import series_alert_lines

__all__ = [
    "MAX_ALERTS",
    "RunAlert",
    "SeriesAlert",
    "draw_run_alert",
    "explain_alert",
    "explain_events",
    "run_alert_lines",
    "series_alert_lines",
    "write_series_alerts",
]

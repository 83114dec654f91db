"""Prometheus rules and the Grafana dashboard, made from the metrics that a run really serves.

``python deploy/generate.py`` writes them; a test compares, so that they cannot drift.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from sightline.act import RunMetrics

HERE = Path(__file__).parent
RULES = HERE / "prometheus" / "rules.yaml"
DASHBOARD = HERE / "grafana" / "dashboards" / "sightline.json"
_HEAD = "# Written by deploy/generate.py: change it there.\n"
_WIDE, _HIGH, _IN_A_ROW = 8, 7, 3

ALERTS: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "SightlineAbsent",
        "absent(sightline_ledger_well)",
        "2m",
        "critical",
        "Nothing is scraped of Sightline: it does not run, or cannot be reached.",
    ),
    (
        "SightlineDeadlinesMissed",
        "sum by (stage) (rate(sightline_deadline_missed_total[5m])) > 0.01",
        "5m",
        "warning",
        "Stage {{ $labels.stage }} takes longer than its budget; its fallback answers.",
    ),
    (
        "SightlineBreakerOpen",
        "sightline_breaker_state == 1",
        "1m",
        "warning",
        "Stage {{ $labels.stage }} is not asked any more: its fallback answers for it.",
    ),
    (
        "SightlineAlertsNotTaken",
        "sightline_alert_delivery_alarm == 1",
        "1m",
        "critical",
        "Receiver {{ $labels.receiver }} takes no alerts, or has refused some for good.",
    ),
    (
        "SightlineLedgerFails",
        "sightline_ledger_well == 0",
        "5m",
        "warning",
        "The ledger stores nothing; the run goes on, and the log has everything.",
    ),
    (
        "SightlineRowsRefused",
        'sum(rate(sightline_records_total{outcome="quarantined"}[15m])) '
        "> 0.05 * sum(rate(sightline_records_total[15m]))",
        "15m",
        "warning",
        "More than 5 % of the rows break their contract: `sightline quarantine RUN` shows them.",
    ),
)
"""Name, expression, how long, severity, what it means."""


def metrics() -> list[Metric]:
    """Every metric that a run serves, by name."""
    text = RunMetrics().render().decode()
    return sorted(text_string_to_metric_families(text), key=lambda metric: str(metric.name))


def rules() -> str:
    """Alerting rules of Prometheus, YAML."""
    plain = {
        "groups": [
            {
                "name": "sightline",
                "rules": [
                    {
                        "alert": name,
                        "expr": expression,
                        "for": held,
                        "labels": {"severity": severity},
                        "annotations": {"summary": meaning},
                    }
                    for name, expression, held, severity, meaning in ALERTS
                ],
            }
        ]
    }
    return _HEAD + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)


def dashboard() -> str:
    """A dashboard of Grafana with a panel for each metric, JSON."""
    panels = [_panel(number, metric) for number, metric in enumerate(metrics())]
    plain = {
        "uid": "sightline",
        "title": "Sightline",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "panels": panels,
    }
    return json.dumps(plain, indent=1) + "\n"


def _panel(number: int, metric: Metric) -> dict[str, Any]:
    unit = "s" if metric.name.endswith("_seconds") else "short"
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": metric.documentation,
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "gridPos": {
            "x": number % _IN_A_ROW * _WIDE,
            "y": number // _IN_A_ROW * _HIGH,
            "w": _WIDE,
            "h": _HIGH,
        },
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + i), "expr": expression, "legendFormat": legend}
            for i, (expression, legend) in enumerate(_queries(metric))
        ],
    }


def _queries(metric: Metric) -> list[tuple[str, str]]:
    name = str(metric.name)
    if metric.type == "counter":
        return [(f"rate({name}_total[1m])", "__auto")]
    if metric.type == "histogram":
        return [
            (f"histogram_quantile({q}, sum by (le) (rate({name}_bucket[5m])))", f"p{q * 100:g}")
            for q in (0.5, 0.95, 0.99)
        ]
    return [(name, "__auto")]


if __name__ == "__main__":
    RULES.write_text(rules(), encoding="utf-8")
    DASHBOARD.write_text(dashboard(), encoding="utf-8")

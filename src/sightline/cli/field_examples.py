"""An example of each field that has no default to show, as YAML: for JSON Schema, ``sightline
stages`` and the reference.

A field whose default says something is its own example. A test refuses a field with neither, and an
example that the field does not take.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

EXAMPLES: Mapping[str, str] = MappingProxyType(
    {
        # pipelines
        "pipeline": "battery",
        "description": "Warns when a battery is low.",
        "plugins": "[jumps]",
        "Pipeline.sources": "{telemetry: {contract: telemetry.contract.yaml}}",
        "Pipeline.detectors": "{motion: {use: motion}}",
        "Pipeline.stages": "{minutes: {use: windows, input: telemetry, width_s: 60}}",
        "alerting": "{hold_s: 30, by: [gateway]}",
        "RowsForm.contract": "telemetry.contract.yaml",
        "RowsForm.options": "{separator: '|'}",
        "CameraForm.frames": "{width_px: 1280, height_px: 720, rate_hz: 15, max_age_s: 0.5}",
        "geometry": "east.yaml",
        "view": "887888889838d8888788888887888888888778a88882a5e8"
        "894458888888877888eba9888858888977855138aa867888",
        "options": "{start_s: 0.5}",
        "use": "windows",
        "budget_s": "0.1",
        "AlertingForm.by": "[satellite, gateway]",
        "digest_by": "gateway",
        "subjects": "{sat-1: {gateway: gw-north}}",
        "subjects_file": "gateways.yaml",
        "latching": "[STATION_ERRORS]",
        "revise_s": "60",
        "quality": "80",
        "share": "perception",
        # contracts
        "Contract.contract": "telemetry",
        "Contract.key": "[satellite]",
        "group": "region",
        "event_time": "{column: time, format: iso8601}",
        "EventTime.clock": "time_of_day",
        "receipt_time": "{column: received, format: unix_ns}",
        "sequence": "{column: counter}",
        "duplicate_key": "[satellite, time]",
        "Contract.fields": "{bus_voltage_v: {type: number, unit: V}}",
        "expected_rate_hz": "1",
        "Contract.silence": "{timeout_s: 60}",
        "known_keys": "[sat-1, sat-2]",
        "origin_column": "file",
        "constants": "{plant: north}",
        "tile": "{zoom: 9, lon: lon, lat: lat}",
        "zoom": "9",
        "lon": "lon",
        "lat": "lat",
        "archive": "{arrays: [train], columns: {value: 0}, stem_column: channel}",
        "column": "Bus Voltage [V]",
        "assumed": '{start: "2026-01-01T00:00:00Z", period_s: 1}',
        "period_s": "60",
        "start": '"2026-01-01T00:00:00Z"',
        "end": '"2026-01-01T00:10:00Z"',
        "type": "number",
        "unit": "V",
        "range": "[0, 40]",
        "missing": '["-", n/a]',
        "unit_column": "unit",
        "allowed": "[NOMINAL, SAFE]",
        "plausibility": "{stuck_for_s: 45, max_rate_per_s: 1, max_nan_share: 0.5}",
        "stuck_for_s": "45",
        "max_rate_per_s": "1",
        "max_nan_share": "0.5",
        "watermark_by": "[gateway]",
        "timeout_s": "60",
        "contacts": '[{key: sat-1, start: "2026-01-01T00:00:00Z", end: "2026-01-01T00:10:00Z"}]',
        "Contact.key": "sat-1",
        "arrays": "[train, test]",
        "columns": "{value: 0}",
        "stem_column": "channel",
        "array_column": "split",
        # cameras and sites
        "width_px": "1280",
        "height_px": "720",
        "rate_hz": "15",
        "max_age_s": "0.5",
        "overlays": "[[0, 0, 0.2, 0.05]]",
        "SiteForm.use": "site",
        "images": "{keep: alerts}",
        "SiteForm.detectors": "{motion: {use: motion}}",
        "cameras": "{east: {contract: east.contract.yaml, detector: motion}}",
        "SiteForm.zones": "{pit: {camera: east, polygon_px: [[0, 0], [90, 0], [90, 90]]}}",
        "machines": "{saw: {cameras: [east], zones: [pit]}}",
        "SiteCamera.contract": "{width_px: 1280, height_px: 720, rate_hz: 15, max_age_s: 0.5}",
        "detector": "motion",
        "fallback": "motion",
        "PartsSettings.fallback": "review",
        "GuardSettings.fallback": "level_deviation",
        # stages
        "input": "minutes",
        "code": "BATTERY_LOW",
        "inhibited_by": "[region_silence]",
        "inhibit_hold_s": "20",
        "measure": "bus_voltage_v.mean",
        "raise_above": "33",
        "clear_below": "31",
        "raise_below": "24",
        "clear_above": "25",
        "false_alerts_per_day": "0.1",
        "commands": "commands",
        "versions": "versions",
        "intended": '{"4.2": [wheel_speed_rpm]}',
        "named_by": "firmware",
        "model": "people.onnx",
        "digest": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
        "InspectSettings.guarded": "{budget_s: 0.5}",
        "guarded": "{budget_s: 2, fallback: level_deviation}",
        "measures": "[bus_voltage_v.mean]",
        "floor": "{bus_voltage_v.mean: 0.1}",
        "MachineSettings.zones": "[east_zones]",
        "moving": "{machine_class: vehicle, length_m: 2.5, width_m: 1.2, response_s: 0.3, "
        "least_deceleration_m_s2: 2}",
        "level_of": "{DWELL: warn}",
        "machine_class": "vehicle",
        "length_m": "2.5",
        "width_m": "1.2",
        "response_s": "0.3",
        "least_deceleration_m_s2": "2",
        "top_speed_m_s": "3",
        "lost_timeout_s": "5",
        "carried_on_s": "2",
        "width_s": "60",
        "slide_s": "10",
        "WindowsSettings.fields": "[bus_voltage_v]",
        "expressions": "{outage: {sql: avg(case when snr_db < 3 then 1.0 else 0.0 end), "
        'unit: "1"}}',
        "sql": "avg(case when snr_db < 3 then 1.0 else 0.0 end)",
        "ZonesSettings.zones": "{pit: {polygon_px: [[0, 0], [90, 0], [90, 90]]}}",
        "polygon_m": "[[0, 0], [6, 0], [6, 4], [0, 4]]",
        "polygon_px": "[[200, 300], [600, 300], [600, 700], [200, 700]]",
        "max_occupancy": "4",
        "max_speed_m_s": "2",
        "max_dwell_s": "30",
        "margin_m": "0.2",
        "margin_px": "8",
        # parts on a line
        "line": "{source: drive, key: belt-1}",
        "stations": "{camera: {at_m: 1.2, tolerance_m: 0.05}}",
        "serial_at": "{at_m: 0.4, tolerance_m: 0.05}",
        "gate_m": "3.5",
        "deadline_s": "2",
        "takt_s": "0.25",
        "min_gap_m": "0.1",
        "nominal_m_s": "0.5",
        "process": "{torque: {column: torque_nm, key: press-1, unit: N m, low: 4, high: 6}}",
        "LineForm.source": "drive",
        "key": "belt-1",
        "pitch_m": "0.25",
        "serial": "serial",
        "part_number": "part_number",
        "recipe": "recipe",
        "at_m": "1.2",
        "tolerance_m": "0.05",
        "ProcessForm.column": "torque_nm",
        "low": "4",
        "high": "6",
        "zone_px": "[0, 0, 400, 300]",
        "miss_cost": "100",
        "false_reject_cost": "5",
        "review_cost": "1",
        "rework_cost": "8",
        "odds_offset": "-2",
        "odds_slope": "1.5",
        "drift_column": "temperature_c",
        "drift_key": "oven-1",
        # detectors
        "file": "detections.txt",
        "person_px": "[40, 160]",
        "sha256": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
        "classes": "[person]",
        "class_names": "[person, vehicle]",
        "input_px": "[640, 640]",
        "layout": "yolo_columns",
        "box_form": "cxcywh",
        "box_unit": "pixels",
        # sources and outlets
        "RecordingOptions.rate_hz": "15",
        "time_in_name": "'_(?P<time>[0-9]+)'",
        "times_file": "times.txt",
        "video_stream": "0",
        "dead_letter": "telemetry.dead",
        "consumer": "sightline",
        "headers": "{X-Team: night}",
        "username": "sightline",
        "password": "…",
        "controller": "sightline",
        "ca_file": "ca.pem",
        "certificate_file": "client.pem",
        "key_file": "client.key",
    }
)  # fmt: skip
"""By ``Form.field``, or by ``field`` where that is enough; as YAML."""


_UNITS = {
    "_s": "s", "_ns": "ns", "_m": "m", "_px": "px", "_rad": "rad", "_hz": "Hz", "_m_s": "m/s",
    "_m_s2": "m/s²", "_ms": "ms", "_bytes": "bytes", "_windows": "windows", "_blocks": "blocks",
    "_rows": "rows",
}  # fmt: skip
"""Units by the end of a field's name."""


def unit_of(field: str) -> str:
    """The unit of a field, by its name; ``""`` for one that has none.

    >>> unit_of("top_speed_m_s"), unit_of("code")
    ('m/s', '')
    """
    ends = [end for end in _UNITS if field.endswith(end)]
    return _UNITS[max(ends, key=len)] if ends else ""


def default_of(field: FieldInfo) -> Any:
    """What is taken where the field is left out, as plain values; None where it is required."""
    if field.is_required():
        return None
    default = field.get_default(call_default_factory=True)
    if isinstance(default, SecretStr):
        return "…"
    return default.model_dump(mode="json") if isinstance(default, BaseModel) else default


def example_of(form: str, name: str, field: FieldInfo) -> str | None:
    """The example of a field, as YAML; None where it has none, and no default to show either."""
    written = EXAMPLES.get(f"{form}.{name}", EXAMPLES.get(name))
    default = default_of(field)
    says_something = default is not None and default not in ((), {}, [], "")
    if f"{form}.{name}" not in EXAMPLES and says_something:
        return in_yaml(default)
    return written


def in_yaml(value: Any) -> str:
    """A plain value on one line.

    >>> in_yaml({"keep": "alerts", "most": 3}), in_yaml(None)
    ('{keep: alerts, most: 3}', 'null')
    """
    text = yaml.safe_dump(_plain(value), default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(mode="json"))
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    return value if value is None or type(value) in (bool, int, float, str) else str(value)


def forms_in(form: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A form and all that its fields hold, each once."""
    found: dict[type[BaseModel], None] = {form: None}
    waiting = [form]
    while waiting:
        for field in waiting.pop().model_fields.values():
            new = [one for one in _forms_of(field.annotation) if one not in found]
            found.update(dict.fromkeys(new))
            waiting += new
    yield from found


def _forms_of(kind: Any) -> list[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [form for one in typing.get_args(kind) for form in _forms_of(one)]


def add_examples(schema: dict[str, Any], form: type[BaseModel]) -> None:
    """Put unit and example of each field into the JSON Schema of a form and of those in it."""
    parts = {**schema.get("$defs", {}), form.__name__: schema}
    for one in forms_in(form):
        properties = parts.get(one.__name__, {}).get("properties", {})
        for name, field in one.model_fields.items():
            if name not in properties:
                continue
            example, unit = example_of(one.__name__, name, field), unit_of(name)
            if example is not None:
                properties[name]["examples"] = [yaml.safe_load(example)]
            if unit:
                properties[name]["x-unit"] = unit

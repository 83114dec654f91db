"""A pipeline, its contract and a site in which everything is right, and input that fits them."""

from datetime import UTC, datetime

import cv2
import numpy as np

PIPELINE = """\
pipeline: battery
sources:
  telemetry: {contract: t.yaml}
stages:
  minutes: {use: windows, input: telemetry, width_s: 60, statistics: [mean]}
  low:
    use: alarm
    input: minutes
    measure: bus_v.mean
    unit: V
    raise_below: 24
    code: LOW
"""
CONTRACT = """\
contract: telemetry
key: [satellite]
event_time: {column: time, format: iso8601}
fields:
  bus_v: {type: number, unit: V, range: [0, 40]}
timing: {out_of_order_s: 5}
"""
SITE = """\
use: site
pipeline: yard
detectors: {moves: {use: motion}}
cameras:
  east:
    contract: {width_px: 160, height_px: 120, rate_hz: 15, max_age_s: 1}
    detector: moves
  west:
    contract: {width_px: 128, height_px: 96, rate_hz: 15, max_age_s: 1}
    detector: moves
zones:
  pit:
    camera: east
    polygon_px: [[10, 10], [99, 10], [99, 99]]
    classes: [moving]
"""
START_S = 1767225600


def write_right_files(folder):
    """``p.yaml`` and the contract ``t.yaml`` that it names, and ``s.yaml``."""
    for name, text in (("p", PIPELINE), ("t", CONTRACT), ("s", SITE)):
        (folder / f"{name}.yaml").write_text(text)


def iso(at_s):
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_rows(path, *, header="time,satellite,bus_v", row="{iso},sat-1,{v}", count=180):
    """Three minutes; the battery is low in the second."""
    rows = []
    for i in range(count):
        volts = 22.5 if 60 <= i < 120 else 28.5
        at_s = START_S + i
        day = datetime.fromtimestamp(at_s, UTC).strftime("%d.%m.%Y %H:%M:%S")
        rows.append(row.format(iso=iso(at_s), s=at_s, ms=at_s * 1000, day=day, v=volts,
                               comma=str(volts).replace(".", ",")))  # fmt: skip
    path.write_text("\n".join([header, *rows]) + "\n")


def write_video(path, size_px, *, place=0, light=1.0):
    """A second of a yard in which nothing moves; walls and boxes stand where ``place`` says."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 15, size_px)
    ground = np.random.default_rng(1).integers(90, 160, (*size_px[::-1], 1)).astype(np.uint8)
    picture = cv2.GaussianBlur(ground, (9, 9), 0)
    chance = np.random.default_rng(place)
    for _ in range(8 if place else 0):
        left, top, wide, high = (chance.random(4) * [*size_px, *size_px]).astype(int).tolist()
        level = int(chance.integers(30, 220))
        cv2.rectangle(picture, (left, top), (left + wide // 3, top + high // 3), level, -1)
    for _ in range(20):
        writer.write((picture * light).astype(np.uint8)[..., None].repeat(3, 2))
    writer.release()

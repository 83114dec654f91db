"""Options of the command line turned into cameras and actuators."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from sightline.act.actuators import (
    Actuator,
    BrokerAddress,
    JsonLinesActuator,
    MqttActuator,
    WebhookActuator,
)
from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS
from sightline.runtime.frames.site_plan import CameraPlan, SitePlan
from sightline.sense.frames import ImageDirectory, LiveCamera, VideoFile
from sightline.sense.frames.delivery import FrameSource
from sightline.sense.frames.image_times import RateTimes

_LIVE = ("rtsp://", "rtsps://", "http://", "https://")
_MQTT_PORT = 1883
MQTT_USER, MQTT_PASSWORD = "SIGHTLINE_MQTT_USER", "SIGHTLINE_MQTT_PASSWORD"
"""Environment variables with the credentials of a broker, which belong into no command line."""


def is_live_location(location: str) -> bool:
    """Whether a camera's location is an address rather than a file or folder."""
    return location.startswith(_LIVE)


def open_cameras(plan: SitePlan, given: Sequence[str]) -> dict[str, FrameSource]:
    """``CAMERA=LOCATION`` options as frame sources; every one must belong to the pipeline.

    Raises:
        UsageError: an option that is none, or recordings and live cameras in one run.
        SourceError: a location that cannot be read.
    """
    pairs: dict[str, str] = {}
    for item in given:
        name, equals, location = item.partition("=")
        if not equals or name not in plan.cameras:
            raise UsageError(
                expected=f"CAMERA=LOCATION with CAMERA one of {', '.join(plan.cameras)}",
                got=item,
                where="--source",
                action="mend the option",
            )
        pairs[name] = location
    live = {name for name, location in pairs.items() if is_live_location(location)}
    if live and live != set(pairs):
        raise UsageError(
            expected="live cameras alone, or recordings alone",
            got=f"live {', '.join(sorted(live))}, recorded {', '.join(sorted(set(pairs) - live))}",
            where="--source",
            action="serve the recording as a stream, or leave one kind out",
        )
    return {name: _camera(plan.cameras[name], location) for name, location in pairs.items()}


def _camera(camera: CameraPlan, location: str) -> FrameSource:
    if is_live_location(location):
        return LiveCamera(camera.name, location, wall_ns=time.time_ns)
    path, rate_hz = Path(location), camera.contract.rate_hz
    if path.is_dir():
        return ImageDirectory(camera.name, path, times=RateTimes(start_ns=0, rate_hz=rate_hz))
    return VideoFile(camera.name, path, rate_hz=rate_hz)


def parse_actuators(plan: SitePlan, given: Sequence[str]) -> dict[str, Actuator]:
    """``MACHINE=LOCATION`` options as actuators.

    Locations: ``mqtt://HOST[:PORT]/PREFIX``, ``http(s)://…`` or ``jsonl:FILE``.
    """
    found: dict[str, Actuator] = {}
    for item in given:
        name, _, location = item.partition("=")
        url = urlsplit(location)
        if name not in plan.machines:
            _refuse(f"MACHINE=LOCATION with MACHINE one of {', '.join(plan.machines)}", item)
        if location.startswith("jsonl:"):
            found[name] = JsonLinesActuator(Path(location.removeprefix("jsonl:")))
        elif url.scheme in ("http", "https"):
            found[name] = WebhookActuator(location, timeout_s=DEFAULT_LIMITS.delivery_timeout_s)
        elif url.scheme == "mqtt" and url.hostname and url.path.strip("/"):
            found[name] = MqttActuator(
                BrokerAddress(
                    host=url.hostname,
                    port=url.port or _MQTT_PORT,
                    username=os.environ.get(MQTT_USER),
                    password=os.environ.get(MQTT_PASSWORD),
                ),
                prefix=url.path.strip("/"),
                controller=f"sightline-{plan.pipeline.pipeline}-{name}",
                wall_ns=time.time_ns,
                timeout_s=DEFAULT_LIMITS.delivery_timeout_s,
            )
        else:
            _refuse("mqtt://HOST[:PORT]/PREFIX, http(s)://… or jsonl:FILE", item)
    return found


def _refuse(expected: str, got: str) -> None:
    raise UsageError(expected=expected, got=got, where="--actuator", action="mend the option")

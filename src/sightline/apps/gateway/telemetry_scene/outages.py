"""Outages of a gateway: its satellites do not see its beacon and send nothing."""

from __future__ import annotations

import math

from sightline.apps.gateway.telemetry_scene.config import DAY_S, TelemetryScene
from sightline.apps.gateway.telemetry_scene.draws import Purpose, generator
from sightline.apps.gateway.telemetry_scene.traits import Satellite

_LENGTH_S = (120.0, 3_600.0)


def outage_of_day(scene: TelemetryScene, gateway: int, day: int) -> tuple[float, float] | None:
    """Start and end of the outage of a gateway (by index) on a day, if there is one.

    In seconds from the start of the scene; two minutes to an hour long (log-uniform).
    """
    rng = generator(scene.seed, Purpose.OUTAGES, gateway, day)
    if not rng.poisson(scene.outages_per_gateway_day):
        return None
    shortest_s, longest_s = _LENGTH_S
    length_s = shortest_s * (longest_s / shortest_s) ** rng.random()
    start_s = day * DAY_S + rng.random() * (DAY_S - length_s)
    return (start_s, start_s + length_s) if start_s < scene.duration_s else None


def packets_sent(scene: TelemetryScene, satellite: Satellite, until_day: int) -> int:
    """Packets that a satellite sends before a day: one for each sampling time outside outages."""
    gateway = scene.gateway_of(satellite.number)
    count = 0
    for day in range(until_day):
        count += scene.samples_of_day(day)
        outage = outage_of_day(scene, gateway, day)
        if outage is not None:
            first, end = (
                math.ceil((at_s - day * DAY_S - satellite.sample_offset_s) / scene.period_s)
                for at_s in outage
            )
            count -= min(end, scene.samples_of_day(day)) - max(first, 0)
    return count

"""The runs that are recorded: which pipeline on which inputs, and what they must be equal to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One run.

    Attributes:
        name: of its file.
        pipeline: file in the inputs.
        sources: NAME=LOCATION, location relative to the inputs.
        control: file with operator inputs.
        options: further options of ``sightline run``.
        same_as: a scenario that must decide the same.
        alerts: whether a receiver writes down what it is told.
        is_live: fed through standard input in real time; what stands at the end is compared.
        is_killed: killed some times and resumed; needs ``same_as``.
    """

    name: str
    pipeline: str
    sources: tuple[str, ...]
    control: str = ""
    options: tuple[str, ...] = ()
    same_as: str = ""
    alerts: bool = False
    is_live: bool = False
    is_killed: bool = False


_LONG = ("telemetry=long/telemetry.parquet", "logs=long/logs.parquet")
_SHORT = ("telemetry=short/telemetry.parquet", "logs=short/logs.parquet")
_YARD = ("east=east.avi", "west=west.avi")


def _late(name: str) -> tuple[str, str]:
    return f"telemetry={name}_telemetry.parquet", f"logs={name}_logs.parquet"


def _gateway(name: str, sources: tuple[str, ...] = _SHORT, **changes: Any) -> Scenario:
    plain = {"pipeline": "gateway.yaml", "control": "short_contacts.jsonl", **changes}
    return Scenario(name=name, sources=sources, **plain)


def _pets(name: str, pipeline: str = "", **changes: Any) -> Scenario:
    plan = f"{pipeline or name}.yaml"
    return Scenario(name=name, pipeline=plan, sources=("view1=pets.avi",), **changes)


_DESK: dict[str, Any] = {
    "pipeline": "gateway.yaml",
    "control": "short_desk_controls.jsonl",
    "alerts": True,
}
_LEARNING: dict[str, Any] = {"pipeline": "learning.yaml", "control": ""}
_FEW = ("telemetry=few_telemetry.parquet",)

SCENARIOS: tuple[Scenario, ...] = (
    _gateway("demo", _LONG, control="long_contacts.jsonl", alerts=True),
    _gateway("demo_short"),
    _gateway("demo_1_worker", options=("--workers", "1"), same_as="demo_short"),
    _gateway("demo_3_workers", options=("--workers", "3"), same_as="demo_short"),
    _gateway("demo_paced", options=("--speed", "200x"), same_as="demo_short"),
    Scenario(name="smap", pipeline="smap.yaml", sources=("telemetry=smap",)),
    _gateway("desk", **_DESK),
    _gateway("desk_killed", **_DESK, same_as="desk", is_killed=True),
    _gateway("masks", control="short_plain_controls.jsonl", alerts=True),
    _gateway("shuffled", _late("shuffled")),
    _gateway("late", _late("late"), alerts=True),
    _gateway("too_late", _late("too_late")),
    _gateway("desk_late", _late("too_late"), **_DESK),
    _gateway("learning", _FEW, **_LEARNING),
    _gateway("learning_killed", _FEW, **_LEARNING, same_as="learning", is_killed=True),
    Scenario(name="live", pipeline="live.yaml", sources=("t=-",), is_live=True),
    _pets("pets_m_images"),
    _pets("pets_m_packets", same_as="pets_m_images"),
    _pets("pets_px_images"),
    _pets("pets_px_packets", same_as="pets_px_images"),
    Scenario(name="pets_given", pipeline="pets_given.yaml", sources=("view1=pets_large.avi",)),
    Scenario(
        name="yard", pipeline="yard.yaml", sources=_YARD, control="yard_controls.jsonl", alerts=True
    ),
    Scenario(
        name="yard_isolated",
        pipeline="yard_isolated.yaml",
        sources=_YARD,
        control="yard_controls.jsonl",
        same_as="yard",
    ),
    _pets("pets_m_killed", "pets_m_packets", same_as="pets_m_packets", is_killed=True),
)

"""``zones``: who is in which area of one camera, for how long, how many and how fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from sightline.assess.site import SiteAssessment, from_snapshot, snapshot
from sightline.assess.site.assessment import NOBODY
from sightline.assess.site.zones import Polygon, SiteZone, ZoneState, watch_zones, zone_risk
from sightline.decide.standing import Condition
from sightline.errors import UsageError
from sightline.recorder.checkpoint import StateParts
from sightline.records import Tracks
from sightline.records.command import CommandLevel
from sightline.records.decision import Mode, Reason
from sightline.runtime.item_stage import ItemPlan, ItemPlanning, ItemStage, ItemState, Turn
from sightline.runtime.settings import Form, ItemSettings, Name
from sightline.runtime.stages.levels import DEFAULT_LEVELS, SEVERITY
from sightline.runtime.stages.meanings import meaning
from sightline.runtime.stages.track import Sight, tracks_from_mapping, tracks_mapping

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(gt=0, lt=1)]
Point = tuple[
    Annotated[float, Field(allow_inf_nan=False)], Annotated[float, Field(allow_inf_nan=False)]
]


class ZoneForm(Form):
    """An area of one camera's ground (metres) or picture (pixels)."""

    polygon_m: tuple[Point, ...] | None = None
    """Its corners on the ground, (x, y) in metres; or give ``polygon_px``."""
    polygon_px: tuple[Point, ...] | None = None
    """Its corners in the picture, (x, y) in pixels."""
    classes: tuple[str, ...] = ("person",)
    """Whom it is about."""
    is_forbidden: bool = False
    """Whether nobody may be in it."""
    max_occupancy: Annotated[int, Field(ge=0)] | None = None
    """How many may be in it; null: any number."""
    max_speed_m_s: NotNegative | None = None
    """How fast they may move, in m/s; null: at any speed."""
    max_dwell_s: NotNegative | None = None
    """How long one may stay, in seconds; null: for ever."""
    margin: NotNegative = 0.2
    """How far inside or outside its border counts as on it, in the unit of the polygon."""
    hold_s: NotNegative = 0.5
    """How long somebody must have left before they count as gone, in seconds."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.8
    """Probability of being inside from which somebody counts as inside."""
    suspect_probability: Probability = 0.5
    """Probability of being inside from which somebody may be inside."""
    lost_timeout_s: NotNegative = 60.0
    """How long somebody who was lost inside counts as still there, in seconds."""

    @model_validator(mode="after")
    def _one_polygon(self) -> Self:
        if (self.polygon_m is None) == (self.polygon_px is None):
            raise ValueError("either polygon_m or polygon_px")
        return self

    def zone(self, name: str) -> SiteZone:
        """The zone itself.

        Raises:
            UsageError: a polygon that is none, or numbers that do not fit together.
        """
        vertices = self.polygon_m or self.polygon_px
        assert vertices is not None
        rest = self.model_dump(exclude={"polygon_m", "polygon_px"})
        polygon = Polygon.of(vertices, unit="m" if self.polygon_m else "px")
        return SiteZone(name=name, polygon=polygon, **rest)


class ZonesSettings(ItemSettings):
    """Who is in which area of one camera."""

    zones: dict[Name, ZoneForm] = {}
    """Zones of the camera, by name."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CameraView:
    """What is known of a camera after a frame.

    Attributes:
        tracks: at the frame.
        zone_risk: what was found in its zones.
        mode: primary, or fallback where the detector did not answer itself.
        sighted_ns: capture time of the newest frame that a detector has answered, UTC ns; None
            before the first.
    """

    tracks: Tracks
    zone_risk: SiteAssessment
    mode: Mode
    sighted_ns: int | None


class ZonesStage(ItemStage):
    """Who is in which zone of one camera, for how long, how many and how fast."""

    use = "zones"
    Settings = ZonesSettings
    reads = ("tracks",)
    writes = "sights"
    measures = {"risks": "1", "occupancy": "1"}

    def plan(self, planning: ItemPlanning) -> None:
        if len(planning.cameras) != 1:
            planning.fail("one camera", ", ".join(planning.cameras))
        (camera,) = planning.cameras.values()
        for name, form in self.settings.zones.items():
            try:
                zone = form.zone(name)
            except UsageError as error:
                planning.fail(f"zones.{name}: {error.expected}", error.got)
            if zone.polygon.unit == "m" and camera.geometry is None:
                planning.fail(
                    f"zones.{name}: a geometry of {camera.name}, or polygon_px", "polygon_m"
                )

    def zones(self) -> tuple[SiteZone, ...]:
        """Its areas."""
        return tuple(form.zone(name) for name, form in self.settings.zones.items())

    def wanted_classes(self) -> Mapping[str, set[str]]:
        return {f"zones.{n}.classes": set(z.classes) for n, z in self.settings.zones.items()}

    def explain(self, reason: Reason) -> str:
        return meaning(reason.code) or super().explain(reason)

    def begin(self, plan: ItemPlan) -> ZonesState:
        return ZonesState(self, plan)


class ZonesState(ItemState):
    """Who was in which zone. ``value`` is the :class:`CameraView`."""

    value: CameraView | None = None

    def __init__(self, stage: ZonesStage, plan: ItemPlan) -> None:
        (self._input,) = stage.settings.inputs
        (self._camera,) = plan.cameras
        self._zones = stage.zones()
        self._state = ZoneState.start(len(self._zones))
        self._version = f"site@{plan.pipeline}"

    def on_item(self, turn: Turn) -> None:
        sight: Sight = turn.value(self._input)
        tracks = sight.tracks
        risk = SiteAssessment.none(tracks.stream, tracks.capture_ns)
        if self._zones:
            self._state, presence = watch_zones(self._zones, self._state, tracks)
            risk = zone_risk(self._zones, presence, tracks)
        self.value = CameraView(
            tracks=tracks, zone_risk=risk, mode=sight.mode, sighted_ns=sight.sighted_ns
        )
        conditions = risk_conditions(
            risk, self._version, camera=self._camera, names=[z.name for z in self._zones],
            levels=DEFAULT_LEVELS,
        )  # fmt: skip
        turn.say(f"{self._camera}/risk", conditions, mode=sight.mode)
        turn.wrote(*assessment_bytes(risk))
        turn.measure({"risks": len(risk.code), "occupancy": len(tracks)})

    def snapshot(self) -> StateParts:
        view = self.value
        plain: dict[str, Any] = {"zones": snapshot(self._state), "view": None}
        if view is not None:
            plain["view"] = {
                "tracks": tracks_mapping(view.tracks),
                "zone_risk": snapshot(view.zone_risk),
                "mode": str(view.mode),
                "sighted_ns": view.sighted_ns,
            }
        return StateParts(meta=plain)

    def restore(self, parts: StateParts) -> None:
        self._state = from_snapshot(ZoneState, parts.meta["zones"])
        view = parts.meta["view"]
        self.value = None
        if view is not None:
            self.value = CameraView(
                tracks=tracks_from_mapping(view["tracks"]),
                zone_risk=from_snapshot(SiteAssessment, view["zone_risk"]),
                mode=Mode(view["mode"]),
                sighted_ns=view["sighted_ns"],
            )


def risk_conditions(
    risk: SiteAssessment,
    version: str,
    *,
    camera: str,
    names: Sequence[str],
    levels: Mapping[str, CommandLevel],
    machine: str = "",
) -> list[Condition]:
    """Risks as conditions: one per code, subject and other.

    Args:
        risk: what was found at one frame.
        version: of the reasons.
        camera: of the frame.
        names: of the zones, by their number in ``risk``.
        levels: what each reason code asks of a machine; it says how grave it is.
        machine: whose pairs they are; "": nobody's.
    """
    found: list[Condition] = []
    for reason, subject, other, zone in zip(
        risk.reasons(version),
        risk.subject.tolist(),
        risk.other.tolist(),
        risk.zone.tolist(),
        strict=True,
    ):
        group = names[zone] if zone != NOBODY else machine
        parts = [machine, camera] if machine else [camera]
        parts += [f"track-{one}" for one in (subject, other) if one != NOBODY]
        if zone != NOBODY:
            parts.append(group)
        found.append(
            Condition(
                kind=reason.code.lower(),
                subject="/".join(parts),
                group=group,
                severity=SEVERITY[levels.get(reason.code, CommandLevel.STOP)],
                reason=reason,
            )
        )
    return found


def assessment_bytes(risk: SiteAssessment) -> tuple[bytes, ...]:
    """Equal assessments, equal bytes."""
    return risk.code.tobytes(), risk.subject.tobytes(), risk.value.tobytes()

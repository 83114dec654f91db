"""``zones``: who is in which area of one camera, for how long, how many and how fast."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from sightline.assess.site import RiskCode, SiteAssessment, from_snapshot, snapshot
from sightline.assess.site.assessment import NOBODY
from sightline.assess.site.zones import (
    Polygon,
    SiteZone,
    ZoneState,
    emptied,
    watch_zones,
    zone_risk,
)
from sightline.decide.standing import Condition
from sightline.errors import UsageError
from sightline.recorder.checkpoint import StateParts
from sightline.records import Tracks, Unconfirmed
from sightline.records.camera import CameraModel
from sightline.records.command import CommandLevel
from sightline.records.decision import Mode, Reason
from sightline.records.detections import BoolArray, Doubt
from sightline.records.signals import NS_PER_S
from sightline.records.windows import IntArray
from sightline.runtime.item_stage import (
    CameraPlan,
    ItemPlan,
    ItemPlanning,
    ItemStage,
    ItemState,
    Turn,
)
from sightline.runtime.settings import Form, ItemSettings, Name
from sightline.runtime.stages.detect import VIEW_IS_EMPTY
from sightline.runtime.stages.meanings import DEFAULT_LEVELS, SEVERITY, meaning
from sightline.runtime.stages.track import (
    Sight,
    doubt_from_mapping,
    doubt_mapping,
    tracks_from_mapping,
    tracks_mapping,
)
from sightline.sense.frames import FrameContract
from sightline.sense.frames.unseen_parts import PART_COLUMNS, PART_ROWS, unpacked

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(gt=0, lt=1)]
Point = tuple[
    Annotated[float, Field(allow_inf_nan=False)], Annotated[float, Field(allow_inf_nan=False)]
]


_MARGIN_M, _MARGIN_SHARE = 0.2, 0.02
"""Margin of a zone that gives none: in metres, and as a share of the height of the picture."""
_OUTSIDE_SHARE = 0.1
"""Of the picture: corners further outside were meant for a picture of another size."""


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
    margin_m: NotNegative | None = None
    """Of a zone in metres: how far inside or outside its border counts as on it, in metres;
    null: 0.2."""
    margin_px: NotNegative | None = None
    """Of a zone in pixels: the same in pixels; null: 2 % of the height of the picture."""
    hold_s: NotNegative = 0.5
    """How long somebody must have left before they count as gone, in seconds."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.8
    """Probability of being inside from which somebody counts as inside."""
    suspect_probability: Probability = 0.5
    """Probability of being inside from which somebody may be inside."""
    lost_timeout_s: NotNegative | None = None
    """How long somebody who was lost inside counts as still there, in seconds. null: in a forbidden
    zone until they are seen to leave, or an operator says that the view is empty; in any other
    60 s."""

    @model_validator(mode="before")
    @classmethod
    def _margin_has_a_unit(cls, plain: Any) -> Any:
        if isinstance(plain, Mapping) and "margin" in plain:
            name = "margin_m" if plain.get("polygon_m") is not None else "margin_px"
            raise ValueError(f"{name}, as a margin has the unit of its polygon; not margin")
        return plain

    @model_validator(mode="after")
    def _one_polygon(self) -> Self:
        if (self.polygon_m is None) == (self.polygon_px is None):
            raise ValueError("either polygon_m or polygon_px")
        if (self.margin_px if self.polygon_m else self.margin_m) is not None:
            raise ValueError("margin_m with polygon_m, margin_px with polygon_px")
        return self

    def zone(self, name: str, *, height_px: int) -> SiteZone:
        """The zone itself, in pictures of that height.

        Raises:
            UsageError: no polygon, or numbers that do not fit together.
        """
        vertices = self.polygon_m or self.polygon_px
        assert vertices is not None
        rest = self.model_dump(exclude={"polygon_m", "polygon_px", "margin_m", "margin_px"})
        polygon = Polygon.of(vertices, unit="m" if self.polygon_m else "px")
        usual = _MARGIN_M if self.polygon_m else _MARGIN_SHARE * height_px
        given = self.margin_m if self.polygon_m else self.margin_px
        margin = usual if given is None else given
        return SiteZone(name=name, polygon=polygon, margin=margin, **rest)


def _beyond(zone: ZoneForm, size_px: tuple[int, int]) -> str | None:
    """A corner that lies outside the picture by more than a tenth of it; None without one."""
    for x_px, y_px in zone.polygon_px or ():
        for at_px, most_px in ((x_px, size_px[0]), (y_px, size_px[1])):
            if not -_OUTSIDE_SHARE * most_px <= at_px <= (1 + _OUTSIDE_SHARE) * most_px:
                return f"[{x_px:g}, {y_px:g}]"
    return None


def _moved_in(zone: ZoneForm, contract: FrameContract) -> str:
    """Its corners, those outside moved to the edge of the picture."""
    corners = [
        f"[{min(max(x_px, 0), contract.width_px):g}, {min(max(y_px, 0), contract.height_px):g}]"
        for x_px, y_px in zone.polygon_px or ()
    ]
    return f"`polygon_px: [{', '.join(corners)}]`"


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
        doubt: of the answer to this frame, unless it is settled.
        unconfirmed: what is no track yet; nothing in a view that a checkpoint gave back, as who
            asks for it remembers what it came to.
        seen_ns: int64[z + 1], capture time of the newest frame whose picture showed something
            everywhere in each zone, and, last, everywhere; UTC ns. Empty where nobody asks.
    """

    tracks: Tracks
    zone_risk: SiteAssessment
    mode: Mode
    sighted_ns: int | None
    doubt: Doubt | None = None
    seen_ns: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    unconfirmed: Unconfirmed = field(default_factory=Unconfirmed.none)

    def unseen(self, zones: Collection[int], *, least_s: float) -> SiteAssessment:
        """Those of these zones in which nothing can be seen for at least ``least_s``.

        ``NOBODY`` among them stands for the whole picture.
        """
        at_ns = self.tracks.capture_ns
        ages_s = {zone: (at_ns - int(self.seen_ns[zone])) / NS_PER_S for zone in sorted(zones)}
        found = [zone for zone, age_s in ages_s.items() if age_s >= least_s]
        return SiteAssessment.of_code(
            RiskCode.ZONE_UNSEEN,
            stream=self.tracks.stream,
            capture_ns=at_ns,
            subject=[NOBODY] * len(found),
            zone=found,
            value=[ages_s[zone] for zone in found],
            threshold=least_s,
        )


class ZonesStage(ItemStage):
    """Who is in which zone of one camera, for how long, how many and how fast."""

    use = "zones"
    Settings = ZonesSettings
    reads = ("tracks",)
    writes = "sights"
    measures = {"risks": "1", "occupancy": "1"}
    hears = (VIEW_IS_EMPTY,)
    version = 5  # doubts where something is no track yet

    def plan(self, planning: ItemPlanning) -> None:
        if len(planning.cameras) != 1:
            planning.fail("one camera", ", ".join(planning.cameras))
        (camera,) = planning.cameras.values()
        for name, form in self.settings.zones.items():
            try:
                zone = form.zone(name, height_px=camera.contract.height_px)
            except UsageError as error:
                planning.fail(f"zones.{name}: {error.expected}", error.got)
            if zone.polygon.unit == "m" and camera.geometry is None:
                planning.fail(
                    f"zones.{name}: a geometry of {camera.name}, or polygon_px", "polygon_m"
                )
            contract = camera.contract
            beyond = _beyond(form, (contract.width_px, contract.height_px))
            if beyond is not None:
                inside = f"x from 0 to {contract.width_px}, y from 0 to {contract.height_px}"
                planning.fail(
                    f"zones.{name}.polygon_px: corners in the picture, {inside}",
                    beyond,
                    action=f"write {_moved_in(form, contract)}, or draw it anew on a picture of "
                    "that size",
                )

    def zones(self, camera: CameraPlan) -> tuple[SiteZone, ...]:
        """Its areas, in the pictures of its camera."""
        height_px = camera.contract.height_px
        return tuple(f.zone(name, height_px=height_px) for name, f in self.settings.zones.items())

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
        ((self._camera, camera),) = plan.cameras.items()
        self._zones = stage.zones(camera)
        self._picture_px = camera.contract.width_px, camera.contract.height_px
        self._blind_s = camera.contract.max_age_s
        self._parts = parts_of(self._zones, self._picture_px, camera.geometry)
        self._seen_ns: IntArray | None = None
        self._state = ZoneState.start(len(self._zones))
        self._version = f"site@{plan.pipeline}"

    def on_item(self, turn: Turn) -> None:
        sight: Sight = turn.value(self._input)
        tracks = sight.tracks
        risk = SiteAssessment.none(tracks.stream, tracks.capture_ns)
        if self._zones:
            self._state, presence = watch_zones(
                self._zones, self._state, tracks, picture_px=self._picture_px
            )
            risk = zone_risk(self._zones, presence, tracks, sight.unconfirmed)
        self.value = CameraView(
            tracks=tracks,
            zone_risk=risk,
            mode=sight.mode,
            sighted_ns=sight.sighted_ns,
            seen_ns=self._seen(turn),
            doubt=sight.doubt,
            unconfirmed=sight.unconfirmed,
        )
        unseen = self.value.unseen(range(len(self._zones)), least_s=self._blind_s)
        risk = SiteAssessment.joined(tracks.stream, tracks.capture_ns, [risk, unseen])
        # That something may be there is for machines; people are told of what they can look for.
        sure = risk.only(~risk.has(RiskCode.UNCONFIRMED_IN_ZONE))
        conditions = risk_conditions(
            sure, self._version, camera=self._camera, names=[z.name for z in self._zones],
            levels=DEFAULT_LEVELS,
        )  # fmt: skip
        turn.say(f"{self._camera}/risk", conditions, mode=sight.mode)
        turn.wrote(*assessment_bytes(risk))
        turn.measure({"risks": len(risk.code), "occupancy": len(tracks)})

    def _seen(self, turn: Turn) -> IntArray:
        """int64[z + 1], see :class:`CameraView`."""
        assert turn.header is not None
        at_ns = turn.header.capture_ns
        before = np.full(len(self._parts), at_ns) if self._seen_ns is None else self._seen_ns
        is_hidden = (self._parts & unpacked(turn.header.unseen)).any(axis=(1, 2))
        self._seen_ns = np.where(is_hidden, before, at_ns)
        return self._seen_ns

    def on_control(self, control: Mapping[str, Any], turn: Turn) -> None:
        """Nobody is there who is not seen."""
        if control["camera"] == self._camera:
            self._state = emptied(self._state)

    def snapshot(self) -> StateParts:
        view = self.value
        plain: dict[str, Any] = {"zones": snapshot(self._state), "view": None}
        plain["seen_ns"] = None if self._seen_ns is None else self._seen_ns.tolist()
        if view is not None:
            plain["view"] = {
                "tracks": tracks_mapping(view.tracks),
                "zone_risk": snapshot(view.zone_risk),
                "mode": str(view.mode),
                "sighted_ns": view.sighted_ns,
                "doubt": doubt_mapping(view.doubt),
            }
        return StateParts(meta=plain)

    def restore(self, parts: StateParts) -> None:
        self._state = from_snapshot(ZoneState, parts.meta["zones"])
        view, seen_ns = parts.meta["view"], parts.meta["seen_ns"]
        self.value = None
        self._seen_ns = None if seen_ns is None else np.array(seen_ns, np.int64)
        if view is not None:
            assert self._seen_ns is not None
            self.value = CameraView(
                tracks=tracks_from_mapping(view["tracks"]),
                zone_risk=from_snapshot(SiteAssessment, view["zone_risk"]),
                mode=Mode(view["mode"]),
                sighted_ns=view["sighted_ns"],
                seen_ns=self._seen_ns,
                doubt=doubt_from_mapping(view["doubt"]),
            )


_SAMPLES = 4
"""Places across and down each part of a picture at which is asked whether a zone lies there."""


def parts_of(
    zones: Sequence[SiteZone], picture_px: tuple[int, int], geometry: CameraModel | None
) -> BoolArray:
    """bool[z + 1, 12, 16]: the parts of the picture in which each zone lies; last, all of them.

    A zone between the places that are asked lies in the part that is nearest to it.
    """
    rows, columns = _SAMPLES * PART_ROWS, _SAMPLES * PART_COLUMNS
    down, across = np.mgrid[0:rows, 0:columns]
    shares = np.stack([(across.ravel() + 0.5) / columns, (down.ravel() + 0.5) / rows], axis=1)
    place_px = shares * np.array(picture_px, np.float64)
    place_m = np.full_like(place_px, np.nan)
    if geometry is not None:
        place_m = geometry.ground_from_pixel(place_px)
    found = np.ones((len(zones) + 1, PART_ROWS, PART_COLUMNS), np.bool_)
    for index, zone in enumerate(zones):
        places = place_m if zone.polygon.unit == "m" else place_px
        inside = np.nan_to_num(zone.polygon.signed_distance(places), nan=-np.inf)
        is_inside = inside >= min(0.0, float(inside.max()))
        grid = is_inside.reshape(PART_ROWS, _SAMPLES, PART_COLUMNS, _SAMPLES)
        found[index] = grid.any(axis=(1, 3))
    return found


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

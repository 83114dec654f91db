"""Why a part was decided as it was: its record, and its pictures looked at once more.

The pictures that the log keeps are looked at again by the inspector of the run, which shows where
they are hot, which normal patches they were compared with, and what would have passed. An inspector
that is gone, or another one by now, is said to be; the record stands without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import cv2
import numpy as np

from sightline.errors import SightlineError
from sightline.evidence.drawing import palette
from sightline.evidence.drawing.marks import blank, fitted_text, put_text
from sightline.evidence.inspection.map_files import heat_picture
from sightline.evidence.inspection.picture_account import (
    PictureAccount,
    account_of,
    maps_note,
    passes_line,
)
from sightline.evidence.part_pixels import PartPixels
from sightline.evidence.parts_account import KnownPart, known_parts
from sightline.evidence.words import quantity, reason_words
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.perceive.inspection.floats import Floats
from sightline.records import Decision
from sightline.records.frames import Image
from sightline.records.part import Disposition, PartPicture
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory
from sightline.runtime.inspector import InspectorLooking
from sightline.runtime.stages.inspect import InspectStage
from sightline.runtime.stages.parts import PartsStage

Again = Literal["no", "heat", "account"]
NO_VERSIONS: Mapping[str, str] = MappingProxyType({})
_NOT_AGAIN = "not looked at again"
_SIDE_PX = 360
"""Longest side of a picture as drawn; what is beside it takes as much room as it needs."""
_LINE_PX = 22
_LEAST_WIDTH_PX = 700


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PictureFacts:
    """A picture of the part.

    Attributes:
        picture: what was seen in it.
        pixels: uint8[h, w] or [h, w, 3]; None where the log does not keep them.
        heat: float64[h, w], how unlike good parts each pixel is; None where it was not looked at
            again, or where maps of this inspector are not to be shown.
        account: of its hottest place; None where it was not looked at again, or was accepted.
        note: why it was not, or what differs; ``""`` for nothing.
    """

    picture: PartPicture
    pixels: Image | None
    heat: Floats | None = None
    account: PictureAccount | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PartFacts:
    """A part and its pictures."""

    part: KnownPart
    pictures: tuple[PictureFacts, ...]

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready, without pixels."""
        looked = [
            {
                "station": one.picture.station,
                "note": one.note,
                **({} if one.account is None else one.account.as_mapping()),
            }
            for one in self.pictures
        ]
        return {"part": self.part.as_mapping(), "looked_at_again": looked}


class SeenParts:
    """The parts of a run, for their accounts: the log is read once, each inspector opened once.

    Args:
        run: they were decided in; it may have none.
        limits: bounds for reading the log.

    Raises:
        LogError: the log is damaged.
    """

    def __init__(self, run: RunDirectory, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._run = run
        self._looking: dict[tuple[str, str], InspectorLooking | str] = {}
        self._kept = PartPixels(run, limits=limits)
        has_line = any(isinstance(item.stage, PartsStage) for item in run.plan.items)
        self.notes = run.parts(limits=limits) if has_line else []
        self._parts = {part.record.part_id: part for part in known_parts(self.notes)}
        if self._parts:
            self._kept.read_on()

    def __contains__(self, subject: str) -> bool:
        return subject in self._parts

    def facts(
        self, decision: Decision, *, again: Again, versions: Mapping[str, str] = NO_VERSIONS
    ) -> PartFacts | None:
        """What is known of the part that a decision is about; None where it is about no part.

        Args:
            decision: of the run.
            again: look at no picture again, at where it is hot, or also at what would have passed
                if it was not accepted, which takes some 17 looks more.
            versions: of those who looked at pictures, by ``model STAGE/CAMERA/…``; empty: whoever
                comes to the same score is the same.

        Raises:
            LogError: the log is damaged.
        """
        part = self._parts.get(decision.subject)
        if part is None:
            return None
        is_accepted = part.record.disposition is Disposition.ACCEPT
        how: Again = "heat" if again == "account" and is_accepted else again
        pictures = tuple(self._picture(one, how, versions) for one in part.record.pictures)
        return PartFacts(part=part, pictures=pictures)

    def _picture(self, one: PartPicture, how: Again, versions: Mapping[str, str]) -> PictureFacts:
        pixels = self._kept.pixels(one)
        if pixels is None:
            note = "the log does not keep its pixels"
            return PictureFacts(picture=one, pixels=None, note=note)
        looking = None if how == "no" or one.code else self._inspector(one)
        if not isinstance(looking, InspectorLooking):
            return PictureFacts(picture=one, pixels=pixels, note=looking or "")
        seat = f"model {one.station}/{one.camera}/"
        then = next((v for name, v in versions.items() if name.startswith(seat)), looking.version)
        if then != looking.version:
            note = f"{_NOT_AGAIN}: {then} has seen it, and {looking.version} is there now"
            return PictureFacts(picture=one, pixels=pixels, note=note)
        model = looking.model
        found = model.inspect(pixels)
        if not math.isclose(found.score, one.score, rel_tol=1e-6, abs_tol=1e-6):
            note = f"looked at again it scores {found.score:.4g}; the log says {one.score:.4g}"
            return PictureFacts(picture=one, pixels=pixels, note=note)
        note = maps_note(model.artefact.card)
        return PictureFacts(
            picture=one,
            pixels=pixels,
            heat=None if note else found.heat,
            account=account_of(model, pixels, found) if how == "account" else None,
            note=note,
        )

    def _inspector(self, one: PartPicture) -> InspectorLooking | str:
        """Who looks at these pictures; or why nobody does, in words."""
        seat = (one.station, one.camera)
        if seat not in self._looking:
            self._looking[seat] = self._opened(one)
        return self._looking[seat]

    def _opened(self, one: PartPicture) -> InspectorLooking | str:
        plan, stage = self._run.plan, self._run.plan.stage(one.station)
        if not isinstance(stage, InspectStage):
            return ""
        try:
            return stage.load(plan.cameras[one.camera], str(plan.folder))
        except SightlineError as error:  # the record stands without the inspector
            return f"{_NOT_AGAIN}: expected {error.expected}, got {error.got}"


def part_lines(known: KnownPart, pictures: Mapping[str, PictureFacts] | None = None) -> list[str]:
    """All that is known of a part, most important first.

    Args:
        known: the part.
        pictures: what was found by looking again, by station.
    """
    return list(_lines(known, pictures or {}))


def _lines(known: KnownPart, pictures: Mapping[str, PictureFacts]) -> Iterator[str]:
    record = known.record
    yield (
        f"part         {record.part_id}  serial {record.serial or '-'}  "
        f"part number {record.part_number or '-'}  recipe {record.recipe or '-'}"
    )
    yield f"born         {_utc(record.born_ns)}"
    yield (
        f"decided      {_utc(record.decided_ns)}  {record.disposition} ({record.mode})"
        f"{', while the line was held' if record.is_held else ''}"
    )
    if record.last_picture_ns >= 0:
        wait_s = (record.decided_ns - record.last_picture_ns) / NS_PER_S
        yield f"             {wait_s:.3f} s after its last picture"
    for reason in record.reasons:
        yield f"  because    {reason_words(reason)}"
    for one in record.pictures:
        yield from _picture_lines(one, pictures.get(one.station))
    for value in record.process:
        yield f"  measured   {value.name} {quantity(value.value, value.unit)}"
    for name, cost in record.costs.items():
        yield f"  would cost {name} {cost:.4g}"
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    yield f"  by         pipeline {record.pipeline}, {versions or 'none'}"
    for review in known.reviews:
        kind = f" ({review.kind})" if review.kind else ""
        yield f"reviewed     {_utc(review.given_ns)}  {review.verdict}{kind} by {review.reviewer}"


def _picture_lines(one: PartPicture, facts: PictureFacts | None) -> Iterator[str]:
    where = f"{one.station}  {one.camera}:{one.index}, {_utc(one.capture_ns)}"
    if one.code:
        yield f"  picture    {where}: {one.code}"
    else:
        yield (
            f"  picture    {where}: score {one.score:.3f}, looked at by a person from "
            f"{one.review_from:.3f}, rejected from {one.reject_from:.3f}"
        )
        if math.isfinite(one.novelty) and math.isfinite(one.likeness):
            yield (
                f"             of it {one.novelty:+.2f} for being unlike good parts, "
                f"{one.likeness:+.2f} for looking like a defect"
            )
    if any(one.box_px):
        x1, y1, x2, y2 = (round(v) for v in one.box_px)
        yield f"             most striking from {x1}, {y1} to {x2}, {y2} px"
    if facts is not None and facts.account is not None:
        yield f"             {passes_line(facts.account.would_pass)}"
        for near in facts.account.near:
            yield (
                f"             nearest normal patch: {near.image} at {near.x_px}, {near.y_px} px, "
                f"{near.distance:.2f} away"
            )
    if facts is not None and facts.note:
        yield f"             {facts.note}"
    yield f"             digest {one.digest}"


def _utc(at_ns: int) -> str:
    return str(np.datetime64(at_ns // 1_000_000, "ms")) + "Z"


def draw_part(facts: PartFacts) -> Image | None:
    """uint8[h, w, 3]: each picture of the part and where it is hot; None without any pixels."""
    rows = [_drawn(one) for one in facts.pictures if one.pixels is not None]
    if not rows:
        return None
    record = facts.part.record
    width = max(_LEAST_WIDTH_PX, *(row.shape[1] for row in rows))
    head = _line(f"{record.serial or record.part_id}: {record.disposition}", width, palette.TEXT)
    why = _line(reason_words(record.reasons[0]), width, palette.QUIET)
    stacked = np.concatenate([_padded(row, width) for row in (head, why, *rows)])
    edge = palette.MARGIN_PX
    colour = (*palette.CANVAS, 0)
    return np.asarray(
        cv2.copyMakeBorder(stacked, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=colour),
        np.uint8,
    )


def _drawn(facts: PictureFacts) -> Image:
    """A line of words, and below it the picture, its heat, and the nearest normal patches."""
    assert facts.pixels is not None
    one, pixels = facts.picture, facts.pixels
    boxes = np.array([one.box_px]) if any(one.box_px) else np.empty((0, 4))
    cold = np.zeros(pixels.shape[:2]) if facts.heat is None else facts.heat
    shown = [heat_picture(pixels, np.full_like(cold, -np.inf), boxes)]
    if facts.heat is not None:
        shown.append(heat_picture(pixels, facts.heat, np.empty((0, 4))))
    scale = _SIDE_PX / max(pixels.shape[:2])
    tiles = [_scaled(image, scale) for image in shown]
    if facts.account is not None:
        side = _SIDE_PX // 3
        for near in facts.account.near:
            crop = near.crop if near.crop.ndim == 3 else cv2.cvtColor(near.crop, cv2.COLOR_GRAY2BGR)
            tiles.append(_scaled(np.asarray(crop), side / max(crop.shape[:2])))
    height = max(tile.shape[0] for tile in tiles)
    gap = blank((palette.MARGIN_PX, height), palette.CANVAS)
    parts: list[Image] = []
    for tile in tiles:
        below = blank((tile.shape[1], height - tile.shape[0]), palette.CANVAS)
        parts += [np.concatenate([tile, below]), gap]
    seen = f"score {one.score:.2f}" if not one.code else one.code
    words = f"{one.station}, {one.camera}:{one.index}: {seen}"
    if len(tiles) > len(shown):
        words += "; the small ones: the normal patches nearest to its hottest place"
    row = np.concatenate(parts[:-1], axis=1)
    width = max(row.shape[1], _LEAST_WIDTH_PX)
    return np.concatenate([_line(words, width, palette.QUIET), _padded(row, width)])


def _line(words: str, width_px: int, colour: palette.Colour) -> Image:
    image = blank((width_px, _LINE_PX), palette.CANVAS)
    put_text(image, fitted_text(words, width_px), (0, palette.BODY_PX), colour)
    return image


def _scaled(image: Image, scale: float) -> Image:
    size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    how = cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(image, size, interpolation=how))


def _padded(image: Image, width_px: int) -> Image:
    missing = blank((width_px - image.shape[1], image.shape[0]), palette.CANVAS)
    return np.concatenate([image, missing], axis=1)

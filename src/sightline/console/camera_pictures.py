"""The newest picture of a camera that the log has, with the detector's boxes and the zones."""

from __future__ import annotations

from dataclasses import dataclass

import cv2

from sightline.console.following import CameraSeen, FollowedRun
from sightline.evidence.drawing import CameraScene, SiteLayout
from sightline.evidence.drawing.camera_panel import draw_boxes, draw_camera
from sightline.evidence.drawing.scenes import NOT_KEPT
from sightline.evidence.site_subjects import subject_of
from sightline.records import Detections, Tracks
from sightline.records.decision import Mode
from sightline.records.frames import Image
from sightline.records.signals import NS_PER_S
from sightline.runtime.pictures.logged_pictures import LoggedPictures

_SMALL = [cv2.IMWRITE_JPEG_QUALITY, 80]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CameraPicture:
    """What is needed to draw a camera.

    Attributes:
        scene: the frame, without tracks: the log has the detector's answer.
        seen: that answer; None where nobody answered.
        entries_key: changes when another picture is to be drawn.
    """

    scene: CameraScene
    seen: Detections | None
    entries_key: str


def newest_picture(followed: FollowedRun, name: str) -> CameraPicture:
    """The newest picture that was kept; without any the newest frame, on grey.

    Raises:
        LogError: a picture of the log is damaged.
        UsageError: packets, and no decoder for them is installed.
    """
    seen = followed.cameras[name]
    picture, capture_ns = _pixels(seen)
    newest = seen.newest
    if picture is None and newest is not None:
        capture_ns = newest.capture_ns
    header, outcome = seen.answers.get(capture_ns, (newest, None))
    answer = None if outcome is None else outcome.answer
    if header is None:
        scene = CameraScene(
            name=name,
            index=-1,
            capture_ns=-1,
            digest="",
            tracks=Tracks.none(name, 0),
            note="no frame yet",
        )
        return CameraPicture(scene=scene, seen=None, entries_key="none")
    is_same = header.capture_ns == capture_ns  # else its header came too long before its picture
    contract = followed.run.plan.cameras[name].contract
    age_s = (followed.stamp_ns - header.received_ns) / NS_PER_S
    scene = CameraScene(
        name=name,
        index=header.index if is_same else -1,
        capture_ns=capture_ns,
        digest=header.digest,
        tracks=Tracks.none(name, capture_ns),
        zones_at_risk=_zones_at_risk(followed, name),
        mode=Mode.PRIMARY if outcome is None else outcome.mode,
        signs=tuple(sign.code for sign in header.signs) if is_same else (),
        is_usable=header.is_usable or not is_same,
        age_s=age_s,
        is_stale=not followed.is_finished and age_s > contract.max_age_s,
        picture=picture,
        note=NOT_KEPT,
    )
    found = answer if isinstance(answer, Detections) and is_same else None
    return CameraPicture(scene=scene, seen=found, entries_key=f"{capture_ns}")


def draw_picture(picture: CameraPicture, layout: SiteLayout, *, budget_s: float) -> bytes:
    """A JPEG of it."""
    name = picture.scene.name
    scale = layout.scales[name]
    contract = layout.site.plan.cameras[name].contract
    size = (round(contract.width_px * scale), round(contract.height_px * scale))
    drawn = draw_camera(
        picture.scene, layout.outlines[name], size_px=size, scale=scale, budget_s=budget_s
    )
    if picture.seen is not None:
        draw_boxes(drawn, picture.seen, scale=scale)
    is_done, data = cv2.imencode(".jpg", drawn, _SMALL)
    assert is_done
    return data.tobytes()


def _pixels(seen: CameraSeen) -> tuple[Image | None, int]:
    pictures = LoggedPictures()
    found = [one for entry in seen.pictures for one in pictures.take(entry)]
    found += pictures.rest()
    return (found[-1].pixels(), found[-1].capture_ns) if found else (None, -1)


def _zones_at_risk(followed: FollowedRun, name: str) -> dict[int, str]:
    """By index of the camera's zones the code of what stands about them."""
    zones = [zone.name for zone in followed.site.zones[name]]
    found: dict[int, str] = {}
    for decision in followed.standing():
        about = subject_of(decision)
        if about.camera == name and about.zone in zones:
            found.setdefault(zones.index(about.zone), decision.reasons[0].code)
    return found

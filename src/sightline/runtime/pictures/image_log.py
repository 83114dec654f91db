"""Which pictures go into the log, and in what form: the policy ``images`` of a pipeline.

Beside them, what was seen in each, as ``foxglove.ImageAnnotations`` for viewers of the log.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from dataclasses import dataclass
from typing import Any

import cv2

from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import EntryKind, Frame
from sightline.records.plain_json import plain_json
from sightline.records.signals import NS_PER_S
from sightline.runtime.pictures.packet_log import PacketLog
from sightline.runtime.pipeline import ImagesForm
from sightline.runtime.stages.zones import CameraView

MAX_HELD_BYTES = 256 << 20
"""Encoded pictures held for ``around_decisions``. At the bound the oldest are let go."""
_ALERT_QUALITY = 80
_PNG_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1]


@dataclass(frozen=True, slots=True)
class _Held:
    camera: str
    capture_ns: int
    payload: bytes


class ImageLog:
    """Says for each frame which pictures are to be logged now.

    A picture is a ``foxglove.CompressedImage`` in JSON: PNG (without loss) or JPEG; or it is kept
    as the packets of its camera, which cost no encoding.

    Args:
        policy: of the pipeline.
        packets: of the cameras, where the policy asks for packets.
        limits: bound of the pictures of alerts.

    Attributes:
        refused: pictures of alerts that found no room.
    """

    def __init__(
        self,
        policy: ImagesForm,
        packets: PacketLog | None = None,
        *,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.refused = 0
        self._limits = limits
        self._newest: dict[str, Frame] = {}
        self._alert_bytes = 0
        self._policy = policy
        self._packets = packets or PacketLog(policy, {})
        self._has_decided = False
        self._held: deque[_Held] = deque()
        self._held_bytes = 0
        self._newest_ns = 0
        self._until_ns = -1

    @property
    def is_on(self) -> bool:
        """Whether any picture is ever kept."""
        return self._policy.keep != "digest"

    @property
    def is_of_alerts(self) -> bool:
        """Whether a picture is kept of what is raised, and of nothing else."""
        return self._policy.keep == "alerts"

    @property
    def has_packets(self) -> bool:
        """Whether something may be to be logged although no frame has come."""
        return self._packets.is_on

    def take(self, frame: Frame) -> list[tuple[str, bytes]]:
        """The next frame; what is to be logged: (camera, payload)."""
        if not self.is_on:
            return []
        if self.is_of_alerts:
            self._newest[frame.stream] = frame
            return []
        self._newest_ns = max(self._newest_ns, frame.capture_ns)
        self._packets.note(frame)
        if self._packets.takes(frame.stream):
            return []
        payload = image_message(frame, quality=self._policy.quality)
        if self._policy.keep == "full" or frame.capture_ns <= self._until_ns:
            return [(frame.stream, payload)]
        self._held.append(_Held(frame.stream, frame.capture_ns, payload))
        self._held_bytes += len(payload)
        oldest_ns = self._newest_ns - round(self._policy.before_s * NS_PER_S)
        while self._held and (
            self._held[0].capture_ns < oldest_ns or self._held_bytes > MAX_HELD_BYTES
        ):
            self._held_bytes -= len(self._held.popleft().payload)
        return []

    def decided(self) -> list[tuple[str, bytes]]:
        """Something was decided: what is held goes into the log, and so does what follows."""
        if self._policy.keep != "around_decisions":
            return []
        self._until_ns = self._newest_ns + round(self._policy.after_s * NS_PER_S)
        self._has_decided = True
        held = [(one.camera, one.payload) for one in self._held]
        self._held.clear()
        self._held_bytes = 0
        return held

    def raised(self) -> list[tuple[str, bytes]]:
        """Something was raised: of each camera the newest picture, unless it was kept before."""
        kept: list[tuple[str, bytes]] = []
        for camera, frame in self._newest.items():
            payload = image_message(frame, quality=self._policy.quality or _ALERT_QUALITY)
            if self._alert_bytes + len(payload) > self._limits.alert_picture_bytes:
                self.refused += 1
                continue
            self._alert_bytes += len(payload)
            kept.append((camera, payload))
        self._newest.clear()
        return kept

    def packets(self) -> list[tuple[EntryKind, str, bytes]]:
        """What of the cameras' packets is to be logged now: (kind, camera, payload).

        They come later than their frames: a decoder holds pictures back.
        """
        has_decided, self._has_decided = self._has_decided, False
        return self._packets.take(
            newest_ns=self._newest_ns, until_ns=self._until_ns, has_decided=has_decided
        )

    def pass_by(self, frame: Frame) -> None:
        """A frame that the log has, of a recording that is read again from its beginning."""
        self._packets.pass_by(frame)


def image_message(frame: Frame, *, quality: int | None) -> bytes:
    """A frame as ``foxglove.CompressedImage`` in JSON.

    Args:
        frame: the picture.
        quality: of JPEG, 1 to 100; None: PNG.

    Raises:
        UsageError: a picture that cannot be encoded.

    >>> import numpy as np
    >>> black = Frame(stream="yard", index=0, capture_ns=1_500_000_000, received_ns=0,
    ...               pixels=np.zeros((2, 3), np.uint8))
    >>> message = json.loads(image_message(black, quality=None))
    >>> message["format"], message["frame_id"], message["timestamp"]
    ('png', 'yard', {'nsec': 500000000, 'sec': 1})
    """
    if quality is None:
        is_done, data = cv2.imencode(".png", frame.pixels, _PNG_FAST)
    else:
        is_done, data = cv2.imencode(".jpg", frame.pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not is_done:
        raise UsageError(
            expected="a picture that can be encoded",
            got=f"{frame.width_px} x {frame.height_px} px",
            where=f"frame {frame.index} of stream {frame.stream}",
            action="keep: digest, or smaller pictures",
        )
    seconds, nanoseconds = divmod(frame.capture_ns, NS_PER_S)
    message = {
        "timestamp": {"sec": seconds, "nsec": nanoseconds},
        "frame_id": frame.stream,
        "format": "png" if quality is None else "jpeg",
        "data": base64.b64encode(data.tobytes()).decode(),
    }
    return json.dumps(message, sort_keys=True, separators=(",", ":")).encode()


# --- what was seen in a frame ---------------------------------------------------------------------

_LINE_LOOP = 2
_SEEN = {"r": 0.1, "g": 0.8, "b": 0.3, "a": 1.0}
_CARRIED_ON = {"r": 0.9, "g": 0.7, "b": 0.1, "a": 1.0}
_AT_RISK = {"r": 0.9, "g": 0.1, "b": 0.1, "a": 1.0}
_BEHIND = {"r": 0.0, "g": 0.0, "b": 0.0, "a": 0.6}


def annotation_message(view: CameraView) -> bytes:
    """Boxes and ids of the tracks of one frame; red for who is at risk in a zone.

    >>> import json
    >>> from sightline.assess.site import SiteAssessment
    >>> from sightline.records import Tracks
    >>> from sightline.records.decision import Mode
    >>> view = CameraView(tracks=Tracks.none("yard", 0), mode=Mode.PRIMARY,
    ...                   zone_risk=SiteAssessment.none("yard", 0), sighted_ns=None)
    >>> json.loads(annotation_message(view))
    {'circles': [], 'points': [], 'texts': []}
    """
    tracks = view.tracks
    seconds, nanoseconds = divmod(tracks.capture_ns, NS_PER_S)
    stamp = {"sec": seconds, "nsec": nanoseconds}
    at_risk = set(view.zone_risk.subject.tolist())
    points: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = []
    for identity, (left, top, right, bottom), unseen_s in zip(
        tracks.track_id.tolist(), tracks.box_px.tolist(), tracks.unseen_s.tolist(), strict=True
    ):
        colour = _AT_RISK if identity in at_risk else _CARRIED_ON if unseen_s > 0 else _SEEN
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        points.append(
            {
                "timestamp": stamp,
                "type": _LINE_LOOP,
                "points": [{"x": x, "y": y} for x, y in corners],
                "outline_color": colour,
                "outline_colors": [],
                "fill_color": {"r": 0.0, "g": 0.0, "b": 0.0, "a": 0.0},
                "thickness": 2.0,
            }
        )
        texts.append(
            {
                "timestamp": stamp,
                "position": {"x": left, "y": top},
                "text": str(identity),
                "font_size": 12.0,
                "text_color": colour,
                "background_color": _BEHIND,
            }
        )
    message = {"circles": [], "points": points, "texts": texts}
    return plain_json(message)

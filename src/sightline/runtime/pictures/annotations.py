"""What was seen in a frame as ``foxglove.ImageAnnotations``, for viewers of the log."""

from __future__ import annotations

from typing import Any

from sightline.records.plain_json import plain_json
from sightline.records.signals import NS_PER_S
from sightline.runtime.stages.zones import CameraView

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
    ...                   zone_risk=SiteAssessment.none("yard", 0))
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

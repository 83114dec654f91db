"""The standard forms of pictures and annotations, so that viewers show them without our code.

The field names and types are those of Foxglove's schemas ``CompressedImage``, ``CompressedVideo``
and ``ImageAnnotations`` (https://docs.foxglove.dev/docs/sdk/schemas), in JSON Schema; bytes are
base64.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from sightline.records import EntryKind


def _object(title: str, **properties: Any) -> dict[str, Any]:
    return {"title": title, "type": "object", "properties": properties}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_NUMBER, _TEXT = {"type": "number"}, {"type": "string"}
_TIME = _object(
    "time",
    sec={"type": "integer", "minimum": 0},
    nsec={"type": "integer", "minimum": 0, "maximum": 999_999_999},
)
_POINT = _object("foxglove.Point2", x=_NUMBER, y=_NUMBER)
_COLOUR = _object("foxglove.Color", r=_NUMBER, g=_NUMBER, b=_NUMBER, a=_NUMBER)

_COMPRESSED = {
    "timestamp": _TIME,
    "frame_id": _TEXT,
    "data": {"type": "string", "contentEncoding": "base64"},
    "format": _TEXT,
}
_IMAGE = _object("foxglove.CompressedImage", **_COMPRESSED)
_VIDEO = _object("foxglove.CompressedVideo", **_COMPRESSED)
_ANNOTATIONS = _object(
    "foxglove.ImageAnnotations",
    circles=_array(
        _object(
            "foxglove.CircleAnnotation",
            timestamp=_TIME,
            position=_POINT,
            diameter=_NUMBER,
            thickness=_NUMBER,
            fill_color=_COLOUR,
            outline_color=_COLOUR,
        )
    ),
    points=_array(
        _object(
            "foxglove.PointsAnnotation",
            timestamp=_TIME,
            type={"type": "integer", "enum": [0, 1, 2, 3, 4]},
            points=_array(_POINT),
            outline_color=_COLOUR,
            outline_colors=_array(_COLOUR),
            fill_color=_COLOUR,
            thickness=_NUMBER,
        )
    ),
    texts=_array(
        _object(
            "foxglove.TextAnnotation",
            timestamp=_TIME,
            position=_POINT,
            text=_TEXT,
            font_size=_NUMBER,
            text_color=_COLOUR,
            background_color=_COLOUR,
        )
    ),
)

FOXGLOVE_SCHEMAS = MappingProxyType(
    {EntryKind.IMAGE: _IMAGE, EntryKind.VIDEO: _VIDEO, EntryKind.ANNOTATION: _ANNOTATIONS}
)
"""JSON schemas of the kinds that are in a standard form; the name of each is its title."""

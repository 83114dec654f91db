"""Pictures of hits, misses and false alarms, and a page that leads to them."""

from sightline.evidence.detection_gallery.benchmark_series import (
    nab_series,
    nasa_series,
    opssat_series,
    skab_series,
)
from sightline.evidence.detection_gallery.gallery import (
    MAX_PICTURES,
    Gallery,
    GallerySettings,
    write_gallery,
)
from sightline.evidence.detection_gallery.judged_series import Finding, JudgedSeries
from sightline.evidence.detection_gallery.picture import require_drawing

__all__ = [
    "MAX_PICTURES",
    "Finding",
    "Gallery",
    "GallerySettings",
    "JudgedSeries",
    "nab_series",
    "nasa_series",
    "opssat_series",
    "require_drawing",
    "skab_series",
    "write_gallery",
]

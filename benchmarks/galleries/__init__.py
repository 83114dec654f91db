"""Pictures of hits, misses and false alarms, and a page that leads to them."""

from benchmarks.galleries.benchmark_series import (
    nab_series,
    nasa_series,
    opssat_series,
    skab_series,
)
from benchmarks.galleries.gallery import (
    MAX_PICTURES,
    Gallery,
    GallerySettings,
    write_gallery,
)
from benchmarks.galleries.judged_series import Finding, JudgedSeries
from benchmarks.galleries.picture import require_drawing

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

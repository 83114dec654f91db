"""Published benchmarks of anomaly detection, run and scored: one configuration for all series."""

from benchmarks.published.nab import evaluate_nab, write_nab
from benchmarks.published.nasa import evaluate_nasa, write_nasa
from benchmarks.published.opssat import evaluate_opssat, write_opssat
from benchmarks.published.skab import evaluate_skab, write_skab

__all__ = [
    "evaluate_nab",
    "evaluate_nasa",
    "evaluate_opssat",
    "evaluate_skab",
    "write_nab",
    "write_nasa",
    "write_opssat",
    "write_skab",
]

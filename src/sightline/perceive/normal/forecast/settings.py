"""Settings of the forecaster. One set serves every channel: none is tuned to labels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sightline.errors import UsageError

MAX_FORECAST_WIDTH = 4096
"""Samples in the widest window; more is a UsageError."""
MAX_LAGS = 256
"""Terms of a forecast; more is a UsageError. Each sample costs their square."""
MAX_INPUTS = 256
"""Columns known beside the series (commands); more is a UsageError."""
MAX_DELAY = 1 << 16
"""Samples that wait to be learnt; more is a UsageError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastSettings:
    """How a series is forecast at several scales, and what of the errors counts.

    Attributes:
        widths: of the windows that errors are averaged over, in samples, ascending powers of two;
            the same as those of the memory of normal, so that both speak of the same lengths.
        lags: how many values of the past a forecast is made of. At a width they are means of
            width / lags samples, one behind the other: together they are as long as the window.
        ridge: added to the second moments, as a share of the variance of the learning stretch.
        refit_rows: learnt samples after which the weights are solved for again.
        delay: samples until one is learnt.
        learns: whether anything is learnt after the beginning.
        clip: errors further than this many deviations count as that far when they are learnt:
            what is anomalous must not make itself usual (Huber 1964, "Robust estimation of a
            location parameter").
        least_weight: of a learnt sample; until 1 / least_weight of them all count alike.
        least_share_of_range: smallest error that is one deviation, as a share of the range that
            was seen while learning.
        least_share_of_size: the same as a share of the greatest absolute value.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128)
    lags: int = 16
    ridge: float = 1e-3
    refit_rows: int = 64
    delay: int = 128
    learns: bool = True
    clip: float = 4.0
    least_weight: float = 1 / 1500
    least_share_of_range: float = 5e-3
    least_share_of_size: float = 5e-4

    def __post_init__(self) -> None:
        is_power = all(2 <= w <= MAX_FORECAST_WIDTH and w & (w - 1) == 0 for w in self.widths)
        is_sound = (
            bool(self.widths)
            and is_power
            and list(self.widths) == sorted(set(self.widths))
            and 1 <= self.lags <= MAX_LAGS
            and 1 <= self.delay <= MAX_DELAY
            and self.refit_rows >= 1
            and 0 < self.least_weight < 1
            and min(self.ridge, self.clip, self.least_share_of_range, self.least_share_of_size) > 0
        )
        if not is_sound:
            raise UsageError(
                expected=f"widths that are ascending powers of two up to {MAX_FORECAST_WIDTH}, 1 "
                f"to {MAX_LAGS} lags, a delay of 1 to {MAX_DELAY}, and the rest above 0",
                got=str(self),
                where="ForecastSettings",
                action="see its docstring",
            )

    def pool(self, width: int) -> int:
        """Samples in one value that is forecast for windows of ``width``."""
        return max(1, width // self.lags)

    def least_learning(self, width: int) -> int:
        """Samples needed for one width: the past of a forecast, and errors of two windows."""
        return (self.lags + 1) * self.pool(width) + 2 * width

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        plain = asdict(self)
        plain["widths"] = list(self.widths)
        return plain

    @classmethod
    def from_mapping(cls, plain: dict[str, Any]) -> ForecastSettings:
        """Inverse of :meth:`as_mapping`."""
        return cls(**{**plain, "widths": tuple(plain["widths"])})

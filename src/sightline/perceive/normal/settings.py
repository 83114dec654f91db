"""Settings of the detector of one series. One set serves every channel: none is tuned to labels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sightline.errors import UsageError
from sightline.perceive.normal.window_features import MAX_WIDTH

MAX_MEMORY = 4096
"""Vectors of one memory; more is a UsageError. Each sample is compared with all of them."""
MAX_DELAY = 1 << 16
"""Samples that wait to be learnt; more is a UsageError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalSettings:
    """How a series is compared with its own past.

    Attributes:
        widths: of the windows, in samples, ascending powers of two. An anomaly is seen best by a
            window of about its length; five octaves see most.
        memory_size: vectors that stand for the past of one width.
        forgets: whether what has not been needed for longest is forgotten at that bound.
        delay: samples until a window may count as normal, and no fewer than its width: whoever
            compares a sample with itself finds nothing.
        learns_below: only windows that scored less are learnt, so that what is surely an anomaly
            never becomes normal by lasting. None: whatever has lasted for ``delay`` is normal from
            then on, and a lasting change is told once.
        clip: distances further than this many deviations above their mean move neither as far:
            what is anomalous must not make itself usual.
        least_distance: added to the spread of the distances, in deviations of the features.
        least_share_of_range: smallest deviation of a feature, as a share of the range that was
            seen while learning.
        least_share_of_size: the same as a share of the greatest absolute value: of a series that
            never moved, what would be a movement.
    """

    widths: tuple[int, ...] = (8, 16, 32, 64, 128)
    memory_size: int = 512
    forgets: bool = True
    delay: int = 128
    learns_below: float | None = None
    clip: float = 5.0
    least_distance: float = 1e-3
    least_share_of_range: float = 5e-3
    least_share_of_size: float = 5e-4

    def __post_init__(self) -> None:
        is_power = all(2 <= w <= MAX_WIDTH and w & (w - 1) == 0 for w in self.widths)
        is_sound = (
            bool(self.widths)
            and is_power
            and list(self.widths) == sorted(set(self.widths))
            and 1 <= self.memory_size <= MAX_MEMORY
            and 1 <= self.delay <= MAX_DELAY
            and self.clip > 0
            and min(self.least_distance, self.least_share_of_range, self.least_share_of_size) > 0
        )
        if not is_sound:
            raise UsageError(
                expected=f"widths that are ascending powers of two, a memory of 1 to {MAX_MEMORY}, "
                f"a delay of 1 to {MAX_DELAY}, and the rest above 0",
                got=str(self),
                where="NormalSettings",
                action="see its docstring",
            )

    @property
    def least_learning(self) -> int:
        """Samples needed to know anything: two of the narrowest windows that do not overlap."""
        return 2 * self.widths[0] + 2

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        plain = asdict(self)
        plain["widths"] = list(self.widths)
        return plain

    @classmethod
    def from_mapping(cls, plain: dict[str, Any]) -> NormalSettings:
        """Inverse of :meth:`as_mapping`."""
        return cls(**{**plain, "widths": tuple(plain["widths"])})

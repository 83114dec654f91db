"""Settings of the detector of one series. One set serves every channel: none is tuned to labels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sightline.errors import UsageError
from sightline.perceive.normal.features import MAX_WIDTH

MAX_MEMORY = 4096
"""Vectors of one memory; more is a UsageError. Each sample is compared with all of them."""
MAX_DELAY = 1 << 16
"""Samples that wait to be learnt; more is a UsageError."""
LEAST_SPREAD = 1e-30
"""Smallest deviation of a feature of a series that was exactly 0 while it was learnt: any movement
is unusual then, and its square is still a number."""


_LEARNING_SHARE, _LEARNING_MOST_ROWS = 0.15, 750


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalSettings:
    """How a series is compared with its own past.

    Attributes:
        widths: of the windows, in samples, ascending powers of two. An anomaly is seen best by a
            window of about its length; a few octaves see most.
        steps_per_width: a window is looked at every width / steps_per_width samples: two that
            overlap by seven eighths are nearly the same. In between its last score stands.
        memory_size: vectors that stand for the past of one width.
        forgets: whether what has not been needed for longest is forgotten at that bound.
        spacing_share: a window nearer than this to a remembered one adds nothing, as a share of
            the median distance between windows that were learnt.
        delay: samples until a window may count as normal, and no fewer than its width: whoever
            compares a sample with itself finds nothing.
        learns_below: a score at or above it begins an episode, of which nothing is learnt: what was
            anomalous is not normal because it is over. None: whatever has waited is normal, an
            anomaly too. 0: nothing is learnt after the beginning.
        usual_below: an episode is over when the score has been lower than this,
        quiet_rows: for so many samples in a row.
        lasting_rows: what stays unusual for so many samples without a break is a change that
            lasts, and learnt from then on: it is told once and then normal.
        apart_share: while learning, windows are compared if they are further apart than their
            width and than this share of the stretch: else a slow wave would be its own neighbour.
        clip: distances further than this many deviations above their mean move neither as far:
            what is anomalous must not make itself usual.
        held_clip: the same of what is not learnt.
        least_weight: of a sample's distance in mean and variance of the usual ones; until
            1 / least_weight samples all count alike.
        least_distance: added to the spread of the distances, in deviations of the features.
        least_share_of_range: smallest deviation of a feature, as a share of the range that was
            seen while learning.
        rounding_share: of samples that are rounded (states, counts, a coarse converter), the
            distance that rounding makes, times this, is added to the spread of the distances.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128)
    steps_per_width: int = 8
    memory_size: int = 256
    forgets: bool = True
    spacing_share: float = 0.25
    delay: int = 1
    learns_below: float | None = 6.0
    usual_below: float = 1.0
    quiet_rows: int = 32
    lasting_rows: int = 512
    apart_share: float = 0.125
    clip: float = 4.0
    held_clip: float = 2.0
    least_weight: float = 1 / 1500
    least_distance: float = 1e-2
    least_share_of_range: float = 5e-3
    rounding_share: float = 0.25

    def __post_init__(self) -> None:
        is_power = all(2 <= w <= MAX_WIDTH and w & (w - 1) == 0 for w in self.widths)
        is_sound = (
            bool(self.widths)
            and is_power
            and list(self.widths) == sorted(set(self.widths))
            and self.steps_per_width >= 1
            and 1 <= self.memory_size <= MAX_MEMORY
            and 0 <= self.spacing_share <= 1
            and 0 <= self.apart_share < 0.5
            and 0 <= self.least_weight < 1
            and 1 <= self.delay <= MAX_DELAY
            and min(self.clip, self.held_clip) > 0
            and (self.learns_below is None or self.learns_below >= 0)
            and self.usual_below > 0
            and self.quiet_rows >= 1
            and self.lasting_rows >= 1
            and self.rounding_share >= 0
            and min(self.least_distance, self.least_share_of_range) > 0
        )
        if not is_sound:
            raise UsageError(
                expected=f"widths that are ascending powers of two, a memory of 1 to {MAX_MEMORY}, "
                f"a delay of 1 to {MAX_DELAY}, and the rest above 0",
                got=str(self),
                where="NormalSettings",
                action="see its docstring",
            )

    def step(self, width: int) -> int:
        """Samples from one look at a window of ``width`` to the next."""
        return max(1, width // self.steps_per_width)

    def waits(self, width: int) -> int:
        """Looks until one at a window of ``width`` may be learnt."""
        return -(-max(self.delay, width + 1) // self.step(width))

    @property
    def least_learning(self) -> int:
        """Samples needed to know anything: two of the narrowest windows that do not overlap."""
        return 2 * self.widths[0] + 2

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        plain = asdict(self)
        plain["widths"] = list(self.widths)
        return plain


def learning_rows(rows: int) -> int:
    """How many rows at the beginning of a recording are learnt from and not scored.

    15 %, at most 750, as the probationary period of the Numenta Anomaly Benchmark.

    >>> [learning_rows(n) for n in (100, 4000, 9000)]
    [15, 600, 750]
    """
    return min(int(_LEARNING_SHARE * rows), _LEARNING_MOST_ROWS)

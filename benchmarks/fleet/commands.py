"""What a satellite was told to do, and the spans in which telemetry settles after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.fleet.reference import BoolArray
from sightline.errors import UsageError
from sightline.records.windows import FloatArray, IntArray

UPLINK_S = (0.0, 9.0)
"""A command works at the earliest and the latest so long after it was sent."""
_MIDDLE_S = 4.5
_MODES = {"mode_safe": 0, "mode_nominal": 1, "mode_payload": 2}
SAFE, NOMINAL, PAYLOAD = 0, 1, 2
_BEFORE_S = 1e6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CommandRecord:
    """Commands of one satellite.

    Attributes:
        sent_s: float64[k], ascending, on the clock of the telemetry.
        name: str[k], such as ``mode_payload``, ``slew``, ``dump_momentum``, ``scrub_memory``,
            ``set_heater``.

    Raises:
        UsageError: names that are no text, or not one for each time.
    """

    sent_s: FloatArray
    name: npt.NDArray[np.str_]

    def __post_init__(self) -> None:
        if self.name.dtype.kind != "U" or self.name.shape != self.sent_s.shape:
            raise UsageError(
                expected="a name (text) for each time",
                got=f"{self.name.dtype} of shape {self.name.shape} for {self.sent_s.shape}",
                where="CommandRecord",
                action="convert the names with .astype(np.str_)",
            )

    def until(self, time_s: float) -> CommandRecord:
        """Those sent up to a time."""
        keep = self.sent_s <= time_s
        return CommandRecord(sent_s=self.sent_s[keep], name=self.name[keep])

    def sent(self, prefix: str) -> FloatArray:
        """float64[m]: when commands whose name begins so were sent."""
        found: FloatArray = self.sent_s[np.char.startswith(self.name, prefix)]
        return found

    def works(self, prefix: str) -> FloatArray:
        """float64[m]: when they work, at best knowledge."""
        return self.sent(prefix) + _MIDDLE_S

    def modes(self) -> tuple[FloatArray, IntArray]:
        """When each mode begins, float64[m], and which it is (0 safe, 1 nominal, 2 payload).

        Nominal before the first command.
        """
        chosen = np.isin(self.name, list(_MODES))
        first = min(float(self.sent_s[0]) if len(self.sent_s) else 0.0, 0.0) - _BEFORE_S
        at_s = np.concatenate([[first], self.sent_s[chosen] + _MIDDLE_S])
        mode = [NOMINAL, *(_MODES[name] for name in self.name[chosen].tolist())]
        return at_s, np.array(mode, np.int64)

    def mode_at(self, time_s: FloatArray) -> IntArray:
        """int64[n]: the mode at each time."""
        at_s, mode = self.modes()
        found: IntArray = mode[np.searchsorted(at_s, time_s, "right") - 1]
        return found

    def safe_spans(self) -> tuple[FloatArray, FloatArray]:
        """Starts and ends of safe modes, float64[s] each; the last may end at infinity."""
        at_s, mode = self.modes()
        ends_s = np.append(at_s[1:], np.inf)
        is_safe = mode == SAFE
        return at_s[is_safe], ends_s[is_safe]


def spans(time_s: FloatArray, start_s: FloatArray, end_s: FloatArray) -> BoolArray:
    """bool[n]: at times within any of the spans, both ends included.

    >>> spans(np.arange(6.0), np.array([1.0, 4.0]), np.array([2.0, 9.0])).tolist()
    [False, True, True, False, True, True]
    """
    change = np.zeros(len(time_s) + 1, np.int64)
    np.add.at(change, np.searchsorted(time_s, start_s, "left"), 1)
    np.add.at(change, np.searchsorted(time_s, end_s, "right"), -1)
    found: BoolArray = np.cumsum(change[:-1]) > 0
    return found

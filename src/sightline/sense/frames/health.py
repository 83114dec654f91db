"""What a frame breaks of its contract, and the health of the camera that took it.

A picture is compared with what this camera usually shows (:mod:`.usual_view`), and each condition
of the contract becomes a signal that is raised and cleared once it has held for a while.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sightline.records.frames import Frame, Image
from sightline.records.holding import Holding
from sightline.records.signals import NS_PER_S
from sightline.sense.contract import to_ns
from sightline.sense.frames.frame_contract import FrameContract, FrozenCheck
from sightline.sense.frames.reasons import FrameReason
from sightline.sense.frames.unseen_parts import UnseenParts, packed
from sightline.sense.frames.usual_view import PictureMeasures, UsualView, measure_picture


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSignal:
    """One check of one frame.

    Attributes:
        reason: what it is that is checked.
        value: what was measured, in the unit of ``MEASURES[reason]``; NaN where it could not be,
            for example the sharpness of a black picture.
        threshold: what it was compared with, in the same unit; NaN where there is none yet.
        is_raised: whether the condition stands: for a picture, whether it has held for the
            contract's ``confirm_s`` and has not since been gone for as long.
    """

    reason: FrameReason
    value: float
    threshold: float
    is_raised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameHealth:
    """The health of a camera at one frame.

    Attributes:
        stream: name of the camera.
        index: of the frame.
        capture_ns: of the frame, UTC ns.
        signals: one for each check that the contract asks for, in a fixed order.
        is_doubtful: whether the picture may show nothing of what is before the camera, though no
            condition has held for long enough to be raised: it is black, clipped or covered, or
            has stood still for much longer than this camera's pictures ever have.
        unseen: parts of the picture that show nothing, though it does as a whole, as
            ``unseen_parts.packed``; "": none.
    """

    stream: str
    index: int
    capture_ns: int
    signals: tuple[HealthSignal, ...]
    is_doubtful: bool = False
    unseen: str = ""

    @property
    def raised(self) -> tuple[FrameReason, ...]:
        """What is wrong now; empty when the camera is well."""
        return tuple(signal.reason for signal in self.signals if signal.is_raised)

    def signal(self, reason: FrameReason) -> HealthSignal:
        """The signal of one check.

        Raises:
            KeyError: the contract leaves that check out.
        """
        for signal in self.signals:
            if signal.reason is reason:
                return signal
        raise KeyError(reason)


_FROZEN, _BLACK, _OVER_EXPOSED, _BLURRED, _COVERED, _MOVED, _SHIFTED = range(7)
_REASONS = (
    FrameReason.FROZEN,
    FrameReason.BLACK,
    FrameReason.OVER_EXPOSED,
    FrameReason.BLURRED,
    FrameReason.COVERED,
    FrameReason.MOVED,
    FrameReason.SHIFTED,
)
_FALLS_BELOW = np.array([False, False, False, True, False, True, False])
_COVERED_UNKNOWN = 1.0
"""Share of flat blocks that means a covered lens while the usual level is not known."""
_BLIND_SHARES = (0.98, 0.5)
"""Dark and clipped shares beyond which nothing else can be told, where the contract has none."""
_NO_TIME_NS = -1

Arrays = Mapping[str, npt.NDArray[np.generic]]


_SHOWS_NOTHING = np.array([False, True, True, False, True, False, False])
"""Black, clipped, covered."""
_LEAST_CHANGES = 20
"""Changes of the picture until it is known how long it usually stands still."""
_LONG_STILL = 2.0
"""Times the longest still period that a change has ended, from which one is doubtful."""
_RATE_INTERVALS = 10
"""Intervals over which the mean interval forgets."""
_LEAST_RATE_SHARE = 0.5
"""Every other frame is missing."""


def contract_breaches(frame: Frame, contract: FrameContract) -> tuple[HealthSignal, ...]:
    """What a single frame breaks; a frame that breaks anything is to be refused.

    >>> import numpy as np
    >>> contract = FrameContract(width_px=6, height_px=4, rate_hz=10, max_age_s=1.0)
    >>> frame = Frame(stream="yard", index=0, capture_ns=0, received_ns=2 * NS_PER_S,
    ...               pixels=np.zeros((4, 6), np.uint8))
    >>> [str(signal.reason) for signal in contract_breaches(frame, contract)]
    ['CHANNELS', 'STALE']
    """
    found: list[HealthSignal] = []
    if (frame.width_px, frame.height_px) != (contract.width_px, contract.height_px):
        found.append(
            HealthSignal(
                reason=FrameReason.SIZE,
                value=float(frame.width_px * frame.height_px),
                threshold=float(contract.width_px * contract.height_px),
                is_raised=True,
            )
        )
    if frame.channels != contract.channels:
        found.append(
            HealthSignal(
                reason=FrameReason.CHANNELS,
                value=float(frame.channels),
                threshold=float(contract.channels),
                is_raised=True,
            )
        )
    age = age_signal(
        newest_age_s=(frame.received_ns - frame.capture_ns) / NS_PER_S, contract=contract
    )
    return (*found, age) if age.is_raised else tuple(found)


def age_signal(*, newest_age_s: float, contract: FrameContract) -> HealthSignal:
    """Whether a frame, or a camera's newest frame, is too old.

    Args:
        newest_age_s: from the capture, s; infinite where there was no frame at all.
        contract: ``max_age_s``.
    """
    return HealthSignal(
        reason=FrameReason.STALE,
        value=newest_age_s,
        threshold=contract.max_age_s,
        is_raised=newest_age_s > contract.max_age_s,
    )


class RateWatch:
    """Follows how often a camera's frames were taken, by their capture times.

    A camera that gives nothing at all is not seen here but by :func:`age_signal`.

    Args:
        contract: ``rate_hz``.

    >>> contract = FrameContract(width_px=6, height_px=4, rate_hz=10, max_age_s=1.0)
    >>> watch = RateWatch(contract)
    >>> [watch.update(n * NS_PER_S // 4).is_raised for n in range(12)].index(True)
    10
    """

    def __init__(self, contract: FrameContract) -> None:
        self._rate_hz = contract.rate_hz
        self._last_ns: int | None = None
        self._intervals = 0
        self._mean_s = 0.0

    def update(self, capture_ns: int) -> HealthSignal:
        """Take the capture time of the next frame, UTC ns, after the one before.

        The rate is NaN, and nothing is raised, before ten intervals are known.
        """
        if self._last_ns is not None:
            self._intervals = min(self._intervals + 1, _RATE_INTERVALS)
            interval_s = (capture_ns - self._last_ns) / NS_PER_S
            self._mean_s += (interval_s - self._mean_s) / self._intervals
        self._last_ns = capture_ns
        is_known = self._intervals == _RATE_INTERVALS and self._mean_s > 0
        rate_hz = 1 / self._mean_s if is_known else float("nan")
        least_hz = _LEAST_RATE_SHARE * self._rate_hz
        return HealthSignal(
            reason=FrameReason.RATE_LOW,
            value=rate_hz,
            threshold=least_hz,
            is_raised=rate_hz < least_hz,
        )

    def snapshot(self) -> dict[str, Any]:
        """JSON-ready state."""
        return {
            "last_ns": self._last_ns,
            "intervals": self._intervals,
            "mean_s": self._mean_s,
        }

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        self._last_ns = plain["last_ns"]
        self._intervals = plain["intervals"]
        self._mean_s = plain["mean_s"]


class CameraHealth:
    """Watches the frames of one camera; a function of the frames so far and of nothing else.

    What cannot be told is not measured (NaN), and leaves its signal as it was: nothing else about
    a picture that is black or clipped, no blur or movement under a cover, no movement in a blur.
    While any condition holds, nothing is learnt, so a moved camera never becomes usual by itself:
    it must be put back, or a person says that it may stay so (:meth:`accept_view`; of a pipeline
    the operator input of that name).

    Costs about a millisecond for 640 x 480; the state is some 250 kB.

    Args:
        contract: its ``health``.

    >>> from sightline.sense.frames.simulated_camera import SimulatedCamera
    >>> from sightline.sense.frames.simulated_camera import SimulatedScene
    >>> scene = SimulatedScene(width_px=320, height_px=240, things=(), seed=1)
    >>> health = CameraHealth(FrameContract(width_px=320, height_px=240, rate_hz=1, max_age_s=1))
    >>> [health.update(f).raised for f in SimulatedCamera("yard", scene, rate_hz=1, frames=2)]
    [(), ()]
    """

    def __init__(self, contract: FrameContract) -> None:
        checks = contract.health
        self._frozen = checks.frozen or FrozenCheck()
        self._thresholds = np.full(len(_REASONS), np.nan)
        if checks.frozen is not None:
            self._thresholds[_FROZEN] = checks.frozen.after_s
        if checks.black is not None:
            self._thresholds[_BLACK] = checks.black.dark_share
        if checks.over_exposed is not None:
            self._thresholds[_OVER_EXPOSED] = checks.over_exposed.clipped_share
        if checks.blurred is not None:
            self._thresholds[_BLURRED] = checks.blurred.sharpness_ratio
        if checks.covered is not None:
            self._thresholds[_COVERED] = checks.covered.flat_share
        if checks.moved is not None:
            self._thresholds[_MOVED] = checks.moved.agreement_ratio
        if checks.shifted is not None:
            self._thresholds[_SHIFTED] = checks.shifted.shift_share
        exposure = self._thresholds[[_BLACK, _OVER_EXPOSED]]
        self._blind_shares = np.where(np.isnan(exposure), _BLIND_SHARES, exposure)
        hold_ns = np.full(len(_REASONS), to_ns(checks.confirm_s), np.int64)
        hold_ns[_FROZEN] = 0  # its measure is a time already
        self._holding = Holding(begin_ns=hold_ns, end_ns=hold_ns)
        self._view = UsualView(
            level_s=checks.level_s,
            reference_s=checks.reference_s,
            learn_s=checks.learn_s,
        )
        self._parts = UnseenParts(
            looks_for_still=checks.frozen is not None, looks_for_flat=checks.covered is not None
        )
        self._anchor: Image = np.zeros((0, 0), np.uint8)
        self._still_since_ns = self._last_ns = _NO_TIME_NS
        self._longest_still_ns = self._changes = 0

    def update(self, frame: Frame) -> FrameHealth:
        """Judge the next frame. Capture times do not fall.

        A picture of another size than the one before makes the camera begin to learn anew.
        """
        seen = measure_picture(frame.pixels)
        values = np.full(len(_REASONS), np.nan)
        thresholds = self._thresholds.copy()
        if seen is not None:
            if seen.fine.shape != self._anchor.shape:
                self._begin(seen, frame.capture_ns)
            self._measure(seen, frame.capture_ns, values, thresholds)
        is_measured = ~(np.isnan(values) | np.isnan(thresholds))
        holds = is_measured & np.where(_FALLS_BELOW, values < thresholds, values >= thresholds)
        if seen is not None and not holds.any():
            passed_ns = 0 if self._last_ns == _NO_TIME_NS else frame.capture_ns - self._last_ns
            self._view.learn(seen, agreement=values[_MOVED], passed_s=passed_ns / NS_PER_S)
        is_still = self._is_long_still(frame.capture_ns) and not np.isnan(self._thresholds[_FROZEN])
        shows_nothing = bool((holds & _SHOWS_NOTHING).any())
        unseen = ""
        if seen is not None and not shows_nothing:
            unseen = packed(self._parts.update(frame.pixels, seen.fine))
        self._last_ns = frame.capture_ns
        is_raised = self._holding.update(holds, is_measured, frame.capture_ns)
        return FrameHealth(
            stream=frame.stream,
            index=frame.index,
            capture_ns=frame.capture_ns,
            signals=tuple(
                HealthSignal(reason=reason, value=value, threshold=threshold, is_raised=raised)
                for reason, value, threshold, raised, wanted in zip(
                    _REASONS,
                    values.tolist(),
                    thresholds.tolist(),
                    is_raised.tolist(),
                    self._thresholds.tolist(),
                    strict=True,
                )
                if not np.isnan(wanted)
            ),
            is_doubtful=is_still or shows_nothing,
            unseen=unseen,
        )

    def accept_view(self) -> None:
        """Take what is seen from now on as usual, and clear what stands: a person has looked."""
        self._view.forget()
        self._parts.forget()
        self._holding.clear()

    def snapshot(self) -> dict[str, npt.NDArray[np.generic]]:
        """State as arrays: uint8, bool, int64, float32 and float64."""
        return {
            "times_ns": np.array(
                [self._still_since_ns, self._last_ns, self._longest_still_ns], np.int64
            ),
            "changes": np.array([self._changes], np.int64),
            "anchor": self._anchor.copy(),
            **self._holding.snapshot(),
            **self._view.snapshot(),
            **self._parts.snapshot(),
        }

    def restore(self, arrays: Arrays) -> None:
        """Inverse of :meth:`snapshot`, under the same contract."""
        times_ns = arrays["times_ns"].astype(np.int64).tolist()
        self._still_since_ns, self._last_ns, self._longest_still_ns = times_ns
        (self._changes,) = arrays["changes"].astype(np.int64).tolist()
        self._anchor = arrays["anchor"].astype(np.uint8)
        self._holding.restore(arrays)
        self._view.restore(arrays)
        self._parts.restore(arrays)

    def _begin(self, seen: PictureMeasures, at_ns: int) -> None:
        self._view.forget()
        self._anchor, self._still_since_ns = seen.fine, at_ns

    def _measure(
        self,
        seen: PictureMeasures,
        at_ns: int,
        values: npt.NDArray[np.float64],
        thresholds: npt.NDArray[np.float64],
    ) -> None:
        """Fill in what can be told; adapt the thresholds that depend on what is usual."""
        values[_FROZEN] = self._unchanged_s(seen.fine, at_ns)
        values[_BLACK], values[_OVER_EXPOSED] = seen.dark_share, seen.clipped_share
        is_blind = np.any(values[[_BLACK, _OVER_EXPOSED]] >= self._blind_shares)
        if not self._view.is_learnt:
            thresholds[[_BLURRED, _MOVED]] = np.nan
            thresholds[_COVERED] = max(thresholds[_COVERED], _COVERED_UNKNOWN)
        thresholds[_MOVED] *= self._view.usual_agreement
        if is_blind:
            return
        values[_COVERED] = self._view.flat_share(seen)
        if values[_COVERED] >= thresholds[_COVERED]:
            return
        values[_BLURRED] = self._view.sharpness_ratio(seen)
        if values[_BLURRED] < thresholds[_BLURRED]:
            return
        values[_MOVED], values[_SHIFTED] = self._view.edges_in_place(seen)

    def _is_long_still(self, at_ns: int) -> bool:
        """Whether the picture stands still for longer than ever before, by far."""
        still_ns = at_ns - self._still_since_ns
        is_known = self._changes >= _LEAST_CHANGES
        return is_known and still_ns > _LONG_STILL * self._longest_still_ns

    def _unchanged_s(self, fine: Image, at_ns: int) -> float:
        """How long the picture has been the same as the first one: a slow drift is a change."""
        change = cv2.absdiff(fine, self._anchor)
        for left, top, right, bottom in self._frozen.overlays:
            height, width = fine.shape
            rows = slice(math.floor(top * height), math.ceil(bottom * height))
            change[rows, math.floor(left * width) : math.ceil(right * width)] = 0
        if int(change.max()) > self._frozen.tolerance_levels:
            still_ns = at_ns - self._still_since_ns
            if still_ns < to_ns(self._frozen.after_s):  # else it was frozen, which is not usual
                self._longest_still_ns = max(self._longest_still_ns, still_ns)
            self._changes = min(self._changes + 1, _LEAST_CHANGES)
            self._anchor, self._still_since_ns = fine, at_ns
        return (at_ns - self._still_since_ns) / NS_PER_S
